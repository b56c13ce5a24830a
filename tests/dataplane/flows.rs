//! The tables of single flows in the kernel: read in batches, emptied of what is over.

use crate::{
    world::World,
    writing::{handed_over, writer},
};
use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use bytemuck::Pod;
use lb_common::{
    Be16, Be32, Be128, Connection4, Flow, FlowKey4, FlowKey6, ServerId,
    flow::{BACK, CLOSING, seconds},
    maps::{CONNECTIONS4, FLOWS4, FLOWS6, HALF_OPEN4, MAX_FLOWS4},
};
use lb_userspace::{
    dataplane::{
        flows::{FlowTables, Remembered, Table, Timeouts},
        raw::Raw,
        writer::MapWriter as _,
    },
    plan::{Census, Connections, Write},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

const TIMEOUTS: Timeouts = Timeouts { tcp: Duration::from_hours(1), udp: Duration::from_mins(3) };

fn map<K: Pod, V: Pod>(world: &World, name: &str) -> Result<HashMap<MapData, Raw<K>, Raw<V>>> {
    Ok(Map::from_map_data(MapData::from_pin(world.pins.map(name))?)?.try_into()?)
}

/// So many seconds ago, as the packet path notes it.
fn ago(idle: u64) -> u32 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    seconds(nanoseconds).wrapping_sub(seconds(idle * 1_000_000_000))
}

fn key(client: u32, protocol: u8) -> FlowKey4 {
    FlowKey4 {
        source: Be32::from(Ipv4Addr::from_bits(client)),
        destination: Be32::from(Ipv4Addr::new(192, 0, 2, 10)),
        source_port: Be16::new(40_000),
        destination_port: Be16::new(80),
        protocol,
        reserved: 0,
        ring: 0,
    }
}

fn key6(client: u16) -> FlowKey6 {
    FlowKey6 {
        source: Be128::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, client)),
        destination: Be128::from(Ipv6Addr::LOCALHOST),
        source_port: Be16::new(40_000),
        destination_port: Be16::new(80),
        protocol: 17,
        reserved: 0,
        ring: 0,
    }
}

fn flow(server: ServerId, slot: u16, marks: u8, idle: u64) -> Flow {
    Flow { server, ring: 1, slot, marks, reserved: 0, last: ago(idle) }
}

fn connection(server: ServerId, marks: u8) -> Connection4 {
    let zero = <Connection4 as bytemuck::Zeroable>::zeroed();
    Connection4 { server, vip: 1, last: ago(30), marks, ..zero }
}

#[test]
fn what_is_over_is_forgotten_and_the_rest_is_counted() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let tables = FlowTables::open(&handed_over(&world)?)?;
    let mut flows = map::<FlowKey4, Flow>(&world, FLOWS4)?;
    // Idle for: a moment, under an hour, over an hour; the same of UDP with three minutes; closing for a minute.
    let of_tcp = [flow(1, 10, 0, 0), flow(1, 10, 0, 3_590), flow(2, 11, 0, 3_610)];
    let of_udp = [flow(2, 12, 0, 170), flow(2, 13, 0, 190)];
    let closing = [flow(3, 14, CLOSING, 50), flow(3, 15, CLOSING, 70)];
    let all = of_tcp.iter().map(|flow| (6, flow)).chain(of_udp.iter().map(|flow| (17, flow)));
    for (client, (protocol, flow)) in (1..).zip(all.chain(closing.iter().map(|flow| (6, flow)))) {
        flows.insert(Raw(key(client, protocol)), Raw(*flow), 0)?;
    }
    map(&world, FLOWS6)?.insert(Raw(key6(1)), Raw(flow(4, 16, 0, 1)), 0)?;
    let mut connections = map(&world, CONNECTIONS4)?;
    connections.insert(Raw(key(50, 6)), Raw(connection(5, 0)), 0)?;
    connections.insert(Raw(key(51, 6)), Raw(connection(5, BACK)), 0)?;
    map(&world, HALF_OPEN4)?.insert(Raw(key(52, 6)), Raw(connection(6, 0)), 0)?;

    let census = tables.scan(TIMEOUTS, &BTreeSet::new(), false)?;
    let mut expected = Census::default();
    for (slot, server) in [(10, 1), (10, 1), (12, 2), (14, 3), (16, 4)] {
        expected.count_flow(1, slot, server);
    }
    expected.flows = [4, 1];
    ensure!(census == expected, "{census:?}");
    ensure!(flows.keys().count() == 4);

    let census = tables.scan(TIMEOUTS, &BTreeSet::new(), true)?;
    expected.count_connection(5);
    expected.count_connection(6);
    expected.connections = Some(Connections { established: [2, 0], half_open: [1, 0] });
    ensure!(census == expected, "{census:?}");
    Ok(())
}

#[test]
fn nothing_is_left_of_servers_that_are_gone() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let handed = handed_over(&world)?;
    let tables = FlowTables::open(&handed)?;
    let fill = || -> Result<()> {
        let mut flows = map(&world, FLOWS4)?;
        let (mut connections, mut half_open) = (map(&world, CONNECTIONS4)?, map(&world, HALF_OPEN4)?);
        for client in 0..6 {
            let server = ServerId::try_from(client)? % 3 + 1;
            flows.insert(Raw(key(client, 6)), Raw(flow(server, 0, 0, 0)), 0)?;
            connections.insert(Raw(key(client, 17)), Raw(connection(server, 0)), 0)?;
            half_open.insert(Raw(key(client + 6, 17)), Raw(connection(server, 0)), 0)?;
        }
        Ok(())
    };
    let servers = || -> Result<Vec<ServerId>> {
        let mut servers = Vec::new();
        tables.each(|flow| servers.push(flow.server))?;
        servers.sort_unstable();
        Ok(servers)
    };
    fill()?;
    let census = tables.scan(TIMEOUTS, &[2, 9].into(), false)?;
    let left = Connections { established: [4, 0], half_open: [4, 0] };
    ensure!(servers()? == [[1; 6], [3; 6]].concat() && census.flows == [4, 0] && census.connections == Some(left));
    fill()?;
    writer(&handed)?.apply(&[Write::ForgetFlows(3)])?;
    ensure!(servers()? == [[1; 6], [2; 6]].concat());
    tables.forget(|server| server != 1)?;
    ensure!(servers()? == [1; 6]);
    Ok(())
}

#[test]
fn flows_of_all_tables_and_families_are_shown() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    map(&world, FLOWS6)?.insert(Raw(key6(7)), Raw(flow(4, 16, CLOSING, 60)), 0)?;
    map(&world, CONNECTIONS4)?.insert(Raw(key(1, 6)), Raw(connection(5, 0)), 0)?;
    map(&world, CONNECTIONS4)?.insert(Raw(key(2, 6)), Raw(connection(5, BACK)), 0)?;
    map(&world, HALF_OPEN4)?.insert(Raw(key(3, 6)), Raw(connection(6, 0)), 0)?;
    let mut shown = Vec::new();
    FlowTables::open(&world.pins)?.each(|flow| shown.push(flow))?;
    let [connection, half_open, flow] = <[Remembered; 3]>::try_from(shown).ok().context("not three")?;
    ensure!((connection.client, connection.server) == ("0.0.0.1:40000".parse()?, 5), "{connection:?}");
    ensure!(connection.table == Table::Connections && !connection.closing);
    ensure!((half_open.server, half_open.table) == (6, Table::HalfOpen), "{half_open:?}");
    ensure!((flow.client, flow.vip) == ("[2001:db8::7]:40000".parse()?, "[::1]:80".parse()?), "{flow:?}");
    ensure!(flow.table == Table::Flows && flow.closing && flow.idle.as_secs().abs_diff(60) < 3, "{flow:?}");
    Ok(())
}

/// CPU time of this thread: others may keep the machine busy.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// A full table is no reason to be late with a verdict: it is read on another thread. But neither should it cost a second.
#[test]
fn a_full_table_is_looked_at_in_no_time_and_an_empty_one_costs_nothing() -> Result<()> {
    let world = World::enter()?;
    drop(world.load()?);
    let tables = FlowTables::open(&handed_over(&world)?)?;
    let scan = |gone: &BTreeSet<ServerId>| -> Result<(Census, Duration)> {
        let before = cpu_time();
        let census = tables.scan(TIMEOUTS, gone, true)?;
        Ok((census, cpu_time().saturating_sub(before)))
    };
    let (_, empty) = scan(&BTreeSet::new())?;

    let mut flows = map::<FlowKey4, Flow>(&world, FLOWS4)?;
    for client in 0..MAX_FLOWS4 {
        let (slot, server) = (u16::try_from(client % 16_381)?, u16::try_from(client % 16)? + 1);
        flows.insert(Raw(key(client, 6)), Raw(flow(server, slot, 0, 0)), 0)?;
    }
    ensure!(flows.insert(Raw(key(u32::MAX, 6)), Raw(flow(1, 0, 0, 0)), 0).is_err(), "it is not full");
    let (census, full) = scan(&BTreeSet::new())?;
    let (_, emptied) = scan(&(1..=16).collect())?;
    println!("CPU time: empty tables {empty:?}, {MAX_FLOWS4} flows counted {full:?}, and forgotten {emptied:?}");
    ensure!(census.flows == [MAX_FLOWS4 as usize, 0] && flows.keys().next().is_none());
    ensure!(empty < Duration::from_millis(100) && full < Duration::from_secs(1), "{empty:?}, {full:?}");
    Ok(())
}
