//! The supervisor makes the map of a new ring, because a process without capabilities cannot.

use super::{
    pins::{Pins, PinsError},
    raw::Raw,
    shape::{MapUnusable, descriptor, io_error, typed},
};
use aya::maps::{Array, ArrayOfMaps, MapData, MapError};
use lb_common::{RingId, SLOTS, Slot, maps::RINGS, slots::HALVES};
use std::{io, os::fd::OwnedFd};

/// Both halves of a ring: one element each, so that a half is written at once.
pub(super) type Halves = Array<MapData, Raw<[Slot; SLOTS]>>;

/// The map of maps `RINGS`, and the pins of what is in it.
pub struct RingMaps {
    outer: ArrayOfMaps<MapData, Halves>,
    pins: Pins,
}

/// A ring's map that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// What is pinned cannot be used.
    #[error(transparent)]
    Unusable(#[from] MapUnusable),
    /// The pins cannot be read.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// The kernel refused.
    #[error("cannot make the map of ring {0}")]
    Make(RingId, #[source] io::Error),
}

impl RingMaps {
    /// Opens the maps that [`load`](super::load::load) pinned.
    pub fn open(pins: &Pins) -> Result<Self, RingError> {
        Ok(Self { outer: typed(RINGS, pins.open(RINGS)?)?, pins: pins.clone() })
    }

    /// The map of `ring`: made now, or the one that is there. A ring keeps its map when it is freed; the next backend
    /// that gets the number uses it again.
    pub fn create(&mut self, ring: RingId) -> Result<OwnedFd, RingError> {
        let path = self.pins.ring(ring);
        if !path.exists() {
            let refused = |error| RingError::Make(ring, io_error(error));
            let halves = Halves::create(HALVES, 0).map_err(refused)?;
            // First the row, then the pin: what has a pin is in its row, and what has none is made again.
            self.outer.set(u32::from(ring), &halves, 0).map_err(refused)?;
            halves.pin(path).map_err(|error| refused(MapError::PinError { name: None, error }))?;
        }
        self.existing(ring)
    }

    /// The maps of all rings that were ever made.
    pub fn all(&self) -> Result<Vec<(RingId, OwnedFd)>, RingError> {
        self.pins.ringed()?.into_iter().map(|ring| Ok((ring, self.existing(ring)?))).collect()
    }

    fn existing(&self, ring: RingId) -> Result<OwnedFd, RingError> {
        Ok(descriptor(RINGS, &self.pins.open_ring(ring)?)?)
    }
}
