//! VIP: the (address, port, protocol) of an `l4` frontend, as the kernel looks it up.

use crate::{Be16, Be32, Protocol, RingId, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// Names the row of a VIP's counters. 0 is never given out.
pub type VipId = u16;

/// The destination of a packet: the key of `VIPS4`.
///
/// Beside the entry of each VIP there is one *address entry* a VIP address, with port 0 and protocol 0. It tells "this
/// address is a VIP, but nothing listens at that port" from "not ours".
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
pub struct Vip4Key {
    /// The VIP.
    pub addr: Be32,
    /// 0 in an address entry.
    pub port: Be16,
    /// IANA number; 0 in an address entry.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}
map_type!(Vip4Key, size = 8, { addr = 0, port = 4, protocol = 6 });

impl Vip4Key {
    /// The key of a VIP.
    #[inline(always)]
    pub const fn new(addr: Be32, port: Be16, protocol: Protocol) -> Self {
        Self { addr, port, protocol: protocol.number(), reserved: 0 }
    }

    /// The key of the address entry of `addr`.
    #[inline(always)]
    pub const fn address_entry(addr: Be32) -> Self {
        Self { addr, port: Be16::new(0), protocol: 0, reserved: 0 }
    }

    /// Whether this is an address entry.
    pub const fn is_address_entry(&self) -> bool {
        self.protocol == 0
    }
}

/// What to do with packets to a VIP: the value of `VIPS4`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Vip {
    /// Row in `VIP_COUNTERS`; 0 in an address entry.
    pub id: VipId,
    /// Row in `RING_HEADS` and `RINGS`: the ring of the backend that serves this VIP.
    pub ring: RingId,
    /// A [`Forward`].
    pub forward: u8,
    /// Zero.
    pub reserved: [u8; 3],
}
map_type!(Vip, size = 8, { id = 0, ring = 2, forward = 4 });

/// How a packet reaches the server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Forward {
    /// L2 direct server return: only the Ethernet addresses change; the server owns the VIP on its loopback and answers
    /// the client itself.
    Direct = 1,
    /// Destination NAT with port mapping; the reply passes the balancer again and gets the VIP back as its source.
    Nat = 2,
}

impl Forward {
    /// From the byte in a [`Vip`].
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Direct),
            2 => Some(Self::Nat),
            _ => None,
        }
    }
}
