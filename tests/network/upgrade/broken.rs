//! Upgrades that fail, at every stage, and processes that die in their midst.

use super::{GONE, Setting, config, vip};
use crate::scene::{SOON, WEBS, is_long};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    binary,
    client::Flows,
    lab::{DEVICE, Lab},
    process,
    sluice::{complaint, complete},
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, thread, time::Duration};
use tokio::time::Instant;

/// A script in the place of the new binary.
fn script(lab: &Lab, name: &str, text: &str, mode: u32) -> Result<PathBuf> {
    let path = lab.directory().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}

/// The program that the balancer's device runs.
fn program(lab: &Lab) -> Result<String> {
    let shown = process::run(lab.balancer.command("ip").args(["-o", "-d", "link", "show", "dev", DEVICE]))?;
    let (_, rest) = shown.split_once("prog/xdp id ").context("no program")?;
    Ok(rest.chars().take_while(char::is_ascii_digit).collect())
}

#[test]
fn what_fails_before_it_is_ready_leaves_the_old_one_serving_and_says_why() -> Result<()> {
    let setting = Setting::start()?;
    let (lab, sluice) = (&setting.lab, &setting.sluice);
    let (good, bad) = (complete(lab, &config(lab)?), "[frontend.x]\nmode = \"l5\"\n");
    // Found only when the new one is about to attach, and the old one holds still.
    let late = good.replacen(&format!("\"{DEVICE}\""), &format!("\"{DEVICE}\", \"nowhere0\""), 1);
    ensure!(late != good);
    let before = (sluice.status()?, program(lab)?);
    let (mut forwarded, mut relayed) = (setting.forwarded(50)?, setting.relayed(50)?);
    let cases = [
        (script(lab, "exit", "exit 1", 0o755)?, good.as_str(), "exit status: 1"),
        (script(lab, "plain", "exit 0", 0o644)?, good.as_str(), "cannot be executed"),
        (script(lab, "open", "exit 0", 0o757)?, good.as_str(), "written by others"),
        (lab.directory().join("none"), good.as_str(), "No such file"),
        (PathBuf::from("sluice"), good.as_str(), "not an absolute path"),
        (binary()?, bad, "l5"),
        (binary()?, late.as_str(), "nowhere0"),
        (script(lab, "hang", "exec sleep 600", 0o755)?, good.as_str(), "says nothing"),
    ];
    for (path, text, why) in cases {
        fs::write(sluice.config(), text)?;
        let output = sluice.cli(&["upgrade", "--binary", &path.display().to_string()])?;
        let said = complaint(&output);
        ensure!(output.status.code() == Some(1) && said.contains(why), "{}: {said}", path.display());
        forwarded.exchange("forwarded, after a failed upgrade")?;
        relayed.exchange("relayed, after a failed upgrade")?;
        let now = sluice.status()?;
        ensure!((now.pid, now.worker_pid) == (before.0.pid, before.0.worker_pid), "{why}: {now:?}");
        ensure!(now.generation == before.0.generation, "{why}: {now:?}");
        ensure!(program(lab)? == before.1, "{why}: another program runs");
        ensure!(setting.forwarded(30)?.by_server().keys().eq(WEBS), "{why}");
        setting.wait_alone()?;
    }
    // Verdicts and wishes take effect again.
    fs::write(sluice.config(), &good)?;
    sluice.command(&["server", "maint", "echo/web1"])?;
    sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web2", "web3"]))?;
    sluice.command(&["reload"])?;
    setting.upgrade()?;
    setting.over()
}

/// Moments of an upgrade, mostly towards its end, when things happen, in percent of the time that one takes.
fn moments() -> &'static [u32] {
    if is_long() { &[0, 30, 60, 75, 85, 90, 95, 100, 110] } else { &[0, 70, 90] }
}

/// How long an upgrade takes here and now.
fn duration(setting: &Setting) -> Result<Duration> {
    let begun = Instant::now();
    setting.upgrade()?;
    setting.wait_alone()?;
    Ok(begun.elapsed())
}

/// The new supervisor beside the `old` one, once there is one.
fn successor(setting: &Setting, old: i32) -> Result<Pid> {
    wait::until("the new binary", SOON, || {
        let is_new = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(11).any(|part| part == b"--take-over"))
        };
        let new = setting.lab.balancer.pids()?.into_iter().find(|pid| is_new(pid) && *pid != old);
        Ok(new.and_then(Pid::from_raw))
    })
}

#[test]
fn the_old_one_goes_on_when_the_new_one_is_killed_in_the_midst() -> Result<()> {
    let setting = Setting::start()?;
    let sluice = &setting.sluice;
    let mut forwarded = setting.forwarded(50)?;
    let whole = duration(&setting)?;
    let before = sluice.status()?;
    let mut failed = 0;
    for delay in moments().iter().map(|percent| whole * *percent / 100) {
        let output = thread::scope(|scope| {
            let upgrading = scope.spawn(|| sluice.cli(&["upgrade"]));
            let new = successor(&setting, before.pid)?;
            thread::sleep(delay);
            kill_process(new, Signal::KILL).unwrap_or_default();
            upgrading.join().ok().context("panicked")?
        })?;
        if output.status.success() {
            println!("after {delay:?} it had taken over, and was the daemon; {failed} times it was not");
            break;
        }
        failed += 1;
        ensure!(complaint(&output).contains("signal: 9"), "{}", complaint(&output));
        forwarded.exchange("after the new one was killed")?;
        let now = sluice.status()?;
        ensure!((now.pid, now.worker_pid) == (before.pid, before.worker_pid), "{delay:?}: {now:?}");
        setting.wait_alone()?;
        sluice.command(&["server", "maint", "echo/web1"])?;
        sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web2", "web3"]))?;
        sluice.command(&["server", "ready", "echo/web1"])?;
        sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(WEBS))?;
        forwarded.exchange("after servers changed")?;
    }
    ensure!(failed > 0, "it was never killed in time");
    setting.over()
}

#[test]
fn when_the_old_one_is_killed_in_the_midst_one_generation_is_left_in_the_kernel() -> Result<()> {
    let mut setting = Setting::start()?;
    let mut forwarded = setting.forwarded(50)?;
    let whole = duration(&setting)?;
    for delay in moments().iter().map(|percent| whole * *percent / 100) {
        let before = setting.sluice.status()?;
        let old = Pid::from_raw(before.pid).context("no supervisor")?;
        thread::scope(|scope| {
            let upgrading = scope.spawn(|| setting.sluice.cli(&["upgrade"]));
            successor(&setting, before.pid)?;
            thread::sleep(delay);
            kill_process(old, Signal::KILL).unwrap_or_default();
            upgrading.join().ok().context("panicked")?
        })?;
        forwarded.exchange("after the old one was killed")?;
        let goes_on = wait::until("somebody to serve, or nobody to be left", GONE, || {
            let is_served = setting.sluice.status().is_ok_and(|now| now.pid != before.pid);
            Ok((is_served || setting.processes()? == 0).then_some(is_served))
        })?;
        println!("killed after {delay:?}: {}", if goes_on { "the new one goes on" } else { "nobody is left" });
        if !goes_on {
            setting.sluice.start_again(&setting.lab)?;
        }
        ensure!(Flows::open(&setting.lab.client, vip(), 30)?.by_server().keys().eq(WEBS));
        forwarded.exchange("with the next one")?;
        setting.wait_alone()?;
        ensure!(fs::read_dir(setting.lab.pins())?.count() == 2, "maps of one generation, and links");
    }
    setting.over()
}
