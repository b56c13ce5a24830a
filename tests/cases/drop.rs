//! What is ours but cannot be sent is dropped, as it came.

use super::{Case, Expect, world::*};
use lb_common::{Protocol, ServerState, Stop, Vip4Key};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::Frame;

pub(crate) fn cases() -> Vec<Case> {
    [by_packet(), by_tables()].into_iter().flatten().collect()
}

/// What the packet itself leaves no way for.
fn by_packet() -> Vec<Case> {
    let to_nat = arrives(Frame::tcp(CLIENT, NAT_VIP));
    let to_direct = arrives(Frame::tcp(CLIENT, DIRECT_VIP));
    let mut unknown_port = NAT_VIP;
    unknown_port.set_port(22);
    let reply_to = |client| answers(Frame::tcp(SERVERS[1], client), 1).bytes();
    vec![
        // Cilium routes these back out, and the router back in, until the time to live is used up.
        stops(
            "cilium: a port that no frontend has",
            arrives(Frame::tcp(CLIENT, unknown_port)).bytes(),
            Stop::UnknownPort,
        ),
        stops("cilium: a server's reply to a VIP's unknown port", reply_to(unknown_port), Stop::UnknownPort),
        // glb-director takes ports from the payload of later fragments.
        stops("glb: the first fragment to a VIP", to_nat.clone().fragment(0, true).bytes(), Stop::Fragment),
        stops("glb: a middle fragment to a VIP", to_nat.clone().fragment(100, true).bytes(), Stop::Fragment),
        stops("glb: the last fragment to a VIP", to_direct.clone().fragment(185, false).bytes(), Stop::Fragment),
        stops("time to live 1 on the way to a server (nat)", to_nat.ttl(1).bytes(), Stop::TtlExpired),
        stops("time to live 1 on the way to a server (direct)", to_direct.clone().ttl(1).bytes(), Stop::TtlExpired),
        stops("time to live 0", to_direct.ttl(0).bytes(), Stop::TtlExpired),
        stops(
            "time to live 1 on the way back",
            answers(Frame::tcp(SERVERS[1], CLIENT), 1).ttl(1).bytes(),
            Stop::TtlExpired,
        ),
        stops("no route to the client", reply_to(UNROUTED_CLIENT), Stop::NoRoute),
        stops("the client's router is not resolved", reply_to(UNRESOLVED_CLIENT), Stop::NoNextHop),
        stops("the client is on our link but unknown", reply_to(UNKNOWN_NEIGHBOUR), Stop::NoNextHop),
    ]
}

/// What the tables leave no way for.
fn by_tables() -> Vec<Case> {
    let to_nat = arrives(Frame::tcp(CLIENT, NAT_VIP));
    let to_direct = arrives(Frame::tcp(CLIENT, DIRECT_VIP));
    vec![
        changed("the server is not resolved (nat)", &to_nat, Stop::NoNextHop, unresolve),
        changed("the server is not resolved (direct)", &to_direct, Stop::NoNextHop, unresolve),
        changed("no server has the slot", &to_nat, Stop::NoServer, |tables| {
            tables.rings.insert(NAT_RING, ring_of(|_| 0));
        }),
        changed("all servers are down", &to_nat, Stop::NoServer, |tables| {
            *tables = with_state(tables.clone(), 1, ServerState::Down);
        }),
        changed("the server's row is free", &to_direct, Stop::NoServer, |tables| {
            tables.servers.remove(&1);
        }),
        changed("a VIP without a ring", &to_nat, Stop::BadTables, |tables| {
            if let Some(vip) = tables.vips.get_mut(&Vip4Key::new(addr(NAT_VIP), port(NAT_VIP), Protocol::Tcp)) {
                vip.ring = 77;
            }
        }),
        changed("a ring of half 2", &to_nat, Stop::BadTables, |tables| {
            if let Some(ring) = tables.rings.get_mut(&NAT_RING) {
                ring.head.half = 2;
            }
        }),
        changed("a slot that names no row", &to_nat, Stop::BadTables, |tables| {
            tables.rings.insert(NAT_RING, ring_of(|_| u16::MAX));
        }),
        changed("a VIP of unknown mode", &to_nat, Stop::BadTables, |tables| {
            if let Some(vip) = tables.vips.get_mut(&Vip4Key::new(addr(NAT_VIP), port(NAT_VIP), Protocol::Tcp)) {
                vip.forward = 9;
            }
        }),
        changed("a server whose next hop is no row", &to_nat, Stop::BadTables, |tables| {
            if let Some(server) = tables.servers.get_mut(&1) {
                server.next_hop = u16::MAX;
            }
        }),
    ]
}

fn unresolve(tables: &mut MemoryTables) {
    if let Some(hop) = tables.next_hops.get_mut(&1) {
        hop.resolved = 0;
    }
}

fn changed(name: &'static str, input: &Frame, stop: Stop, change: impl Fn(&mut MemoryTables)) -> Case {
    let mut tables = tables();
    change(&mut tables);
    Case { name, tables, ingress: OUTSIDE, input: input.bytes(), expect: Expect::Stop(stop) }
}
