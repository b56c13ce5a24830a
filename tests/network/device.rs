//! The balancer's device goes away and comes back, under a daemon that runs.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::Flows,
    lab::{DEVICE, Family, Lab},
    process,
    tools::{self, Program},
    wait,
};
use std::time::Duration;
use tokio::time::Instant;

/// Times that the device goes: the machine may be busy, so the median counts.
const ROUNDS: usize = 5;
/// The program must be there again so soon after the device.
const AGAIN: Duration = Duration::from_millis(100);

/// What `ip` says of the device's program; empty without one.
fn program(lab: &Lab) -> Result<String> {
    let shown = process::run(lab.balancer.command("ip").args(["-details", "link", "show", "dev", DEVICE]))?;
    Ok(shown.lines().find(|line| line.contains("prog/xdp")).unwrap_or_default().trim().to_owned())
}

/// What the daemon says of its interface: the mode, and why there is none.
fn told(scene: &Scene) -> Result<(String, Option<String>)> {
    let interface = scene.sluice.status()?.interfaces.pop().context("no interface")?;
    Ok((interface.mode, interface.error))
}

/// The device goes, and the daemon has noticed.
fn unplug(scene: &Scene) -> Result<()> {
    scene.lab.balancer.ip([format!("link del {DEVICE}")])?;
    let gone = format!("there is no network interface {DEVICE}");
    wait::until("the daemon to miss the device", SOON, || {
        Ok((told(scene)? == ("none".to_owned(), Some(gone.clone()))).then_some(()))
    })
}

/// What was sent last has been acknowledged on both sides: nobody will send it again.
fn all_arrived(scene: &Scene) -> Result<()> {
    let servers = WEBS.iter().map(|name| Ok(&scene.lab.machine(name)?.namespace)).collect::<Result<Vec<_>>>()?;
    servers.into_iter().chain([&scene.lab.client]).try_for_each(|machine| {
        wait::until("acknowledgements", SOON, || {
            let shown = process::run(machine.command("ss").args(["-Htn", "state", "established"]))?;
            let mut queues = shown.lines().map(|line| line.split_whitespace().nth(1)); // Recv-Q, Send-Q, …
            Ok(queues.all(|waiting| waiting == Some("0")).then_some(()))
        })
    })
}

/// The device goes for so long that every server fails its checks, and comes back.
///
/// A flow that sends while only some of the servers are back may meet another, and a check that began before the device
/// was whole may still fail a server: so all are out first, then all are in, and flows are silent meanwhile.
fn for_a_while(scene: &Scene, go: impl Fn() -> Result<()>, come: impl Fn() -> Result<()>) -> Result<()> {
    all_arrived(scene)?;
    go()?;
    scene.sluice.wait_shares("echo", SOON, |shares| !WEBS.iter().any(|web| shares.contains_key(*web)))?;
    come()?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(WEBS)).map(drop)
}

/// The device is deleted, and there is another with all that it had.
fn replug(scene: &Scene) -> Result<()> {
    for_a_while(scene, || unplug(scene), || scene.lab.plug_balancer())
}

/// New connections reach the servers, all of them.
fn forwards(scene: &Scene, phase: &str) -> Result<()> {
    let mut flows = wait::until("new connections", SOON, || Flows::open(&scene.lab.client, scene.vip, 60).map(Some))?;
    flows.exchange(phase)?;
    ensure!(flows.by_server().len() == WEBS.len(), "{:?}", flows.by_server());
    Ok(())
}

#[test]
fn a_device_that_was_made_anew_has_the_program_within_100_ms_and_forwards() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let before = program(&scene.lab)?;
    ensure!(before.contains("prog/xdp"), "not attached at all");
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        unplug(&scene)?;
        // As a driver that is loaded anew: the device is there at once, its addresses come later.
        let port = format!("port{round}"); // goes with the device
        scene
            .lab
            .switch
            .ip([format!("link add {port} type veth peer name {DEVICE} netns {}", scene.lab.balancer.name())])?;
        let begun = Instant::now();
        let again = wait::until("the program on the new device", SOON, || {
            Ok(Some(program(&scene.lab)?).filter(|program| !program.is_empty()))
        })?;
        took.push(begun.elapsed());
        ensure!(again == before, "{again}, not {before}");
        wait::until("the daemon to say so", SOON, || Ok((told(&scene)?.0 == "native").then_some(())))?;
    }
    took.sort_unstable();
    println!("the program was on the new device after {took:?}");
    ensure!(took[ROUNDS / 2] <= AGAIN, "{took:?}");

    replug(&scene)?;
    forwards(&scene, "on a new device")?;
    ensure!(scene.sluice.log().contains("XDP does not run any more"), "nothing is logged");
    scene.over()
}

fn flows_go_on(family: Family) -> Result<()> {
    let scene = Scene::of(Way::within("nat", family), &WEBS, More::default())?;
    // The kernel would take the IPv6 addresses from a device that goes down, the VIP among them.
    scene.lab.balancer.sysctl("net.ipv6.conf.all.keep_addr_on_down", "1")?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 100)?;
    flows.exchange("before")?;
    let set = |state: &str| scene.lab.balancer.ip([format!("link set {DEVICE} {state}")]);
    for_a_while(&scene, || set("down"), || set("up"))?;
    flows.exchange("after down and up")?;
    forwards(&scene, "after down and up")?;
    replug(&scene)?;
    flows.exchange("on a new device")?;
    forwards(&scene, "on a new device")?;
    scene.over()
}

#[test]
fn flows_go_on_after_the_device_was_down_and_after_it_was_made_anew() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| flows_go_on(family).with_context(|| format!("{family:?}")))
}

#[test]
fn a_program_that_came_before_ours_is_named_until_it_goes() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    unplug(&scene)?;
    let Lab { balancer, switch, .. } = &scene.lab;
    switch.ip([format!("link add port type veth peer name stranger netns {}", balancer.name())])?;
    tools::attach(Program::Pass, balancer, "stranger", scene.lab.name())?;
    balancer.ip([format!("link set stranger name {DEVICE}")])?;
    let error = wait::until("the daemon to meet the stranger", SOON, || {
        Ok(told(&scene)?.1.filter(|error| error.contains("already runs the XDP program")))
    })?;
    ensure!(error.contains(DEVICE) && error.contains("(id "), "{error}");
    balancer.ip([format!("link set dev {DEVICE} xdp off")])?;
    wait::until("the program in the stranger's place", SOON, || Ok((told(&scene)?.0 == "native").then_some(())))?;
    scene.over()
}
