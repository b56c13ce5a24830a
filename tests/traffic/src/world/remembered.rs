//! What the packet path remembers of single flows, put there beforehand: seen [`LONG_AGO`].

use super::{addr, ends, port};
use lb_common::{
    Family, Flow, FlowKey4, FlowKey6, Protocol, RingId, ServerId, V4, V6, VipId, flow::ConnectionRow, slots::slot_of,
};
use lb_ebpf::testing::{MemoryFamily, MemoryTables};
use std::net::SocketAddr;

/// Half the clock's circle away, however long a machine is up.
pub const LONG_AGO: u32 = 1 << 31;

/// Of a connection.
#[derive(Clone, Copy, Default)]
pub struct Known {
    /// Row in `SERVERS`.
    pub server: ServerId,
    /// Row in `VIP_COUNTERS`.
    pub vip: VipId,
    /// As in the row.
    pub marks: u8,
}

/// Puts one direction of a TCP connection into the table of established ones: the ends of its packets, and those that they get.
pub fn put_connection(
    tables: &mut MemoryTables,
    (from, to): (SocketAddr, SocketAddr),
    (source, destination): (SocketAddr, SocketAddr),
    Known { server, vip, marks }: Known,
) {
    fn put<F: Family>(of: &mut MemoryFamily<F>, key: F::FlowKey, row: ConnectionRow<F::Addr>) {
        of.connections.get_mut().insert(key, F::connection(row));
    }
    fn row<F: Family>((source, destination): (SocketAddr, SocketAddr)) -> ConnectionRow<F::Addr> {
        ConnectionRow {
            server: 0,
            vip: 0,
            last: LONG_AGO,
            source: addr::<F>(source.ip()),
            destination: addr::<F>(destination.ip()),
            source_port: port(source),
            destination_port: port(destination),
            marks: 0,
        }
    }
    if from.is_ipv4() {
        let row = ConnectionRow { server, vip, marks, ..row::<V4>((source, destination)) };
        put(&mut tables.v4, V4::flow_key(&ends(from, to, Protocol::Tcp)), row);
    } else {
        let row = ConnectionRow { server, vip, marks, ..row::<V6>((source, destination)) };
        put(&mut tables.v6, V6::flow_key(&ends(from, to, Protocol::Tcp)), row);
    }
}

/// Makes all connections half-open.
pub fn half_open(tables: &mut MemoryTables) {
    fn moved<F: Family>(of: &mut MemoryFamily<F>) {
        of.half_open.get_mut().append(of.connections.get_mut());
    }
    moved(&mut tables.v4);
    moved(&mut tables.v6);
}

/// Puts a TCP flow of a VIP into the flow table.
pub fn put_flow(tables: &mut MemoryTables, (client, vip): (SocketAddr, SocketAddr), ring: RingId, server: ServerId) {
    let slot = u16::try_from(slot_of(super::hash(client, vip, Protocol::Tcp))).expect("14 bits");
    let flow = Flow { server, ring, slot, marks: 0, reserved: 0, last: LONG_AGO };
    if client.is_ipv4() {
        let key: FlowKey4 = V4::flow_key(&ends(client, vip, Protocol::Tcp));
        tables.v4.flows.get_mut().insert(key, flow);
    } else {
        let key: FlowKey6 = V6::flow_key(&ends(client, vip, Protocol::Tcp));
        tables.v6.flows.get_mut().insert(key, flow);
    }
}
