//! Carries over what maps of another schema hold, so that no flow loses its server when the program that uses them is replaced:
//! the planner's tables, whose rows flows name, and the flows themselves.
//!
//! That takes the same layout of all these maps; the others (next hops, routes, counters, fragments) are filled anew, or begin
//! empty. Of an LRU table that is full, entries may be lost, as they may at any time.

use super::{
    batch,
    flows::{FamilyTables, FlowTables},
    maps::KernelMaps,
    pins::Pins,
    rings::{RingError, RingMaps},
    shape::MapUnusable,
    writer::{MapWriter, WriteError},
};
use crate::plan::{self, Tables};
use bytemuck::Pod;
use lb_common::{Family, Flow, V4, V6};
use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

/// Maps of another schema, and ours.
#[derive(Debug)]
pub struct Carry {
    from: Pins,
    to: Pins,
    flows: [FlowTables; 2],
}

/// Why something cannot be carried over.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// A map looks otherwise in the other schema.
    #[error(transparent)]
    Layout(#[from] MapUnusable),
    /// A ring cannot be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The planner's tables cannot be read or written.
    #[error(transparent)]
    Tables(#[from] WriteError),
    /// Flows cannot be read or written.
    #[error("cannot copy flows")]
    Flows(#[source] io::Error),
}

impl Carry {
    /// Opens the maps below `directory`, if all that must be carried over looks as ours does, and ours, which must be pinned.
    pub fn open(pins: &Pins, directory: &Path) -> Result<Self, CarryError> {
        let from = pins.with_maps(directory);
        KernelMaps::open(&from)?;
        let flows = [FlowTables::open(&from)?, FlowTables::open(pins)?];
        Ok(Self { from, to: pins.clone(), flows })
    }

    /// Copies the planner's tables; to be done once nobody else writes them, and before the program is attached.
    pub fn tables(&self, rings: &mut RingMaps) -> Result<(), CarryError> {
        let tables = KernelMaps::open(&self.from)?.read()?;
        for ring in tables.rings.keys() {
            rings.create(*ring)?;
        }
        Ok(KernelMaps::open(&self.to)?.apply(&plan::diff(&Tables::default(), &tables))?)
    }

    /// Copies the flows that are not here yet: once before the program is replaced, and once after it. How many there were.
    pub fn flows(&self) -> Result<usize, CarryError> {
        let [from, to] = &self.flows;
        let four = copy_family::<V4>(&from.v4, &to.v4);
        let six = || copy_family::<V6>(&from.v6, &to.v6);
        four.and_then(|four| Ok(four + six()?)).map_err(CarryError::Flows)
    }
}

fn copy_family<F: Family>(from: &FamilyTables, to: &FamilyTables) -> io::Result<usize> {
    let flows = copy::<F::FlowKey, Flow>(from.flows.as_fd(), to.flows.as_fd())?;
    let connections = copy::<F::FlowKey, F::Connection>(from.connections.as_fd(), to.connections.as_fd())?;
    let half_open = copy::<F::FlowKey, F::Connection>(from.half_open.as_fd(), to.half_open.as_fd())?;
    Ok(flows + connections + half_open)
}

/// Copies the entries that are not there yet: what the packet path has written since is newer.
fn copy<K: Ord + Pod, V: Pod>(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<usize> {
    let (mut known, mut entries) = (BTreeSet::new(), Vec::new());
    batch::each(to, |key: K, _: V| known.extend([key]))?;
    batch::each(from, |key: K, value: V| {
        if !known.contains(&key) {
            entries.push((key, value));
        }
    })?;
    batch::insert(to, &entries)?;
    Ok(entries.len())
}
