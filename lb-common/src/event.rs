//! Event: what the packet path tells the supervisor, in the ring buffer `EVENTS`.

use crate::{Be32, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// A packet stopped because nobody knows the Ethernet address of the machine that it must go to next.
///
/// Whoever may send packets decides what stands in here: the supervisor asks only for addresses on links of ours.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Unresolved {
    /// Where the packet was to go: the client of a reply, or the server.
    pub address: Be32,
}
map_type!(Unresolved, size = 4, { address = 0 });
