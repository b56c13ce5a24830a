//! Loading, and what is pinned already.

use crate::world::{World, run};
use anyhow::{Result, ensure};
use lb_common::maps::{ALL, SERVERS};
use lb_userspace::dataplane::{
    load::{Frozen, LoadError, load},
    object::object,
    pins::Pins,
};
use std::fs;

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

#[test]
fn maps_of_another_schema_are_reported_and_removed_when_told() -> Result<()> {
    let world = World::enter()?;
    let old = world.pins.root().join("v00000000000000ff");
    fs::create_dir_all(&old)?;
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
