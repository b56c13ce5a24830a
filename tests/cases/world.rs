//! The network of the golden rows: clients behind a router, two VIPs, three servers.

use super::{Case, Expect};
use lb_common::{
    Be16, Be32, Forward, Mac, NextHop, Protocol, Return4, Return4Key, RingHead, RingId, Route4Key, ServerEntry,
    ServerId, ServerState, Slot, Stop, Vip, Vip4Key,
};
use lb_ebpf::testing::{MemoryRing, MemoryTables};
use lb_tests::packet::Frame;
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

const fn at(a: u8, b: u8, c: u8, d: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port)
}

pub(crate) const CLIENT: SocketAddrV4 = at(198, 51, 100, 7, 40_000);
/// Served by `nat`, TCP and UDP, ring [`NAT_RING`].
pub(crate) const NAT_VIP: SocketAddrV4 = at(192, 0, 2, 10, 443);
/// Served by `direct`, TCP and UDP, ring [`DIRECT_RING`].
pub(crate) const DIRECT_VIP: SocketAddrV4 = at(192, 0, 2, 20, 80);
/// A second VIP served by `nat`, with a server of its own.
pub(crate) const OTHER_VIP: SocketAddrV4 = at(192, 0, 2, 30, 443);
/// The balancer itself, where servers see it.
pub(crate) const HOST: SocketAddrV4 = at(10, 0, 0, 254, 50_000);
/// Reached through a route with no resolved next hop.
pub(crate) const UNRESOLVED_CLIENT: SocketAddrV4 = at(203, 0, 113, 9, 40_000);
/// On a link of ours, but no neighbour that we know.
pub(crate) const UNKNOWN_NEIGHBOUR: SocketAddrV4 = at(10, 0, 0, 77, 40_000);
/// No route leads there.
pub(crate) const UNROUTED_CLIENT: SocketAddrV4 = at(233, 252, 0, 9, 40_000);

/// The servers, by id: 1 to 3 belong to [`NAT_RING`] and [`DIRECT_RING`], 4 to [`OTHER_RING`].
pub(crate) const SERVERS: [SocketAddrV4; 5] =
    [at(0, 0, 0, 0, 0), at(10, 0, 0, 1, 8443), at(10, 0, 0, 2, 8443), at(10, 0, 0, 3, 0), at(10, 0, 0, 4, 8443)];
/// Their Ethernet addresses.
pub(crate) const SERVER_MACS: [Mac; 5] = [[0; 6], mac(0x11), mac(0x12), mac(0x13), mac(0x14)];
pub(crate) const ROUTER_MAC: Mac = mac(0x01);
pub(crate) const BALANCER_MAC: Mac = mac(0xfe);

pub(crate) const NAT_RING: RingId = 1;
pub(crate) const DIRECT_RING: RingId = 2;
pub(crate) const OTHER_RING: RingId = 3;

/// The only interface of a one-armed balancer, and the outer one of a two-armed one.
pub(crate) const OUTSIDE: u32 = 1;
/// The inner interface of a two-armed balancer.
pub(crate) const INSIDE: u32 = 2;

/// Row of the router in `NEXT_HOPS`; servers have the row of their id.
pub(crate) const ROUTER: u32 = 100;
pub(crate) const UNRESOLVED: u32 = 101;

const fn mac(last: u8) -> Mac {
    [0x02, 0x51, 0x1c, 0xe0, 0x00, last]
}

/// The tables of a balancer with one interface. All slots of a ring name one server: 1, and 4 in the other ring.
pub(crate) fn tables() -> MemoryTables {
    let mut tables =
        MemoryTables { hash_key: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210], ..MemoryTables::default() };
    for (vip, id, ring, forward) in [
        (NAT_VIP, 1, NAT_RING, Forward::Nat),
        (DIRECT_VIP, 3, DIRECT_RING, Forward::Direct),
        (OTHER_VIP, 5, OTHER_RING, Forward::Nat),
    ] {
        let row = |id| Vip { id, ring, forward: forward as u8, reserved: [0; 3] };
        tables.vips.insert(Vip4Key::new(addr(vip), port(vip), Protocol::Tcp), row(id));
        tables.vips.insert(Vip4Key::new(addr(vip), port(vip), Protocol::Udp), row(id + 1));
        tables.vips.insert(Vip4Key::address_entry(addr(vip)), row(0));
    }
    for (ring, server) in [(NAT_RING, 1), (DIRECT_RING, 1), (OTHER_RING, 4)] {
        tables.rings.insert(ring, ring_of(|_| server));
    }
    for id in 1..=4 {
        tables.servers.insert(id, server_entry(id, ServerState::Up));
        tables.next_hops.insert(id.into(), next_hop(SERVER_MACS[usize::from(id)], OUTSIDE));
        for (protocol, number) in [(Protocol::Tcp, 0), (Protocol::Udp, 1)] {
            let (vip, vip_id) = if id == 4 { (OTHER_VIP, 5) } else { (NAT_VIP, 1) };
            let server = SERVERS[usize::from(id)];
            let port_seen = if server.port() == 0 { port(vip) } else { port(server) };
            let key = Return4Key { addr: addr(server), port: port_seen, protocol: protocol.number(), reserved: 0 };
            let row =
                Return4 { vip_addr: addr(vip), vip_port: port(vip), vip: vip_id + number, server: id, reserved: 0 };
            tables.returns.insert(key, row);
        }
    }
    tables.local.insert(addr(HOST));
    tables.next_hops.insert(ROUTER, next_hop(ROUTER_MAC, OUTSIDE));
    tables.next_hops.insert(UNRESOLVED, NextHop { resolved: 0, ..next_hop([0; 6], OUTSIDE) });
    tables.routes.insert(prefix(CLIENT, 24), ROUTER);
    tables.routes.insert(prefix(UNRESOLVED_CLIENT, 24), UNRESOLVED);
    tables.routes.insert(prefix(HOST, 24), 0);
    tables
}

/// The same with the servers behind a second interface.
pub(crate) fn two_armed() -> MemoryTables {
    let mut tables = tables();
    for id in 1..=4 {
        tables.next_hops.insert(id, next_hop(SERVER_MACS[id as usize], INSIDE));
    }
    tables.devices = [OUTSIDE, INSIDE].into();
    tables
}

/// Sets the state of a server.
pub(crate) fn with_state(mut tables: MemoryTables, id: ServerId, state: ServerState) -> MemoryTables {
    tables.servers.insert(id, server_entry(id, state));
    tables
}

/// A ring whose live half is 1, so that a path that ignores the head goes wrong: half 0 names nobody.
pub(crate) fn ring_of(server: impl Fn(usize) -> ServerId) -> MemoryRing {
    let live = std::array::from_fn(|slot| Slot { current: server(slot), reserved: 0 });
    let idle = std::array::from_fn(|_| Slot::default());
    MemoryRing { head: RingHead { identity: 7, half: 1, reserved: 0 }, halves: [Arc::new(idle), Arc::new(live)] }
}

/// A row at the outer interface of [`tables`].
pub(crate) fn row(name: &'static str, input: Vec<u8>, expect: Expect) -> Case {
    Case { name, tables: tables(), ingress: OUTSIDE, input, expect }
}

/// A row that ends in a stop.
pub(crate) fn stops(name: &'static str, input: Vec<u8>, stop: Stop) -> Case {
    row(name, input, Expect::Stop(stop))
}

/// A frame as the router delivers it.
pub(crate) fn arrives(frame: Frame) -> Frame {
    frame.hop(ROUTER_MAC, BALANCER_MAC)
}

/// A frame as server `id` delivers it.
pub(crate) fn answers(frame: Frame, id: ServerId) -> Frame {
    frame.hop(SERVER_MACS[usize::from(id)], BALANCER_MAC)
}

/// The same frame as it leaves for server `id`.
pub(crate) fn leaves_for(frame: Frame, id: ServerId) -> Frame {
    frame.hop(BALANCER_MAC, SERVER_MACS[usize::from(id)]).ttl(63)
}

/// The same frame as it leaves for a client.
pub(crate) fn leaves_for_client(frame: Frame) -> Frame {
    frame.hop(BALANCER_MAC, ROUTER_MAC).ttl(63)
}

fn server_entry(id: ServerId, state: ServerState) -> ServerEntry {
    let server = SERVERS[usize::from(id)];
    ServerEntry {
        identity: u64::from(id) << 32,
        addr: addr(server),
        port: port(server),
        next_hop: id,
        state: state as u8,
        admin: 0,
        health: 1,
        reserved: [0; 5],
    }
}

fn next_hop(destination: Mac, ifindex: u32) -> NextHop {
    NextHop { destination, source: BALANCER_MAC, ifindex, resolved: 1 }
}

pub(crate) fn prefix(address: SocketAddrV4, prefix_len: u32) -> Route4Key {
    let network = address.ip().to_bits() & (u32::MAX.checked_shl(32 - prefix_len).unwrap_or(0));
    Route4Key { prefix_len, addr: Ipv4Addr::from_bits(network).into() }
}

pub(crate) fn addr(address: SocketAddrV4) -> Be32 {
    (*address.ip()).into()
}

pub(crate) fn port(address: SocketAddrV4) -> Be16 {
    Be16::new(address.port())
}
