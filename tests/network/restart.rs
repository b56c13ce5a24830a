//! The daemon dies, and the traffic does not care.

use crate::scene::{self, More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{client::Flows, lab::Family, process};
use std::{
    env,
    panic::resume_unwind,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio::time::Instant;

const FLOWS: usize = 1_000;

/// Pause between two messages on every flow.
const BEAT: Duration = Duration::from_millis(500);

/// How long the flows run: `SLUICE_RESTART_SECONDS`, or a minute in the long form.
fn duration() -> Result<Duration> {
    let usual = if scene::is_long() { 60 } else { 20 };
    let seconds = env::var("SLUICE_RESTART_SECONDS").map_or(Ok(usual), |text| text.parse())?;
    Ok(Duration::from_secs(seconds))
}

#[test]
fn a_thousand_flows_survive_kill_9_of_the_daemon_and_its_restart() -> Result<()> {
    let mut scene = Scene::alone(
        Way::within("nat", Family::V4),
        &WEBS,
        More { global: "on_stop = \"keep\"\n", ..More::default() },
    )?;
    scene.lose("web3")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
    let (start, length) = (Instant::now(), duration()?);

    run_until(&mut flows, start + length / 4, "with the daemon")?;
    scene.sluice.kill()?;
    ensure!(scene.sluice.status().is_err(), "the daemon still answers");
    run_until(&mut flows, start + length / 2, "without it")?;
    let orphaned = Flows::open(&scene.lab.client, scene.vip, 100)?;
    ensure!(orphaned.by_server().keys().eq(["web1", "web2"]), "{:?}", orphaned.by_server());

    scene.sluice.start_again(&scene.lab)?;
    run_until(&mut flows, start + length, "after its restart")?;
    println!("{} flows for {length:?} across kill -9 and restart: 0 broken", flows.len());
    scene.over()
}

#[test]
fn a_server_that_was_down_takes_nothing_while_the_daemon_restarts_and_after() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"keep\"\n")?;
    scene.lose("web3")?;
    let Scene { sluice, lab, vip, .. } = &mut scene;
    sluice.kill()?;
    // A daemon that forgot would send a third of these to web3, until its checks have failed again.
    let ready = AtomicBool::new(false);
    let opened = thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            let mut opened = 0;
            while !ready.load(Ordering::Relaxed) {
                opened += Flows::open(&lab.client, *vip, 20).context("a new connection during the restart")?.len();
            }
            Ok::<_, anyhow::Error>(opened)
        });
        let started = sluice.start_again(lab);
        ready.store(true, Ordering::Relaxed);
        let opened = visitor.join().unwrap_or_else(|panic| resume_unwind(panic));
        started.and(opened)
    })?;
    ensure!(opened > 100, "only {opened} connections during the restart: they show nothing");
    ensure!(sluice.status()?.server("echo", "web3")?.health == "down");
    scene.regain("web3")?;
    scene.over()
}

#[test]
fn a_server_in_maintenance_stays_there_over_a_restart() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "on_stop = \"keep\"\n")?;
    scene.sluice.command(&["server", "maint", "echo/web1"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web2", "web3"]))?;
    scene.sluice.kill()?;
    scene.sluice.start_again(&scene.lab)?;
    ensure!(scene.sluice.status()?.server("echo", "web1")?.admin == "maint");
    ensure!(scene.sluice.maps()?.shares("echo")?.keys().eq(["web2", "web3"]));
    scene.over()
}

#[test]
fn a_worker_that_dies_is_replaced_and_the_flows_go_on() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 100)?;
    let before = scene.sluice.status()?;
    rustix::process::kill_process(before.worker()?, rustix::process::Signal::KILL)?;
    flows.exchange("without a worker")?;
    let after = lb_tests::wait::until("another worker", SOON, || {
        Ok(Some(scene.sluice.status()?).filter(|status| status.worker_pid != before.worker_pid))
    })?;
    ensure!(after.pid == before.pid, "the supervisor was replaced too");
    flows.exchange("with another worker")?;
    let running =
        process::run(std::process::Command::new("ps").args(["-o", "stat=", "-p", &after.worker_pid.to_string()]));
    ensure!(!running.context("the new worker does not run")?.starts_with('Z'));
    scene.over()
}

fn run_until(flows: &mut Flows, end: Instant, phase: &str) -> Result<()> {
    while Instant::now() < end {
        flows.exchange(phase)?;
        thread::sleep(BEAT);
    }
    Ok(())
}
