//! The maps of Sluice for what is measured: each way of forwarding has a VIP, a ring and servers of its own in each family.

use super::{
    network::{BALANCER_MAC, Net, ROUTER_MAC},
    rows::{FIRST, MODES, MOST, Mode, Replies},
};
use lb_common::{
    Be16, Be128, Ends, Family, Flow, Forward, NextHop, Protocol, Return4, Return6, RingHead, RingId, ServerEntry,
    ServerId, ServerState, Slot, V4, V6, Vip, VipId, flow::seconds, hash::mix, returns::ReturnRow, slots::slot_of,
    vip::flags::POOL,
};
use lb_ebpf::testing::{MemoryFamily, MemoryRing, MemoryTables};
use rustix::time::{ClockId, clock_gettime};
use std::{array, net::IpAddr, sync::Arc};

/// Servers of each ring: enough that their rows are not all in one cache line.
pub(super) const SERVERS: u8 = 100;

/// The interface that packets come in by: the loopback device of the namespace that the bench runs in.
const LOOPBACK: u32 = 1;
/// The row of the router in `NEXT_HOPS`.
const ROUTER: u16 = 1;

/// All maps.
pub(super) fn tables() -> MemoryTables {
    let mut tables =
        MemoryTables { hash_key: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210], ..MemoryTables::default() };
    let router = NextHop {
        destination: ROUTER_MAC,
        source: BALANCER_MAC,
        ifindex: LOOPBACK,
        resolved: 1,
        mtu: 1_500,
        source4: wide(Net::V4.balancer().ip()).v4(),
        source6: wide(Net::V6.balancer().ip()),
        ..NextHop::default()
    };
    tables.next_hops.insert(ROUTER.into(), router);
    tables.v4 = family::<V4>(Net::V4, &mut tables);
    tables.v6 = family::<V6>(Net::V6, &mut tables);
    tables
}

/// What a row of returns is called in each family.
trait Rows: Family {
    fn returned(row: ReturnRow<Self::Addr>) -> Self::Return;
}

impl Rows for V4 {
    fn returned(row: ReturnRow<Self::Addr>) -> Return4 {
        let ReturnRow { vip_addr, vip_port, vip, server, mss } = row;
        Return4 { vip_addr, vip_port, vip, server, mss }
    }
}

impl Rows for V6 {
    fn returned(row: ReturnRow<Self::Addr>) -> Return6 {
        let ReturnRow { vip_addr, vip_port, vip, server, mss } = row;
        Return6 { vip_addr, vip_port, vip, server, mss }
    }
}

/// The maps of a family; its rings, servers and sources go to those that both families share.
fn family<F: Rows>(net: Net, tables: &mut MemoryTables) -> MemoryFamily<F> {
    let mut family = MemoryFamily::<F>::default();
    let addr = |ip: IpAddr| F::narrow(wide(ip));
    let (bits, network) = match net.client().ip() {
        IpAddr::V4(ip) => (24, IpAddr::V4((ip.to_bits() & !0xff).into())),
        IpAddr::V6(ip) => (64, IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into())),
    };
    family.routes.insert((bits, addr(network)), ROUTER.into());
    let pool = u16::from(net == Net::V6);
    tables.sources.insert(pool.into(), wide(net.balancer().ip()));
    let of_pool = Vip { flags: POOL, ..Vip::default() };
    family.vips.insert(F::endpoint(addr(net.balancer().ip()), Be16::new(0), 0), of_pool);
    for (number, mode) in (0..).zip(&MODES) {
        let id = VipId::from(number) + if net == Net::V4 { 1 } else { 101 };
        let place = Place { net, number, id };
        let vip = Vip {
            id,
            ring: id,
            forward: mode.forward as u8,
            flags: mode.flags,
            gue_port: Be16::new(if mode.forward == Forward::Gue { 6_080 } else { 0 }),
            sources_first: pool,
            sources_count: u16::from(mode.forward == Forward::FullNat),
            ..Vip::default()
        };
        let at = net.vip(number);
        family.vips.insert(F::endpoint(addr(at.ip()), Be16::new(at.port()), Protocol::Tcp.number()), vip);
        family.vips.insert(F::endpoint(addr(at.ip()), Be16::new(0), 0), Vip::default());
        tables.rings.insert(id, ring(mode, place));
        for server in 1..=SERVERS {
            tables.servers.insert(place.server(server), server_entry::<F>(place, server));
            if mode.replies.is_some() {
                let from = net.server(number, server);
                let key = F::endpoint(addr(from.ip()), Be16::new(from.port()), Protocol::Tcp.number());
                let by_connection = mode.replies == Some(Replies::ByConnection);
                let row = ReturnRow {
                    vip_addr: addr(at.ip()),
                    vip_port: Be16::new(at.port()),
                    vip: if by_connection { 0 } else { id },
                    server: place.server(server),
                    mss: 0,
                };
                family.returns.insert(key, F::returned(row));
            }
        }
        if mode.changing {
            remember(&family, place, &vip, tables.hash_key);
        }
    }
    family
}

/// One way of forwarding in one family.
#[derive(Clone, Copy)]
struct Place {
    net: Net,
    number: u8,
    /// Of VIP and ring.
    id: RingId,
}

impl Place {
    /// The id of a server, the first being 1.
    fn server(self, number: u8) -> ServerId {
        self.id * ServerId::from(SERVERS) + ServerId::from(number)
    }

    /// The server that a slot names.
    fn of_slot(self, mode: &Mode, slot: usize) -> ServerId {
        if mode.one_server {
            return self.server(1);
        }
        let number = mix(slot as u64 + u64::from(self.id)) % u64::from(SERVERS);
        self.server(u8::try_from(number).unwrap_or(0) + 1)
    }
}

fn ring(mode: &Mode, place: Place) -> MemoryRing {
    let live = array::from_fn(|slot| {
        let server = place.of_slot(mode, slot);
        if mode.changing { Slot::new(server, place.of_slot(mode, slot + 1), true) } else { Slot::of(server) }
    });
    let idle = array::from_fn(|_| Slot::default());
    let head = RingHead { identity: place.id.into(), half: 1, reserved: 0 };
    MemoryRing { head, halves: [Arc::new(idle), Arc::new(live)] }
}

fn server_entry<F: Family>(place: Place, number: u8) -> ServerEntry {
    let at = place.net.server(place.number, number);
    ServerEntry {
        identity: u64::from(place.server(number)) << 32,
        addr: wide(at.ip()),
        port: Be16::new(at.port()),
        next_hop: ROUTER,
        state: ServerState::Up as u8,
        admin: 0,
        health: 1,
        family: F::VERSION,
    }
}

/// Puts every flow that is seen before into the flow table: by itself it takes a bounded number a second.
fn remember<F: Family>(family: &MemoryFamily<F>, place: Place, vip: &Vip, key: [u64; 2]) {
    let (client, at) = (place.net.client(), place.net.vip(place.number));
    let mode = MODES.get(usize::from(place.number));
    let now = clock_gettime(ClockId::Monotonic);
    let now = u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000;
    for flow in FIRST..FIRST + MOST {
        let ends = Ends::<F> {
            source: F::narrow(wide(client.ip())),
            destination: F::narrow(wide(at.ip())),
            source_port: Be16::new(u16::try_from(flow).unwrap_or_default()),
            destination_port: Be16::new(at.port()),
            protocol: Protocol::Tcp,
        };
        let slot = slot_of(F::flow_hash(key, &ends));
        let server = mode.map_or(0, |mode| place.of_slot(mode, slot));
        let slot = u16::try_from(slot).unwrap_or_default();
        let row = Flow { server, ring: vip.ring, slot, marks: 0, reserved: 0, last: seconds(now) };
        family.flows.borrow_mut().insert(F::flow_key(&ends), row);
    }
}

/// An address for a row that serves both families.
fn wide(ip: IpAddr) -> Be128 {
    ip.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::rows::{self, Load};
    use lb_ebpf::{
        Verdict,
        testing::{PacketBuf, run as run_on_host},
    };

    /// What the host makes of a packet, the kernel makes of it too: other tests see to that.
    #[test]
    fn every_row_sends_what_it_measures() {
        let tables = tables();
        for row in rows::all(None).unwrap().iter().filter(|row| row.program == rows::Program::Sluice) {
            let run = |bytes: Vec<u8>| {
                let mut packet = PacketBuf::new(bytes, LOOPBACK);
                (run_on_host(&mut packet, &tables), packet.bytes)
            };
            let with_port = |packets: lb_tests::tools::rearm::Packets| {
                let (_, at) = packets.varies.places();
                let mut frame = packets.frame;
                frame[at..at + 2].copy_from_slice(&u16::try_from(packets.next).unwrap().to_be_bytes());
                frame
            };
            for opening in row.opening(Load::Known(1)) {
                assert_eq!(run(with_port(opening)).0, Ok(Verdict::Transmit), "{}", row.label());
            }
            let frame = with_port(row.packets(Load::Known(1)));
            let (outcome, sent) = run(frame.clone());
            assert_eq!(outcome, Ok(Verdict::Transmit), "{}", row.label());
            assert_ne!(sent, frame, "{}", row.label());
        }
        assert_eq!(tables.v4.flows.borrow().len(), MOST as usize, "known flows were found, and no other came");
    }
}
