//! A server fails under ten thousand connections.

use crate::scene::{More, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{client::Flows, lab::Family};
use tokio::time::Instant;

const CONNECTIONS: usize = 10_000;

#[test]
fn ten_thousand_connections_and_none_of_a_living_server_is_disturbed() -> Result<()> {
    let mut scene = Scene::alone(Way::within("nat", Family::V4), &WEBS, More::default())?;
    let before = scene.sluice.maps()?.shares("echo")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, CONNECTIONS)?;
    flows.exchange("before")?;
    let by_server = flows.by_server();

    let killed = Instant::now();
    scene.lose("web2")?;
    let lost = killed.elapsed();
    let (dead, mut living) = flows.split("web2");
    living.exchange("during")?;
    // No slot of theirs may have moved, neither when the ring changed nor when it changes back.
    let fresh = Flows::open(&scene.lab.client, scene.vip, 300)?;
    ensure!(fresh.by_server().keys().eq(["web1", "web3"]), "new connections: {:?}", fresh.by_server());
    scene.regain("web2")?;
    living.exchange("after")?;
    ensure!(scene.sluice.maps()?.shares("echo")? == before, "the ring is not as it was");

    let failovers = scene.sluice.status()?.failovers;
    let down = failovers.iter().find(|change| change.server == "web2" && change.to == "down").context("no failover")?;
    println!(
        "{CONNECTIONS} connections {by_server:?}; {} died with web2, 0 of {} others; kill to ring {} ms, probe to map {} µs",
        dead.len(),
        living.len(),
        lost.as_millis(),
        down.probe_to_map_us
    );
    scene.over()
}
