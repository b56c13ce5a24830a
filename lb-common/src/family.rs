//! The two address families. Each has rows and keys of its own, so that an IPv4 key is not longer than it must be: a hash
//! lookup costs what its key is long.
//!
//! The packet path is written once, generic over [`Family`].

use crate::{
    Be16, Be32, Be128, Protocol, RingId,
    flow::{
        Connection4, Connection6, ConnectionRow, FlowKey4, FlowKey6, Fragment4, Fragment6, FragmentKey4, FragmentKey6,
        FragmentRow,
    },
    hash::{HashKey, flow_hash_v4, flow_hash_v6, source_hash_v4, source_hash_v6},
    lookup,
    returns::{Return4, Return6, ReturnRow},
    vip::{Endpoint4, Endpoint6},
    words::{endpoint_v4, endpoint_v6, half, key_v4, key_v6, quarter, row_v4, row_v6, word},
};
use bytemuck::{Pod, must_cast};
use core::fmt::Debug;

/// IPv4 or IPv6.
pub trait Family: Copy + Debug + 'static {
    /// An address.
    type Addr: Pod + Copy + Debug + Default + Eq + Ord;
    /// Address, port and protocol: the key of `VIPS4`, `VIPS6` and `RETURNS4`, `RETURNS6`.
    type Endpoint: lookup::Key + Debug;
    /// The value of `RETURNS4`, `RETURNS6`.
    type Return: Pod + Copy + Debug + Eq;
    /// Both ends of a flow: the key of `FLOWS4`, `FLOWS6` and of the tables of connections.
    type FlowKey: Pod + Copy + Debug + Eq + Ord;
    /// The value of the tables of connections: `CONNECTIONS4`, `HALF_OPEN4` and those of IPv6.
    type Connection: Pod + Copy + Debug + Eq;
    /// What all fragments of a packet share: the key of `FRAGMENTS4`, `FRAGMENTS6`.
    type FragmentKey: Pod + Copy + Debug + Eq + Ord;
    /// The value of `FRAGMENTS4`, `FRAGMENTS6`.
    type Fragment: Pod + Copy + Debug + Eq;

    /// 4 or 6, as in the first half byte of a packet and in [`ServerEntry::family`](crate::ServerEntry).
    const VERSION: u8;
    /// Bytes of a header without options or extensions.
    const HEADER: usize;

    /// The key of an endpoint. `protocol` 0: an address entry.
    fn endpoint(addr: Self::Addr, port: Be16, protocol: u8) -> Self::Endpoint;
    /// A row of returns, read.
    fn unpack_return(row: &Self::Return) -> ReturnRow<Self::Addr>;
    /// The key of a flow, as its packets to the VIP have it.
    fn flow_key(ends: &Ends<Self>) -> Self::FlowKey;
    /// The key of all flows of a ring that have these ends in common.
    fn group_key(ends: &Ends<Self>, ring: RingId) -> Self::FlowKey;
    /// The key of a packet's fragments.
    fn fragment_key(source: Self::Addr, destination: Self::Addr, id: u32, protocol: u8) -> Self::FragmentKey;
    /// A row of fragments.
    fn fragment(row: FragmentRow<Self::Addr>) -> Self::Fragment;
    /// A row of fragments, read.
    fn unpack_fragment(row: &Self::Fragment) -> FragmentRow<Self::Addr>;
    /// A row of connections.
    fn connection(row: ConnectionRow<Self::Addr>) -> Self::Connection;
    /// A row of connections, read.
    fn unpack_connection(row: &Self::Connection) -> ConnectionRow<Self::Addr>;
    /// Spreads a flow over 32 bits.
    fn flow_hash(key: HashKey, ends: &Ends<Self>) -> u32;
    /// Spreads a client over 32 bits, whatever it connects to.
    fn source_hash(key: HashKey, client: Self::Addr) -> u32;
    /// The address in a row that serves both families.
    fn narrow(addr: Be128) -> Self::Addr;
    /// An address, for a row that serves both families.
    fn widen(addr: Self::Addr) -> Be128;
}

/// Source and destination of a packet with its ports: who talks to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ends<F: Family> {
    /// Who sent it.
    pub source: F::Addr,
    /// Whom it is for.
    pub destination: F::Addr,
    /// The sender's port.
    pub source_port: Be16,
    /// The receiver's port.
    pub destination_port: Be16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl<F: Family> Ends<F> {
    /// The ends of the answer.
    #[inline(always)]
    #[must_use]
    pub const fn swapped(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }

    /// The endpoint that it is for.
    #[inline(always)]
    pub fn to(&self) -> F::Endpoint {
        F::endpoint(self.destination, self.destination_port, self.protocol.number())
    }

    /// The endpoint that it is from.
    #[inline(always)]
    pub fn from(&self) -> F::Endpoint {
        F::endpoint(self.source, self.source_port, self.protocol.number())
    }
}

/// IPv4 (RFC 791).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct V4;

/// IPv6 (RFC 8200).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct V6;

macro_rules! family {
    ($family:ident, $addr:ident, $endpoint:ident, $return:ident, $flow_key:ident, $connection:ident, $fragment_key:ident,
     $fragment:ident, $flow_hash:ident, $source_hash:ident, $version:literal, $header:literal, endpoint = $endpoint_words:expr, key = $key:expr, row = $row:expr,
     narrow = $narrow:expr, widen = $widen:expr) => {
        impl Family for $family {
            type Addr = $addr;
            type Endpoint = $endpoint;
            type Return = $return;
            type FlowKey = $flow_key;
            type Connection = $connection;
            type FragmentKey = $fragment_key;
            type Fragment = $fragment;

            const VERSION: u8 = $version;
            const HEADER: usize = $header;

            #[inline(always)]
            fn endpoint(addr: $addr, port: Be16, protocol: u8) -> $endpoint {
                must_cast($endpoint_words(addr, half(port.raw(), quarter(protocol, 1))))
            }

            #[inline(always)]
            fn unpack_return(row: &$return) -> ReturnRow<$addr> {
                let $return { vip_addr, vip_port, vip, server, mss } = *row;
                ReturnRow { vip_addr, vip_port, vip, server, mss }
            }

            #[inline(always)]
            fn flow_key(ends: &Ends<Self>) -> $flow_key {
                Self::group_key(ends, 0)
            }

            #[inline(always)]
            fn group_key(ends: &Ends<Self>, ring: RingId) -> $flow_key {
                let ports = half(ends.source_port.raw(), ends.destination_port.raw());
                let rest = half(quarter(ends.protocol.number(), 0), ring);
                must_cast($key(ends.source, ends.destination, word(ports, rest)))
            }

            #[inline(always)]
            fn fragment_key(source: $addr, destination: $addr, id: u32, protocol: u8) -> $fragment_key {
                must_cast($key(source, destination, word(id, half(quarter(protocol, 0), 0))))
            }

            #[inline(always)]
            fn fragment(row: FragmentRow<$addr>) -> $fragment {
                let FragmentRow { vip, server, forward, gue_port, source, destination, last } = row;
                let head = word(half(vip, server), half(quarter(forward, 0), gue_port.raw()));
                must_cast($row(head, source, destination, word(last, 0)))
            }

            #[inline(always)]
            fn unpack_fragment(row: &$fragment) -> FragmentRow<$addr> {
                let $fragment { vip, server, forward, reserved: _, gue_port, source, destination, last, rest: _ } =
                    *row;
                FragmentRow { vip, server, forward, gue_port, source, destination, last }
            }

            #[inline(always)]
            fn connection(row: ConnectionRow<$addr>) -> $connection {
                let ConnectionRow { server, vip, last, source, destination, source_port, destination_port, marks } =
                    row;
                let ports = half(source_port.raw(), destination_port.raw());
                let tail = word(ports, half(quarter(marks, 0), 0));
                must_cast($row(word(half(server, vip), last), source, destination, tail))
            }

            #[inline(always)]
            fn unpack_connection(row: &$connection) -> ConnectionRow<$addr> {
                ConnectionRow {
                    server: row.server,
                    vip: row.vip,
                    last: row.last,
                    source: row.source,
                    destination: row.destination,
                    source_port: row.source_port,
                    destination_port: row.destination_port,
                    marks: row.marks,
                }
            }

            #[inline(always)]
            fn flow_hash(key: HashKey, ends: &Ends<Self>) -> u32 {
                $flow_hash(key, ends.source, ends.source_port, ends.destination, ends.destination_port, ends.protocol)
            }

            #[inline(always)]
            fn source_hash(key: HashKey, client: $addr) -> u32 {
                $source_hash(key, client)
            }

            #[inline(always)]
            fn narrow(addr: Be128) -> $addr {
                $narrow(addr)
            }

            #[inline(always)]
            fn widen(addr: $addr) -> Be128 {
                $widen(addr)
            }
        }
    };
}

family!(
    V4,
    Be32,
    Endpoint4,
    Return4,
    FlowKey4,
    Connection4,
    FragmentKey4,
    Fragment4,
    flow_hash_v4,
    source_hash_v4,
    4,
    20,
    endpoint = endpoint_v4,
    key = key_v4,
    row = row_v4,
    narrow = Be128::v4,
    widen = Be128::mapped
);
family!(
    V6,
    Be128,
    Endpoint6,
    Return6,
    FlowKey6,
    Connection6,
    FragmentKey6,
    Fragment6,
    flow_hash_v6,
    source_hash_v6,
    6,
    40,
    endpoint = endpoint_v6,
    key = key_v6,
    row = row_v6,
    narrow = core::convert::identity,
    widen = core::convert::identity
);

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    fn rows<F: Family>(source: F::Addr, destination: F::Addr) {
        let row = ConnectionRow {
            server: 1,
            vip: 2,
            last: 3,
            source,
            destination,
            source_port: Be16::new(4),
            destination_port: Be16::new(5),
            marks: 6,
        };
        assert_eq!(F::unpack_connection(&F::connection(row)), row);
        let row = FragmentRow { vip: 1, server: 2, forward: 3, gue_port: Be16::new(4), source, destination, last: 5 };
        assert_eq!(F::unpack_fragment(&F::fragment(row)), row);
    }

    #[test]
    fn rows_come_back_as_they_were() {
        rows::<V4>(Ipv4Addr::new(1, 2, 3, 4).into(), Ipv4Addr::new(5, 6, 7, 8).into());
        rows::<V6>(Ipv6Addr::from_bits(1 << 127 | 2).into(), Ipv6Addr::from_bits(3 << 64 | 4).into());
    }

    #[test]
    fn keys_have_each_field_in_its_place() {
        let (source, destination) = (Ipv4Addr::new(1, 2, 3, 4).into(), Ipv4Addr::new(5, 6, 7, 8).into());
        let (source_port, destination_port, protocol) = (Be16::new(9), Be16::new(10), Protocol::Udp);
        let ends = Ends::<V4> { source, destination, source_port, destination_port, protocol };
        let wanted =
            FlowKey4 { source, destination, source_port, destination_port, protocol: 17, reserved: 0, ring: 11 };
        assert_eq!(V4::group_key(&ends, 11), wanted);
        let wanted = FragmentKey4 { source, destination, id: 12, protocol: 6, reserved: [0; 3] };
        assert_eq!(V4::fragment_key(source, destination, 12, 6), wanted);

        let (source, destination) = (Ipv6Addr::from_bits(1 << 127 | 2).into(), Ipv6Addr::from_bits(3 << 64 | 4).into());
        let ends = Ends::<V6> { source, destination, source_port, destination_port, protocol };
        let wanted =
            FlowKey6 { source, destination, source_port, destination_port, protocol: 17, reserved: 0, ring: 11 };
        assert_eq!(V6::group_key(&ends, 11), wanted);
        let wanted = FragmentKey6 { source, destination, id: 12, protocol: 6, reserved: [0; 3] };
        assert_eq!(V6::fragment_key(source, destination, 12, 6), wanted);
    }
}
