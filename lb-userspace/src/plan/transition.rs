//! How slots change hands without a flow changing servers. Pure: time is passed in.
//!
//! The packet path keeps one promise for us: a flow that sends a packet while its slot *changes hands* is in the flow table
//! afterwards. So a slot does that for as long as flows may be silent, and then belongs to its new owner alone; where the
//! table refused a flow meanwhile, longer. [`TRACKED`](Slot::is_tracked) makes the packet path ask the table; it stays until
//! a count of the table finds no flow of the slot, because those that are in it may belong to any server.
//!
//! The rule for one slot is `Change::slot`. All that it goes by is in the maps, but for the times: after a restart they
//! begin anew.

use super::{Census, Ring, tables::Slots};
use lb_common::{RingId, SLOTS, ServerEntry, ServerId, ServerState, Slot, slots::next_slot};
use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

/// What the planner is told of the moment that it plans for. All times count from the same beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment<'a> {
    /// Now.
    pub now: Duration,
    /// The last count of the flow table, and when it was begun.
    pub census: Option<(&'a Census, Duration)>,
}

/// How far along the chain the packet path looks for a server (`lb_ebpf::select::TRIES`).
pub const TRIES: usize = 8;

/// Between a plan and the moment when the last packet has left that read the maps as they were before.
const SETTLES: Duration = Duration::from_secs(1);

/// The slots that change hands or are tracked, and since when.
#[derive(Debug, Default)]
pub struct Transitions {
    busy: BTreeMap<RingId, Times>,
    /// Of the other rings: whose the slots should be, and the slots that say so.
    calm: BTreeMap<RingId, (Slots, Slots)>,
    refused: Refused,
}

/// Since when each slot of a ring is as it is.
#[derive(Debug)]
struct Times {
    identity: u64,
    since: Box<[Tick]>,
    /// When the first of the slots has changed hands, if nothing more is refused.
    next_end: Option<Duration>,
}

/// A time in tenths of a second, so that those of a ring take no more room than the ring.
type Tick = u32;

fn tick(time: Duration) -> Tick {
    u32::try_from(time.as_millis() / 100).unwrap_or(Tick::MAX)
}

/// The first tick that is not before `time`.
fn tick_after(time: Duration) -> Tick {
    u32::try_from(time.as_millis().div_ceil(100)).unwrap_or(Tick::MAX)
}

/// When the packet path could not take a flow into the table.
#[derive(Debug, Default)]
struct Refused {
    total: u64,
    last: Option<Duration>,
}

impl Refused {
    /// Whether it may have done so to a flow of a slot that changes hands since then: nobody knows which flows they were. A
    /// server is down in the maps for some time already when its slots begin to change hands.
    fn since(&self, begun: Tick) -> bool {
        self.last.is_some_and(|last| tick_after(last + SETTLES) >= begun)
    }
}

impl Transitions {
    /// Notes how often the flow table refused a flow until now. To be called before each plan, and often enough while slots
    /// change hands: what is noted late postpones their end. What happened before the first call is taken to be of just now.
    pub fn note_refused(&mut self, total: u64, now: Duration) {
        if mem::replace(&mut self.refused.total, total) != total {
            self.refused.last = Some(now);
        }
    }

    /// When the next slot has changed hands: by then a plan should be made.
    pub fn due(&self) -> Option<Duration> {
        self.busy.values().filter_map(|times| times.next_end).min()
    }

    /// Whether a slot of any ring changes hands or is tracked.
    pub fn any(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Forgets rings that are gone.
    pub(super) fn retain(&mut self, rings: &BTreeMap<RingId, Ring>) {
        self.busy.retain(|ring, _| rings.contains_key(ring));
        self.calm.retain(|ring, _| rings.contains_key(ring));
    }

    /// The next slots of a ring. `before`: what the maps hold; `owners`: whose each slot should be.
    pub(super) fn next(&mut self, change: &Change<'_>, before: Option<&Ring>, owners: &Slots) -> Slots {
        let times = self.busy.remove(&change.ring).filter(|times| times.identity == change.identity);
        let Some(Ring { slots: before, .. }) = before.filter(|before| before.identity == change.identity) else {
            self.calm.insert(change.ring, (Arc::clone(owners), Arc::clone(owners)));
            return Arc::clone(owners);
        };
        if let Some((known, slots)) = self.calm.remove(&change.ring)
            && !change.is_disturbed
            && Arc::ptr_eq(&known, owners)
            && Arc::ptr_eq(&slots, before)
        {
            self.calm.insert(change.ring, (known, Arc::clone(&slots)));
            return slots;
        }
        let now = tick_after(change.moment.now);
        let mut times = times.unwrap_or_else(|| Times {
            identity: change.identity,
            since: vec![now; SLOTS].into(),
            next_end: None,
        });
        let (after, is_busy) = self.walk(change, before, owners, &mut times);
        // The same slots in the same place: whoever compares them is done at once.
        let after = if *after == **before { Arc::clone(before) } else { after };
        if is_busy {
            self.busy.insert(change.ring, times);
        } else {
            self.calm.insert(change.ring, (Arc::clone(owners), Arc::clone(&after)));
        }
        after
    }

    /// All slots of a ring, one by one, and whether any of them changes hands or is tracked.
    fn walk(&self, change: &Change<'_>, before: &Slots, owners: &Slots, times: &mut Times) -> (Slots, bool) {
        let Moment { now, census } = change.moment;
        let begins = tick_after(now);
        let after_refusal = self.refused.last.map_or(Duration::ZERO, |last| last + change.transition);
        let length = tick_after(change.transition);
        let may_end = |since: Tick| after_refusal <= now && since.saturating_add(length) <= tick(now);
        let counted = census.map(|(census, begun)| (census, tick(begun.saturating_sub(SETTLES))));
        let (mut first, mut is_busy) = (None, false);
        let mut after = Arc::clone(owners);
        let slots = Arc::make_mut(&mut after).iter_mut().zip(times.since.iter_mut()).zip(before.iter());
        for (at, ((slot, since), old)) in slots.enumerate() {
            if *slot == *old && !change.disturbs(*old) {
                continue; // As most slots: untracked, and their owner's.
            }
            let over = old.changes_hands() && may_end(*since);
            let refused = self.refused.since(if old.changes_hands() { *since } else { begins });
            let mut new = change.slot(at, *old, Past { over, refused }, slot.current(), before);
            let is_quiet = new == *old && !new.changes_hands() && !change.disturbs(*old);
            let goes_on = if new.changes_hands() {
                old.changes_hands() && new.previous == old.previous && !over
            } else {
                is_quiet
            };
            let has_stray = || change.strays.is_some_and(|strays| strays.get(at).copied().unwrap_or_default());
            let has_none = |census: &Census| !census.has(change.ring, at) && !has_stray();
            if is_quiet && counted.is_some_and(|(census, begun)| *since < begun && has_none(census)) {
                new = Slot::of(new.current());
            }
            if !goes_on {
                *since = begins;
            }
            if new.changes_hands() {
                first = Some(first.map_or(*since, |first: Tick| first.min(*since)));
            }
            is_busy |= new.is_tracked() || new.changes_hands();
            *slot = new;
        }
        let end = |first: Tick| Duration::from_millis(u64::from(first.saturating_add(length)) * 100);
        times.next_end = first.map(|first| end(first).max(after_refusal));
        (after, is_busy)
    }
}

/// One plan's change of one ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// Which.
    pub(super) ring: RingId,
    /// Whose.
    pub(super) identity: u64,
    /// How long its slots change hands.
    pub(super) transition: Duration,
    /// When.
    pub(super) moment: Moment<'a>,
    /// How servers stand in the maps, and how they will.
    pub(super) servers: &'a Servers,
    /// Whether a server that takes new flows is, or will be, down in the maps.
    pub(super) is_disturbed: bool,
    /// Slots that may have live flows whose ring is gone.
    pub(super) strays: Option<&'a [bool]>,
    /// Whether connections to a server that is down stay with it, or are reset: none of them goes along the chain. Of datagrams,
    /// and of flows that go by their addresses, this is said too, though they do: those that the table refused lose their
    /// server a second time when the one that was down returns. Else connections would lose theirs, which were to keep it.
    pub(super) clings: bool,
}

impl Change<'_> {
    /// The slot at `at`, whose owner should be `owner`.
    ///
    /// Flows that the table does not know belong to `previous`, also while it is down: those that sent a packet meanwhile went
    /// along the chain and into the table, and the silent ones find it again when it returns. But where the table refused
    /// some, they went along the chain as well, and there they stay, unless connections cling to their server. If nobody is
    /// left who holds flows of the slot, it is the new owner's at once.
    fn slot(&self, at: usize, old: Slot, past: Past, owner: ServerId, before: &Slots) -> Slot {
        let previous = if past.over { old.current() } else { old.previous };
        let holder =
            if self.servers.stays(previous) && (self.servers.forwards(previous) || !past.refused || self.clings) {
                previous
            } else {
                Some(self.heir(at, before)).filter(|heir| self.servers.serves(*heir)).unwrap_or(owner)
            };
        // An owner that is still down gets up only after its ring is there (`plan::diff`).
        let is_disturbed = self.disturbs(old) || self.servers.is_down(owner);
        let tracked = old.is_tracked() || old.changes_hands() || holder != owner || is_disturbed;
        Slot::new(owner, holder, tracked)
    }

    /// To whom the packet path sends flows of a slot whose previous server is down.
    fn heir(&self, at: usize, before: &Slots) -> ServerId {
        let chain = std::iter::successors(Some(at), |slot| Some(next_slot(*slot))).take(TRIES);
        let owners = chain.filter_map(|slot| before.get(slot)).map(|slot| slot.current());
        owners.into_iter().find(|owner| self.servers.forwards(*owner)).unwrap_or(0)
    }

    /// Whether the packet path may have taken flows of the slot into the table, because a server of it is or was down.
    fn disturbs(&self, old: Slot) -> bool {
        self.servers.is_down(old.current()) || self.servers.is_down(old.previous)
    }
}

/// What has happened to a slot.
#[derive(Clone, Copy, Debug)]
struct Past {
    /// It has changed hands for long enough.
    over: bool,
    /// The table may have refused a flow of it while it changed hands or its server was down.
    refused: bool,
}

/// How servers stand in the maps, and how they will when the plan has been carried out.
#[derive(Debug)]
pub(super) struct Servers(Vec<Option<Stands>>);

#[derive(Clone, Copy, Debug)]
struct Stands {
    /// The packet path sends packets there now.
    forwards: bool,
    /// Whether it will; `None`: it will not be the same server any more.
    next: Option<bool>,
}

impl Servers {
    pub(super) fn new(current: &BTreeMap<ServerId, ServerEntry>, wanted: &BTreeMap<ServerId, ServerEntry>) -> Self {
        let forwards = |row: &ServerEntry| ServerState::from_byte(row.state).forwards();
        let last = current.keys().max().copied().unwrap_or(0);
        let mut all = vec![None; usize::from(last) + 1];
        for (id, row) in current {
            let next = wanted.get(id).filter(|next| next.identity == row.identity).map(forwards);
            if let Some(place) = all.get_mut(usize::from(*id)) {
                *place = Some(Stands { forwards: forwards(row), next });
            }
        }
        Self(all)
    }

    /// Whether the packet path sends packets there now.
    fn forwards(&self, id: ServerId) -> bool {
        self.stands(id).is_some_and(|stands| stands.forwards)
    }

    /// Whether it will be there still, up or down.
    fn stays(&self, id: ServerId) -> bool {
        self.stands(id).is_some_and(|stands| stands.next.is_some())
    }

    /// Whether it will be there still, and the packet path will send packets there.
    fn serves(&self, id: ServerId) -> bool {
        self.stands(id).is_some_and(|stands| stands.next == Some(true))
    }

    /// Whether it is down in the maps, or will be.
    pub(super) fn is_down(&self, id: ServerId) -> bool {
        self.stands(id).is_some_and(|stands| !stands.forwards || stands.next == Some(false))
    }

    fn stands(&self, id: ServerId) -> Option<Stands> {
        self.0.get(usize::from(id)).copied().flatten()
    }
}

#[cfg(test)]
mod tests;
