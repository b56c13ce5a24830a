//! A server whose check changes its mind as often as it can.

use crate::scene::{More, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{client::Flows, lab::Family, origin::Echo};
use std::{
    net::TcpListener,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Where the checks ask: no traffic goes there.
const CHECKED: u16 = 7_008;
/// A refused connection is a failure at once; on a busy machine only the others must not be slow enough to be one.
const CHECK: &str = r#"{ type = "tcp", port = 7008, interval = "10ms", timeout = "3s", rise = 1, fall = 1 }"#;
const WATCHED: Duration = Duration::from_secs(10);
const FLOWS: usize = 300;

/// Opens and closes the port that is checked, until it is told to end.
fn flap(scene: &Scene, end: &AtomicBool) -> Result<()> {
    scene.lab.machine("web1")?.namespace.enter()?;
    while !end.load(Ordering::Relaxed) {
        let listener = TcpListener::bind(("::", CHECKED))?;
        thread::sleep(Duration::from_millis(25));
        drop(listener);
        thread::sleep(Duration::from_millis(25));
    }
    Ok(())
}

#[test]
fn a_server_that_flaps_has_rings_rebuilt_ten_times_a_second_at_most_and_harms_no_flow_elsewhere() -> Result<()> {
    let more = More { check: Some(CHECK), ..More::default() };
    let scene = Scene::alone(Way::within("nat", Family::V4), &WEBS, more)?;
    let echo = |name| Echo::start(scene.lab.machine(name)?, CHECKED, scene.lab.directory());
    let _healthy = [echo("web2")?, echo("web3")?];
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let flapping = scope.spawn(|| flap(&scene, &end));
        let watched = watch(&scene);
        end.store(true, Ordering::Relaxed);
        flapping.join().ok().context("the server's thread panicked")??;
        watched
    })?;
    scene.over()
}

fn watch(scene: &Scene) -> Result<()> {
    scene.sluice.wait_shares("echo", Duration::from_secs(10), |shares| shares.len() >= 2)?;
    let (mut flows, mut tried, mut cut) = (Flows::default(), 0, 0);
    let mut more = |flows: &mut Flows, count| {
        // A handshake with web1 in the midst of which it goes is cut: that is no harm elsewhere.
        let (opened, failed) = Flows::open_some(&scene.lab.client, scene.vip, count)?;
        flows.append(opened.split("web1").1);
        (tried, cut) = (tried + count, cut + failed);
        Ok::<_, anyhow::Error>(())
    };
    more(&mut flows, FLOWS)?;
    let (began, before) = (Instant::now(), scene.sluice.status()?);
    while began.elapsed() < WATCHED {
        flows.exchange("still there")?;
        more(&mut flows, 20)?;
    }
    let (after, took) = (scene.sluice.status()?, began.elapsed());
    let rebuilds = after.ring_rebuilds - before.ring_rebuilds;
    let changes = |status: &lb_tests::sluice::Status| {
        let changed = status.failovers.iter().filter(|change| change.server == "web1");
        changed.map(|change| change.at_us).collect::<Vec<_>>()
    };
    // The last changes are remembered; how fast they came says how often the server flapped.
    let changes = changes(&after);
    let span = changes.last().zip(changes.first()).map(|(last, first)| last - first).context("it never changed")?;
    let a_second = changes.len() as u64 * 1_000_000 / span.max(1);
    println!(
        "{a_second} changes of health a second, {rebuilds} rebuilds in {took:?}; none of {} flows elsewhere was lost; {cut} of \
         {tried} that began were cut",
        flows.len()
    );
    ensure!(cut * 10 < tried, "more than the server that flaps can explain: {cut} of {tried} were cut as they began");
    ensure!(a_second > 10, "it did not flap fast enough to show anything");
    ensure!(rebuilds <= took.as_secs() * 10 + 11, "{rebuilds} rebuilds in {took:?}");
    Ok(())
}
