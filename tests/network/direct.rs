//! `forward = "direct"`: servers own the VIP silently and answer the client themselves.

use crate::scene::{PORT, Scene, WEBS};
use anyhow::{Result, ensure};
use lb_tests::{
    client::{Flows, seen, udp},
    lab::{CLIENT, DEVICE},
    watch::Watch,
};

#[test]
fn tcp_and_udp_reach_every_server_and_replies_do_not_pass_the_balancer() -> Result<()> {
    let scene = Scene::start("direct", &WEBS, "")?;
    let watch = Watch::start(&scene.lab.balancer, DEVICE, CLIENT, PORT)?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 300)?;
    flows.exchange("there and straight back")?;
    let datagrams = seen::by_server(&udp::ask(&scene.lab.client, scene.vip, 300)?);
    ensure!(flows.by_server().keys().eq(WEBS) && datagrams.keys().eq(WEBS), "{:?} {datagrams:?}", flows.by_server());

    let maps = scene.sluice.maps()?;
    let returned: u64 = maps.vips.iter().map(|vip| vip.return_packets).sum();
    ensure!(returned == 0, "{returned} replies came through the balancer");
    ensure!(watch.stop()?.of_client == 0, "the host stack saw packets of the VIP");
    scene.over()
}

#[test]
fn flows_of_living_servers_outlive_a_failure() -> Result<()> {
    let mut scene = Scene::start("direct", &WEBS, "")?;
    let flows = Flows::open(&scene.lab.client, scene.vip, 300)?;
    scene.lose("web2")?;
    let (_, mut others) = flows.split("web2");
    others.exchange("still here")?;
    let fresh = Flows::open(&scene.lab.client, scene.vip, 300)?;
    ensure!(fresh.by_server().keys().eq(["web1", "web3"]), "{:?}", fresh.by_server());
    scene.over()
}
