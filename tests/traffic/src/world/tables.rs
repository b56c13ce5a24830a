//! The tables of the golden rows, and the ways in which rows change them.

use super::{BALANCER_MAC, INSIDE, NET4, NET6, Net, OUTSIDE, ROUTER, ROUTER_MAC, SERVER_MACS, UNRESOLVED, addr, port};
use crate::oracle::GUE_PORT;
use lb_common::{
    Be16, Be32, Be128, Family, Forward, Heartbeat, Mac, NextHop, Protocol, Return4, Return6, RingHead, RingId,
    ServerEntry, ServerId, ServerState, Slot, V4, V6, Vip, hash::HashKey, returns::ReturnRow, vip::flags,
};
use lb_ebpf::testing::{MemoryFamily, MemoryRing, MemoryTables};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The key that all tables hash flows with.
pub const HASH_KEY: HashKey = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// Of a daemon that lives, whatever the clock says.
pub const ALIVE: Heartbeat = Heartbeat { beat: u64::MAX, patience: 1 };
/// Of one that has been dead for as long as the machine runs.
pub const DEAD: Heartbeat = Heartbeat { beat: 1, patience: 1 };

thread_local! {
    static TABLES: MemoryTables = build();
}

/// The tables of a balancer with one interface. All slots of a ring name one server: 1, and 4 in the other ring.
pub fn tables() -> MemoryTables {
    TABLES.with(Clone::clone)
}

fn build() -> MemoryTables {
    let mut tables = MemoryTables { hash_key: HASH_KEY, ..MemoryTables::default() };
    tables.v4 = family(&NET4, |ReturnRow { vip_addr, vip_port, vip, server, mss }| Return4 {
        vip_addr,
        vip_port,
        vip,
        server,
        mss,
    });
    tables.v6 = family(&NET6, |ReturnRow { vip_addr, vip_port, vip, server, mss }| Return6 {
        vip_addr,
        vip_port,
        vip,
        server,
        mss,
    });
    for net in [&NET4, &NET6] {
        let (own, other) = (net.id(1), net.crossed().id(1));
        for (ring, server) in [
            (net.nat_ring(), own),
            (net.direct_ring(), own),
            (net.other_ring(), net.id(4)),
            (net.crossed_ring(), other),
        ] {
            tables.rings.insert(ring, ring_of(|_| server));
        }
        for (number, mac) in SERVER_MACS.into_iter().enumerate().skip(1) {
            tables.servers.insert(net.id(number), server_entry(net, number, ServerState::Up));
            tables.next_hops.insert(net.id(number).into(), next_hop(mac, OUTSIDE));
        }
        for (row, source) in (net.first_source().into()..).zip(net.pool) {
            tables.sources.insert(row, source.into());
        }
    }
    tables.next_hops.insert(ROUTER, next_hop(ROUTER_MAC, OUTSIDE));
    tables.next_hops.insert(UNRESOLVED, NextHop { resolved: 0, ..next_hop([0; 6], OUTSIDE) });
    tables
}

fn family<F: Family>(net: &Net, pack: impl Fn(ReturnRow<F::Addr>) -> F::Return) -> MemoryFamily<F> {
    let mut family = MemoryFamily::default();
    let endpoint = |at: SocketAddr, protocol| F::endpoint(addr::<F>(at.ip()), port(at), protocol);
    let served = [
        (net.nat_ring(), Forward::Nat),
        (net.direct_ring(), Forward::Direct),
        (net.other_ring(), Forward::Nat),
        (net.nat_ring(), Forward::Ipip),
        (net.nat_ring(), Forward::Gue),
        (net.crossed_ring(), Forward::Ipip),
        (net.crossed_ring(), Forward::Gue),
        (net.nat_ring(), Forward::FullNat),
    ];
    for ((number, vip), (ring, forward)) in (0..).zip(net.vips()).zip(served) {
        let mut row = Vip { id: net.vip_id(number), ring, forward: forward as u8, ..Vip::default() };
        match forward {
            Forward::Gue => row.gue_port = Be16::new(GUE_PORT),
            Forward::FullNat => (row.sources_first, row.sources_count) = (net.first_source(), 2),
            Forward::Direct | Forward::Nat | Forward::Ipip => {}
        }
        family.vips.insert(endpoint(vip, Protocol::Tcp.number()), row);
        family.vips.insert(endpoint(vip, Protocol::Udp.number()), Vip { id: row.id + 1, ..row });
        family.vips.insert(address_key::<F>(vip.ip()), Vip::default());
    }
    for source in net.pool {
        family.vips.insert(address_key::<F>(source), Vip { flags: flags::POOL, ..Vip::default() });
    }
    for (number, server) in (0..).zip(net.servers).skip(1) {
        let (vip, id) = if number == 4 { (net.other, net.vip_id(2)) } else { (net.nat, net.vip_id(0)) };
        let server = if server.port() == 0 { super::at_port(server, vip.port()) } else { server };
        let row =
            ReturnRow { vip_addr: addr::<F>(vip.ip()), vip_port: port(vip), vip: id, server: net.id(number), mss: 0 };
        family.returns.insert(endpoint(server, Protocol::Tcp.number()), pack(row));
        family.returns.insert(endpoint(server, Protocol::Udp.number()), pack(ReturnRow { vip: id + 1, ..row }));
    }
    family.local.insert(addr::<F>(net.host.ip()));
    family.local.insert(addr::<F>(net.tunnels));
    family.routes.insert(prefix::<F>(net.client, net.link()), ROUTER);
    family.routes.insert(prefix::<F>(net.unresolved_client, net.link()), UNRESOLVED);
    family.routes.insert(prefix::<F>(net.host, net.link()), 0);
    family
}

impl Net {
    /// Bits of a link's prefix.
    pub fn link(&self) -> u32 {
        if self.client.is_ipv4() { 24 } else { 64 }
    }
}

/// The key of an address entry.
pub fn address_key<F: Family>(address: IpAddr) -> F::Endpoint {
    F::endpoint(addr::<F>(address), Be16::new(0), 0)
}

/// The key of a route.
pub fn prefix<F: Family>(address: SocketAddr, bits: u32) -> (u32, F::Addr) {
    let network = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into()),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into()),
    };
    (bits, addr::<F>(network))
}

/// Adds a route.
pub fn route(tables: &mut MemoryTables, address: SocketAddr, bits: u32, row: u32) {
    if address.is_ipv4() {
        tables.v4.routes.insert(prefix::<V4>(address, bits), row);
    } else {
        tables.v6.routes.insert(prefix::<V6>(address, bits), row);
    }
}

/// The same tables with the servers behind a second interface.
pub fn two_armed(tables: &mut MemoryTables) {
    for net in [&NET4, &NET6] {
        for (number, mac) in SERVER_MACS.into_iter().enumerate().skip(1) {
            tables.next_hops.insert(net.id(number).into(), next_hop(mac, INSIDE));
        }
    }
    tables.devices = [OUTSIDE, INSIDE].into();
}

/// Sets the state of a server.
pub fn set_state(tables: &mut MemoryTables, net: &Net, number: usize, state: ServerState) {
    tables.servers.insert(net.id(number), server_entry(net, number, state));
}

/// Changes the rows of a VIP: that of TCP and that of UDP.
pub fn set_vip(tables: &mut MemoryTables, vip: SocketAddr, change: impl Fn(&mut Vip)) {
    for protocol in [Protocol::Tcp.number(), Protocol::Udp.number()] {
        let row = if vip.is_ipv4() {
            tables.v4.vips.get_mut(&V4::endpoint(addr::<V4>(vip.ip()), port(vip), protocol))
        } else {
            tables.v6.vips.get_mut(&V6::endpoint(addr::<V6>(vip.ip()), port(vip), protocol))
        };
        change(row.expect("a VIP"));
    }
}

/// Sets flags of a VIP.
pub fn flag(vip: SocketAddr, flags: u16) -> impl Fn(&mut MemoryTables) {
    move |tables| set_vip(tables, vip, |row| row.flags |= flags)
}

/// Adds a copy of a VIP's rows with another port, changed.
pub fn copy_vip(tables: &mut MemoryTables, (vip, to): (SocketAddr, SocketAddr), change: impl Fn(&mut Vip)) {
    fn copy<F: Family>(of: &mut MemoryFamily<F>, (vip, to): (SocketAddr, SocketAddr), change: &dyn Fn(&mut Vip)) {
        for protocol in [Protocol::Tcp.number(), Protocol::Udp.number()] {
            let endpoint = |at: SocketAddr| F::endpoint(addr::<F>(at.ip()), port(at), protocol);
            let mut row = *of.vips.get(&endpoint(vip)).expect("a VIP");
            change(&mut row);
            of.vips.insert(endpoint(to), row);
        }
    }
    if vip.is_ipv4() {
        copy(&mut tables.v4, (vip, to), &change);
    } else {
        copy(&mut tables.v6, (vip, to), &change);
    }
}

/// Takes a VIP's rows away, but not its address entry.
pub fn remove_vip(tables: &mut MemoryTables, vip: SocketAddr) {
    for protocol in [Protocol::Tcp.number(), Protocol::Udp.number()] {
        if vip.is_ipv4() {
            tables.v4.vips.remove(&V4::endpoint(addr::<V4>(vip.ip()), port(vip), protocol));
        } else {
            tables.v6.vips.remove(&V6::endpoint(addr::<V6>(vip.ip()), port(vip), protocol));
        }
    }
}

/// Sets flags of an address entry.
pub fn flag_address(tables: &mut MemoryTables, address: IpAddr, flags: u16) {
    let row = if address.is_ipv4() {
        tables.v4.vips.entry(address_key::<V4>(address)).or_default()
    } else {
        tables.v6.vips.entry(address_key::<V6>(address)).or_default()
    };
    row.flags |= flags;
}

/// Sets the flags of an address entry.
pub fn set_address(tables: &mut MemoryTables, address: IpAddr, flags: u16) {
    let row = Vip { flags, ..Vip::default() };
    if address.is_ipv4() {
        tables.v4.vips.insert(address_key::<V4>(address), row);
    } else {
        tables.v6.vips.insert(address_key::<V6>(address), row);
    }
}

/// Makes an address one of this host.
pub fn own(tables: &mut MemoryTables, address: IpAddr) {
    if address.is_ipv4() {
        tables.v4.local.insert(addr::<V4>(address));
    } else {
        tables.v6.local.insert(addr::<V6>(address));
    }
}

/// Changes the returns of a server: of TCP and of UDP. `None`: the row goes away.
pub fn set_returns(
    tables: &mut MemoryTables,
    server: SocketAddr,
    change: impl Fn(ReturnRow<Be128>) -> Option<ReturnRow<Be128>>,
) {
    for protocol in [Protocol::Tcp.number(), Protocol::Udp.number()] {
        if server.is_ipv4() {
            let key = V4::endpoint(addr::<V4>(server.ip()), port(server), protocol);
            let row = V4::unpack_return(tables.v4.returns.get(&key).expect("a server"));
            let ReturnRow { vip_addr, vip_port, vip, server, mss } = row;
            tables.v4.returns.remove(&key);
            if let Some(row) = change(ReturnRow { vip_addr: V4::widen(vip_addr), vip_port, vip, server, mss }) {
                let ReturnRow { vip_addr, vip_port, vip, server, mss } = row;
                tables.v4.returns.insert(key, Return4 { vip_addr: vip_addr.v4(), vip_port, vip, server, mss });
            }
        } else {
            let key = V6::endpoint(addr::<V6>(server.ip()), port(server), protocol);
            let row = V6::unpack_return(tables.v6.returns.get(&key).expect("a server"));
            tables.v6.returns.remove(&key);
            if let Some(ReturnRow { vip_addr, vip_port, vip, server, mss }) = change(row) {
                tables.v6.returns.insert(key, Return6 { vip_addr, vip_port, vip, server, mss });
            }
        }
    }
}

/// Changes the next hop of server `number`.
pub fn set_hop(tables: &mut MemoryTables, row: u32, change: impl FnOnce(&mut NextHop)) {
    change(tables.next_hops.get_mut(&row).expect("a next hop"));
}

/// A ring whose live half is 1, so that a path that ignores the head goes wrong: half 0 names nobody.
pub fn ring_of(server: impl Fn(usize) -> ServerId) -> MemoryRing {
    ring_of_slots(|slot| Slot::of(server(slot)))
}

/// The same of whole slots.
pub fn ring_of_slots(slot: impl Fn(usize) -> Slot) -> MemoryRing {
    let idle = std::array::from_fn(|_| Slot::default());
    MemoryRing {
        head: RingHead { identity: 7, half: 1, reserved: 0 },
        halves: [Arc::new(idle), Arc::new(std::array::from_fn(slot))],
    }
}

/// Gives all slots of a ring to one server, or to two of them.
pub fn set_slots(tables: &mut MemoryTables, ring: RingId, slot: Slot) {
    tables.rings.insert(ring, ring_of_slots(|_| slot));
}

fn server_entry(net: &Net, number: usize, state: ServerState) -> ServerEntry {
    let server = net.servers[number];
    ServerEntry {
        identity: u64::from(net.id(number)) << 32,
        addr: server.ip().into(),
        port: port(server),
        next_hop: net.id(number),
        state: state as u8,
        admin: 0,
        health: 1,
        family: if server.is_ipv4() { V4::VERSION } else { V6::VERSION },
    }
}

fn next_hop(destination: Mac, ifindex: u32) -> NextHop {
    NextHop {
        destination,
        source: BALANCER_MAC,
        ifindex,
        resolved: 1,
        source4: V4::narrow(NET4.tunnels.into()),
        source6: V6::narrow(NET6.tunnels.into()),
        ..NextHop::default()
    }
}

/// No address.
pub fn no_sources(hop: &mut NextHop) {
    (hop.source4, hop.source6) = (Be32::default(), Be128::default());
}
