//! Return path of `nat`: which VIP a server's reply belongs to. Stateless: one entry a server, none a flow.

use crate::{Be16, Be32, ServerId, VipId, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// The source of a reply: the key of `RETURNS4`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
pub struct Return4Key {
    /// The server.
    pub addr: Be32,
    /// The server's port.
    pub port: Be16,
    /// IANA number.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}
map_type!(Return4Key, size = 8, { addr = 0, port = 4, protocol = 6 });

/// What the client must see as the source instead: the value of `RETURNS4`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Return4 {
    /// The VIP's address.
    pub vip_addr: Be32,
    /// The VIP's port.
    pub vip_port: Be16,
    /// Row in `VIP_COUNTERS`.
    pub vip: VipId,
    /// Row in `SERVER_COUNTERS`.
    pub server: ServerId,
    /// Zero.
    pub reserved: u16,
}
map_type!(Return4, size = 12, { vip_addr = 0, vip_port = 4, vip = 6, server = 8 });
