//! Rows of the program `reference`: what a layer-4 balancer costs that looks up what Katran looks up.

use bytemuck::{Pod, Zeroable};

/// The entry point.
pub const PROGRAM: &str = "reference";

/// HASH [`VipKey`] → [`Vip`].
pub const VIPS: &str = "REF_VIPS";
/// ARRAY_OF_MAPS CPU → LRU_HASH [`FlowKey`] → [`Flow`].
pub const FLOWS: &str = "REF_FLOWS";
/// One of these LRU_HASHes, for a loader to size and to put into [`FLOWS`].
pub const CPU_FLOWS: &str = "REF_CPU_FLOWS";
/// ARRAY VIP number × [`SLOTS`] + slot → `u32` server.
pub const SLOTS_OF_ALL: &str = "REF_SLOTS";
/// ARRAY → [`Server`]. Row 0 stands for none.
pub const SERVERS: &str = "REF_SERVERS";
/// ARRAY of one [`Gateway`].
pub const GATEWAY: &str = "REF_GATEWAY";
/// PERCPU_ARRAY → [`Count`]: first the VIPs, then [`Row`]s.
pub const COUNTS: &str = "REF_COUNTS";
/// PERCPU_ARRAY server → [`Count`].
pub const SERVER_COUNTS: &str = "REF_SERVER_COUNTS";

/// Slots of a VIP: Katran's default ring.
pub const SLOTS: u32 = 65_537;
/// VIPs that there is room for: Katran's default.
pub const MAX_VIPS: u32 = 512;
/// Servers that there is room for: Katran's default.
pub const MAX_SERVERS: u32 = 4_096;
/// CPUs that may have a table of flows.
pub const MAX_CPUS: u32 = 128;
/// New flows a second and CPU above which none is remembered: Katran's guard against floods.
pub const MOST_NEW: u64 = 125_000;

/// Where packets are for. An IPv4 address takes the first four bytes, the others are zero; so in all rows here, because
/// keys of one size for both families are a part of what is measured.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct VipKey {
    /// The address.
    pub address: [u32; 4],
    /// The port.
    pub port: u16,
    /// IANA number.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// What is known of a VIP.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Vip {
    /// None is used.
    pub flags: u32,
    /// Which slots are its own.
    pub number: u32,
}

/// The packets of one connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct FlowKey {
    /// The client.
    pub source: [u32; 4],
    /// The VIP.
    pub destination: [u32; 4],
    /// Both ports, the client's first.
    pub ports: [u16; 2],
    /// IANA number.
    pub protocol: u32,
}

/// Where a flow goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Flow {
    /// Row in [`SERVERS`].
    pub server: u32,
    /// Zero.
    pub reserved: u32,
    /// When it was used last; 0 with TCP.
    pub used: u64,
}

/// A server, as the outer header names it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Server {
    /// Its address, of the family of the packets that it gets.
    pub address: [u32; 4],
    /// None is used.
    pub flags: u32,
}

/// The machine that every packet is sent to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Gateway {
    /// Its Ethernet address, and two bytes of zero.
    pub address: [u32; 2],
}

/// Two numbers that are counted together, such as packets and bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Count {
    /// The first.
    pub first: u64,
    /// The second.
    pub second: u64,
}

/// Rows of [`COUNTS`] behind those of the VIPs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Row {
    /// Packets to VIPs; those whose flow was not known.
    Packets = MAX_VIPS,
    /// Packets whose flow was not known: those that open one; the others.
    Unknown = MAX_VIPS + 1,
    /// New flows in this second; when it began.
    New = MAX_VIPS + 2,
    /// Packets seen; none.
    Seen = MAX_VIPS + 3,
    /// Packets sent; none.
    Sent = MAX_VIPS + 4,
}

/// Rows of [`COUNTS`].
pub const COUNT_ROWS: u32 = MAX_VIPS + 5;
