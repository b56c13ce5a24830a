//! Return path of `nat`: which VIP a server's reply belongs to. Stateless: one entry a server, none a flow.

use crate::{Be16, Be32, Be128, ServerId, VipId, layout::map_type};
use bytemuck::{Pod, Zeroable};

macro_rules! return_row {
    ($addr:ident, $return:ident) => {
        /// What the client must see as the source of a reply instead of the server.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
        pub struct $return {
            /// The VIP's address.
            pub vip_addr: $addr,
            /// The VIP's port; 0 keeps the port of the packet.
            pub vip_port: Be16,
            /// Row in `VIP_COUNTERS`; 0: the table of connections knows (`track = "full"`), and nothing else here counts.
            pub vip: VipId,
            /// Row in `SERVER_COUNTERS`.
            pub server: ServerId,
            /// Largest TCP segment that connections may agree on, in bytes; 0: as it is.
            pub mss: u16,
        }
    };
}

return_row!(Be32, Return4);
return_row!(Be128, Return6);
map_type!(Return4, size = 12, { vip_addr = 0, vip_port = 4, vip = 6, server = 8, mss = 10 });
map_type!(Return6, size = 24, { vip_addr = 0, vip_port = 16, vip = 18, server = 20, mss = 22 });

/// A row of returns, in either family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReturnRow<A> {
    /// The VIP's address.
    pub vip_addr: A,
    /// The VIP's port; 0 keeps the port of the packet.
    pub vip_port: Be16,
    /// Row in `VIP_COUNTERS`; 0: the table of connections knows.
    pub vip: VipId,
    /// Row in `SERVER_COUNTERS`.
    pub server: ServerId,
    /// Largest TCP segment in bytes; 0: as it is.
    pub mss: u16,
}
