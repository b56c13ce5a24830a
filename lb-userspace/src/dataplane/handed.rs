//! The descriptors that the supervisor hands to the worker: no program, no link, nothing that the supervisor writes.

use super::{
    pins::Pins,
    rings::{RingError, RingMaps},
    shape::{MapUnusable, Shape, checked, descriptor, unusable},
};
use aya::maps::MapData;
use lb_common::{
    RingId,
    maps::{
        CONNECTIONS4, CONNECTIONS6, FLOWS4, FLOWS6, HALF_OPEN4, HALF_OPEN6, HEARTBEAT, LIVE_HALVES, NOTE_COUNTERS,
        RETURNS4, RETURNS6, RING_HEADS, SERVER_COUNTERS, SERVERS, SOURCES, STOP_COUNTERS, VIP_COUNTERS, VIPS4, VIPS6,
    },
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// What the worker writes: the planner's maps and the heartbeat. What it reads and expires: flows. What it reads: counters.
const NAMES: [&str; 19] = [
    LIVE_HALVES,
    VIPS4,
    VIPS6,
    RING_HEADS,
    SERVERS,
    RETURNS4,
    RETURNS6,
    SOURCES,
    HEARTBEAT,
    FLOWS4,
    FLOWS6,
    CONNECTIONS4,
    CONNECTIONS6,
    HALF_OPEN4,
    HALF_OPEN6,
    VIP_COUNTERS,
    SERVER_COUNTERS,
    STOP_COUNTERS,
    NOTE_COUNTERS,
];

/// Where maps can be had by name: the pins, or descriptors that were handed over.
pub trait MapSource {
    /// The map of that name, if it looks as it must.
    fn open(&self, name: &str) -> Result<MapData, MapUnusable>;
    /// The inner maps of `RINGS` that are there.
    fn open_rings(&self) -> Result<Vec<(RingId, MapData)>, RingError>;
}

/// The maps of a worker.
#[derive(Debug)]
pub struct WorkerMaps {
    maps: BTreeMap<String, OwnedFd>,
    rings: Vec<(RingId, OwnedFd)>,
}

impl WorkerMaps {
    /// The supervisor opens the maps that [`load`](super::load::load) pinned, to hand them over.
    pub fn open(pins: &Pins, rings: &RingMaps) -> Result<Self, RingError> {
        let open = |name: &str| Ok((name.to_owned(), descriptor(name, &pins.open(name)?)?));
        let maps = NAMES.into_iter().map(open).collect::<Result<_, MapUnusable>>()?;
        Ok(Self { maps, rings: rings.all()? })
    }

    /// All but the rings, as the supervisor sends them: a name and a descriptor each.
    pub fn named(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.maps.iter().map(|(name, fd)| (name.as_str(), fd.as_fd()))
    }

    /// The inner maps of `RINGS`.
    pub fn rings(&self) -> impl Iterator<Item = (RingId, BorrowedFd<'_>)> {
        self.rings.iter().map(|(ring, fd)| (*ring, fd.as_fd()))
    }

    /// Back from what [`named`](Self::named) and [`rings`](Self::rings) gave. What is missing is told when it is opened.
    pub fn from_named(maps: BTreeMap<String, OwnedFd>, rings: Vec<(RingId, OwnedFd)>) -> Self {
        Self { maps, rings }
    }
}

impl MapSource for WorkerMaps {
    fn open(&self, name: &str) -> Result<MapData, MapUnusable> {
        let fd = self.maps.get(name).ok_or_else(|| MapUnusable::Unknown(name.to_owned()))?;
        from_fd(name, Shape::of(name)?, fd)
    }

    fn open_rings(&self) -> Result<Vec<(RingId, MapData)>, RingError> {
        let open =
            |(ring, fd): &(RingId, OwnedFd)| Ok((*ring, from_fd(&format!("ring {ring}"), Shape::of_ring(), fd)?));
        self.rings.iter().map(open).collect()
    }
}

impl MapSource for Pins {
    fn open(&self, name: &str) -> Result<MapData, MapUnusable> {
        Self::open(self, name)
    }

    fn open_rings(&self) -> Result<Vec<(RingId, MapData)>, RingError> {
        self.ringed()?.into_iter().map(|ring| Ok((ring, self.open_ring(ring)?))).collect()
    }
}

/// Takes a descriptor that was handed over as the map called `name`. Needs no capability.
pub(super) fn from_fd(name: &str, wanted: Shape, fd: &OwnedFd) -> Result<MapData, MapUnusable> {
    let fd = fd.try_clone().map_err(|error| MapUnusable::Open(name.to_owned(), error))?;
    let data = MapData::from_fd(fd).map_err(|error| unusable(name, error))?;
    checked(name, wanted, data)
}
