//! A SYN flood: it fills no table of flows, neither in quiet times nor while slots change hands, and breaks no flow.

use crate::scene::{self, More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Flows, Seen, flood, udp::Talks},
    lab::Family,
    sluice::Remembered,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    panic::resume_unwind,
    thread,
    time::Duration,
};

const FLOWS: usize = 200;

/// A check by which no server fails: a machine that plays clients, balancer and servers loses probes under a flood as it loses
/// all other packets.
const CALM_CHECK: &str = r#"{ type = "tcp", interval = "5s", fall = 100 }"#;

/// Flows that may be taken into the table each second and on each CPU.
const BUDGET: usize = 1_000;

/// SYNs that must reach the VIP each second, also on a machine that is busy with other things.
const LEAST: u64 = 5_000;

/// The ways that are flooded, and for how long.
fn ways() -> (Vec<Way>, Duration) {
    let [four, six] = Family::BOTH;
    if scene::is_long() {
        let all = ["nat", "direct"].into_iter().flat_map(|forward| [four, six].map(|of| Way::within(forward, of)));
        (all.collect(), Duration::from_secs(20))
    } else {
        (vec![Way::within("nat", four), Way::within("direct", six)], Duration::from_secs(3))
    }
}

#[test]
fn in_quiet_times_nothing_is_remembered_of_it() -> Result<()> {
    let (ways, time) = ways();
    let more = More { check: Some(CALM_CHECK), ..More::default() };
    let mut scene = Scene::alone(Way::within("nat", Family::V4), &WEBS, more)?;
    for way in ways {
        scene.turn(way, more)?;
        let (mut flows, talks) = open(&scene)?;
        let flood = flood(&scene, &mut flows, &talks, time).with_context(|| format!("{way:?}"))?;
        let (tracked, ever) = (scene.sluice.flows()?.found, scene.sluice.maps()?.noted("flow_tracked"));
        println!("{way:?}: {flood}; no flow tracked before, {tracked} after");
        ensure!((tracked, ever) == (0, 0), "{way:?}: {tracked} flows are tracked, {ever} were");
    }
    scene.over()
}

#[test]
fn while_slots_change_hands_no_more_than_the_budget() -> Result<()> {
    let budget = format!("track_budget = {BUDGET}\n");
    let more = More { global: &budget, check: Some(CALM_CHECK), ..More::default() };
    let (ways, time) = ways();
    for way in ways {
        let scene = Scene::alone(way, &WEBS, more)?;
        let (mut flows, talks) = open(&scene)?;
        // The slots that web2 took from the others, and will take again.
        scene.sluice.command(&["server", "drain", "echo/web2"])?;
        scene.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
        flows.exchange("while slots change hands")?;
        talks.exchange("while slots change hands")?;
        let before = scene.sluice.flows()?.count("flow");
        let flood = flood(&scene, &mut flows, &talks, time).with_context(|| format!("{way:?}"))?;
        let (tracked, refused) = (scene.sluice.flows()?, scene.sluice.maps()?.noted("track_budget_spent"));
        let after = tracked.count("flow");
        let cpus = thread::available_parallelism()?.get();
        // What a bucket holds when the flood begins comes on top.
        let most = before + BUDGET * cpus * (usize::try_from(flood.time.as_secs())? + 2);
        println!("{way:?}: {flood}; {before} flows tracked before, {after} after, {refused} refused");
        ensure!(after <= most, "{way:?}: {after} flows are tracked, {most} at most");
        ensure!(before > 0 && refused > 0, "the budget was not spent: this test proves nothing");
        remember(&tracked, "tcp", flows.seen())?;
        remember(&tracked, "udp", talks.seen())?;
        scene.over()?;
    }
    Ok(())
}

/// Where connections are tracked one by one, the flood is remembered too, but among the half-open connections alone. Those that
/// are established stay, and when it is over new ones find a port.
#[test]
fn where_every_connection_is_tracked_those_that_are_established_stay() -> Result<()> {
    let [four, six] = Family::BOTH;
    let tracked = [("fullnat", four, ""), ("fullnat", six, ""), ("nat", four, FULL), ("direct", six, FULL)];
    for (forward, family, backend) in tracked {
        let way = Way::within(forward, family);
        let scene = Scene::alone(way, &WEBS, More { check: Some(CALM_CHECK), backend, ..More::default() })?;
        let (mut flows, talks) = open(&scene)?;
        flows.exchange("before the flood")?;
        talks.exchange("before the flood")?;
        let before = scene.sluice.flows()?;
        let established = before.count("connection");
        ensure!(established == 2 * FLOWS, "{way:?}: {established} connections are established before the flood");
        let flood = flood(&scene, &mut flows, &talks, ways().1).with_context(|| format!("{way:?}"))?;
        let (after, maps) = (scene.sluice.flows()?, scene.sluice.maps()?);
        let (half_open, ever) = (after.count("half_open"), maps.noted("connection_half_open"));
        let exhausted = maps.stopped("ports_exhausted");
        println!(
            "{way:?}: {flood}; {established} established, {half_open} half-open of {ever}, {exhausted} without a port"
        );
        ensure!(clients(&after) == clients(&before), "{way:?}: others are established now");
        ensure!(after.count("flow") == 0, "{way:?}: flows are tracked");
        ensure!(ever > LEAST, "{way:?}: the flood was not remembered: this test proves nothing");
        ensure!(exhausted * 100 < flood.arrived, "{way:?}: {exhausted} of {} found no port", flood.arrived);
        open(&scene).with_context(|| format!("{way:?}: after the flood"))?;
        scene.over()?;
    }
    Ok(())
}

/// In a backend: as under `fullnat`, every connection is tracked.
const FULL: &str = "track = \"full\"";

/// Who has connections that are established.
fn clients(remembered: &Remembered) -> BTreeSet<(&str, SocketAddr)> {
    let established = remembered.flows.iter().filter(|flow| flow.kind == "connection");
    established.map(|flow| (flow.protocol.as_str(), flow.client)).collect()
}

/// Those of our flows that are tracked are so with the servers that they met.
fn remember<'a>(tracked: &Remembered, protocol: &str, seen: impl Iterator<Item = &'a Seen>) -> Result<()> {
    let met: BTreeMap<_, _> = seen.map(|seen| (seen.own, &seen.server)).collect();
    let ours = tracked.flows.iter().filter(|flow| flow.protocol == protocol);
    let ours: Vec<_> = ours.filter_map(|flow| Some((flow, *met.get(&flow.client)?))).collect();
    ensure!(!ours.is_empty(), "no {protocol} flow of ours is tracked");
    for (flow, server) in ours {
        ensure!(flow.server == format!("echo/{server}"), "met {server}, but tracked: {flow:?}");
    }
    Ok(())
}

fn open(scene: &Scene) -> Result<(Flows, Talks)> {
    let flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
    Ok((flows, Talks::open(&scene.lab.client, scene.vip, FLOWS)?))
}

/// What a flood was.
struct Flood {
    /// SYNs.
    sent: u64,
    /// Those that reached the VIP: a machine without cores to spare loses the others before.
    arrived: u64,
    /// How long it took.
    time: Duration,
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a_second = |packets: u64| packets / self.time.as_secs().max(1);
        let Self { sent, arrived, time } = self;
        write!(f, "{sent} SYNs in {time:?} ({}/s), {arrived} at the VIP ({}/s)", a_second(*sent), a_second(*arrived))
    }
}

/// Floods for that time while all flows speak.
fn flood(scene: &Scene, flows: &mut Flows, talks: &Talks, time: Duration) -> Result<Flood> {
    // Under `fullnat` each takes a port of the pool, if there is one.
    let arrived = || {
        let maps = scene.sluice.maps()?;
        let connections: u64 = maps.vips.iter().map(|vip| vip.connections).sum();
        Ok::<_, anyhow::Error>(connections + maps.stopped("ports_exhausted"))
    };
    let before = arrived()?;
    let sent = thread::scope(|scope| {
        let flood = scope.spawn(|| flood::syns(&scene.lab.client, scene.vip, time));
        while !flood.is_finished() {
            flows.exchange("under the flood")?;
            talks.exchange("under the flood")?;
        }
        flood.join().unwrap_or_else(|panic| resume_unwind(panic))
    })?;
    flows.exchange("after the flood")?;
    talks.exchange("after the flood")?;
    let flood = Flood { sent, arrived: arrived()? - before, time };
    ensure!(flood.arrived > LEAST * time.as_secs(), "that was no flood: {flood}");
    Ok(flood)
}
