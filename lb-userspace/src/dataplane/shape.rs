//! What each map must look like. aya takes a pinned map or a descriptor as it comes, so this is the only thing between
//! a map of another program and a read past the end of a row.

use aya::maps::{Map, MapData, MapError, MapType};
use lb_common::{
    SLOTS, Slot,
    maps::{
        ALL, BUFFERS, CONNECTIONS4, CONNECTIONS6, DEVICES, FLOWS4, FLOWS6, FRAGMENTS4, FRAGMENTS6, HALF_OPEN4,
        HALF_OPEN6, HEARTBEAT, LIVE_HALVES, LOCAL_HALVES, LOCAL4, LOCAL6, NEXT_HOPS, RETURNS4, RETURNS6, RING_HEADS,
        RINGS, ROUTES4, ROUTES6, SERVERS, SOURCES, VIPS4, VIPS6,
    },
    slots::HALVES,
};
use std::{
    fmt, io,
    os::fd::{AsFd as _, OwnedFd},
};

/// Kind and sizes of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// `None`: a kind that this version of aya does not know.
    kind: Option<MapType>,
    key: u32,
    value: u32,
    entries: u32,
}

impl Shape {
    /// What the map of that name must look like.
    pub fn of(name: &str) -> Result<Self, MapUnusable> {
        Self::known(name).ok_or_else(|| MapUnusable::Unknown(name.to_owned()))
    }

    fn known(name: &str) -> Option<Self> {
        if let Some((.., bytes)) = BUFFERS.into_iter().find(|buffer| buffer.0 == name) {
            return Some(Self { kind: Some(MapType::RingBuf), key: 0, value: 0, entries: bytes });
        }
        let (_, key, value, entries) = ALL.into_iter().find(|map| map.0 == name)?;
        let kind = match name {
            RINGS => MapType::ArrayOfMaps,
            RING_HEADS | SERVERS | NEXT_HOPS | SOURCES | HEARTBEAT | LIVE_HALVES | LOCAL_HALVES | VIPS4 | VIPS6
            | RETURNS4 | RETURNS6 | LOCAL4 | LOCAL6 => MapType::Array,
            FLOWS4 | FLOWS6 => MapType::Hash,
            CONNECTIONS4 | CONNECTIONS6 | HALF_OPEN4 | HALF_OPEN6 | FRAGMENTS4 | FRAGMENTS6 => MapType::LruHash,
            ROUTES4 | ROUTES6 => MapType::LpmTrie,
            DEVICES => MapType::DevMapHash,
            _ => MapType::PerCpuArray,
        };
        let value = match name {
            RINGS => 4,   // in an outer map the kernel counts the descriptor, not the inner map
            DEVICES => 8, // aya widens it to `bpf_devmap_val`, as the kernel has it since 5.8
            _ => u32::try_from(value).ok()?,
        };
        Some(Self { kind: Some(kind), key: u32::try_from(key).ok()?, value, entries })
    }

    /// What the inner map of a ring must look like: one element a half, so that a half is written at once.
    pub fn of_ring() -> Self {
        let value = u32::try_from(SLOTS * size_of::<Slot>()).unwrap_or(u32::MAX);
        Self { kind: Some(MapType::Array), key: 4, value, entries: HALVES }
    }

    /// What `map` looks like.
    pub fn found(map: &MapData) -> Result<Self, MapError> {
        let info = map.info()?;
        Ok(Self {
            kind: info.map_type().ok(),
            key: info.key_size(),
            value: info.value_size(),
            entries: info.max_entries(),
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key, value, entries } = self;
        match kind {
            Some(kind) => write!(f, "{kind:?}")?,
            None => f.write_str("unknown kind")?,
        }
        write!(f, " of {entries} × ({key} B → {value} B)")
    }
}

/// A map that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapUnusable {
    /// The kernel refused to open it or to describe it.
    #[error("cannot open map {0}")]
    Open(String, #[source] io::Error),
    /// It is not what this version of Sluice works with.
    #[error("map {name} is {found}, but this version of Sluice needs {wanted}")]
    Shape {
        /// Its name, or where it is pinned.
        name: String,
        /// What it looks like.
        found: Shape,
        /// What it must look like.
        wanted: Shape,
    },
    /// We have no map of that name.
    #[error("there is no map called {0}")]
    Unknown(String),
}

/// Passes `data` on if it looks as `wanted`. `name` is for the error.
pub(super) fn checked(name: &str, wanted: Shape, data: MapData) -> Result<MapData, MapUnusable> {
    let found = Shape::found(&data).map_err(|error| unusable(name, error))?;
    if found == wanted { Ok(data) } else { Err(MapUnusable::Shape { name: name.to_owned(), found, wanted }) }
}

/// Takes `data` as one of aya's typed maps.
pub(super) fn typed<T: TryFrom<Map, Error = MapError>>(name: &str, data: MapData) -> Result<T, MapUnusable> {
    Map::from_map_data(data).and_then(T::try_from).map_err(|error| unusable(name, error))
}

/// A descriptor of a map, to hand over.
pub(super) fn descriptor(name: &str, data: &MapData) -> Result<OwnedFd, MapUnusable> {
    data.fd().as_fd().try_clone_to_owned().map_err(|error| MapUnusable::Open(name.to_owned(), error))
}

pub(super) fn unusable(name: &str, error: MapError) -> MapUnusable {
    MapUnusable::Open(name.to_owned(), io_error(error))
}

/// What the kernel said, without aya's wrapping.
pub(super) fn io_error(error: MapError) -> io::Error {
    if let MapError::SyscallError(error) = error {
        return error.io_error;
    }
    if let MapError::IoError(error) | MapError::CreateError { io_error: error, .. } = error {
        return error;
    }
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_common::maps::names;

    #[test]
    fn every_map_has_a_shape() {
        for name in names() {
            assert!(Shape::of(name).is_ok(), "{name}");
        }
        assert!(Shape::of("ANOTHER").is_err());
    }

    #[test]
    fn a_shape_reads_as_a_sentence() {
        assert_eq!(Shape::of_ring().to_string(), "Array of 2 × (4 B → 65524 B)");
    }
}
