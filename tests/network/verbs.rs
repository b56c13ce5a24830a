//! What the command line says when it cannot do what it is asked, and that drain and ready do what they say.

use crate::scene::{SOON, Scene, WEBS};
use anyhow::{Result, ensure};
use lb_tests::{
    binary,
    client::Flows,
    lab::Lab,
    sluice::{complaint, complete},
};
use std::{fs, process::Command};

#[test]
fn without_a_daemon_every_verb_fails_and_names_the_socket() -> Result<()> {
    let explain = &["explain", "--packet", "udp", "192.0.2.1:1", "192.0.2.2:2"];
    for verb in [&["status"][..], &["reload"], &["server", "drain", "echo/web1"], explain] {
        let output = Command::new(binary()?).args(verb).args(["--socket", "/run/no-such-sluice.sock"]).output()?;
        ensure!(output.status.code() == Some(1), "{verb:?}: {}", complaint(&output));
        ensure!(complaint(&output).contains("/run/no-such-sluice.sock"), "{verb:?}: {}", complaint(&output));
    }
    Ok(())
}

#[test]
fn a_wrong_command_line_is_a_usage_error() -> Result<()> {
    let mixed = &["explain", "/", "--packet", "udp", "192.0.2.1:1", "192.0.2.2:2"];
    for wrong in [&["no-such-verb"][..], &["server", "explode", "echo/web1"], mixed, &[]] {
        let output = Command::new(binary()?).args(wrong).output()?;
        ensure!(output.status.code() == Some(2), "{wrong:?}: {}", complaint(&output));
    }
    Ok(())
}

#[test]
fn without_privileges_the_daemon_says_which_it_needs() -> Result<()> {
    let lab = Lab::beside_others()?;
    let config = lab.directory().join("sluice.toml");
    fs::write(&config, complete(&lab, &crate::scene::config(&lab, "nat", &WEBS)?))?;
    let mut command = lab.balancer.command("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    let output = command.arg(binary()?).arg("run").arg("--config").arg(&config).output()?;
    ensure!(output.status.code() == Some(1), "{}", complaint(&output));
    ensure!(complaint(&output).contains("CAP_"), "no capability is named: {}", complaint(&output));
    ensure!(!lab.pins().exists(), "a start that failed left {}", lab.pins().display());
    Ok(())
}

#[test]
fn an_unknown_server_is_named() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let output = scene.sluice.cli(&["server", "drain", "echo/web9"])?;
    ensure!(output.status.code() == Some(1) && complaint(&output).contains("web9"), "{}", complaint(&output));
    scene.over()
}

#[test]
fn a_server_in_drain_takes_nothing_new_until_it_is_ready() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    scene.sluice.command(&["server", "drain", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web1", "web3"]))?;
    let flows = Flows::open(&scene.lab.client, scene.vip, 300)?;
    ensure!(flows.by_server().keys().eq(["web1", "web3"]), "{:?}", flows.by_server());
    scene.sluice.command(&["server", "ready", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(WEBS))?;
    scene.over()
}
