//! Server: one machine of a backend, as the kernel sees it.

use crate::{Be16, Be128, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// Row in `SERVERS`. 0 means "none". 14 bits, so that a slot has room for marks.
pub type ServerId = u16;

/// The value of `SERVERS`. Also the daemon's memory across a restart: who the server is and what was known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct ServerEntry {
    /// Identity: hash of backend, name and address; 0 in a free row.
    pub identity: u64,
    /// Where packets for this server go; an IPv4 address is mapped.
    pub addr: Be128,
    /// The server's port; 0 keeps the port of the packet.
    pub port: Be16,
    /// Row in `NEXT_HOPS`.
    pub next_hop: u16,
    /// A [`ServerState`]: the one byte that the packet path reads. Written at once when a verdict falls.
    pub state: u8,
    /// Administrative state, for the daemon's memory only: 0 ready, 1 drain, 2 maint; others, and bits, are the daemon's.
    pub admin: u8,
    /// Health, for the daemon's memory only: 0 not yet known, 1 up, 2 down; others are the daemon's.
    pub health: u8,
    /// 4 or 6: the family of `addr`.
    pub family: u8,
}
map_type!(ServerEntry, size = 32, {
    identity = 0, addr = 8, port = 24, next_hop = 26, state = 28, admin = 29, health = 30, family = 31
});

/// What the packet path may do with a server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
pub enum ServerState {
    /// No server has this row.
    #[default]
    Free = 0,
    /// Takes new flows.
    Up = 1,
    /// Keeps the flows it has; new ones go elsewhere as soon as the ring says so.
    Drain = 2,
    /// Takes nothing, but for connections that stay with it ([`KEEPS`](crate::vip::flags::KEEPS)).
    Down = 3,
}

impl ServerState {
    /// From the byte in a [`ServerEntry`]; anything unknown is [`Down`](Self::Down).
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Free,
            1 => Self::Up,
            2 => Self::Drain,
            _ => Self::Down,
        }
    }

    /// Whether packets may still be sent there.
    #[inline(always)]
    pub const fn forwards(self) -> bool {
        matches!(self, Self::Up | Self::Drain)
    }
}
