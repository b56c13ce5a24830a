//! Rows of the program `rearm`, which makes a packet anew before each run of a program that is timed.

use bytemuck::{Pod, Zeroable};

/// The entry point for programs that take frames of several pages.
pub const PROGRAM: &str = "rearm";
/// The entry point for the others: the kernel jumps between programs of one kind only.
pub const PROGRAM_PLAIN: &str = "rearm_plain";

/// ARRAY of one [`Plan`].
pub const PLAN: &str = "PLAN";
/// PROG_ARRAY of one program, which [`PROGRAM`] jumps to.
pub const TARGET: &str = "TARGET";
/// The same for [`PROGRAM_PLAIN`].
pub const TARGET_PLAIN: &str = "TARGET_PLAIN";

/// Bytes of a frame that are written anew: the headers of TCP over IPv6, and a little of what follows.
pub const TEMPLATE: usize = 80;

/// What is written into the packet, and how one run differs from the next.
///
/// Flow `n` has the port `n & 0xffff`, and `n >> 16` is added to the address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Pod, Zeroable)]
pub struct Plan {
    /// The first bytes of the frame, in words as they lie in memory.
    pub template: [u64; TEMPLATE / 8],
    /// Bytes of the whole frame.
    pub length: u32,
    /// A [`Varies`].
    pub varies: u32,
    /// The last 32 bits of the address that varies, for flows below 2^16.
    pub address: u32,
    /// The first flow.
    pub first: u32,
    /// The flow after the last one; then it begins again with the first.
    pub end: u32,
    /// The flow of the next run.
    pub next: u32,
    /// Where the frame ends, as a distance from the program's context; 0 before the first run.
    pub frame_end: u64,
    /// Runs in which the packet could not be made anew.
    pub failed: u64,
}

/// What differs between two flows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Varies {
    /// Address and port of the sender of an IPv4 packet without options.
    Source4 = 0,
    /// Those of its receiver.
    Destination4 = 1,
    /// Address and port of the sender of an IPv6 packet without extension headers.
    Source6 = 2,
    /// Those of its receiver.
    Destination6 = 3,
}

impl Varies {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Source4, Self::Destination4, Self::Source6, Self::Destination6];

    /// Where the last four bytes of the address lie in a frame, and where the port lies.
    #[inline(always)]
    pub const fn places(self) -> (usize, usize) {
        match self {
            Self::Source4 => (26, 34),
            Self::Destination4 => (30, 36),
            Self::Source6 => (34, 54),
            Self::Destination6 => (50, 56),
        }
    }
}
