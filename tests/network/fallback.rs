//! A backend of packets that loses all its servers, and another one that takes what is new meanwhile.

use crate::scene::{More, PORT, SOON, Scene, WEBS, Way};
use anyhow::{Result, ensure};
use lb_tests::{client::Flows, lab::Family};
use std::collections::BTreeMap;

const OWN: [&str; 2] = ["web1", "web2"];

#[test]
fn new_flows_go_to_the_fallback_while_a_backend_has_no_server_and_stay_there() -> Result<()> {
    for way in [Way::within("nat", Family::V4), Way::within("direct", Family::V6)] {
        check(way)?;
    }
    Ok(())
}

fn check(way: Way) -> Result<()> {
    let mut scene = Scene::of(way, &WEBS, More::default())?;
    // web3 is of the backend that is fallen back to.
    let spare = scene.lab.servers_of(way.servers, "spare", &["web3"], PORT)?;
    let check = crate::scene::FAST_CHECK;
    let backend =
        format!("fallback = \"spare\"\n[backend.spare]\nforward = \"{}\"\ncheck = {check}\n{spare}", way.forward);
    let more = More { backend: &backend, ..More::default() };
    let config = crate::scene::config_of(&scene.lab, way, &OWN, more)?;
    scene.sluice.write_config(&scene.lab, &config)?;
    scene.sluice.command(&["reload"])?;
    let keys = |wanted: &'static [&'static str]| move |shares: &BTreeMap<String, f64>| shares.keys().eq(wanted);
    scene.sluice.wait_shares("echo", SOON, keys(&OWN))?;

    for server in OWN {
        scene.kill_echo(server)?;
    }
    scene.sluice.wait_shares("echo", SOON, keys(&["spare/web3"]))?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 200)?;
    ensure!(flows.by_server().keys().eq(["web3"]), "{:?}", flows.by_server());
    flows.exchange("at the fallback")?;

    for server in OWN {
        scene.start_echo(server)?;
    }
    scene.sluice.wait_shares("echo", SOON, keys(&OWN))?;
    flows.exchange("after the return")?;
    let fresh = Flows::open(&scene.lab.client, scene.vip, 200)?;
    ensure!(fresh.by_server().keys().eq(OWN), "{:?}", fresh.by_server());
    flows.append(fresh);
    flows.exchange("all together")?;
    println!("{}: {} flows, none lost", way.forward, flows.len());
    scene.over()
}
