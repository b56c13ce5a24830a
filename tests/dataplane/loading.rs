//! Loading, and what is pinned already.

use crate::world::{World, run};
use anyhow::{Result, ensure};
use lb_common::maps::{ALL, RING_HEADS, SERVERS};
use lb_userspace::dataplane::{
    load::{Frozen, LoadError, load},
    object::object,
    pins::Pins,
    rings::RingMaps,
};
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

#[test]
fn all_maps_are_pinned_and_the_next_daemon_adopts_them() -> Result<()> {
    let world = World::enter()?;
    let first = world.load()?;
    ensure!(!first.adopted && first.stale.is_empty());
    for (name, ..) in ALL {
        ensure!(world.pins.map(name).exists(), "{name} is not pinned");
    }
    drop(first);
    ensure!(world.load()?.adopted);
    Ok(())
}

#[test]
fn a_pinned_map_of_another_shape_is_refused() -> Result<()> {
    let world = World::enter()?;
    world.pins.prepare()?;
    let path = world.pins.map(SERVERS);
    run(&format!("bpftool map create {} type array key 4 value 16 entries 16384 name other", path.display()))?;
    let error = load(object()?, &world.pins, Frozen::default()).err();
    ensure!(matches!(error, Some(LoadError::Map(_))), "{error:?}");
    let cause = error.and_then(|error| std::error::Error::source(&error).map(ToString::to_string)).unwrap_or_default();
    ensure!(
        cause.contains("is Array of 16384 × (4 B → 16 B)") && cause.contains("needs Array of 16384 × (4 B → 32 B)"),
        "{cause}"
    );
    Ok(())
}

/// Writes a row of a pinned map.
fn write(world: &World, map: &str, row: u8, first: u8, length: usize) -> Result<()> {
    let value = format!("{first}{}", " 0".repeat(length - 1));
    run(&format!("bpftool map update pinned {} key {row} 0 0 0 value {value}", world.pins.map(map).display())).map(drop)
}

fn is_zero(world: &World, map: &str, row: u8) -> Result<bool> {
    let path = world.pins.map(map);
    let shown = run(&format!("bpftool -j map lookup pinned {} key {row} 0 0 0", path.display()))?;
    Ok(!shown.contains("0x01"))
}

#[test]
fn maps_of_which_some_are_missing_are_all_made_anew() -> Result<()> {
    let world = World::enter()?;
    for missing in [RING_HEADS, SERVERS] {
        drop(world.load()?);
        write(&world, SERVERS, 3, 1, 32)?;
        ensure!(!is_zero(&world, SERVERS, 3)?, "nothing was written");
        ensure!(world.load()?.adopted && !is_zero(&world, SERVERS, 3)?, "they were all there");
        fs::remove_file(world.pins.map(missing))?;
        ensure!(!world.load()?.adopted, "a map was missing");
        for (name, ..) in ALL {
            ensure!(world.pins.map(name).exists(), "{name} is not pinned");
        }
        ensure!(is_zero(&world, SERVERS, 3)?, "what says nothing without the rest was kept");
    }
    Ok(())
}

#[test]
fn a_ring_without_its_map_makes_them_new_as_well() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    drop(RingMaps::open(&world.pins)?.create(7)?);
    write(&world, RING_HEADS, 7, 1, 16)?;
    ensure!(world.load()?.adopted, "all is there");
    fs::remove_file(world.pins.ring(7))?;
    ensure!(!world.load()?.adopted && is_zero(&world, RING_HEADS, 7)?);
    ensure!(world.load()?.adopted);
    Ok(())
}

#[test]
fn a_removal_that_was_broken_off_is_ended_by_the_next_daemon() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut gone = world.pins.maps().into_os_string();
    gone.push("_gone");
    fs::rename(world.pins.maps(), &gone)?;
    let loaded = world.load()?;
    ensure!(!loaded.adopted && loaded.stale == [PathBuf::from(&gone)], "{:?}", loaded.stale);
    world.pins.remove(&loaded.stale)?;
    ensure!(!Path::new(&gone).exists() && world.load()?.adopted);
    Ok(())
}

#[test]
fn maps_of_another_schema_are_reported_and_removed_when_told() -> Result<()> {
    let world = World::enter()?;
    let old = world.pins.root().join("v00000000000000ff");
    DirBuilder::new().recursive(true).mode(0o700).create(&old)?;
    run(&format!("bpftool map create {}/{SERVERS} type array key 4 value 16 entries 8 name old", old.display()))?;
    let loaded = world.load()?;
    ensure!(loaded.stale == [old.clone()] && !loaded.adopted, "{:?}", loaded.stale);
    world.pins.remove(&loaded.stale)?;
    ensure!(!old.exists());
    Ok(())
}

#[test]
fn garbage_and_a_wrong_file_system_are_refused() -> Result<()> {
    let world = World::enter()?;
    ensure!(load(b"not an object", &world.pins, Frozen::default()).is_err());
    let elsewhere = tempfile::tempdir()?;
    let error = load(object()?, &Pins::new(elsewhere.path().join("x")), Frozen::default()).err();
    ensure!(matches!(error, Some(LoadError::Pins(_))), "{error:?}");
    Ok(())
}
