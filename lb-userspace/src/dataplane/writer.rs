//! The seam between the planner and the kernel.

use crate::plan::{Tables, Write};
use lb_common::{RingId, ServerId, VipId};
use std::{io, os::fd::OwnedFd};

/// Carries out the planner's writes, in order.
pub trait MapWriter {
    /// What the maps hold now, read back: after a restart this is what the last daemon left.
    fn read(&mut self) -> Result<Tables, WriteError>;

    /// Applies `writes` one after the other and stops at the first that fails; those before it hold.
    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError>;

    /// How often the packet path could not take a flow into the flow table, ever.
    fn refused(&self) -> Result<u64, WriteError>;

    /// Whether the map of `ring` is there, so that the ring can be written.
    fn has_ring(&self, ring: RingId) -> bool;

    /// Takes the map of a ring that was made for us.
    fn add_ring(&mut self, ring: RingId, map: OwnedFd) -> Result<(), WriteError>;
}

impl WriteError {
    /// It and what caused it, in one line.
    pub fn chain(&self) -> String {
        let cause = std::error::Error::source(self).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{self}{cause}")
    }
}

/// A write that the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A row of `SERVERS`.
    #[error("cannot write server {0}")]
    Server(ServerId, #[source] io::Error),
    /// A ring or its head.
    #[error("cannot write ring {0}")]
    Ring(RingId, #[source] io::Error),
    /// The supervisor has not yet made the map of a new ring.
    #[error("ring {0} does not exist")]
    NoRing(RingId),
    /// The counters of a VIP.
    #[error("cannot zero the counters of VIP {0}")]
    VipCounters(VipId, #[source] io::Error),
    /// A row of `SOURCES`.
    #[error("cannot write source address {0}")]
    Source(u16, #[source] io::Error),
    /// What was gathered for a lookup table.
    #[error("cannot write map {0}")]
    Table(&'static str, #[source] io::Error),
    /// A map cannot be read.
    #[error("cannot read map {0}")]
    Read(&'static str, #[source] io::Error),
}
