//! Writes that fail in the midst of a change to another configuration.

use super::*;
use crate::{model::Endpoint, plan::testing, servers::state::LEAVES};
use lb_common::Vip;

/// As [`configured`], but for another daemon's configuration: other servers, and another VIP.
fn other(halves: &mut Halves, now: Instant) {
    let server = |number: u8| testing::server(&format!("s{number}"), &format!("10.0.0.{number}:80"));
    let web = backend("web", [1, 2, 4, 5].map(server).into());
    let api = backend("api", vec![testing::server("a", "10.0.1.1:80")]);
    let binds = vec![
        (bind("192.0.2.10:80", Protocol::Tcp), "api"),
        (bind("192.0.2.11:80", Protocol::Tcp), "web"),
        (bind("[2001:db8::10]:80", Protocol::Tcp), "web"),
    ];
    take_up(halves, Arc::new(model(vec![api, web], binds)), now);
}

fn take_up(halves: &mut Halves, model: Arc<Model>, now: Instant) {
    let mut registry = halves.registry.clone();
    registry.follow(&halves.model, &model);
    registry.update(&model).unwrap();
    let live = Arc::new(halves.live.for_model(&model));
    halves.configure(model, registry, live, now);
    halves.set_next_hops((1..).zip(halves.needed_next_hops()).map(|(row, address)| (address, row)).collect());
    halves.rebuild(now);
}

/// Whose each VIP and each slot is, whatever is remembered of a change.
fn meaning(maps: &Shared) -> impl PartialEq + use<> {
    let tables = maps.tables();
    let name = |id: u16| tables.servers.get(&id).map(|row| (row.identity, row.addr, row.state));
    // A VIP that came and went again leaves.
    let stays = |(key, vip): &(&Endpoint, &Vip)| !key.is_address_entry() && !vip.has(WITHDRAWN);
    let addresses: BTreeSet<_> = tables.vips.iter().filter(stays).map(|(key, _)| key.address).collect();
    let is_used = |entry: &(&Endpoint, &Vip)| stays(entry) || entry.0.is_address_entry();
    let vips: Vec<_> =
        tables.vips.iter().filter(|entry| is_used(entry) && addresses.contains(&entry.0.address)).collect();
    let used: BTreeSet<_> = vips.iter().map(|(_, vip)| vip.ring).collect();
    let rings: Vec<_> = tables.rings.iter().filter(|(id, _)| used.contains(id)).map(|(_, ring)| ring).collect();
    let rings: Vec<_> = rings
        .into_iter()
        .map(|ring| (ring.identity, ring.slots.iter().map(|slot| name(slot.current())).collect::<Vec<_>>()))
        .collect();
    let vips: Vec<_> =
        vips.into_iter().map(|(key, vip)| (*key, tables.rings.get(&vip.ring).map(|it| it.identity))).collect();
    let servers = tables.servers.values().filter(|row| row.admin != LEAVES).map(|row| row.identity);
    (rings, vips, servers.collect::<BTreeSet<_>>())
}

#[test]
fn a_change_of_which_any_write_fails_is_known_to_fail_and_the_one_before_it_can_be_taken_up_again() {
    let start = Instant::now();
    for writes in 0.. {
        let maps = Shared::default();
        let mut halves = built(&maps, start);
        let (before, model) = (meaning(&maps), Arc::clone(&halves.model));
        maps.0.borrow_mut().maps.fail_after(Some(writes));
        other(&mut halves, start + QUIET);
        if halves.settled() {
            assert!(writes > 10 && halves.failure().is_none(), "only {writes} writes");
            return;
        }
        let failure = halves.failure().unwrap().to_owned();
        assert!(failure.starts_with("cannot ") && failure.contains(": "), "{failure}");
        maps.0.borrow_mut().maps.fail_after(None);
        take_up(&mut halves, model, start + QUIET * 2);
        assert!(halves.settled() && halves.failure().is_none());
        assert!(meaning(&maps) == before, "after {writes} writes");
    }
}
