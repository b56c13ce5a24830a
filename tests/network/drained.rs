//! A server in `drain`: it keeps its flows, `sluice flows` names them, and when the last has ended, `sluice status` says so.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{client::Flows, lab::Family, sluice::complaint, wait};
use serde_json::Value;
use std::{collections::BTreeMap, thread, time::Duration};
use tokio::time::Instant;

const FLOWS: usize = 90;
const TRANSITION: Duration = Duration::from_secs(3);
const MORE: More<'static> =
    More { global: "flow_timeout_tcp = \"10s\"\n", check: None, frontend: "", backend: "transition = \"3s\"" };
/// A look every five seconds, and flows that are over are forgotten after ten.
const IN_TIME: Duration = Duration::from_secs(30);

#[test]
fn a_server_in_drain_keeps_its_flows_and_the_last_one_is_told_of() -> Result<()> {
    let scene = Scene::of(Way::within("nat", Family::V4), &WEBS, MORE)?;
    let digest = field(&ring(&scene)?, "/digest").clone();
    let mut flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
    let of_web2 = *flows.by_server().get("web2").context("web2 has no flow")?;
    ensure!(found(&scene, &[])? == 0, "a flow is remembered though no slot has changed hands");

    scene.sluice.command(&["server", "drain", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
    let drained = Instant::now();
    let changing = field(&ring(&scene)?, "/changing").as_u64();
    ensure!(changing.is_some_and(|slots| (4_000..7_000).contains(&slots)), "a third of the slots, not {changing:?}");
    while drained.elapsed() < TRANSITION * 2 {
        flows.exchange("in drain")?;
        thread::sleep(Duration::from_millis(500));
    }
    // The slots are web1's and web3's alone now, and still all flows are where they were.
    let after = ring(&scene)?;
    ensure!(field(&after, "/changing") == 0 && field(&after, "/tracked").as_u64() > Some(0), "{after}");
    ensure!(found(&scene, &["--server", "web2"])? == of_web2 && found(&scene, &["--backend", "echo"])? >= of_web2);
    flows.exchange("after the transition")?;
    let (of_web2_still, mut others) = flows.split("web2");
    ensure!(of_web2_still.len() == of_web2);
    let status = wait::until("the flows to be counted", SOON * 2, || {
        Ok(Some(server(&scene)?).filter(|server| field(server, "/flows") == of_web2))
    })?;
    ensure!(field(&status, "/drained") == false && field(&status, "/state") == "drain", "{status}");

    drop(of_web2_still);
    wait::until("web2 to be drained", IN_TIME, || {
        others.exchange("going on")?;
        thread::sleep(Duration::from_millis(500));
        Ok(Some(server(&scene)?).filter(|server| field(server, "/drained") == true))
    })?;
    ensure!(found(&scene, &["--server", "web2"])? == 0);
    ensure!(scene.sluice.log().matches("no flow of it is left").count() == 1, "{}", scene.sluice.log());
    ensure!(*field(&ring(&scene)?, "/digest") != digest);

    scene.sluice.command(&["server", "ready", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(WEBS))?;
    ensure!(*field(&ring(&scene)?, "/digest") == digest && field(&server(&scene)?, "/drained") == false);
    others.exchange("after all")?;
    scene.over()
}

#[test]
fn without_a_daemon_rows_stand_for_names() -> Result<()> {
    let mut scene = Scene::of(Way::within("direct", Family::V6), &WEBS, MORE)?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
    scene.sluice.command(&["server", "drain", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web2"))?;
    flows.exchange("into the table")?;
    let named = ring(&scene)?;
    scene.sluice.kill()?;
    let rows = json(&scene, &["ring"])?;
    ensure!(field(&rows, "/0/digest") == field(&named, "/digest") && field(&rows, "/0/backend").is_null(), "{rows}");
    let mut servers = BTreeMap::<String, usize>::new();
    for flow in field(&json(&scene, &["flows"])?, "/flows").as_array().context("no list")? {
        *servers.entry(field(flow, "/server").as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    ensure!(!servers.is_empty() && servers.keys().all(|server| server.starts_with('#')), "{servers:?}");
    flows.exchange("without a daemon")?;
    scene.sluice.start_again(&scene.lab)?;
    scene.over()
}

fn json(scene: &Scene, verb: &[&str]) -> Result<Value> {
    let pins = scene.lab.pins().display().to_string();
    let output = scene.sluice.cli(&[verb, &["--json", "--pins", &pins]].concat())?;
    ensure!(output.status.success(), "{verb:?}: {}", complaint(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A part of a report; null if it is not there.
fn field<'a>(report: &'a Value, path: &str) -> &'a Value {
    report.pointer(path).unwrap_or(&Value::Null)
}

/// The ring of the echo servers.
fn ring(scene: &Scene) -> Result<Value> {
    let mut rings = json(scene, &["ring", "echo"])?;
    let rings = rings.as_array_mut().context("no list")?;
    ensure!(rings.len() == 1, "{rings:?}");
    Ok(rings.remove(0))
}

/// How many flows are remembered.
fn found(scene: &Scene, filter: &[&str]) -> Result<usize> {
    let report = json(scene, &[&["flows"], filter].concat())?;
    let found = field(&report, "/found").as_u64().context("no number")?;
    ensure!(field(&report, "/flows").as_array().is_some_and(|flows| flows.len() as u64 == found), "{report}");
    Ok(usize::try_from(found)?)
}

/// How web2 stands.
fn server(scene: &Scene) -> Result<Value> {
    let output = scene.sluice.cli(&["status", "--json"])?;
    let status: Value = serde_json::from_slice(&output.stdout)?;
    let mut servers = field(&status, "/backends/0/servers").as_array().context("no servers")?.iter();
    servers.find(|server| field(server, "/name") == "web2").cloned().context("no web2")
}
