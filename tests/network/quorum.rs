//! A frontend that has lost its quorum: it is not ready, and if so wished its VIP is silent, while what is open goes on.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    binary,
    client::{Flows, seen, udp},
    lab::Family,
    process,
    sluice::complaint,
    wait,
};
use std::{net::TcpStream, process::Command, time::Duration};
use tokio::time::Instant;

/// Long enough for a handshake, too short for a SYN that is sent again.
const HANDSHAKE: Duration = Duration::from_millis(700);

fn pings(scene: &Scene) -> bool {
    let mut ping = scene.lab.client.command("ping");
    ping.args(["-n", "-q", "-c", "2", "-i", "0.01", "-W", "1"]);
    process::run(ping.arg(scene.vip.ip().to_string())).is_ok()
}

fn connects(scene: &Scene) -> Result<bool> {
    scene.lab.client.run(|| TcpStream::connect_timeout(&scene.vip, HANDSHAKE).is_ok())
}

/// The exit status of `sluice ready`, and what it says.
fn ready(scene: &Scene, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = scene.sluice.cli(&[&["ready"], arguments].concat())?;
    Ok((output.status.code(), complaint(&output)))
}

#[test]
fn a_vip_without_its_quorum_is_withdrawn_and_what_is_open_goes_on() -> Result<()> {
    let more = More { frontend: "quorum = 2\nquorum_down = \"withdraw\"", ..More::default() };
    let mut scene = Scene::of(Way::within("direct", Family::V4), &WEBS, more)?;
    let ways = ["direct", "nat", "fullnat"].into_iter().flat_map(|of| Family::BOTH.map(|on| Way::within(of, on)));
    for way in ways {
        scene.turn(way, more)?;
        let mut flows = Flows::open(&scene.lab.client, scene.vip, 100)?;
        scene.lose("web2")?;
        ensure!(pings(&scene) && connects(&scene)? && ready(&scene, &[])?.0 == Some(0), "{way:?}: two are enough");

        let before = scene.sluice.maps()?;
        scene.lose("web3")?;
        wait::until("the VIP to be silent", SOON, || Ok((!pings(&scene)).then_some(())))?;
        ensure!(!connects(&scene)?, "{way:?}: it takes new connections");
        let maps = scene.sluice.maps()?;
        let is_counted = |stop| maps.stopped(stop) > before.stopped(stop);
        ensure!(is_counted("withdrawn") && is_counted("vip_down"), "{way:?}: not counted");
        let (code, words) = ready(&scene, &["--frontend", "echo"])?;
        let lost = "not ready: frontend echo has lost its quorum of 2: 1 server takes new traffic in backend echo";
        ensure!(code == Some(1) && words.contains(lost), "{way:?}: {words}");
        let (mut others, dead) = flows.split("web1");
        ensure!(others.len() > 10 && !dead.is_empty(), "{way:?}");
        others.exchange("without a quorum")?;
        let datagrams = seen::by_server(&udp::ask(&scene.lab.client, scene.vip, 20)?);
        ensure!(datagrams.keys().eq(["web1"]), "{way:?}: {datagrams:?}");

        scene.regain("web2")?;
        wait::until("the VIP to be back", SOON, || Ok(pings(&scene).then_some(())))?;
        ensure!(connects(&scene)? && ready(&scene, &[])?.0 == Some(0), "{way:?}: it is not back");
        others.exchange("with its quorum again")?;
        flows = others;
        drop(flows);
        scene.regain("web3")?;
    }
    scene.over()
}

#[test]
fn a_vip_that_serves_on_is_not_ready_and_answers_nevertheless() -> Result<()> {
    let more = More { frontend: "quorum = \"67%\"", ..More::default() };
    let mut scene = Scene::of(Way::within("nat", Family::V4), &WEBS, more)?;
    scene.lose("web3")?;
    ensure!(ready(&scene, &[])?.0 == Some(1) && pings(&scene) && connects(&scene)?);
    scene.regain("web3")?;
    ensure!(ready(&scene, &["--json"])?.0 == Some(0));
    scene.over()
}

#[test]
fn whoever_cannot_be_asked_is_not_waited_for() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "")?;
    let (code, words) = ready(&scene, &["--frontend", "ehco"])?;
    ensure!(code == Some(2) && words.contains("there is no frontend ehco"), "{words}");
    ensure!(ready(&scene, &["--timeout", "1"])?.0 == Some(2), "a duration has a unit");

    // One that answers nothing, as a process that is stopped.
    let worker = scene.sluice.status()?.worker()?;
    rustix::process::kill_process(worker, rustix::process::Signal::STOP)?;
    let begun = Instant::now();
    let (code, words) = ready(&scene, &["--timeout", "300ms"])?;
    let took = begun.elapsed();
    rustix::process::kill_process(worker, rustix::process::Signal::CONT)?;
    ensure!(code == Some(2) && words.contains("does not answer within 300ms"), "{words}");
    ensure!(took < Duration::from_secs(2), "{took:?}");

    scene.sluice.stop()?;
    let socket = scene.lab.directory().join("sluice.sock");
    let output = Command::new(binary()?).args(["ready", "--socket"]).arg(&socket).output()?;
    ensure!(output.status.code() == Some(2), "{}", complaint(&output));
    ensure!(complaint(&output).contains(socket.to_str().context("a path")?), "{}", complaint(&output));
    scene.over()
}
