//! Over maps in memory, whose writes a test can count, refuse, and look at.

mod failing;
mod rising;

use super::*;
use crate::{
    dataplane::memory::MemoryMaps,
    model::{Failover, OnEmpty, Quorum, QuorumDown},
    plan::testing::{backend, bind, model, servers},
    servers::{Admin, By, Health},
};
use lb_common::{
    Protocol, ServerState,
    vip::flags::{PING_DROP, WITHDRAWN},
};
use std::{cell::RefCell, net::Ipv4Addr, rc::Rc};

/// Maps that a test can reach into, and rings that only the supervisor can make.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Inside>>);

#[derive(Default)]
struct Inside {
    maps: MemoryMaps,
    rings: Option<BTreeSet<RingId>>,
    flips: usize,
}

impl Shared {
    fn tables(&self) -> Tables {
        self.0.borrow().maps.tables()
    }
}

impl MapWriter for Shared {
    fn read(&mut self) -> Result<Tables, WriteError> {
        Ok(self.tables())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let mut inside = self.0.borrow_mut();
        inside.flips += writes.iter().filter(|write| matches!(write, Write::FlipRing(..))).count();
        inside.maps.apply(writes)
    }

    fn refused(&self) -> Result<u64, WriteError> {
        self.0.borrow().maps.refused()
    }

    fn has_ring(&self, ring: RingId) -> bool {
        self.0.borrow().rings.as_ref().is_none_or(|rings| rings.contains(&ring))
    }

    fn add_ring(&mut self, _: RingId, _: OwnedFd) -> Result<(), WriteError> {
        Ok(())
    }
}

/// Three servers behind a VIP, over `maps`, not yet built.
fn configured(maps: &Shared, tables: Tables) -> Halves {
    let web = backend("web", servers(3));
    let model = Arc::new(model(vec![web], vec![(bind("192.0.2.10:80", Protocol::Tcp), "web")]));
    let mut halves = Halves::new(Box::new(MemoryMaps::default()), Arc::clone(&model));
    let mut registry = halves.registry.take_over(&tables);
    halves.adopt(Box::new(maps.clone()), tables);
    registry.update(&model).unwrap();
    let live = Arc::new(halves.live.for_model(&model));
    halves.configure(model, registry, live, Instant::now());
    halves
}

fn built(maps: &Shared, now: Instant) -> Halves {
    let mut halves = configured(maps, Tables::default());
    halves.set_next_hops((1..).zip(halves.needed_next_hops()).map(|(row, address)| (address, row)).collect());
    halves.rebuild(now);
    assert!(halves.settled());
    halves
}

/// The row of a server, counted from 0.
fn id(halves: &Halves, index: usize) -> u16 {
    halves.registry.server_id(halves.model.backends[0].servers[index].identity("web")).unwrap()
}

fn fall(halves: &mut Halves, index: usize, to: Health, now: Instant) {
    let model = Arc::clone(&halves.model);
    assert!(halves.registry.set_health(model.backends[0].servers[index].identity("web"), to));
    halves.standings_changed(&[&model.backends[0]], now);
}

fn in_ring(maps: &Shared, server: u16) -> bool {
    maps.tables().rings.values().any(|ring| ring.slots.iter().any(|slot| slot.current() == server))
}

fn state(maps: &Shared, server: u16) -> ServerState {
    ServerState::from_byte(maps.tables().servers[&server].state)
}

/// Nothing is left to do but to wait for the end of slots that change hands.
fn is_done(halves: &Halves, now: Instant) -> bool {
    halves.due().is_none_or(|due| due >= now + halves.model.backends[0].transition)
}

#[test]
fn a_verdict_reaches_the_proxy_and_the_kernel_in_one_call() {
    let (maps, now) = (Shared::default(), Instant::now());
    let mut halves = built(&maps, now);
    fall(&mut halves, 1, Health::Down, now + QUIET);
    assert_eq!(halves.live.backend("web").unwrap().available.load().servers(), [(0, 1), (2, 1)]);
    assert_eq!(state(&maps, id(&halves, 1)), ServerState::Down);
    assert!(!in_ring(&maps, id(&halves, 1)));
    assert!(is_done(&halves, now));
}

#[test]
fn a_vip_is_withdrawn_in_the_step_that_changes_the_ring() {
    let (maps, start) = (Shared::default(), Instant::now());
    let mut halves = built(&maps, start);
    let mut model = Model::clone(&halves.model);
    model.frontends[0].quorum = Quorum { servers: 2, hysteresis: 0, down: QuorumDown::Withdraw };
    let (registry, live) = (halves.registry.clone(), Arc::clone(&halves.live));
    halves.configure(Arc::new(model), registry, live, start);
    halves.rebuild(start + QUIET);

    let is_withdrawn = || maps.tables().vips.values().any(|vip| vip.has(WITHDRAWN));
    let silent = || maps.tables().vips.values().any(|vip| vip.has(PING_DROP));
    let mut now = start + QUIET * 2;
    fall(&mut halves, 0, Health::Down, now);
    assert!(!in_ring(&maps, id(&halves, 0)) && !is_withdrawn() && !silent());
    // The next one comes too soon for the ring, and the VIP goes with that.
    now += Duration::from_millis(1);
    fall(&mut halves, 1, Health::Down, now);
    assert!(in_ring(&maps, id(&halves, 1)) && !is_withdrawn() && !silent());
    assert!(!halves.registry.has_quorum("frontend0"), "but whoever asks is told at once");
    halves.rebuild(now + QUIET);
    assert!(!in_ring(&maps, id(&halves, 1)) && is_withdrawn() && silent());
    fall(&mut halves, 1, Health::Up, now + QUIET * 2);
    assert!(in_ring(&maps, id(&halves, 1)) && !is_withdrawn() && !silent());
}

#[test]
fn the_state_is_written_at_once_while_the_ring_waits_a_tenth_of_a_second_at_most() {
    let (maps, now) = (Shared::default(), Instant::now());
    let mut halves = built(&maps, now);
    fall(&mut halves, 1, Health::Down, now + Duration::from_millis(1));
    assert_eq!(state(&maps, id(&halves, 1)), ServerState::Down);
    assert!(in_ring(&maps, id(&halves, 1)), "the ring must wait");
    fall(&mut halves, 2, Health::Down, now + Duration::from_millis(90));
    assert_eq!(halves.due(), Some(now + QUIET), "a later change must not push it back");
    halves.rebuild(now + QUIET);
    assert!(!in_ring(&maps, id(&halves, 1)) && !in_ring(&maps, id(&halves, 2)));
}

#[test]
fn a_ring_is_rebuilt_at_most_ten_times_a_second() {
    let (maps, start) = (Shared::default(), Instant::now());
    let mut halves = built(&maps, start);
    maps.0.borrow_mut().flips = 0;
    let mut now = start;
    while now < start + Duration::from_secs(1) {
        now += Duration::from_millis(7);
        if halves.due().is_some_and(|due| due <= now) {
            halves.rebuild(now);
        }
        let to = if halves.registry.stands(&halves.model.backends[0])[1].takes { Health::Down } else { Health::Up };
        fall(&mut halves, 1, to, now);
    }
    let flips = maps.0.borrow().flips;
    assert!((5..=10).contains(&flips), "{flips}");
}

#[test]
fn a_write_that_failed_is_tried_again_and_heals() {
    let (maps, now) = (Shared::default(), Instant::now());
    let mut halves = built(&maps, now);
    maps.0.borrow_mut().maps.fail_after(Some(1));
    fall(&mut halves, 1, Health::Down, now + QUIET);
    assert_eq!(halves.live.backend("web").unwrap().available.load().servers(), [(0, 1), (2, 1)]);
    let again = halves.due().expect("another try");
    maps.0.borrow_mut().maps.fail_after(None);
    halves.rebuild(again);
    assert!(!in_ring(&maps, id(&halves, 1)));
    assert!(halves.settled() && is_done(&halves, again));
    assert_eq!(halves.tables(), &maps.tables());
}

#[test]
fn a_verdict_does_not_wait_for_next_hops_or_rings_that_are_still_to_come() {
    let (maps, now) = (Shared::default(), Instant::now());
    let before = built(&maps, now);
    // A daemon that starts again, and has asked for next hops but not heard of them.
    let mut halves = configured(&maps, maps.tables());
    assert_eq!(halves.without_next_hop(), Some(Ipv4Addr::new(10, 1, 0, 1).into()));
    let hops = |tables: &Tables| tables.servers.values().map(|row| row.next_hop).collect::<Vec<_>>();
    fall(&mut halves, 1, Health::Down, now);
    assert_eq!(state(&maps, id(&halves, 1)), ServerState::Down);
    assert_eq!(hops(&maps.tables()), hops(before.tables()), "the way to a server must not get lost");
    assert!(!halves.settled());
}

#[test]
fn rings_that_are_missing_are_named_and_nothing_is_built_before_they_come() {
    let (maps, now) = (Shared::default(), Instant::now());
    maps.0.borrow_mut().rings = Some(BTreeSet::new());
    let mut halves = configured(&maps, Tables::default());
    halves.set_next_hops((1..).zip(halves.needed_next_hops()).map(|(row, address)| (address, row)).collect());
    halves.rebuild(now);
    assert_eq!(halves.missing_rings().collect::<Vec<_>>(), [1]);
    assert!(maps.tables().vips.is_empty() && !halves.settled());
    maps.0.borrow_mut().rings = Some([1].into());
    halves.rebuild(now);
    assert!(halves.settled() && !maps.tables().vips.is_empty());
}

#[test]
fn next_hops_of_servers_that_go_are_kept_until_the_maps_do_without_them() {
    let (maps, now) = (Shared::default(), Instant::now());
    let all = built(&maps, now).needed_next_hops();
    assert_eq!(all.len(), 3);
    // A daemon that starts again with two of the three.
    let mut halves = configured(&maps, maps.tables());
    let fewer = Arc::new(model(vec![backend("web", servers(2))], vec![(bind("192.0.2.10:80", Protocol::Tcp), "web")]));
    let (mut registry, live) = (halves.registry.clone(), Arc::new(halves.live.for_model(&fewer)));
    registry.update(&fewer).unwrap();
    halves.configure(fewer, registry, live, now);
    assert_eq!(halves.needed_next_hops(), all);
    halves.set_next_hops((1..).zip(all.clone()).map(|(row, address)| (address, row)).collect());
    halves.rebuild(now);
    assert_eq!(halves.needed_next_hops(), all[..2]);
}

#[test]
fn standings_outlive_the_arrival_of_the_kernel_half() {
    let (maps, now) = (Shared::default(), Instant::now());
    let mut left = built(&maps, now);
    fall(&mut left, 0, Health::Down, now + QUIET);
    // What ran without maps found the first server up and the second down; the operator took the third.
    let mut halves = configured(&Shared::default(), Tables::default());
    fall(&mut halves, 0, Health::Up, now);
    fall(&mut halves, 1, Health::Down, now);
    let third = halves.model.backends[0].servers[2].identity("web");
    halves.registry.set_admin(third, Admin::Maint, By::Operator);

    let registry = halves.registry.take_over(&maps.tables());
    let takes: Vec<_> = registry.stands(&halves.model.backends[0]).iter().map(|stand| stand.takes).collect();
    assert_eq!(takes, [true, false, false]);
    assert_eq!(registry.server_id(third), Some(id(&left, 2)), "rows stay whose they are");
}

#[test]
fn a_configuration_is_never_served_with_servers_that_are_known_to_be_down() {
    let model = Arc::new(model(vec![backend("web", servers(2))], vec![]));
    let mut halves = Halves::new(Box::new(MemoryMaps::default()), Arc::clone(&model));
    let mut registry = Registry::default();
    registry.update(&model).unwrap();
    registry.set_health(model.backends[0].servers[0].identity("web"), Health::Down);
    // As after a restart: the registry knows from the maps what the proxy never heard of.
    let live = Arc::new(Live::default().for_model(&model));
    let available = || live.backend("web").unwrap().available.load().servers().to_vec();
    assert_eq!(available(), [(0, 1), (1, 1)]);
    halves.configure(Arc::clone(&model), registry, Arc::clone(&live), Instant::now());
    assert_eq!(available(), [(1, 1)]);
}

/// The second server is taken out of the ring and the slots that it had change hands.
fn draining(maps: &Shared, start: Instant) -> Halves {
    let mut halves = built(maps, start);
    let model = Arc::clone(&halves.model);
    assert!(halves.registry.set_admin(model.backends[0].servers[1].identity("web"), Admin::Drain, By::Operator));
    halves.standings_changed(&[&model.backends[0]], start + QUIET);
    assert!(halves.in_transition() && halves.is_named(1, id(&halves, 1)));
    halves
}

#[test]
fn a_count_of_flows_that_changes_nothing_delays_no_verdict() {
    let (maps, start) = (Shared::default(), Instant::now());
    let mut halves = draining(&maps, start);
    let now = start + Duration::from_secs(5);
    maps.0.borrow_mut().flips = 0;
    halves.counted(Census::default(), now, &BTreeSet::new(), now);
    assert_eq!(halves.due(), Some(now));
    halves.rebuild(now);
    assert_eq!(maps.0.borrow().flips, 0);
    fall(&mut halves, 0, Health::Down, now + Duration::from_millis(1));
    assert!(!in_ring(&maps, id(&halves, 0)));
}

#[test]
fn slots_have_changed_hands_when_it_is_due_and_not_while_something_is_missing() {
    let (maps, start) = (Shared::default(), Instant::now());
    let mut halves = draining(&maps, start);
    let end = halves.due().expect("an end");
    let length = halves.model.backends[0].transition;
    assert!(end >= start + QUIET + length && end < start + QUIET + length + Duration::from_secs(1));

    let next_hops = std::mem::take(&mut halves.next_hops);
    halves.rebuild(end);
    assert_eq!((halves.due(), halves.settled()), (None, false), "the answer of the supervisor calls");
    halves.set_next_hops(next_hops);
    halves.rebuild(end);
    assert!(halves.settled() && !halves.is_named(1, id(&halves, 1)));
    assert_eq!(halves.due(), None);
}

#[test]
fn a_backend_that_fails_open_forwards_as_if_no_check_had_spoken() {
    for (on_empty, min_up) in [(OnEmpty::FailOpen, 1), (OnEmpty::FailOpen, 3), (OnEmpty::Error, 3)] {
        let (maps, start) = (Shared::default(), Instant::now());
        let mut halves = built(&maps, start);
        let mut model = (*halves.model).clone();
        model.backends[0].failover = Failover { min_up, on_empty, ..Failover::default() };
        let (model, registry) = (Arc::new(model), halves.registry.clone());
        let live = Arc::new(halves.live.for_model(&model));
        halves.configure(Arc::clone(&model), registry, live, start);
        let mut now = start;
        for server in 0..3 {
            now += QUIET * 2;
            fall(&mut halves, server, Health::Down, now);
            let (all, is_open) = (min_up == 3 || server == 2, on_empty == OnEmpty::FailOpen);
            let available = halves.live.backend("web").unwrap().available.load().servers().len();
            let expected = if !all {
                2 - server
            } else if is_open {
                3
            } else {
                0
            };
            assert_eq!(available, expected, "{on_empty:?} {min_up}: {} down", server + 1);
            let down = |row: &ServerEntry| ServerState::from_byte(row.state) == ServerState::Down;
            let expected = if all && is_open { 0 } else { server + 1 };
            assert_eq!(maps.tables().servers.values().filter(|row| down(row)).count(), expected);
            let owners: BTreeSet<_> =
                maps.tables().rings.values().flat_map(|ring| ring.slots.iter().map(|slot| slot.current())).collect();
            assert_eq!(owners.iter().filter(|owner| **owner != 0).count(), available, "{owners:?}");
        }
    }
}

#[test]
fn connections_are_cut_where_a_server_is_down_or_a_backup_no_longer_needed() {
    let mut web = backend("web", servers(3));
    web.servers[2].backup = true;
    let stand = |takes, state| Stand { takes, state };
    let (up, down) = (stand(true, ServerState::Up), stand(false, ServerState::Down));
    let idle = stand(false, ServerState::Up);
    for (cut_down, cut_backups) in [(false, false), (true, false), (false, true), (true, true)] {
        web.failover = Failover { cut_down, cut_backups, ..Failover::default() };
        let all = |stands: [Stand; 3]| cut(&web, &stands, false).collect::<Vec<_>>();
        assert_eq!(all([up, down, idle]), [false, cut_down, cut_backups]);
        assert_eq!(all([down, down, up]), [cut_down, cut_down, false], "the backup is needed");
        assert_eq!(all([down, down, down]), [cut_down; 3]);
        let goes_on: Vec<_> = cut(&web, &[up, up, idle], true).collect();
        assert_eq!(goes_on, [false; 3], "they were back before");
    }
}
