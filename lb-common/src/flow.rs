//! What is remembered of single flows, and only where it is needed: flows of slots that change hands ([`Flow`]), flows of
//! backends with `track = "full"` or `forward = "fullnat"` ([`Connection4`]), and the fragments of a packet.

use crate::{Be16, Be32, Be128, RingId, ServerId, VipId, layout::map_type};
use bytemuck::{Pod, Zeroable};

// Rows of whole words of 64 bits, because they are put together so (`words`).
macro_rules! flow_rows {
    ($addr:ident, $key:ident, $connection:ident, $fragment_key:ident, $fragment:ident) => {
        /// Both ends of a flow, as its packets have them.
        ///
        /// In the flow table those to the VIP: without ports where fragments go by their addresses, and with source affinity the
        /// client and the protocol alone, all else zero but the ring. In the table of connections there is a second key for the
        /// way back: from the server to where it answers to.
        #[repr(C, align(8))]
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
        pub struct $key {
            /// Who sends.
            pub source: $addr,
            /// Whom to.
            pub destination: $addr,
            /// The sender's port.
            pub source_port: Be16,
            /// The receiver's port.
            pub destination_port: Be16,
            /// IANA number.
            pub protocol: u8,
            /// Zero.
            pub reserved: u8,
            /// Whose slots they are, where not all of the ends count: a client may belong to servers of several backends.
            /// Otherwise 0.
            pub ring: RingId,
        }

        /// A connection, in one of its two directions: what its packets are translated to. See [`ConnectionRow`].
        #[repr(C, align(8))]
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
        pub struct $connection {
            /// Row in `SERVERS`.
            pub server: ServerId,
            /// Row in `VIP_COUNTERS`.
            pub vip: VipId,
            /// When a packet was seen last, by [`seconds`].
            pub last: u32,
            /// The source that packets get.
            pub source: $addr,
            /// The destination that packets get.
            pub destination: $addr,
            /// The source port that packets get.
            pub source_port: Be16,
            /// The destination port that packets get.
            pub destination_port: Be16,
            /// [`CLOSING`], [`BACK`].
            pub marks: u8,
            /// Zero.
            pub reserved: [u8; 3],
        }

        /// What all fragments of a packet share.
        #[repr(C, align(8))]
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
        pub struct $fragment_key {
            /// Who sent it.
            pub source: $addr,
            /// Whom it is for.
            pub destination: $addr,
            /// The packet's identification, as it stands in memory.
            pub id: u32,
            /// IANA number.
            pub protocol: u8,
            /// Zero.
            pub reserved: [u8; 3],
        }

        /// Where the first fragment of a packet went. See [`FragmentRow`].
        #[repr(C, align(8))]
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
        pub struct $fragment {
            /// Row in `VIP_COUNTERS`.
            pub vip: VipId,
            /// Row in `SERVERS`.
            pub server: ServerId,
            /// A [`Forward`](crate::Forward); 0: back to the client.
            pub forward: u8,
            /// Zero.
            pub reserved: u8,
            /// `gue`: the UDP port that servers listen on.
            pub gue_port: Be16,
            /// The source that fragments get.
            pub source: $addr,
            /// The destination that fragments get.
            pub destination: $addr,
            /// When the first one was seen, by [`seconds`].
            pub last: u32,
            /// Zero.
            pub rest: u32,
        }
    };
}

flow_rows!(Be32, FlowKey4, Connection4, FragmentKey4, Fragment4);
flow_rows!(Be128, FlowKey6, Connection6, FragmentKey6, Fragment6);
map_type!(FlowKey4, size = 16, { source = 0, destination = 4, source_port = 8, destination_port = 10, protocol = 12, ring = 14 });
map_type!(FlowKey6, size = 40, { source = 0, destination = 16, source_port = 32, destination_port = 34, protocol = 36, ring = 38 });
map_type!(Connection4, size = 24, { server = 0, vip = 2, last = 4, source = 8, destination = 12, source_port = 16, destination_port = 18, marks = 20 });
map_type!(Connection6, size = 48, { server = 0, vip = 2, last = 4, source = 8, destination = 24, source_port = 40, destination_port = 42, marks = 44 });
map_type!(FragmentKey4, size = 16, { source = 0, destination = 4, id = 8, protocol = 12 });
map_type!(FragmentKey6, size = 40, { source = 0, destination = 16, id = 32, protocol = 36 });
map_type!(Fragment4, size = 24, { vip = 0, server = 2, forward = 4, gue_port = 6, source = 8, destination = 12, last = 16 });
map_type!(Fragment6, size = 48, { vip = 0, server = 2, forward = 4, gue_port = 6, source = 8, destination = 24, last = 40 });

/// A row of the table of connections, in either family. The way to the server and the way back have an entry each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionRow<A> {
    /// Row in `SERVERS`.
    pub server: ServerId,
    /// Row in `VIP_COUNTERS`.
    pub vip: VipId,
    /// When a packet was seen last, by [`seconds`].
    pub last: u32,
    /// The source that packets get.
    pub source: A,
    /// The destination that packets get.
    pub destination: A,
    /// The source port that packets get.
    pub source_port: Be16,
    /// The destination port that packets get.
    pub destination_port: Be16,
    /// [`CLOSING`], [`BACK`].
    pub marks: u8,
}

/// A row of the table of fragments, in either family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FragmentRow<A> {
    /// Row in `VIP_COUNTERS`.
    pub vip: VipId,
    /// Row in `SERVERS`.
    pub server: ServerId,
    /// A [`Forward`](crate::Forward); 0: back to the client.
    pub forward: u8,
    /// `gue`: the UDP port that servers listen on.
    pub gue_port: Be16,
    /// The source that fragments get.
    pub source: A,
    /// The destination that fragments get.
    pub destination: A,
    /// When the first one was seen, by [`seconds`].
    pub last: u32,
}

/// The value of `FLOWS4` and `FLOWS6`: a flow of a slot that changes, or changed, hands.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Flow {
    /// Row in `SERVERS`: where its packets go, while that server takes any.
    pub server: ServerId,
    /// Whose slot it is.
    pub ring: RingId,
    /// Which slot.
    pub slot: u16,
    /// [`CLOSING`].
    pub marks: u8,
    /// Zero.
    pub reserved: u8,
    /// When a packet was seen last, by [`seconds`].
    pub last: u32,
}
map_type!(Flow, size = 12, { server = 0, ring = 2, slot = 4, marks = 6, last = 8 });

/// Of a flow or connection: FIN or RST was seen, so that it may be forgotten soon.
pub const CLOSING: u8 = 1;
/// Of a connection: this is the way back, from the server.
pub const BACK: u8 = 2;

/// How far `last` may lag behind: written more often, the rows of busy flows would wander from cache to cache.
pub const REFRESH: u32 = 2;

/// How long the fragments of a packet may be under way, in units of [`seconds`]: 64 s, as long as hosts wait for them
/// (RFC 8200 §4.5). Identifications come again, and the server may be another one by then.
pub const FRAGMENTS_LIVE: u32 = 60;

/// How long nobody else gets the source port of a half-open connection, in units of [`seconds`]: 64 s. By then a host has sent
/// its SYN again for the last time but one (RFC 6298 §2.1, `tcp_syn_retries`).
pub const HALF_OPEN_LIVES: u32 = 60;

/// The coarse monotonic clock as `last` has it: in units of 2^30 ns, 1.07 s, so that no division is needed.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "146 years fit")]
pub const fn seconds(nanoseconds: u64) -> u32 {
    (nanoseconds >> 30) as u32
}
