//! `on_empty` of `l4`: a backend without servers refuses at once, or says nothing.

use crate::scene::{More, SOON, Scene, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Flows, curl},
    lab::Family,
    wait,
};
use std::{io::ErrorKind, net::UdpSocket, thread, time::Duration};
use tokio::time::Instant;

const TWO: [&str; 2] = ["web1", "web2"];
const WAYS: [(&str, Family); 3] = [("nat", Family::V4), ("direct", Family::V6), ("nat", Family::V6)];

/// A scene whose servers are all in maintenance, and connections that were open before.
fn empty(way: Way, backend: &str) -> Result<(Scene, Flows)> {
    let scene = Scene::of(way, &TWO, More { backend, ..More::default() })?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 20)?;
    flows.exchange("before")?;
    // What acknowledges the last answers late is on its way before nobody is there to take it, or it would be refused too, and
    // the flow be over before its next message.
    thread::sleep(Duration::from_millis(300));
    for server in TWO {
        scene.sluice.command(&["server", "maint", &format!("echo/{server}")])?;
    }
    // Until the ring says that nobody is there, packets are dropped.
    scene.sluice.wait_shares("echo", SOON, |shares| TWO.iter().all(|server| !shares.contains_key(*server)))?;
    Ok((scene, flows))
}

fn fetch(scene: &Scene) -> Result<(String, Duration)> {
    let (url, asked) = (format!("http://{}/", scene.vip), Instant::now());
    let error = curl(scene.lab.client.command("curl"), &["--connect-timeout", "2", &url]);
    Ok((format!("{:#}", error.err().context("there was an answer")?), asked.elapsed()))
}

#[test]
fn reset_refuses_connections_at_once_and_datagrams_too() -> Result<()> {
    for (forward, family) in WAYS {
        let (scene, mut flows) = empty(Way::within(forward, family), "on_empty = \"reset\"")?;
        let (error, took) = wait::until("a refusal", SOON, || {
            let (error, took) = fetch(&scene)?;
            Ok((!error.contains("timed out")).then_some((error, took)))
        })?;
        println!("{forward} {family:?}: {took:?}: {error}");
        ensure!(error.contains("refused") || error.contains("Couldn't connect"), "{error}");
        ensure!(took < Duration::from_secs(1), "{took:?}");
        let broken = flows.exchange("while nobody is there").err().context("they went on")?.to_string();
        ensure!(broken.contains("reset") || broken.contains("Broken pipe"), "{broken}");
        let told = scene.lab.client.run(|| {
            let socket = UdpSocket::bind(if scene.vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
            socket.connect(scene.vip)?;
            socket.set_read_timeout(Some(SOON))?;
            socket.send(b"?")?;
            socket.recv(&mut [0; 16])
        })?;
        ensure!(told.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "a datagram is not refused");
        let refused = scene.sluice.maps()?.stopped("refused");
        ensure!(refused > 20, "{refused} packets were refused here");

        scene.sluice.command(&["server", "ready", "echo/web1"])?;
        scene.sluice.wait_shares("echo", SOON, |shares| shares.contains_key("web1"))?;
        Flows::open(&scene.lab.client, scene.vip, 20)?.exchange("after")?;
        scene.over()?;
    }
    Ok(())
}

#[test]
fn error_says_nothing() -> Result<()> {
    let (scene, _flows) = empty(Way::within("nat", Family::V4), "on_empty = \"error\"")?;
    let (error, took) = fetch(&scene)?;
    ensure!(took >= Duration::from_millis(1_900) && error.contains("time"), "{took:?}: {error}");
    ensure!(scene.sluice.maps()?.stopped("no_server") > 0);
    scene.over()
}
