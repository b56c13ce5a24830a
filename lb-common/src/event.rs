//! Event: what the packet path tells the supervisor, in the ring buffer `EVENTS`.

use crate::{Be128, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// A packet stopped because nobody knows the Ethernet address of the machine that it must go to next.
///
/// Whoever may send packets decides what stands in here: the supervisor asks only for addresses on links of ours.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Unresolved {
    /// Where the packet was to go: the client of a reply, or the server; an IPv4 address is mapped.
    pub address: Be128,
}
map_type!(Unresolved, size = 16, { address = 0 });
