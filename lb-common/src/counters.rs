//! Counters: one row a CPU, summed when read.

use crate::layout::map_type;
use bytemuck::{Pod, Zeroable};
use core::ops::AddAssign;

/// The value of `VIP_COUNTERS` and `SERVER_COUNTERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Counters {
    /// Packets forwarded to servers.
    pub packets: u64,
    /// Bytes of those packets as they arrived, from the Ethernet header on.
    pub bytes: u64,
    /// TCP connections opened: packets with SYN and without ACK. A repeated SYN counts again.
    pub connections: u64,
    /// Packets on their way back to clients (`nat` only).
    pub return_packets: u64,
    /// Bytes of those.
    pub return_bytes: u64,
    /// SYNs that a server answered by a SYN with ACK (`nat` and `fullnat` only). A repeated answer counts again.
    pub accepted: u64,
    /// SYNs that a server answered by a reset (`nat` and `fullnat` only).
    pub resets: u64,
}
map_type!(Counters, size = 56, {
    packets = 0, bytes = 8, connections = 16, return_packets = 24, return_bytes = 32, accepted = 40, resets = 48
});

impl Counters {
    /// Counts a packet to a server, and the connection if it opened one.
    #[inline(always)]
    pub const fn forwarded(&mut self, bytes: u64, opened: u64) {
        self.packets += 1;
        self.bytes += bytes;
        self.connections += opened;
    }

    /// Counts a packet to a client.
    #[inline(always)]
    pub const fn returned(&mut self, bytes: u64) {
        self.return_packets += 1;
        self.return_bytes += bytes;
    }

    /// Counts what a packet to a client answers to its SYN. Few packets do: the rest touches no more of the row than it must.
    #[inline(always)]
    pub const fn answered(&mut self, accepts: bool) {
        if accepts {
            self.accepted += 1;
        } else {
            self.resets += 1;
        }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        let Self { packets, bytes, connections, return_packets, return_bytes, accepted, resets } = other;
        self.packets += packets;
        self.bytes += bytes;
        self.connections += connections;
        self.return_packets += return_packets;
        self.return_bytes += return_bytes;
        self.accepted += accepted;
        self.resets += resets;
    }
}
