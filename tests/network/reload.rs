//! A new configuration under running traffic.

use crate::scene::{self, SOON, Scene, WEBS};
use anyhow::{Result, ensure};
use lb_tests::{
    client::{Connection, Flows},
    lab::{Lab, NAT_VIP, PROXY_VIP},
    origin::{Listen, Nginx},
    sluice::{Sluice, complaint},
    wait,
};
use rustix::process::Signal;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };

/// The `echo` frontend of the scene, an HTTP frontend, and, if `more`, a second kernel frontend.
fn config(lab: &Lab, more: bool) -> Result<String> {
    let (web, check) = (lab.servers("web", &["web1"], 8080)?, scene::FAST_CHECK);
    let http = format!(
        r#"
[frontend.web]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:80" }}]
default_backend = "web"
[backend.web]
balance = "roundrobin"
check = {check}
{web}"#
    );
    let second = format!(
        r#"
[frontend.more]
mode = "l4"
bind = [{{ address = "{NAT_VIP}:80" }}]
default_backend = "more"
[backend.more]
balance = "maglev"
forward = "nat"
check = {check}
{}"#,
        lab.servers("more", &["web1"], 8080)?
    );
    Ok(scene::config(lab, "nat", &WEBS)? + &http + if more { &second } else { "" })
}

#[test]
fn a_good_configuration_takes_effect_by_verb_and_by_signal_and_breaks_nothing() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let (lab, sluice) = (&scene.lab, &scene.sluice);
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let mut flows = Flows::open(&lab.client, scene.vip, 300)?;
    replace(sluice, &config(lab, false)?, lab, || sluice.command(&["reload"]))?;
    flows.exchange("after a frontend of the proxy was added")?;
    let mut kept = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    ensure!(kept.get("/")?.status == 200);

    replace(sluice, &config(lab, true)?, lab, || sluice.command(&["reload"]))?;
    let through_kernel = wait::until("the second kernel frontend", SOON, || {
        Connection::open(&lab.client, (NAT_VIP, 80).into()).map(Some)
    })?
    .get("/")?;
    ensure!(through_kernel.server == "web1", "{through_kernel:?}");
    flows.exchange("after a frontend of the kernel was added")?;
    ensure!(kept.get("/")?.status == 200, "the kept connection");

    replace(sluice, &config(lab, false)?, lab, || sluice.signal(Signal::HUP))?;
    wait::until("the second kernel frontend to go", SOON, || {
        Ok(sluice.maps()?.vips.iter().all(|vip| vip.frontend.as_deref() != Some("more")).then_some(()))
    })?;
    flows.exchange("after it was removed")?;
    ensure!(kept.get("/")?.status == 200, "the kept connection");
    scene.over()
}

#[test]
fn servers_come_and_go_with_the_configuration() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    for servers in [&["web1", "web2"][..], &WEBS] {
        let config = scene::config(&scene.lab, "nat", servers)?;
        replace(&scene.sluice, &config, &scene.lab, || scene.sluice.command(&["reload"]))?;
        scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(servers))?;
        ensure!(Flows::open(&scene.lab.client, scene.vip, 300)?.by_server().keys().eq(servers));
    }
    scene.over()
}

#[test]
fn a_bad_configuration_changes_nothing_and_is_explained() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let (before, shares) = (scene.sluice.status()?, scene.sluice.maps()?.shares("echo")?);
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 100)?;
    let wrong =
        scene::config(&scene.lab, "nat", &WEBS)?.replace("default_backend = \"echo\"", "default_backend = \"ehco\"");
    scene.sluice.write_config(&scene.lab, &wrong)?;

    let output = scene.sluice.cli(&["reload"])?;
    ensure!(output.status.code() == Some(1), "{}", complaint(&output));
    ensure!(complaint(&output).contains("ehco"), "the error does not name what is wrong: {}", complaint(&output));
    scene.sluice.signal(Signal::HUP)?;
    wait::until("the log to explain", SOON, || Ok(scene.sluice.log().contains("ehco").then_some(())))?;

    let after = scene.sluice.status()?;
    ensure!((after.generation, after.pid) == (before.generation, before.pid), "{before:?}, then {after:?}");
    ensure!(scene.sluice.maps()?.shares("echo")? == shares);
    flows.exchange("after a bad configuration")?;
    scene.over()
}

#[test]
fn what_the_operator_did_survives_a_reload() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    scene.sluice.command(&["server", "drain", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web1", "web3"]))?;
    replace(&scene.sluice, &config(&scene.lab, false)?, &scene.lab, || scene.sluice.command(&["reload"]))?;
    ensure!(scene.sluice.status()?.server("echo", "web2")?.admin == "drain");
    ensure!(scene.sluice.maps()?.shares("echo")?.keys().eq(["web1", "web3"]));
    scene.sluice.command(&["server", "ready", "echo/web2"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(WEBS))?;
    scene.over()
}

/// Writes the configuration, asks for a reload, and waits until it has taken effect.
fn replace(sluice: &Sluice, config: &str, lab: &Lab, ask: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = sluice.status()?.generation;
    sluice.write_config(lab, config)?;
    ask()?;
    wait::until("the next generation", SOON, || Ok((sluice.status()?.generation > before).then_some(())))
}
