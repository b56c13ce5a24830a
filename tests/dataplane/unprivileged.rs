//! The worker: no capability, another user, `no_new_privs`. All it has is descriptors that came through a socket.

use crate::{
    world::World,
    writing::{RING, handed_over, slots, tables, writes},
};
use anyhow::{Context as _, Result, bail, ensure};
use lb_userspace::dataplane::{
    counters::{CounterMaps, KernelCounters},
    maps::{KernelMaps, TableMaps},
    rings::RingMaps,
    writer::MapWriter as _,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    recvmsg, sendmsg, socketpair,
};
use std::{
    env, fs,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    process::{Command, Stdio},
};

const CHILD: &str = "unprivileged::works_in_a_child";
const DESCRIPTORS: usize = 8;

#[test]
fn a_process_without_any_capability_writes_and_reads_what_it_was_handed() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let maps = handed_over(&world)?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let (tables_fds, counters) = (maps.tables, maps.counters);
    let ring = tables_fds.rings.into_iter().next().context("no ring")?.1;
    let fds = [tables_fds.vips, tables_fds.heads, tables_fds.servers, tables_fds.returns, counters.vips, counters.servers, counters.stops, ring];
    send(&ours, &fds)?;

    // The user must be able to run a copy: this one may lie in a home directory.
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("tests");
    fs::copy(env::current_exe()?, &copy)?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"])
        .args(["--inh-caps", "-all", "--ambient-caps", "-all", "--bounding-set", "-all"])
        .arg(&copy)
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .stdin(Stdio::from(theirs))
        .output()?;
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && said.contains("running 1 test"), "{said}");
    ensure!(KernelMaps::from_pins(&world.pins)?.read()? == tables(slots(1)), "the child wrote something else");
    Ok(())
}

#[test]
#[ignore = "run by the test above, as nobody"]
fn works_in_a_child() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    ensure!(status.contains("CapEff:\t0000000000000000") && status.contains("CapBnd:\t0000000000000000"), "{status}");
    let Ok([vips, heads, servers, returns, vip_counters, server_counters, stops, ring]) = <[OwnedFd; DESCRIPTORS]>::try_from(receive()?) else {
        bail!("not {DESCRIPTORS} descriptors");
    };
    let mut maps = KernelMaps::from_fds(TableMaps { vips, heads, servers, returns, rings: vec![(RING, ring)] })?;
    maps.apply(&writes())?;
    ensure!(maps.read()? == tables(slots(1)));
    KernelCounters::from_fds(CounterMaps { vips: vip_counters, servers: server_counters, stops })?.stops()?;
    let made = aya::maps::Array::<_, u32>::create(1, 0);
    ensure!(made.is_err(), "a map can be made without capability: this test proves nothing");
    Ok(())
}

/// A ring's map that exists is handed out again, not made anew: its slots are in use.
#[test]
fn a_ring_keeps_its_map() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = KernelMaps::from_fds(handed_over(&world)?.tables)?;
    maps.apply(&writes())?;
    let mut rings = RingMaps::open(&world.pins)?;
    maps.add_ring(RING, rings.create(RING)?)?;
    ensure!(maps.read()? == tables(slots(1)) && rings.all()?.len() == 1);
    Ok(())
}

fn send(socket: &OwnedFd, fds: &[OwnedFd; DESCRIPTORS]) -> Result<()> {
    let borrowed = fds.each_ref().map(|fd| fd.as_fd());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(&borrowed)), "no room");
    sendmsg(socket, &[IoSlice::new(b"maps")], &mut control, SendFlags::empty())?;
    Ok(())
}

fn receive() -> Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 16];
    recvmsg(std::io::stdin(), &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None });
    Ok(rights.flatten().collect())
}
