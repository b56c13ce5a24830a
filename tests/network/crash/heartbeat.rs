//! A daemon that is dead, or hangs: VIPs that need one take nothing new, the others go on.

use crate::scene::{self, FAST_CHECK, More, SOON, Scene, Way};
use anyhow::{Result, ensure};
use lb_tests::{
    client::Flows,
    lab::{Family, Lab, NAT_VIP},
    wait,
};
use rustix::process::{Signal, kill_process};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Long enough for a handshake, too short for a SYN that is sent again.
const HANDSHAKE: Duration = Duration::from_millis(700);

/// Silence after which a daemon is dead, here.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Beats come once a second, and what is silent is seen to be so within this time.
const NOTICED: Duration = Duration::from_secs(3);

/// Of the VIP that needs a daemon.
const CAREFUL: (Ipv4Addr, u16) = (NAT_VIP, 7008);

fn config(lab: &Lab) -> Result<String> {
    let more = More { global: "on_stop = \"keep\"\nheartbeat_timeout = \"3s\"\n", ..More::default() };
    Ok(scene::config_of(lab, Way::within("nat", Family::V4), &["web1", "web2"], more)?
        + &format!(
            "[frontend.careful]\nmode = \"l4\"\nbind = \"{}:{}\"\ndefault_backend = \"careful\"\n\
             daemon_down = \"withdraw\"\n\
             [backend.careful]\nbalance = \"maglev\"\nforward = \"nat\"\ncheck = {FAST_CHECK}\n{}",
            CAREFUL.0,
            CAREFUL.1,
            lab.servers("careful", &["web3"], scene::PORT)?
        ))
}

fn connects(scene: &Scene, address: SocketAddr) -> Result<bool> {
    scene.lab.client.run(|| TcpStream::connect_timeout(&address, HANDSHAKE).is_ok())
}

/// Whether what needs a daemon takes connections; what needs none always does.
fn is_served(scene: &Scene) -> Result<bool> {
    ensure!(connects(scene, scene.vip)?, "a VIP that needs no daemon takes nothing");
    connects(scene, CAREFUL.into())
}

#[test]
fn a_vip_that_needs_a_daemon_is_withdrawn_without_one_and_back_with_the_next() -> Result<()> {
    let mut scene = Scene::start("nat", &["web1", "web2", "web3"], "")?;
    scene.sluice.write_config(&scene.lab, &config(&scene.lab)?)?;
    scene.sluice.command(&["reload"])?;
    scene.sluice.wait_shares("careful", SOON, |shares| shares.contains_key("web3"))?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 50)?;
    flows.append(Flows::open(&scene.lab.client, CAREFUL.into(), 50)?);

    // A worker that dies and comes back within the time is no dead daemon.
    let before = scene.sluice.status()?;
    kill_process(before.worker()?, Signal::KILL)?;
    ensure!(is_served(&scene)?, "withdrawn at once");
    wait::until("another worker", SOON, || Ok((scene.sluice.status()?.worker_pid != before.worker_pid).then_some(())))?;
    thread::sleep(TIMEOUT);
    ensure!(is_served(&scene)? && super::kernel(&scene)?["heartbeat"]["dead"] == false, "withdrawn with a new worker");

    // One that hangs is.
    let worker = scene.sluice.status()?.worker()?;
    kill_process(worker, Signal::STOP)?;
    wait::until("the VIP to be withdrawn", TIMEOUT + NOTICED, || Ok((!is_served(&scene)?).then_some(())))?;
    flows.exchange("while the worker hangs")?;
    kill_process(worker, Signal::CONT)?;
    wait::until("the VIP to be back", NOTICED, || Ok(is_served(&scene)?.then_some(())))?;

    let stopped = |scene: &Scene| Ok::<_, anyhow::Error>(scene.sluice.maps()?.stopped("withdrawn"));
    let counted = stopped(&scene)?;
    scene.sluice.kill()?;
    let killed = Instant::now();
    ensure!(is_served(&scene)?, "withdrawn at once");
    wait::until("the VIP to be withdrawn", TIMEOUT + NOTICED, || Ok((!is_served(&scene)?).then_some(())))?;
    let took = killed.elapsed();
    ensure!(took + Duration::from_secs(1) + HANDSHAKE > TIMEOUT, "withdrawn too early: {took:?}");
    let maps = super::kernel(&scene)?;
    let withdrawn: Vec<_> = super::rows(&maps, "vips")?.iter().filter(|vip| vip["withdrawn"] == true).collect();
    ensure!(maps["heartbeat"]["dead"] == true && withdrawn.len() == 1, "{maps}");
    ensure!(stopped(&scene)? > counted, "not counted");
    flows.exchange("without a daemon")?;

    scene.sluice.start_again(&scene.lab)?;
    wait::until("the VIP to be back", NOTICED, || Ok(is_served(&scene)?.then_some(())))?;
    flows.exchange("with another daemon")?;
    println!("withdrawn {took:?} after the kill, of {TIMEOUT:?} allowed since the last beat");
    scene.over()
}
