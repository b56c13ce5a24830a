//! Attaching: links outlive the daemon, and are taken over.

use crate::world::{World, run};
use anyhow::{Context as _, Result, ensure};
use aya::programs::{Xdp, XdpMode, links::FdLink};
use lb_userspace::dataplane::{
    attach::{AttachError, Attached, Detached, Mode, attach, detach, detach_others, keep},
    load::{Frozen, load, verify},
    object::object,
    pins::Pins,
};
use std::{fs, path::Path};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The id of the program that `ip` shows on an interface; 0: none.
fn shown(interface: &str) -> Result<u32> {
    let shown = run(&format!("ip -o -d link show dev {interface}"))?;
    let Some((_, rest)) = shown.split_once("prog/xdp id ") else { return Ok(0) };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

#[test]
fn a_link_outlives_the_daemon_and_gets_the_new_program_in_place() -> Result<()> {
    let world = World::enter()?;
    let outside = names(&["outside"]);
    let mut first = world.load()?;
    let id = first.program_id()?;
    let attached = attach(&mut first, &world.pins, &outside)?;
    ensure!(matches!(attached.as_slice(), [Attached { mode: Mode::Native, adopted: false, .. }]), "{attached:?}");
    drop(first);
    ensure!(shown("outside")? == id, "detached when the daemon ended");

    let mut second = world.load()?;
    let new_id = second.program_id()?;
    let attached = attach(&mut second, &world.pins, &outside)?;
    ensure!(matches!(attached.as_slice(), [Attached { adopted: true, mode: Mode::Native, .. }]), "{attached:?}");
    ensure!(new_id != id && shown("outside")? == new_id);
    Ok(())
}

#[test]
fn a_driver_without_xdp_gets_the_generic_kind() -> Result<()> {
    let world = World::enter()?;
    let attached = attach(&mut world.load()?, &world.pins, &names(&["lo"]))?;
    ensure!(matches!(attached.as_slice(), [Attached { mode: Mode::Generic, ifindex: 1, .. }]), "{attached:?}");
    Ok(())
}

#[test]
fn another_program_is_named_and_nothing_is_left_half_attached() -> Result<()> {
    let world = World::enter()?;
    let elsewhere = Pins::new(world.pins.root().with_file_name("another"));
    let mut foreign = load(object()?, &elsewhere, Frozen::default())?;
    let foreign_id = foreign.program_id()?;
    attach(&mut foreign, &elsewhere, &names(&["far"]))?;

    let error = attach(&mut world.load()?, &world.pins, &names(&["outside", "far"])).err();
    ensure!(
        matches!(&error, Some(AttachError::Occupied { program, name, .. }) if *program == foreign_id && name == "sluice"),
        "{error:?}"
    );
    let said = error.map(|error| error.to_string()).unwrap_or_default();
    let wanted = format!("interface far already runs the XDP program sluice (id {foreign_id})");
    ensure!(said.contains(&wanted) && said.contains("another `pin_dir`"), "{said}");
    ensure!(world.pins.linked()?.is_empty() && shown("outside")? == 0);
    let error = attach(&mut world.load()?, &world.pins, &names(&["nowhere"])).err();
    ensure!(matches!(error, Some(AttachError::NoInterface(_))), "{error:?}");
    Ok(())
}

/// Somebody else's program on an interface, whose link is pinned there, if anywhere. The link goes with what is returned.
fn foreign(interface: &str, pin: Option<&Path>) -> Result<(aya::Ebpf, u32)> {
    let mut object = aya::Ebpf::load(lb_tests::tools::object()?)?;
    let program: &mut Xdp = object.program_mut("pass").context("no program")?.try_into()?;
    verify(program)?;
    let id = program.info()?.id();
    let link = program.attach(interface, XdpMode::Driver)?;
    if let Some(pin) = pin {
        FdLink::try_from(program.take_link(link)?)?.pin(pin)?;
    }
    Ok((object, id))
}

#[test]
fn a_program_of_somebody_else_is_named_and_stays() -> Result<()> {
    let world = World::enter()?;
    let (_there, id) = foreign("outside", None)?;
    let said = attach(&mut world.load()?, &world.pins, &names(&["outside"])).err().context("attached")?.to_string();
    let wanted = format!("interface outside already runs the XDP program pass (id {id})");
    ensure!(said.contains(&wanted) && said.contains("ip link set dev outside xdp off"), "{said}");
    ensure!(shown("outside")? == id);
    Ok(())
}

#[test]
fn what_is_pinned_among_our_links_and_is_not_ours_is_named_and_stays() -> Result<()> {
    let world = World::enter()?;
    world.pins.prepare()?;
    let link = world.pins.link("outside");
    let (_there, id) = foreign("outside", Some(&link))?;
    let error = attach(&mut world.load()?, &world.pins, &names(&["outside"])).err();
    ensure!(
        matches!(&error, Some(AttachError::Foreign { program, name, .. }) if *program == id && name == "pass"),
        "{error:?}"
    );
    let said = error.map(|error| error.to_string()).unwrap_or_default();
    ensure!(said.contains(&format!("{} is a link of the XDP program pass (id {id})", link.display())), "{said}");
    ensure!(detach(&world.pins)?.interfaces.is_empty() && link.exists() && shown("outside")? == id);

    let other = world.pins.link("far");
    run(&format!("bpftool map create {} type array key 4 value 4 entries 1 name other", other.display()))?;
    let said = attach(&mut world.load()?, &world.pins, &names(&["far"])).err().context("attached")?.to_string();
    ensure!(said == format!("{} is not a link of Sluice; remove it", other.display()), "{said}");
    Ok(())
}

#[test]
fn an_interface_that_was_made_anew_is_attached_anew() -> Result<()> {
    let world = World::enter()?;
    let outside = names(&["outside"]);
    attach(&mut world.load()?, &world.pins, &outside)?;
    run("ip link del outside")?;
    run("ip link add outside type veth peer name far")?;
    let attached = attach(&mut world.load()?, &world.pins, &outside)?;
    ensure!(matches!(attached.as_slice(), [Attached { adopted: false, mode: Mode::Native, .. }]), "{attached:?}");
    Ok(())
}

#[test]
fn a_daemon_that_runs_keeps_the_program_on_an_interface_that_goes_and_comes_back() -> Result<()> {
    let world = World::enter()?;
    let mut loaded = world.load()?;
    let id = loaded.program_id()?;
    let [first] = attach(&mut loaded, &world.pins, &names(&["outside"]))?.try_into().ok().context("one interface")?;
    ensure!(
        keep(&mut loaded, &world.pins, "outside", Some(&first))? == first,
        "something was done to an interface that is as it was"
    );

    run("ip link del outside")?;
    let gone = keep(&mut loaded, &world.pins, "outside", Some(&first)).err();
    ensure!(matches!(gone, Some(AttachError::NoInterface(_))), "{gone:?}");
    run("ip link add outside type veth peer name far")?;
    let second = keep(&mut loaded, &world.pins, "outside", None)?;
    ensure!(second.ifindex != first.ifindex && shown("outside")? == id, "{second:?}");

    // It went and came, and nobody has looked in between; and this time it has the old number.
    run("ip link del outside")?;
    run(&format!("ip link add outside index {} type veth peer name far", second.ifindex))?;
    let third = keep(&mut loaded, &world.pins, "outside", Some(&second))?;
    ensure!(third == second && shown("outside")? == id, "{third:?}");
    Ok(())
}

#[test]
fn an_interface_that_was_renamed_is_attached_under_its_new_name() -> Result<()> {
    let world = World::enter()?;
    attach(&mut world.load()?, &world.pins, &names(&["outside"]))?;
    run("ip link set outside name renamed.7")?;
    run("ip link set far name outside")?;
    let mut loaded = world.load()?;
    let attached = attach(&mut loaded, &world.pins, &names(&["outside", "renamed.7"]))?;
    ensure!(attached.iter().all(|attached| !attached.adopted), "{attached:?}");
    let id = loaded.program_id()?;
    ensure!(shown("outside")? == id && shown("renamed.7")? == id);
    ensure!(world.pins.linked()? == ["outside", "renamed.7"]);
    Ok(())
}

#[test]
fn another_schema_is_taken_over_without_a_gap() -> Result<()> {
    let world = World::enter()?;
    let outside = names(&["outside"]);
    attach(&mut world.load()?, &world.pins, &outside)?;
    let old = world.pins.root().join("v00000000000000ff");
    fs::rename(world.pins.maps(), &old)?; // as if another version had made them
    let mut loaded = world.load()?;
    ensure!(!loaded.adopted && loaded.stale == [old.clone()], "{loaded:?}");
    let attached = attach(&mut loaded, &world.pins, &outside)?;
    ensure!(matches!(attached.as_slice(), [Attached { adopted: true, .. }]), "{attached:?}");
    world.pins.remove(&loaded.stale)?;
    ensure!(shown("outside")? == loaded.program_id()? && !old.exists());
    Ok(())
}

#[test]
fn detaching_leaves_nothing_and_may_be_repeated() -> Result<()> {
    let world = World::enter()?;
    ensure!(detach(&world.pins)? == Detached::default());
    attach(&mut world.load()?, &world.pins, &names(&["outside", "far"]))?;
    ensure!(detach_others(&world.pins, &names(&["far"]))? == ["outside"] && shown("outside")? == 0);
    let detached = detach(&world.pins)?;
    ensure!(detached == Detached { interfaces: names(&["far"]), directories: vec![world.pins.maps()] }, "{detached:?}");
    ensure!(shown("far")? == 0 && !world.pins.root().exists());
    ensure!(detach(&world.pins)? == Detached::default());
    Ok(())
}
