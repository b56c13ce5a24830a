//! Agents move the shares of a ring, and the flows that are there stay where they are.

use crate::scene::{More, SOON, Scene, WEBS, Way, config_of};
use anyhow::{Context, Result, ensure};
use lb_tests::{client::Flows, lab::Family, origin::Agent};
use std::{collections::BTreeMap, thread, time::Duration};

const PORT: u16 = 9_707;
const FLOWS: usize = 300;
const WAY: Way = Way::within("nat", Family::V4);
const MORE: More<'static> = More {
    global: "",
    check: None,
    frontend: "",
    backend: "transition = \"2s\"\nagent = { port = 9707, interval = \"100ms\", timeout = \"3s\" }",
};

/// The configuration, with weights of which parts can be had.
fn config(scene: &Scene, weight: u16) -> Result<String> {
    let text = config_of(&scene.lab, WAY, &WEBS, MORE)?;
    let weighed = |line: &str| {
        if line.starts_with("address = ") { format!("{line}\nweight = {weight}\n") } else { format!("{line}\n") }
    };
    Ok(text.lines().map(weighed).collect())
}

/// Whether shares are as these parts of the whole, to within a hundredth.
fn are(shares: &BTreeMap<String, f64>, parts: [f64; 3]) -> bool {
    let whole: f64 = parts.iter().sum();
    WEBS.iter().zip(parts).all(|(server, part)| {
        let share = shares.get(*server).copied().unwrap_or_default();
        (share - part / whole).abs() < 0.01
    })
}

#[test]
fn agents_move_shares_of_a_ring_and_no_flow() -> Result<()> {
    let scene = Scene::of(WAY, &WEBS, MORE)?;
    let agents = WEBS.iter().map(|name| Agent::start(scene.lab.machine(name)?, PORT, "up"));
    let agents = agents.collect::<Result<Vec<_>>>()?;
    scene.sluice.write_config(&scene.lab, &config(&scene, 100)?)?;
    scene.sluice.command(&["reload"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| are(shares, [1.0; 3]))?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
    let before = flows.by_server();

    // What each of the agents says, and the shares that follow.
    for (lines, parts) in [
        (["50%", "up", "up"], [1.0, 2.0, 2.0]),
        (["50%", "200%", "100%"], [1.0, 4.0, 2.0]),
        (["0%", "100%", "100%"], [0.0, 1.0, 1.0]),
        (["100%", "drain", "up"], [1.0, 0.0, 1.0]),
        (["25%", "ready", "up"], [1.0, 4.0, 4.0]),
    ] {
        for (agent, line) in agents.iter().zip(lines) {
            agent.say(line);
        }
        scene.sluice.wait_shares("echo", SOON, |shares| are(shares, parts))?;
        flows.exchange(&lines.join(", "))?;
        // Longer than slots change hands.
        for _ in 0..6 {
            thread::sleep(Duration::from_millis(500));
            flows.exchange("meanwhile")?;
        }
    }
    ensure!(flows.by_server() == before, "{before:?}, now {:?}", flows.by_server());
    let opened = Flows::open(&scene.lab.client, scene.vip, FLOWS)?.by_server();
    let of_first = opened.get("web1").copied().unwrap_or_default();
    ensure!((FLOWS / 18..FLOWS / 6).contains(&of_first), "a ninth of the new flows, not {opened:?}");

    // A reload keeps that, and a part is one of the weight that is configured then.
    scene.sluice.write_config(&scene.lab, &config(&scene, 200)?)?;
    scene.sluice.command(&["reload"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| are(shares, [1.0, 4.0, 4.0]))?;
    flows.exchange("after a reload")?;

    // The operator's word counts until the agent's next one.
    for agent in &agents {
        agent.say("up");
    }
    thread::sleep(Duration::from_millis(500));
    scene.sluice.command(&["server", "weight", "echo/web1", "100%"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| are(shares, [1.0; 3]))?;
    flows.exchange("by the operator")?;

    agents.first().context("no agent")?.say("down #disk full");
    scene.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web1"))?;
    let status = scene.sluice.status()?;
    ensure!(status.server("echo", "web1")?.state == "down (agent)", "{status:?}");
    agents.first().context("no agent")?.say("up");
    scene.sluice.wait_shares("echo", SOON, |shares| are(shares, [1.0; 3]))?;
    scene.over()
}
