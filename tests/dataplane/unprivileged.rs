//! The worker: no capability, another user, `no_new_privs`. All it has is descriptors that came through a socket.

use crate::{
    world::World,
    writing::{RING, handed_over, slots, tables, writer, writes},
};
use anyhow::{Context as _, Result, ensure};
use lb_userspace::dataplane::{
    attach::{attach, detach},
    counters::KernelCounters,
    flows::{FlowTables, Timeouts},
    handed::WorkerMaps,
    load::{Frozen, load},
    maps::KernelMaps,
    object::object,
    pins::Pins,
    rings::RingMaps,
    routing::{Events, Routing, RoutingMaps},
    writer::MapWriter as _,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::fs::{PermissionsExt as _, chown},
    },
    process::{Command, Stdio},
    time::Duration,
};
use tokio::runtime::Builder;

const WORKER: &str = "unprivileged::child_that_works";
const SUPERVISOR: &str = "unprivileged::child_that_supervises";
/// Set for such a child alone.
const IS_CHILD: &str = "LB_TESTS_UNPRIVILEGED";
/// What a child says when it has done all that it should.
const DONE: &str = "done as nobody";
/// Room for so many.
const DESCRIPTORS: usize = 32;

#[test]
fn a_process_without_any_capability_writes_and_reads_what_it_was_handed() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let maps = handed_over(&world)?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let (names, mut fds): (Vec<_>, Vec<_>) = maps.named().unzip();
    fds.extend(maps.rings().map(|(_, ring)| ring));
    send(&ours, &names.join(" "), &fds)?;

    run_as_nobody(WORKER, "-all", Stdio::from(theirs))?;
    ensure!(KernelMaps::open(&world.pins)?.read()? == tables(slots(1)), "the child wrote something else");
    Ok(())
}

/// Only does something as the child of the test above.
#[test]
fn child_that_works() -> Result<()> {
    if env::var_os(IS_CHILD).is_none() {
        return Ok(());
    }
    let status = fs::read_to_string("/proc/self/status")?;
    ensure!(status.contains("CapEff:\t0000000000000000") && status.contains("CapBnd:\t0000000000000000"), "{status}");
    let (names, mut fds) = receive()?;
    let ring = fds.pop().context("no ring")?;
    let handed = WorkerMaps::from_named(names.into_iter().zip(fds).collect(), vec![(RING, ring)]);
    let mut maps = KernelMaps::open(&handed)?;
    maps.apply(&writes())?;
    ensure!(maps.read()? == tables(slots(1)));
    KernelCounters::open(&handed)?.stops()?;
    let timeouts = Timeouts { tcp: Duration::from_secs(1), udp: Duration::from_secs(1) };
    FlowTables::open(&handed)?.scan(timeouts, &[1].into(), true)?;
    let made = aya::maps::Array::<_, u32>::create(1, 0);
    ensure!(made.is_err(), "a map can be made without capability: this test proves nothing");
    println!("{DONE}");
    Ok(())
}

/// Three capabilities, as the unit grants: above all no CAP_SYS_ADMIN, which opening a map by its id would take.
#[test]
fn the_supervisor_needs_three_capabilities() -> Result<()> {
    let world = World::enter()?;
    let mount = world.pins.root().parent().context("no parent")?.to_owned();
    chown(&mount, Some(65_534), Some(65_534))?;
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o700))?;
    let directory = fs::File::open(&mount)?;
    run_as_nobody(SUPERVISOR, "-all,+bpf,+net_admin,+perfmon", Stdio::from(directory))
}

/// Only does something as the child of the test above.
#[test]
fn child_that_supervises() -> Result<()> {
    if env::var_os(IS_CHILD).is_none() {
        return Ok(());
    }
    // The file system itself, because nobody may not walk down to where it is mounted.
    let pins = Pins::new("/proc/self/fd/0/sluice");
    for adopted in [false, true] {
        let mut loaded = load(object()?, &pins, Frozen::default())?;
        let attached = attach(&mut loaded, &pins, &["outside".to_owned()])?;
        ensure!(loaded.adopted == adopted && attached.iter().all(|attached| attached.adopted == adopted));
        let mut rings = RingMaps::open(&pins)?;
        rings.create(RING)?;
        drop(WorkerMaps::open(&pins, &rings)?);
        let maps = RoutingMaps::open(&pins)?;
        let following = async {
            let events = Events::open(&pins).map_err(anyhow::Error::from)?;
            let routing = Routing::start(maps, events, &[], &BTreeMap::new())?;
            routing.synced().await?;
            Ok::<(), anyhow::Error>(routing.stop().await?)
        };
        Builder::new_current_thread().enable_all().build()?.block_on(following)?;
    }
    ensure!(detach(&pins)?.interfaces == ["outside"]);
    println!("{DONE}");
    Ok(())
}

/// A ring's map that exists is handed out again, not made anew: its slots are in use.
#[test]
fn a_ring_keeps_its_map() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(&handed_over(&world)?)?;
    maps.apply(&writes())?;
    let mut rings = RingMaps::open(&world.pins)?;
    maps.add_ring(RING, rings.create(RING)?)?;
    ensure!(maps.read()? == tables(slots(1)) && rings.all()?.len() == 1);
    Ok(())
}

/// Runs a child of this file as nobody, with those capabilities.
fn run_as_nobody(test: &str, capabilities: &str, stdin: Stdio) -> Result<()> {
    // Nobody must be able to run a copy: this one may lie in a home directory.
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("tests");
    fs::copy(env::current_exe()?, &copy)?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"])
        .args(["--inh-caps", capabilities, "--ambient-caps", capabilities, "--bounding-set", capabilities])
        .arg(&copy)
        .args(["--exact", test, "--nocapture"])
        .env(IS_CHILD, "")
        .stdin(stdin)
        .output()?;
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && said.contains(DONE), "{said}");
    Ok(())
}

fn send(socket: &OwnedFd, text: &str, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(fds)), "no room");
    sendmsg(socket, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::empty())?;
    Ok(())
}

fn receive() -> Result<(Vec<String>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 1_024];
    let got = recvmsg(std::io::stdin(), &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control
        .drain()
        .filter_map(|message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None });
    let text = str::from_utf8(text.get(..got.bytes).unwrap_or_default())?;
    Ok((text.split(' ').map(str::to_owned).collect(), rights.flatten().collect()))
}
