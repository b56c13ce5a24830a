//! `observe` of `l4`: a server that answers its probes and not its clients is found by what passes on the way back, and never the
//! last ones.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Flows, flood},
    lab::Family,
    origin::Echo,
    process,
};
use std::{collections::BTreeMap, net::TcpStream, thread, time::Duration};
use tokio::time::Instant;

/// Where checks look: at another program than the one that serves.
const CHECKED: u16 = 7008;
/// Probes come so rarely that none brings a server back while the scenario lasts.
const CHECK: &str = r#"{ type = "tcp", port = 7008, interval = "5m", timeout = "3s", init_state = "fully-up", observe = "layer4", error_limit = 5, on_error = "mark-down" }"#;
/// How long a client waits for an answer to its SYN, which it does not send again meanwhile.
const PATIENCE: Duration = Duration::from_millis(150);

fn scene(forward: &'static str, family: Family) -> Result<(Scene, BTreeMap<&'static str, Echo>)> {
    let scene = Scene::alone(Way::within(forward, family), &WEBS, More { check: Some(CHECK), ..More::default() })?;
    let start = |name: &&'static str| {
        let echo = Echo::start(scene.lab.machine(name)?, CHECKED, scene.lab.directory())?;
        Ok::<_, anyhow::Error>((*name, echo))
    };
    let checked = WEBS.iter().map(start).collect::<Result<_>>()?;
    Ok((scene, checked))
}

/// A machine that drops what clients send it.
fn mute(scene: &Scene, server: &str) -> Result<()> {
    let rules = "table inet mute { chain in { type filter hook input priority 0; tcp dport 7007 drop; }; }";
    process::run(scene.lab.machine(server)?.namespace.command("nft").arg(rules)).map(drop)
}

/// Connects again and again for that long, or until no server of these is up. Returns how often nobody answered.
fn knock(scene: &Scene, time: Duration, mut until: impl FnMut() -> Result<bool> + Send) -> Result<usize> {
    let begun = Instant::now();
    let mut failed = 0;
    while begun.elapsed() < time && !until()? {
        failed += scene
            .lab
            .client
            .run(|| (0..10).filter(|_| TcpStream::connect_timeout(&scene.vip, PATIENCE).is_err()).count())?;
    }
    Ok(failed)
}

fn reason(scene: &Scene, server: &str) -> Result<Option<String>> {
    let failovers = scene.sluice.status()?.failovers;
    Ok(failovers.into_iter().find(|it| it.server == server && it.to == "down").map(|it| it.reason))
}

#[test]
fn a_mute_server_fails_and_the_last_ones_do_not() -> Result<()> {
    for (forward, family) in [("nat", Family::V4), ("fullnat", Family::V6)] {
        let (scene, _checked) = scene(forward, family)?;
        ensure!(knock(&scene, Duration::from_secs(1), || Ok(false))? == 0, "somebody did not answer at first");
        mute(&scene, "web2")?;
        let begun = Instant::now();
        let failed = knock(&scene, SOON * 3, || Ok(reason(&scene, "web2")?.is_some()))?;
        let why = reason(&scene, "web2")?.context("web2 is still up")?;
        println!("{forward} {family:?}: found after {:?} and {failed} connections: {why}", begun.elapsed());
        ensure!(why == "HANA 5 errors in a row" && failed >= 5, "{why} after {failed}");
        scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web1", "web3"]))?;
        ensure!(knock(&scene, Duration::from_secs(1), || Ok(false))? == 0, "somebody does not answer still");

        // At least half of the servers stay up, whatever their traffic says.
        for server in ["web1", "web3"] {
            mute(&scene, server)?;
        }
        let failed = knock(&scene, Duration::from_secs(6), || Ok(false))?;
        let shares = scene.sluice.maps()?.shares("echo")?;
        ensure!(failed > 20 && shares.keys().eq(["web1", "web3"]), "{failed} failed: {shares:?}");
        scene.over()?;
    }
    Ok(())
}

#[test]
fn a_server_that_refuses_fails() -> Result<()> {
    let (mut scene, _checked) = scene("nat", Family::V4)?;
    scene.kill_echo("web3")?;
    knock(&scene, SOON * 2, || Ok(reason(&scene, "web3")?.is_some()))?;
    ensure!(reason(&scene, "web3")?.as_deref() == Some("HANA 5 errors in a row"), "web3 is still up");
    let row = scene.sluice.maps()?.server("echo", "web3")?.resets;
    ensure!(row >= 5, "{row} resets");
    scene.over()
}

#[test]
fn a_flood_makes_nobody_fail() -> Result<()> {
    let (scene, _checked) = scene("nat", Family::V4)?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 30)?;
    let sent = flood::syns(&scene.lab.client, scene.vip, Duration::from_secs(3))?;
    thread::sleep(Duration::from_secs(3));
    flows.exchange("after the flood")?;
    let shares = scene.sluice.maps()?.shares("echo")?;
    ensure!(sent > 1_000 && shares.keys().eq(WEBS), "{sent} SYNs: {shares:?}");
    scene.over()
}
