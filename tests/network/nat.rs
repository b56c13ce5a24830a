//! `forward = "nat"`: servers need nothing but their default route.

use crate::scene::{PORT, SOON, Scene, WEBS};
use anyhow::{Result, ensure};
use lb_tests::{
    client::{Flows, seen, udp},
    lab::{CLIENT, DEVICE},
    wait,
    watch::Watch,
};
use std::{
    io::ErrorKind,
    net::{TcpStream, UdpSocket},
};

#[test]
fn tcp_and_udp_reach_every_server_and_the_host_stack_sees_neither() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let watch = Watch::start(&scene.lab.balancer, DEVICE, CLIENT, PORT)?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 300)?;
    flows.exchange("there and back")?;
    let datagrams = seen::by_server(&udp::ask(&scene.lab.client, scene.vip, 300)?);
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
fn a_port_without_a_frontend_is_the_hosts_affair_while_the_host_has_the_vip() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    let refused = scene.lab.client.run(|| TcpStream::connect((scene.vip.ip(), 9)))?;
    ensure!(refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "the host did not answer");
    scene.over()
}

#[test]
fn a_port_without_a_frontend_is_dropped_and_counted_when_the_host_has_not_the_vip() -> Result<()> {
    let scene = Scene::start("nat", &WEBS, "")?;
    scene.lab.balancer.ip([format!("addr del {}/32 dev {DEVICE}", scene.vip.ip())])?;
    let dropped = || Ok::<u64, anyhow::Error>(scene.sluice.maps()?.stopped("unknown_port"));
    let knock = || UdpSocket::bind("0.0.0.0:0")?.send_to(b"?", (scene.vip.ip(), 9)).map(drop);
    wait::until("the daemon to notice", SOON, || {
        scene.lab.client.run(knock)??;
        Ok((dropped()? > 0).then_some(()))
    })?;
    let before = dropped()?;
    scene.lab.client.run(|| (0..10).try_for_each(|_| knock()))??;
    wait::until("ten packets to be counted", SOON, || Ok((dropped()? >= before + 10).then_some(())))?;
    scene.over()
}
