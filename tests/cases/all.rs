//! Golden rows: a packet, the tables, and what must come out. `tests/packets` runs them on the host, `tests/kernel` runs
//! the same rows through the kernel object and expects the same, byte for byte.

pub(crate) mod world;

mod direct;
mod drop;
mod nat;
mod pass;
mod ring;

use lb_common::Stop;
use lb_ebpf::testing::MemoryTables;

/// One row.
pub(crate) struct Case {
    /// What it promises.
    pub(crate) name: &'static str,
    /// What is known.
    pub(crate) tables: MemoryTables,
    /// The interface of arrival.
    pub(crate) ingress: u32,
    /// The frame as it arrives.
    pub(crate) input: Vec<u8>,
    /// What must become of it.
    pub(crate) expect: Expect,
}

/// What becomes of a frame.
pub(crate) enum Expect {
    /// It leaves through the interface of arrival.
    Transmit(Vec<u8>),
    /// It leaves through another one.
    Redirect(Vec<u8>),
    /// It is passed on or dropped, as it came.
    Stop(Stop),
}

/// Every row.
pub(crate) fn all() -> Vec<Case> {
    [nat::cases(), direct::cases(), pass::cases(), drop::cases(), ring::cases()].into_iter().flatten().collect()
}
