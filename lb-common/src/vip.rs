//! VIP: the (address, port, protocol) of an `l4` frontend, as the kernel looks it up.

use crate::{Be16, Be32, Be128, RingId, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// Names the row of a VIP's counters. 0 is never given out.
pub type VipId = u16;

macro_rules! endpoint {
    ($addr:ident, $endpoint:ident, $rest:literal) => {
        /// Address, port and protocol: the destination of a packet to a VIP, the source of a server's reply.
        ///
        /// Among the VIPs, beside the entry of each, there is one *address entry* a VIP address, with port 0 and protocol
        /// 0. It tells "this address is a VIP, but nothing listens at that port" from "not ours". A VIP of all ports has
        /// port 0. Among the returns port 0 stands for all ports of a server.
        #[repr(C, align(8))]
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
        pub struct $endpoint {
            /// The address.
            pub addr: $addr,
            /// 0 in an address entry, and for all ports.
            pub port: Be16,
            /// IANA number; 0 in an address entry.
            pub protocol: u8,
            /// 1, so that no key is all zero, as free places of a [lookup table](crate::lookup) are.
            pub taken: u8,
            /// Zero.
            pub reserved: [u8; $rest],
        }
    };
}

endpoint!(Be32, Endpoint4, 0);
endpoint!(Be128, Endpoint6, 4);
map_type!(Endpoint4, size = 8, { addr = 0, port = 4, protocol = 6, taken = 7 });
map_type!(Endpoint6, size = 24, { addr = 0, port = 16, protocol = 18, taken = 19 });

/// What to do with packets to a VIP: the value of `VIPS4` and `VIPS6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Vip {
    /// Row in `VIP_COUNTERS`; 0 in an address entry.
    pub id: VipId,
    /// Row in `RING_HEADS` and `RINGS`: the ring of the backend that serves this VIP.
    pub ring: RingId,
    /// A [`Forward`]; 0 in an address entry.
    pub forward: u8,
    /// Zero.
    pub reserved: u8,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Largest TCP segment that connections may agree on, in bytes; 0: as it is. What a tunnel takes is subtracted anyway.
    pub mss: u16,
    /// `gue`: the UDP port that servers listen on.
    pub gue_port: Be16,
    /// `fullnat`: the first row in `SOURCES`.
    pub sources_first: u16,
    /// `fullnat`: how many rows.
    pub sources_count: u16,
}
map_type!(Vip, size = 16, { id = 0, ring = 2, forward = 4, flags = 6, mss = 8, gue_port = 10, sources_first = 12, sources_count = 14 });

impl Vip {
    /// Whether all these flags are set.
    #[inline(always)]
    pub const fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// Whether one of these flags is set.
    #[inline(always)]
    pub const fn has_any(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// Switches of a VIP or of an address entry, off by default.
pub mod flags {
    /// VIP: `affinity = "source"`, the client's address alone decides.
    pub const AFFINITY: u16 = 1;
    /// VIP: `track = "full"`, every flow is in the table of connections.
    pub const TRACK_FULL: u16 = 1 << 1;
    /// VIP: later fragments follow the first one.
    pub const FRAGMENTS_TRACK: u16 = 1 << 2;
    /// VIP: all packets go by their addresses and protocol, so fragments need no ports.
    pub const FRAGMENTS_HASH: u16 = 1 << 3;
    /// VIP with port 0: not for all ports, but for later fragments alone.
    pub const FRAGMENTS_ONLY: u16 = 1 << 4;
    /// Address entry: echo requests (ping) are answered here.
    pub const PING: u16 = 1 << 5;
    /// Address entry: echo requests are dropped, because the VIP is down.
    pub const PING_DROP: u16 = 1 << 6;
    /// Address entry: there are VIPs with port 0.
    pub const ANY_PORT: u16 = 1 << 7;
    /// Address entry: servers answer to this address of a `fullnat` pool.
    pub const POOL: u16 = 1 << 8;
    /// VIP: it has been withdrawn, what opens a TCP connection is dropped.
    pub const WITHDRAWN: u16 = 1 << 9;
    /// VIP: `on_empty = "reset"`, what no server of the backend takes is refused.
    pub const REFUSES: u16 = 1 << 10;
    /// VIP: `on_marked_down = "keep"`, connections of TCP stay with a server that is down.
    pub const KEEPS: u16 = 1 << 11;
    /// VIP: `on_marked_down = "shutdown-sessions"`, connections of TCP to a server that is down are reset.
    pub const RESETS: u16 = 1 << 12;
    /// VIP: `daemon_down = "withdraw"`, what opens a TCP connection is dropped while the daemon is [dead](crate::Heartbeat).
    pub const NEEDS_DAEMON: u16 = 1 << 13;
}

/// How a packet reaches the server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Forward {
    /// L2 direct server return: only the Ethernet addresses change; the server owns the VIP on its loopback and answers
    /// the client itself.
    Direct = 1,
    /// Destination NAT with port mapping; the reply passes the balancer again and gets the VIP back as its source.
    Nat = 2,
    /// IP in IP (RFC 2003, RFC 2473): the server takes the packet out of the tunnel, owns the VIP and answers the client
    /// itself.
    Ipip = 3,
    /// As [`Ipip`](Self::Ipip), but in UDP (generic UDP encapsulation, variant 1), whose source port spreads flows over the
    /// server's queues.
    Gue = 4,
    /// Source and destination NAT: servers answer to an address of the balancer's, and need no route back.
    FullNat = 5,
}

impl Forward {
    /// From the byte in a [`Vip`].
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Direct),
            2 => Some(Self::Nat),
            3 => Some(Self::Ipip),
            4 => Some(Self::Gue),
            5 => Some(Self::FullNat),
            _ => None,
        }
    }

    /// As typed in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nat => "nat",
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::FullNat => "fullnat",
        }
    }

    /// Whether the packet is put into another one.
    #[inline(always)]
    pub const fn is_tunnel(self) -> bool {
        matches!(self, Self::Ipip | Self::Gue)
    }

    /// Whether the server's reply must pass the balancer, which translates it.
    #[inline(always)]
    pub const fn translates(self) -> bool {
        matches!(self, Self::Nat | Self::FullNat)
    }
}
