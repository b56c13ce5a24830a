//! A SYN flood: it fills no table, neither in quiet times nor while slots change hands, and breaks no flow.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Result, ensure};
use lb_tests::{
    client::{Flows, Seen, flood, udp::Talks},
    lab::Family,
    sluice::Remembered,
};
use std::{collections::BTreeMap, env, panic::resume_unwind, thread, time::Duration};

const FLOWS: usize = 200;

/// Flows that may be taken into the table each second and on each CPU.
const BUDGET: usize = 1_000;

/// How long the flood lasts: `SLUICE_FLOOD_SECONDS`, or three.
fn duration() -> Result<Duration> {
    Ok(Duration::from_secs(env::var("SLUICE_FLOOD_SECONDS").map_or(Ok(3), |text| text.parse())?))
}

#[test]
fn in_quiet_times_nothing_is_remembered_of_it() -> Result<()> {
    let mut scene = Scene::of(Way::within("nat", Family::V4), &WEBS, More::default())?;
    for way in [Way::within("nat", Family::V4), Way::within("direct", Family::V6)] {
        scene.turn(way, More::default())?;
        let (mut flows, talks) = open(&scene)?;
        flood(&scene, &mut flows, &talks)?;
        let (tracked, ever) = (scene.sluice.flows()?.found, scene.sluice.maps()?.noted("flow_tracked"));
        ensure!((tracked, ever) == (0, 0), "{way:?}: {tracked} flows are tracked, {ever} were");
    }
    scene.over()
}

#[test]
fn while_slots_change_hands_no_more_than_the_budget() -> Result<()> {
    let budget = format!("track_budget = {BUDGET}\n");
    let more = More { global: &budget, ..More::default() };
    for way in [Way::within("nat", Family::V4), Way::within("direct", Family::V6)] {
        let scene = Scene::of(way, &WEBS, more)?;
        let (mut flows, talks) = open(&scene)?;
        // The slots that web2 took from the others, and will take again.
        scene.sluice.command(&["server", "drain", "echo/web2"])?;
        scene.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
        flows.exchange("while slots change hands")?;
        talks.exchange("while slots change hands")?;
        let before = scene.sluice.flows()?.found;
        let (sent, time) = flood(&scene, &mut flows, &talks)?;
        let (after, refused) = (scene.sluice.flows()?, scene.sluice.maps()?.noted("track_budget_spent"));
        let cpus = thread::available_parallelism()?.get();
        // What a bucket holds when the flood begins comes on top.
        let most = before + BUDGET * cpus * (usize::try_from(time.as_secs())? + 2);
        println!(
            "{way:?}: {sent} SYNs in {time:?}; {before} flows tracked before, {} after, {refused} refused",
            after.found
        );
        ensure!(after.found <= most, "{way:?}: {} flows are tracked, {most} at most", after.found);
        ensure!(before > 0 && refused > 0, "the budget was not spent: this test proves nothing");
        remember(&after, "tcp", flows.seen())?;
        remember(&after, "udp", talks.seen())?;
        scene.over()?;
    }
    Ok(())
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

/// Floods while all flows speak. Returns how many SYNs that took, and how long.
fn flood(scene: &Scene, flows: &mut Flows, talks: &Talks) -> Result<(u64, Duration)> {
    let time = duration()?;
    let connections = || Ok::<u64, anyhow::Error>(scene.sluice.maps()?.vips.iter().map(|vip| vip.connections).sum());
    let before = connections()?;
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
    let arrived = connections()? - before;
    ensure!(arrived > sent / 2, "{sent} SYNs were sent, {arrived} reached the VIP");
    Ok((sent, time))
}
