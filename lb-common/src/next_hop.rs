//! Next hop: how a frame reaches the machine that takes it next. Written by the supervisor only, from netlink.

use crate::{Be32, Mac, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// The value of `NEXT_HOPS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct NextHop {
    /// Ethernet address of the next machine.
    pub destination: Mac,
    /// Ethernet address of the interface it is reached through.
    pub source: Mac,
    /// That interface; equal to the one of arrival: `XDP_TX`, else a redirect.
    pub ifindex: u32,
    /// 1 when the Ethernet addresses are known, 0 when packets must be dropped.
    pub resolved: u32,
}
map_type!(NextHop, size = 20, { destination = 0, source = 6, ifindex = 12, resolved = 16 });

/// The key of `ROUTES4`, a longest-prefix trie: where replies to clients go. The value is a row in `NEXT_HOPS`, or 0 for
/// an address on a link of ours whose neighbour is not known.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Pod, Zeroable)]
pub struct Route4Key {
    /// Bits of `addr` that count: 0 to 32. Host byte order, as the kernel's trie wants it.
    pub prefix_len: u32,
    /// Network address.
    pub addr: Be32,
}
map_type!(Route4Key, size = 8, { prefix_len = 0, addr = 4 });
