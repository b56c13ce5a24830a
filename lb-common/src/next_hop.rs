//! Next hop: how a frame reaches the machine that takes it next. Written by the supervisor only, from netlink.

use crate::{Be16, Be32, Be128, Mac, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// The value of `NEXT_HOPS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct NextHop {
    /// Ethernet address of the next machine.
    pub destination: Mac,
    /// Ethernet address of the interface it is reached through.
    pub source: Mac,
    /// That interface, the one below if it is a VLAN; equal to the one of arrival: `XDP_TX`, else a redirect.
    pub ifindex: u32,
    /// 1 when the Ethernet addresses are known, 0 when packets must be dropped.
    pub resolved: u8,
    /// VLAN tags that frames get: 0 to 2.
    pub tags: u8,
    /// Largest IP packet in bytes that goes that way; 0: not known, all do.
    pub mtu: u16,
    /// The tags, the outer one first; those beyond `tags` are zero.
    pub tag: [Tag; 2],
    /// Source of tunnels over IPv4; 0: there is none, and such packets are dropped.
    pub source4: Be32,
    /// Source of tunnels over IPv6; 0: there is none.
    pub source6: Be128,
}
map_type!(NextHop, size = 48, {
    destination = 0, source = 6, ifindex = 12, resolved = 16, tags = 17, mtu = 18, tag = 20, source4 = 28, source6 = 32
});

impl NextHop {
    /// Both Ethernet addresses as they stand in a frame, in words: bytes would be copied one by one.
    #[inline(always)]
    pub fn addresses(&self) -> [u32; 3] {
        let [a, b, c, ..]: &[u32; 12] = bytemuck::must_cast_ref(self);
        [*a, *b, *c]
    }
}

/// A VLAN tag as it stands in a frame (IEEE 802.1Q §9).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Tag {
    /// 0x8100, or 0x88a8 for the outer one of two.
    pub protocol: Be16,
    /// Priority, and the VLAN in the lower 12 bits.
    pub control: Be16,
}
map_type!(Tag, size = 4, { protocol = 0, control = 2 });

macro_rules! route_key {
    ($addr:ident, $key:ident, $bits:literal) => {
        #[doc = concat!("The key of a longest-prefix trie of up to ", $bits, " bits: where replies to clients go.")]
        ///
        /// The value is a row in `NEXT_HOPS`, or 0 for an address on a link of ours whose neighbour is not known.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
        pub struct $key {
            /// Bits of `addr` that count. Host byte order, as the kernel's trie wants it.
            pub prefix_len: u32,
            /// Network address.
            pub addr: $addr,
        }
    };
}

route_key!(Be32, Route4Key, "32");
route_key!(Be128, Route6Key, "128");
map_type!(Route4Key, size = 8, { prefix_len = 0, addr = 4 });
map_type!(Route6Key, size = 20, { prefix_len = 0, addr = 4 });
