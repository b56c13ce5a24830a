//! What is ours but cannot be sent is dropped, as it came.

use super::{Case, world::*};
use lb_common::{ServerState, Slot, Stop};
use lb_tests::packet::Frame;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [by_packet(net), by_tables(net), by_contradiction(net)].into_iter().flatten().collect()
}

/// What the packet itself leaves no way for.
fn by_packet(net: &'static Net) -> Vec<Case> {
    let (to_nat, to_direct) = (net.tcp(net.nat), net.tcp(net.direct));
    let unknown = at_port(net.nat, 22);
    let reply_to = |client| answers(Frame::tcp(net.servers[1], client), 1).bytes();
    vec![
        // Cilium routes these back out, and the router back in, until the time to live is used up.
        net.stops("cilium: a port that no frontend has", net.tcp(unknown).bytes(), Stop::UnknownPort),
        net.stops("cilium: a server's reply to a VIP's unknown port", reply_to(unknown), Stop::UnknownPort),
        net.stops("time to live 1 on the way to a server (nat)", to_nat.ttl(1).bytes(), Stop::TtlExpired),
        net.stops("time to live 1 on the way to a server (direct)", to_direct.clone().ttl(1).bytes(), Stop::TtlExpired),
        net.stops("time to live 1 on the way to a server (ipip)", net.tcp(net.ipip).ttl(1).bytes(), Stop::TtlExpired),
        net.stops("time to live 0", to_direct.ttl(0).bytes(), Stop::TtlExpired),
        net.stops(
            "time to live 1 on the way back",
            answers(Frame::tcp(net.servers[1], net.client), 1).ttl(1).bytes(),
            Stop::TtlExpired,
        ),
        net.stops("no route to the client", reply_to(net.unrouted_client), Stop::NoRoute),
        net.stops("the client's router is not resolved", reply_to(net.unresolved_client), Stop::NoNextHop),
        net.stops("the client is on our link but unknown", reply_to(net.unknown_neighbour), Stop::NoNextHop),
    ]
}

/// What the tables leave no way for.
fn by_tables(net: &'static Net) -> Vec<Case> {
    let (to_nat, to_direct) = (net.tcp(net.nat).bytes(), net.tcp(net.direct).bytes());
    let unresolve = |case: Case| case.with(|tables| set_hop(tables, net.id(1).into(), |hop| hop.resolved = 0));
    vec![
        unresolve(net.stops("the server is not resolved (nat)", to_nat.clone(), Stop::NoNextHop)),
        unresolve(net.stops("the server is not resolved (direct)", to_direct.clone(), Stop::NoNextHop)),
        unresolve(net.stops("the server is not resolved (ipip)", net.tcp(net.ipip).bytes(), Stop::NoNextHop)),
        net.stops("no server has the slot", to_nat.clone(), Stop::NoServer)
            .with(|tables| set_slots(tables, net.nat_ring(), Slot::default())),
        net.stops("all servers are down", to_nat, Stop::NoServer)
            .with(|tables| set_state(tables, net, 1, ServerState::Down)),
        net.stops("the server's row is free", to_direct, Stop::NoServer).with(|tables| {
            tables.servers.remove(&net.id(1));
        }),
    ]
}

/// What no daemon writes.
fn by_contradiction(net: &'static Net) -> Vec<Case> {
    let to_nat = net.tcp(net.nat).bytes();
    let stops = |name| net.stops(name, to_nat.clone(), Stop::BadTables);
    vec![
        stops("a VIP without a ring").with(|tables| set_vip(tables, net.nat, |vip| vip.ring = 77)),
        stops("a ring of half 2").with(|tables| {
            tables.rings.get_mut(&net.nat_ring()).expect("a ring").head.half = 2;
        }),
        stops("a VIP of unknown mode").with(|tables| set_vip(tables, net.nat, |vip| vip.forward = 9)),
        stops("a server whose next hop is no row").with(|tables| {
            tables.servers.get_mut(&net.id(1)).expect("a server").next_hop = u16::MAX;
        }),
    ]
}
