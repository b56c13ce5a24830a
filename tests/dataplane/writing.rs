//! The planner's writes in real maps, and reading them back.

use crate::world::World;
use anyhow::{Context as _, Result, ensure};
use aya::{
    maps::{Map, MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::{
    Be16, Be32, Counters, Protocol, Return4, Return4Key, ServerEntry, ServerId, Slot, Stop, Vip, Vip4Key,
    maps::{SERVER_COUNTERS, VIP_COUNTERS},
    server::ServerState,
};
use lb_userspace::{
    dataplane::{
        counters::KernelCounters,
        maps::{KernelMaps, WorkerMaps},
        raw::Raw,
        rings::RingMaps,
        writer::{MapWriter, WriteError},
    },
    plan::{Ring, Tables, Write, tables::Slots},
};
use std::{array, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::time::Instant;

pub(crate) const RING: u16 = 3;
const BACKEND: u64 = 77;

pub(crate) fn slots(server: ServerId) -> Slots {
    Arc::new(array::from_fn(|_| Slot { current: server, ..Slot::default() }))
}

fn server(last: u8) -> ServerEntry {
    ServerEntry {
        identity: u64::from(last),
        addr: Be32::from(Ipv4Addr::new(10, 0, 0, last)),
        port: Be16::new(80),
        next_hop: 9,
        state: ServerState::Up as u8,
        admin: 0,
        health: 1,
        reserved: [0; 5],
    }
}

fn vip() -> (Vip4Key, Vip) {
    let key = Vip4Key::new(Be32::from(Ipv4Addr::new(192, 0, 2, 10)), Be16::new(80), Protocol::Tcp);
    (key, Vip { id: 1, ring: RING, forward: 2, reserved: [0; 3] })
}

fn reply() -> (Return4Key, Return4) {
    let key = Return4Key { addr: server(1).addr, port: Be16::new(80), protocol: 6, reserved: 0 };
    (key, Return4 { vip_addr: vip().0.addr, vip_port: Be16::new(80), vip: 1, server: 1, reserved: 0 })
}

/// A VIP with two servers, in the planner's order.
pub(crate) fn writes() -> Vec<Write> {
    let ((vip_key, vip), (key, value)) = (vip(), reply());
    vec![
        Write::PutServer(1, server(1)),
        Write::PutServer(2, server(2)),
        Write::PutRingHalf(RING, slots(1)),
        Write::FlipRing(RING, BACKEND),
        Write::PutReturn(key, value),
        Write::PutVip(vip_key, vip),
    ]
}

pub(crate) fn tables(ring: Slots) -> Tables {
    Tables {
        servers: [(1, server(1)), (2, server(2))].into(),
        rings: [(RING, Ring { identity: BACKEND, slots: ring })].into(),
        vips: [vip()].into(),
        returns: [reply()].into(),
    }
}

/// The maps as the supervisor hands them over, with one ring made.
pub(crate) fn handed_over(world: &World) -> Result<WorkerMaps> {
    let mut rings = RingMaps::open(&world.pins)?;
    rings.create(RING)?;
    Ok(WorkerMaps::open(&world.pins, &rings)?)
}

/// What the worker makes of them.
pub(crate) fn writer(WorkerMaps { tables, counters }: WorkerMaps) -> Result<KernelMaps> {
    Ok(KernelMaps::from_fds(tables, &counters)?)
}

#[test]
fn what_is_written_is_read_back_by_the_next_daemon_and_by_the_command_line() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(handed_over(&world)?)?;
    ensure!(maps.read()? == Tables::default(), "a new balancer is empty");
    maps.apply(&writes())?;
    drop(maps);
    let next = handed_over(&world)?;
    ensure!(writer(next)?.read()? == tables(slots(1)));
    ensure!(KernelMaps::from_pins(&world.pins)?.read()? == tables(slots(1)));
    Ok(())
}

#[test]
fn a_half_changes_nothing_before_the_flip() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(handed_over(&world)?)?;
    maps.apply(&writes())?;
    for server in [2, 1, 2] {
        let before = maps.read()?;
        maps.apply(&[Write::PutRingHalf(RING, slots(server))])?;
        ensure!(maps.read()? == before);
        maps.apply(&[Write::FlipRing(RING, BACKEND)])?;
        ensure!(maps.read()? == tables(slots(server)));
    }
    Ok(())
}

#[test]
fn a_half_is_not_rewritten_while_packets_may_read_it() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(handed_over(&world)?)?;
    maps.apply(&writes())?;
    for _ in 0..20 {
        let flipped = Instant::now();
        maps.apply(&[Write::FlipRing(RING, BACKEND), Write::PutRingHalf(RING, slots(2))])?;
        ensure!(flipped.elapsed() >= Duration::from_millis(1), "{:?} after", flipped.elapsed());
    }
    Ok(())
}

#[test]
fn removing_leaves_nothing_and_the_ring_can_be_used_again() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(handed_over(&world)?)?;
    maps.apply(&writes())?;
    let removals = [
        Write::RemoveVip(vip().0),
        Write::RemoveReturn(reply().0),
        Write::RemoveRing(RING),
        Write::RemoveServer(1),
        Write::RemoveServer(2),
    ];
    maps.apply(&removals)?;
    ensure!(maps.read()? == Tables::default());
    maps.apply(&removals)?; // what is gone may be removed again
    maps.apply(&writes())?;
    ensure!(maps.read()? == tables(slots(1)));
    Ok(())
}

#[test]
fn a_ring_needs_its_map_first() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut rings = RingMaps::open(&world.pins)?;
    let mut maps = writer(WorkerMaps::open(&world.pins, &rings)?)?;
    for write in [Write::PutRingHalf(RING, slots(1)), Write::FlipRing(RING, BACKEND)] {
        let error = maps.apply(std::slice::from_ref(&write)).err().context("no error")?;
        ensure!(matches!(error, WriteError::NoRing(RING)), "{error}");
    }
    maps.add_ring(RING, rings.create(RING)?)?;
    maps.apply(&writes())?;
    ensure!(maps.read()? == tables(slots(1)));
    Ok(())
}

/// Puts something into that row on every CPU, and says the sum.
fn count(world: &World, counters: &str, id: u32) -> Result<Counters> {
    let cpus = nr_cpus().map_err(|(_, error)| error)?;
    let row = Counters { packets: 1, bytes: 100, connections: 2, return_packets: 3, return_bytes: 300 };
    let data = MapData::from_pin(world.pins.map(counters))?;
    let mut map: PerCpuArray<_, Raw<Counters>> = Map::from_map_data(data)?.try_into()?;
    map.set(id, PerCpuValues::try_from(vec![Raw(row); cpus])?, 0)?;
    let mut sum = Counters::default();
    (0..cpus).for_each(|_| sum += row);
    Ok(sum)
}

#[test]
fn a_row_of_counters_starts_at_zero_when_it_gets_another_owner_and_only_then() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let counters = KernelCounters::from_fds(handed_over(&world)?.counters)?;
    let counted = || Ok::<_, anyhow::Error>([counters.vips([1])?[&1], counters.servers([1])?[&1]]);
    let mut maps = writer(handed_over(&world)?)?;
    maps.apply(&writes())?;
    let sums = [count(&world, VIP_COUNTERS, 1)?, count(&world, SERVER_COUNTERS, 1)?];

    let down = ServerEntry { state: ServerState::Down as u8, ..server(1) };
    let gone_and_back = [Write::RemoveVip(vip().0), Write::RemoveServer(1), Write::PutServer(1, server(1))];
    for same_owner in [&[Write::PutServer(1, down)][..], &gone_and_back, &writes()] {
        maps.apply(same_owner)?;
        ensure!(counted()? == sums, "{same_owner:?}");
    }
    maps = writer(handed_over(&world)?)?; // the next daemon finds them as they are
    maps.apply(&[Write::PutServer(1, down), Write::PutVip(vip().0, vip().1)])?;
    ensure!(counted()? == sums, "a restarted daemon took them for others'");

    maps.apply(&[Write::RemoveServer(1), Write::PutServer(1, server(9))])?;
    ensure!(counted()? == [sums[0], Counters::default()], "another server has the row");
    let (other, entry) = (Vip4Key { port: Be16::new(81), ..vip().0 }, vip().1);
    maps.apply(&[Write::RemoveVip(vip().0), Write::PutVip(other, entry)])?;
    ensure!(counted()? == [Counters::default(); 2], "another VIP has the row");
    Ok(())
}

#[test]
fn counters_are_summed_over_all_cpus() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let wanted = count(&world, SERVER_COUNTERS, 7)?;
    let counters = KernelCounters::from_fds(handed_over(&world)?.counters)?;
    ensure!(counters.servers([7, 8])? == [(7, wanted), (8, Counters::default())].into());
    ensure!(counters.stops()? == [0; Stop::ALL.len()] && counters.vips([7])? == [(7, Counters::default())].into());
    Ok(())
}
