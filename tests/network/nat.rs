//! `forward = "nat"`: servers need nothing but their default route.

use crate::scene::{PORT, Scene, WEBS};
use anyhow::{Result, ensure};
use lb_tests::{
    client::{Flows, udp},
    lab::{CLIENT, DEVICE},
    watch::Watch,
};

#[test]
fn tcp_and_udp_reach_every_server_and_the_host_stack_sees_neither() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let watch = Watch::start(&scene.lab.balancer, DEVICE, CLIENT, PORT)?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 300)?;
    flows.exchange("there and back")?;
    let datagrams = udp::ask(&scene.lab.client, scene.vip, 300)?;
    ensure!(flows.by_server().keys().eq(WEBS) && datagrams.keys().eq(WEBS), "{:?} {datagrams:?}", flows.by_server());

    let maps = scene.sluice.maps()?;
    for (server, count) in flows.by_server() {
        let row = maps.server("echo", &server)?;
        ensure!(row.connections == count as u64, "{server} has {count} connections, the kernel counted {row:?}");
    }
    let returned: u64 = maps.vips.iter().map(|vip| vip.return_packets).sum();
    ensure!(returned > 900, "every connection and every datagram has replies: {returned}");
    ensure!(watch.stop()?.of_client == 0, "the host stack saw packets of the VIP");
    scene.over()
}

#[test]
fn a_port_without_a_frontend_is_dropped_and_counted() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let stops = || -> Result<u64> {
        Ok(scene.sluice.maps()?.stops.iter().filter(|stop| stop.name == "unknown_port").map(|stop| stop.packets).sum())
    };
    let before = stops()?;
    scene.lab.client.run(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        (0..10).try_for_each(|_| socket.send_to(b"?", (scene.vip.ip(), 9)).map(drop))
    })??;
    ensure!(stops()? == before + 10, "{before} before, {} after", stops()?);
    scene.over()
}
