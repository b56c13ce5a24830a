//! A daemon that gets no CPU: nobody else is blamed for that.

use crate::scene::{self, More, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{Family, PROXY_VIP},
    origin::{Listen, Nginx},
    process::Process,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{process::Command, thread, time::Duration};
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };

/// Checks that take one failure for a verdict, also of servers that answer after some steps.
fn scene() -> Result<(Scene, Vec<Nginx>)> {
    let scene = Scene::alone(Way::within("nat", Family::V4), &WEBS, More::default())?;
    let lab = &scene.lab;
    let nginx = WEBS.iter().map(|name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]));
    let nginx = nginx.collect::<Result<_>>()?;
    let check = r#"{ type = "http", path = "/health", expect = 200, interval = "50ms", timeout = "250ms", rise = 1, fall = 1 }"#;
    let web = format!(
        "[frontend.web]\nmode = \"http\"\nbind = \"{PROXY_VIP}:80\"\ndefault_backend = \"web\"\n[backend.web]\ncheck = {check}\n{}",
        lab.servers("web", &WEBS, 8080)?
    );
    let echo = scene::config(lab, "nat", &WEBS)?
        .replace("timeout = \"3s\", rise = 2, fall = 2", "timeout = \"250ms\", fall = 1");
    scene.sluice.write_config(lab, &(echo + "\n" + &web))?;
    scene.sluice.command(&["reload"])?;
    thread::sleep(Duration::from_secs(1));
    Ok((scene, nginx))
}

/// Nobody went down since.
fn nobody_fell(scene: &Scene, before: usize, what: &str) -> Result<()> {
    let failovers = scene.sluice.status()?.failovers;
    let fallen: Vec<_> = failovers.iter().skip(before).filter(|change| change.to == "down").collect();
    ensure!(fallen.is_empty(), "{what}: {fallen:?}\n{}", scene.sluice.log());
    Ok(())
}

/// Threads of a process by name.
fn threads(pid: Pid, name: &str) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))? {
        let path = entry?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim().starts_with(name) {
            found.extend(path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok()));
        }
    }
    Ok(found)
}

#[test]
fn a_worker_that_was_stopped_blames_no_server_and_still_finds_those_that_are_down() -> Result<()> {
    let (mut scene, _nginx) = scene()?;
    let status = scene.sluice.status()?;
    let (worker, before) = (status.worker()?, status.failovers.len());
    for pause in if scene::is_long() { &[10_000, 300, 1_000][..] } else { &[3_000, 300, 300][..] } {
        kill_process(worker, Signal::STOP)?;
        thread::sleep(Duration::from_millis(*pause));
        kill_process(worker, Signal::CONT)?;
        thread::sleep(Duration::from_millis(200));
    }
    thread::sleep(Duration::from_secs(1));
    nobody_fell(&scene, before, "stopped")?;
    ensure!(scene.sluice.log().contains("the checks got no CPU"), "{}", scene.sluice.log());
    scene.lose("web2").context("who is down")?;
    scene.over()
}

#[test]
fn a_checker_that_has_to_share_its_cpu_blames_no_server() -> Result<()> {
    let (mut scene, _nginx) = scene()?;
    let status = scene.sluice.status()?;
    let (worker, before) = (status.worker()?, status.failovers.len());
    // The thread of the checks gets the last place on a CPU on which others never rest.
    let checks = threads(worker, "checks")?;
    ensure!(checks.len() == 1, "the threads of the checks: {checks:?}");
    for thread in &checks {
        lb_tests::process::run(Command::new("taskset").args(["-pc", "0", &thread.to_string()]))?;
        lb_tests::process::run(Command::new("renice").args(["-n", "10", "-p", &thread.to_string()]))?;
    }
    let mut busy = Vec::new();
    for number in 0..4 {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", "sh", "-c", "while :; do :; done"]);
        busy.push(Process::spawn(&format!("busy{number}"), &mut command, scene.lab.directory())?);
    }
    let (begun, lasts) = (Instant::now(), Duration::from_secs(if scene::is_long() { 30 } else { 6 }));
    thread::sleep(lasts);
    nobody_fell(&scene, before, "starved")?;
    scene.kill_echo("web2")?;
    let found = lb_tests::wait::until("who is down", Duration::from_mins(1), || {
        Ok((scene.sluice.status()?.server("echo", "web2")?.health == "down").then(|| begun.elapsed()))
    })?;
    println!("starved, a server that is down was found within {:?}", found.saturating_sub(lasts));
    drop(busy);
    scene.over()
}
