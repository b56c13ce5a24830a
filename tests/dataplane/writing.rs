//! The planner's writes in real maps, and reading them back.

use crate::world::World;
use anyhow::{Context as _, Result, ensure};
use aya::{
    maps::{Map, MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::{
    Be16, Counters, Protocol, ServerEntry, ServerId, Slot, Stop, Vip,
    maps::{MAX_VIPS, SERVER_COUNTERS, VIP_COUNTERS},
    server::ServerState,
};
use lb_userspace::{
    dataplane::{
        counters::KernelCounters,
        handed::WorkerMaps,
        maps::KernelMaps,
        raw::Raw,
        rings::RingMaps,
        writer::{MapWriter, WriteError},
    },
    model::Endpoint,
    plan::{
        Ring, Tables, Write,
        tables::{Return, Slots},
    },
};
use std::{
    array,
    error::Error,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

pub(crate) const RING: u16 = 3;
const BACKEND: u64 = 77;

pub(crate) fn slots(server: ServerId) -> Slots {
    Arc::new(array::from_fn(|_| Slot::of(server)))
}

fn server(address: &str) -> ServerEntry {
    let address = ip(address);
    ServerEntry {
        identity: 5,
        addr: address.into(),
        port: Be16::new(80),
        next_hop: 9,
        state: ServerState::Up as u8,
        admin: 0,
        health: 1,
        family: if address.is_ipv4() { 4 } else { 6 },
    }
}

#[expect(clippy::expect_used, reason = "a test that meets this has failed")]
fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// One VIP of each family, and the replies to it.
fn vips() -> [(Endpoint, Vip); 2] {
    let vip = |address, id| (Endpoint::new(ip(address), 80, Protocol::Tcp), Vip { id, ring: RING, ..Vip::default() });
    [vip("192.0.2.10", 1), vip("2001:db8::80", 2)]
}

fn replies() -> [(Endpoint, Return); 2] {
    let reply = |from, (to, vip): (Endpoint, Vip), server| {
        let seen_as = Return { vip: vip.id, address: to.address, port: to.port, server, mss: 1_400 };
        (Endpoint { address: ip(from), ..to }, seen_as)
    };
    let [v4, v6] = vips();
    [reply("10.0.0.1", v4, 1), reply("2001:db8:1::1", v6, 2)]
}

fn servers() -> [(ServerId, ServerEntry); 2] {
    [(1, server("10.0.0.1")), (2, server("2001:db8:1::1"))]
}

fn sources() -> [(u16, IpAddr); 2] {
    [(0, ip("192.0.2.20")), (7, ip("2001:db8::20"))]
}

/// Two VIPs with two servers, in the planner's order.
pub(crate) fn writes() -> Vec<Write> {
    let mut writes = Vec::new();
    writes.extend(servers().map(|(id, row)| Write::PutServer(id, row)));
    writes.extend(sources().map(|(row, address)| Write::PutSource(row, address)));
    writes.extend([Write::PutRingHalf(RING, slots(1)), Write::FlipRing(RING, BACKEND)]);
    writes.extend(replies().map(|(key, row)| Write::PutReturn(key, row)));
    writes.extend(vips().map(|(key, vip)| Write::PutVip(key, vip)));
    writes
}

pub(crate) fn tables(ring: Slots) -> Tables {
    Tables {
        servers: servers().into(),
        rings: [(RING, Ring { identity: BACKEND, slots: ring })].into(),
        sources: sources().into(),
        vips: vips().into(),
        returns: replies().into(),
    }
}

/// The maps as the supervisor hands them over, with one ring made.
pub(crate) fn handed_over(world: &World) -> Result<WorkerMaps> {
    let mut rings = RingMaps::open(&world.pins)?;
    rings.create(RING)?;
    Ok(WorkerMaps::open(&world.pins, &rings)?)
}

/// What the worker makes of them.
pub(crate) fn writer(maps: &WorkerMaps) -> Result<KernelMaps> {
    Ok(KernelMaps::open(maps)?)
}

#[test]
fn what_is_written_is_read_back_by_the_next_daemon_and_by_the_command_line() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(&handed_over(&world)?)?;
    ensure!(maps.read()? == Tables::default(), "a new balancer is empty");
    maps.apply(&writes())?;
    drop(maps);
    let next = handed_over(&world)?;
    ensure!(writer(&next)?.read()? == tables(slots(1)));
    ensure!(KernelMaps::open(&world.pins)?.read()? == tables(slots(1)));
    Ok(())
}

/// So many VIPs that they find no place.
fn too_many() -> Vec<Write> {
    let vip = |number: u32| Endpoint::new(Ipv4Addr::from_bits(number).into(), 80, Protocol::Tcp);
    (1..=3 * MAX_VIPS).map(|number| Write::PutVip(vip(number), Vip { id: 1, ..Vip::default() })).collect()
}

#[test]
fn of_a_change_that_finds_no_place_packets_never_see_anything() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(&handed_over(&world)?)?;
    maps.apply(&writes())?;
    let error = maps.apply(&too_many()).err().context("12,288 VIPs found a place")?;
    ensure!(format!("{error}: {:?}", Error::source(&error)).contains("full"), "{error}: {:?}", Error::source(&error));
    // Nor does it come with the next change.
    let [(key, _), _] = vips();
    maps.apply(&[Write::RemoveVip(key)])?;
    let mut wanted = tables(slots(1));
    wanted.vips.remove(&key);
    ensure!(maps.read()? == wanted);
    ensure!(writer(&handed_over(&world)?)?.read()? == wanted);
    Ok(())
}

#[test]
fn who_meets_the_writes_of_another_process_reads_the_maps_again() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let (mut first, mut second) = (writer(&handed_over(&world)?)?, writer(&handed_over(&world)?)?);
    first.apply(&writes())?;
    let [(key, _), _] = vips();
    ensure!(second.apply(&[Write::RemoveVip(key)]).is_err(), "it wrote into the half that packets read");
    second.apply(&[Write::RemoveVip(key)])?;
    let mut wanted = tables(slots(1));
    wanted.vips.remove(&key);
    ensure!(writer(&handed_over(&world)?)?.read()? == wanted);
    Ok(())
}

#[test]
fn a_half_changes_nothing_before_the_flip() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let mut maps = writer(&handed_over(&world)?)?;
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
    let mut maps = writer(&handed_over(&world)?)?;
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
    let mut maps = writer(&handed_over(&world)?)?;
    maps.apply(&writes())?;
    let mut removals = Vec::new();
    removals.extend(vips().map(|(key, _)| Write::RemoveVip(key)));
    removals.extend(replies().map(|(key, _)| Write::RemoveReturn(key)));
    removals.push(Write::RemoveRing(RING));
    removals.extend(sources().map(|(row, _)| Write::RemoveSource(row)));
    removals.extend(servers().map(|(id, _)| Write::RemoveServer(id)));
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
    let mut maps = writer(&WorkerMaps::open(&world.pins, &rings)?)?;
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
    let row = Counters {
        packets: 1,
        bytes: 100,
        connections: 2,
        return_packets: 3,
        return_bytes: 300,
        accepted: 4,
        resets: 5,
    };
    let data = MapData::from_pin(world.pins.map(counters))?;
    let mut map: PerCpuArray<_, Raw<Counters>> = Map::from_map_data(data)?.try_into()?;
    map.set(id, PerCpuValues::try_from(vec![Raw(row); cpus])?, 0)?;
    let mut sum = Counters::default();
    (0..cpus).for_each(|_| sum += row);
    Ok(sum)
}

#[test]
fn a_row_of_counters_is_zeroed_on_all_cpus_and_no_other_is() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let counters = KernelCounters::open(&handed_over(&world)?)?;
    let counted = || Ok::<_, anyhow::Error>([counters.vips([1])?[&1], counters.servers([1])?[&1]]);
    let mut maps = writer(&handed_over(&world)?)?;
    let sums = [count(&world, VIP_COUNTERS, 1)?, count(&world, SERVER_COUNTERS, 1)?];
    maps.apply(&writes())?;
    maps.apply(&[Write::ZeroVip(2), Write::ZeroServer(2)])?;
    ensure!(counted()? == sums);
    maps.apply(&[Write::ZeroServer(1)])?;
    ensure!(counted()? == [sums[0], Counters::default()]);
    maps.apply(&[Write::ZeroVip(1)])?;
    ensure!(counted()? == [Counters::default(); 2]);
    Ok(())
}

#[test]
fn counters_are_summed_over_all_cpus() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let wanted = count(&world, SERVER_COUNTERS, 7)?;
    let counters = KernelCounters::open(&handed_over(&world)?)?;
    ensure!(counters.servers([7, 8])? == [(7, wanted), (8, Counters::default())].into());
    ensure!(counters.stops()? == [0; Stop::ALL.len()] && counters.vips([7])? == [(7, Counters::default())].into());
    Ok(())
}
