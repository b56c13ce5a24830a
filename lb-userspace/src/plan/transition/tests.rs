//! One slot at a time; `worker::halves::keeping` proves what follows from it for flows.

use super::*;
use crate::plan::tables::empty_slots;

const IDENTITY: u64 = 7;
const RING: RingId = 1;
/// In seconds.
const LENGTH: u64 = 300;

/// How a server stands, in the maps or after the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Up,
    Drain,
    Down,
    Gone,
}

use Is::{Down, Drain, Gone, Up};

fn rows(servers: &[Is]) -> BTreeMap<ServerId, ServerEntry> {
    let row = |(id, is): (ServerId, &Is)| {
        let state = match is {
            Up => ServerState::Up,
            Drain => ServerState::Drain,
            Down => ServerState::Down,
            Gone => return None,
        };
        let zero = <ServerEntry as bytemuck::Zeroable>::zeroed();
        Some((id, ServerEntry { identity: id.into(), state: state as u8, ..zero }))
    };
    (1..).zip(servers).filter_map(row).collect()
}

/// A ring of which all slots are alike, through time.
struct One {
    transitions: Transitions,
    slots: Slots,
    clings: bool,
}

impl One {
    fn new(slot: Slot) -> Self {
        let mut slots = empty_slots();
        Arc::make_mut(&mut slots).fill(slot);
        Self { transitions: Transitions::default(), slots, clings: false }
    }

    /// A plan: at a time in seconds, whose the slots should be, how servers 1, 2, … stand and will.
    fn plan(&mut self, now: u64, owner: ServerId, is: &[Is], will: &[Is]) -> Slot {
        self.plan_with(now, owner, is, will, None)
    }

    fn plan_with(&mut self, now: u64, owner: ServerId, is: &[Is], will: &[Is], census: Option<(&Census, u64)>) -> Slot {
        let mut owners = empty_slots();
        Arc::make_mut(&mut owners).fill(Slot::of(owner));
        let census = census.map(|(census, begun)| (census, Duration::from_secs(begun)));
        let change = Change {
            strays: None,
            ring: RING,
            identity: IDENTITY,
            transition: seconds(LENGTH),
            moment: Moment { now: Duration::from_secs(now), census },
            servers: &Servers::new(&rows(is), &rows(will)),
            is_disturbed: true,
            clings: self.clings,
        };
        let before = Ring { identity: IDENTITY, slots: Arc::clone(&self.slots) };
        self.slots = self.transitions.next(&change, Some(&before), &owners);
        assert!(self.slots.iter().all(|slot| *slot == self.slots[0]));
        self.slots[0]
    }
}

fn settled(server: ServerId) -> Slot {
    Slot::of(server)
}

fn changing(from: ServerId, to: ServerId) -> Slot {
    Slot::new(to, from, true)
}

fn tracked(server: ServerId) -> Slot {
    Slot::new(server, server, true)
}

/// A slot, its next owner, how servers stand in the maps, how they will, and what it becomes.
type Case = (Slot, ServerId, [Is; 3], [Is; 3], Slot);

#[test]
fn what_becomes_of_a_slot() {
    let cases: [Case; 19] = [
        (settled(1), 1, [Up, Up, Up], [Up, Up, Up], settled(1)),
        (settled(1), 2, [Up, Up, Up], [Up, Up, Up], changing(1, 2)),
        (settled(1), 2, [Up, Up, Up], [Drain, Up, Up], changing(1, 2)),
        // Other servers take its flows that speak while it is down, and the table knows whose they are.
        (settled(1), 2, [Up, Up, Up], [Down, Up, Up], changing(1, 2)),
        (settled(1), 2, [Down, Up, Up], [Down, Up, Up], changing(1, 2)),
        (changing(1, 2), 2, [Down, Up, Up], [Down, Up, Up], changing(1, 2)),
        (changing(1, 2), 3, [Down, Up, Up], [Down, Up, Up], changing(1, 3)),
        (changing(1, 2), 1, [Down, Up, Up], [Up, Up, Up], tracked(1)),
        // It is up again before the ring has followed.
        (settled(1), 1, [Down, Up, Up], [Up, Up, Up], tracked(1)),
        // It is gone: nobody took its flows before.
        (settled(1), 2, [Up, Up, Up], [Gone, Up, Up], settled(2)),
        (settled(1), 2, [Down, Up, Up], [Gone, Up, Up], tracked(2)),
        (changing(1, 2), 3, [Up, Up, Up], [Up, Up, Up], changing(1, 3)),
        (changing(1, 2), 1, [Up, Up, Up], [Up, Up, Up], tracked(1)),
        (changing(1, 2), 3, [Down, Up, Up], [Gone, Down, Up], tracked(3)),
        // Nobody is left for new flows, or for any.
        (settled(1), 0, [Up, Up, Up], [Drain, Down, Down], changing(1, 0)),
        (settled(1), 0, [Down, Down, Down], [Down, Down, Down], changing(1, 0)),
        // It gets up when the ring is there: flows may go elsewhere before that.
        (settled(0), 1, [Down, Down, Down], [Up, Down, Down], tracked(1)),
        (settled(1), 2, [Up, Down, Up], [Gone, Up, Up], tracked(2)),
        (tracked(1), 1, [Up, Up, Up], [Up, Up, Up], tracked(1)),
    ];
    for (old, owner, is, will, expected) in cases {
        let new = One::new(old).plan(0, owner, &is, &will);
        assert_eq!(new, expected, "{old:?} to {owner}, {is:?} to {will:?}");
    }
}

#[test]
fn what_the_table_refused_while_a_server_was_down_stays_where_the_chain_led() {
    let cases: [Case; 7] = [
        (changing(1, 2), 2, [Down, Up, Up], [Down, Up, Up], tracked(2)),
        (changing(1, 2), 3, [Down, Up, Up], [Down, Up, Up], changing(2, 3)),
        (changing(1, 2), 1, [Down, Up, Up], [Up, Up, Up], changing(2, 1)),
        (changing(1, 2), 3, [Down, Up, Up], [Down, Down, Up], tracked(3)),
        (settled(1), 2, [Down, Up, Up], [Down, Up, Up], tracked(2)),
        // It was up until now, and had all that the table refused.
        (changing(1, 2), 2, [Up, Up, Up], [Down, Up, Up], changing(1, 2)),
        (settled(1), 2, [Up, Up, Up], [Down, Up, Up], changing(1, 2)),
    ];
    for (old, owner, is, will, expected) in cases {
        let plan = |refused: &[(u64, u64)]| {
            let mut one = One::new(old);
            for (total, at) in refused {
                one.transitions.note_refused(*total, seconds(*at));
            }
            one.plan(100, owner, &is, &will)
        };
        assert_eq!(plan(&[(5, 0), (6, 100)]), expected, "{old:?} to {owner}, {is:?} to {will:?}");
        assert_eq!(plan(&[(5, 100)]), expected, "what happened before this daemon began may have been just now");
        assert_eq!(plan(&[(5, 0), (6, 50), (6, 100)]), One::new(old).plan(100, owner, &is, &will), "that was before");
        let mut one = One { clings: true, ..One::new(old) };
        one.transitions.note_refused(5, seconds(100));
        let as_never = One::new(old).plan(100, owner, &is, &will);
        assert_eq!(one.plan(100, owner, &is, &will), as_never, "where flows do not move, nothing went along the chain");
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const ALL_UP: [Is; 3] = [Up, Up, Up];

#[test]
fn a_slot_has_changed_hands_after_the_time_that_it_takes_and_stays_tracked() {
    let mut one = One::new(settled(1));
    assert_eq!(one.plan(10, 2, &ALL_UP, &ALL_UP), changing(1, 2));
    assert_eq!(one.transitions.due(), Some(seconds(310)));
    assert_eq!(one.plan(309, 2, &ALL_UP, &ALL_UP), changing(1, 2));
    assert_eq!(one.plan(310, 2, &ALL_UP, &ALL_UP), tracked(2));
    assert_eq!((one.transitions.due(), one.transitions.any()), (None, true));
}

#[test]
fn a_slot_that_gets_a_third_owner_meanwhile_takes_no_longer_but_one_that_has_just_changed_does() {
    let mut one = One::new(settled(1));
    one.plan(0, 2, &ALL_UP, &ALL_UP);
    assert_eq!(one.plan(100, 3, &ALL_UP, &ALL_UP), changing(1, 3));
    assert_eq!(one.transitions.due(), Some(seconds(300)));
    assert_eq!(one.plan(300, 2, &ALL_UP, &ALL_UP), changing(3, 2));
    assert_eq!(one.transitions.due(), Some(seconds(600)));
    assert_eq!(one.plan(400, 1, &[Up, Up, Down], &[Up, Up, Down]), changing(3, 1));
    assert_eq!(one.transitions.due(), Some(seconds(600)));
    assert_eq!(one.plan(500, 1, &[Up, Up, Down], &[Up, Up, Gone]), tracked(1), "nobody else has any of its flows");
}

#[test]
fn a_refused_flow_gets_a_whole_transition_more() {
    let mut one = One::new(settled(1));
    one.transitions.note_refused(5, Duration::ZERO);
    one.plan(0, 2, &ALL_UP, &ALL_UP);
    one.transitions.note_refused(5, seconds(100));
    one.transitions.note_refused(6, seconds(200));
    one.transitions.note_refused(6, seconds(300));
    assert_eq!(one.plan(499, 2, &ALL_UP, &ALL_UP), changing(1, 2));
    assert_eq!(one.transitions.due(), Some(seconds(500)));
    assert_eq!(one.plan(500, 2, &ALL_UP, &ALL_UP), tracked(2));
}

#[test]
fn a_restart_begins_the_time_anew() {
    let mut one = One::new(changing(1, 2));
    assert_eq!(one.plan(1_000, 2, &ALL_UP, &ALL_UP), changing(1, 2));
    assert_eq!(one.transitions.due(), Some(Duration::from_secs(1_300)));
}

#[test]
fn only_a_count_that_was_begun_after_the_last_disturbance_and_found_nothing_ends_the_tracking() {
    let (nobody, mut somebody) = (Census::default(), Census::default());
    (0..SLOTS).for_each(|slot| somebody.count_flow(RING, u16::try_from(slot).unwrap(), 3));
    let mut one = One::new(tracked(1));
    let mut plan = |now, is: &[Is], census, begun| one.plan_with(now, 1, is, &ALL_UP, Some((census, begun)));
    assert_eq!(plan(10, &[Down, Up, Up], &nobody, 9), tracked(1));
    assert_eq!(plan(20, &ALL_UP, &nobody, 10), tracked(1), "a packet of before may have put a flow there since");
    assert_eq!(plan(30, &ALL_UP, &somebody, 29), tracked(1));
    assert_eq!(plan(40, &ALL_UP, &nobody, 39), settled(1));
}

#[test]
fn a_slot_that_changes_hands_is_tracked_even_if_nobody_is_there() {
    let nobody = Census::default();
    let mut one = One::new(settled(1));
    one.plan(0, 2, &ALL_UP, &ALL_UP);
    assert_eq!(one.plan_with(100, 2, &ALL_UP, &ALL_UP, Some((&nobody, 99))), changing(1, 2));
    assert_eq!(one.plan_with(300, 2, &ALL_UP, &ALL_UP, Some((&nobody, 299))), tracked(2));
    assert_eq!(one.plan_with(310, 2, &ALL_UP, &ALL_UP, Some((&nobody, 309))), settled(2));
    assert!(!one.transitions.any());
}
