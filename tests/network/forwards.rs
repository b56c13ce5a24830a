//! Every way to forward, in both families: what clients send arrives, what servers answer comes back, servers see the
//! right client, the books balance, and the balancer's own stack has no part in it.

use crate::scene::{More, PORT, SOON, Scene, WEBS, Way};
use anyhow::{Result, ensure};
use lb_tests::{
    client::{Flows, seen, udp},
    lab::{DEVICE, Family},
    wait,
    watch::Watch,
};

const FLOWS: usize = 200;

#[test]
fn direct() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| carries(Way::within("direct", family)))
}

#[test]
fn nat() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| carries(Way::within("nat", family)))
}

#[test]
fn ipip() -> Result<()> {
    Way::tunnels("ipip").into_iter().try_for_each(carries)
}

#[test]
fn gue() -> Result<()> {
    Way::tunnels("gue").into_iter().try_for_each(carries)
}

#[test]
fn fullnat() -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| carries(Way::within("fullnat", family)))
}

fn carries(way: Way) -> Result<()> {
    println!("{way:?}");
    let scene = Scene::of(way, &WEBS, More::default())?;
    let client = &scene.lab.client;
    let watch = Watch::start(&scene.lab.balancer, DEVICE, way.vip.client(), PORT)?;
    let mut flows = Flows::open(client, scene.vip, FLOWS)?;
    flows.exchange("there and back")?;
    let datagrams = udp::ask(client, scene.vip, FLOWS)?;
    ensure!(flows.by_server().keys().eq(WEBS), "TCP went to {:?}", flows.by_server());
    ensure!(seen::by_server(&datagrams).keys().eq(WEBS), "UDP went to {:?}", seen::by_server(&datagrams));
    for seen in flows.seen().chain(&datagrams) {
        let right =
            if way.forward == "fullnat" { seen.there.ip() == way.servers.pool() } else { seen.there == seen.own };
        ensure!(right, "{way:?}: {seen:?}");
    }
    // The last acknowledgements are on their way, so the books are looked at until they are closed.
    wait::until("the books to balance", SOON, || balanced(&scene, way, &flows).map(Some))?;
    ensure!(watch.stop()?.of_client == 0, "{way:?}: the host stack saw packets of the VIP");
    scene.over()
}

/// What the VIP was sent, the servers were sent, and came out of the tunnels.
fn balanced(scene: &Scene, way: Way, flows: &Flows) -> Result<()> {
    let maps = scene.sluice.maps()?;
    let [packets, connections, returned] = [
        maps.vips.iter().map(|vip| vip.packets).sum::<u64>(),
        maps.vips.iter().map(|vip| vip.connections).sum(),
        maps.vips.iter().map(|vip| vip.return_packets).sum(),
    ];
    ensure!(connections == FLOWS as u64, "the VIP counted {connections} connections");
    // A connection takes three packets to open and one at least to speak; a datagram is one.
    ensure!(packets >= 5 * FLOWS as u64, "the VIP counted {packets} packets");
    let of_servers: u64 = maps.servers.iter().map(|server| server.packets).sum();
    ensure!(of_servers == packets, "the VIP counted {packets} packets, its servers {of_servers}");
    for (server, count) in flows.by_server() {
        let row = maps.server("echo", &server)?;
        ensure!(row.connections == count as u64, "{server} has {count} connections, the kernel counted {row:?}");
    }
    let back = if way.translates() { returned >= 3 * FLOWS as u64 } else { returned == 0 };
    ensure!(back, "{way:?}: {returned} packets came back through the balancer");
    if let Some(tunnel) = way.tunnel() {
        let ends = scene.tunnels.values();
        let opened = ends.map(|end| {
            ensure!(end.damaged()? == 0, "{} packets came damaged", end.damaged()?);
            end.opened(tunnel, way.servers, way.vip)
        });
        let opened: u64 = opened.sum::<Result<_>>()?;
        ensure!(opened == packets, "{packets} packets went into tunnels, {opened} came out");
    }
    Ok(())
}
