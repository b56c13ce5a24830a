//! Slow start, in the time that a test says.

use super::*;
use crate::model::{Balance, Limits};

/// Three servers, of which the second takes ten seconds to its full share.
fn slow() -> Halves {
    let mut web = backend("web", servers(3));
    web.balance = Balance::RoundRobin;
    web.servers[1].slowstart = Some(Duration::from_secs(10));
    web.servers[1].limits = Limits { maxconn: 50, ..Limits::default() };
    let model = Arc::new(model(vec![web], vec![]));
    let mut halves = Halves::new(Box::new(MemoryMaps::default()), Arc::clone(&model));
    let start = halves.epoch;
    reload(&mut halves, model, start);
    halves
}

fn reload(halves: &mut Halves, model: Arc<Model>, now: Instant) {
    let mut registry = halves.registry.clone();
    registry.update(&model).unwrap();
    let live = Arc::new(halves.live.for_model(&model));
    halves.configure(model, registry, live, now);
}

/// What the second server has of the turns, in percent of what the first one has; and whether it takes one more.
fn share(halves: &Halves) -> usize {
    let available = halves.live.backend("web").unwrap().available.load();
    let turns = |server| available.turns().iter().filter(|turn| **turn == server).count();
    assert_eq!(turns(0), turns(2));
    turns(1) * 100 / turns(0)
}

fn maxconn(halves: &Halves) -> u32 {
    let live = halves.live.backend("web").unwrap();
    live.available.load().limits(1, Limits { maxconn: 50, ..Limits::default() }).maxconn
}

#[test]
fn a_server_that_returns_has_its_share_step_by_step_and_then_nothing_is_due_any_more() {
    let mut halves = slow();
    let start = halves.epoch;
    assert_eq!((share(&halves), halves.rises()), (100, None), "not at the start");
    fall(&mut halves, 1, Health::Down, start);
    assert_eq!((share(&halves), halves.rises()), (0, None));
    fall(&mut halves, 1, Health::Up, start + Duration::from_secs(1));
    assert_eq!((share(&halves), maxconn(&halves)), (1, 1));
    let mut seen = vec![1];
    while let Some(due) = halves.rises() {
        halves.rise(due);
        seen.push(share(&halves));
    }
    assert!(seen.iter().zip(&seen[1..]).all(|(before, after)| (before..=&(before + 1)).contains(&after)), "{seen:?}");
    assert_eq!((seen.len(), share(&halves), maxconn(&halves)), (101, 100, 50));
    assert!(halves.live.backend("web").unwrap().available.load().throttle(1).is_none());
}

#[test]
fn other_verdicts_and_reloads_find_it_where_it_has_come_to() {
    let mut halves = slow();
    let at = |seconds| halves.epoch + Duration::from_secs(seconds);
    let (five, six, eight, eleven) = (at(5), at(6), at(8), at(11));
    fall(&mut halves, 1, Health::Down, five);
    fall(&mut halves, 1, Health::Up, five);
    fall(&mut halves, 0, Health::Down, six);
    fall(&mut halves, 0, Health::Up, six);
    assert_eq!((share(&halves), halves.throttle(id_of(&halves), six).map(Throttle::percent)), (10, Some(10)));
    let mut changed = (*halves.model).clone();
    changed.backends[0].servers[1].weight = 2;
    changed.backends[0].servers[1].slowstart = Some(Duration::from_secs(20));
    reload(&mut halves, Arc::new(changed), eight);
    assert_eq!((share(&halves), maxconn(&halves)), (30, 7));
    let mut changed = (*halves.model).clone();
    changed.backends[0].servers[1].slowstart = None;
    reload(&mut halves, Arc::new(changed), eleven);
    assert_eq!((share(&halves), halves.rises()), (200, None));
}

fn id_of(halves: &Halves) -> u64 {
    halves.model.backends[0].servers[1].identity("web")
}
