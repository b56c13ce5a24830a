//! Every way to forward, in both families: what clients send arrives, what servers answer comes back, servers see the
//! right client, the books balance, and the balancer's own stack has no part in it.

use crate::scene::{More, PORT, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Flows, seen, udp},
    lab::{DEVICE, Family},
    tunnel::{Tunnel, TunnelEnd},
    wait,
    watch::Watch,
};
use std::collections::BTreeMap;

const FLOWS: usize = 200;

#[test]
fn direct() -> Result<()> {
    carry(&Family::BOTH.map(|family| Way::within("direct", family)))
}

#[test]
fn nat() -> Result<()> {
    carry(&Family::BOTH.map(|family| Way::within("nat", family)))
}

#[test]
fn ipip() -> Result<()> {
    carry(&Way::tunnels("ipip"))
}

#[test]
fn gue() -> Result<()> {
    carry(&Way::tunnels("gue"))
}

#[test]
fn fullnat() -> Result<()> {
    carry(&Family::BOTH.map(|family| Way::within("fullnat", family)))
}

/// One way after the other, each from a new start: by a reload datagrams would go on to the servers of the way before, which leave.
fn carry(ways: &[Way]) -> Result<()> {
    for way in ways {
        let scene = Scene::of(*way, &WEBS, More::default())?;
        carries(&scene, *way).with_context(|| format!("{way:?}"))?;
        scene.over()?;
    }
    Ok(())
}

fn carries(scene: &Scene, way: Way) -> Result<()> {
    let client = &scene.lab.client;
    let before = Books::of(scene)?;
    let watch = Watch::start(&scene.lab.balancer, DEVICE, way.vip.client(), PORT)?;
    let mut flows = Flows::open(client, scene.vip, FLOWS)?;
    flows.exchange("there and back")?;
    let datagrams = udp::ask(client, scene.vip, FLOWS)?;
    ensure!(flows.by_server().keys().eq(WEBS), "TCP went to {:?}", flows.by_server());
    ensure!(seen::by_server(&datagrams).keys().eq(WEBS), "UDP went to {:?}", seen::by_server(&datagrams));
    for seen in flows.seen().chain(&datagrams) {
        let right =
            if way.forward == "fullnat" { seen.there.ip() == way.servers.pool() } else { seen.there == seen.own };
        ensure!(right, "{seen:?}");
    }
    // The last acknowledgements are on their way, so the books are looked at until they are closed.
    wait::until("the books to balance", SOON, || Books::of(scene)?.since(&before).balance(way, &flows).map(Some))?;
    ensure!(watch.stop()?.of_client == 0, "the host stack saw packets of the VIP");
    Ok(())
}

/// What was counted, and by whom.
#[derive(Debug, Default)]
struct Books {
    /// Packets to the VIP, connections, packets back.
    vip: [u64; 3],
    /// Packets to each server, and connections.
    servers: BTreeMap<String, [u64; 2]>,
    /// Packets that came out of each kind of tunnel, and those that were damaged.
    tunnels: BTreeMap<String, u64>,
}

impl Books {
    fn of(scene: &Scene) -> Result<Self> {
        let maps = scene.sluice.maps()?;
        let mut books = Self::default();
        for vip in &maps.vips {
            let counted = [vip.packets, vip.connections, vip.return_packets];
            books.vip.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
        }
        // Those of the way before leave, and are in drain until then.
        for server in maps.servers.iter().filter(|server| server.state != "drain") {
            let name = server.name.clone().context("a server without a name")?;
            books.servers.insert(name, [server.packets, server.connections]);
        }
        for end in scene.tunnels.values() {
            for (name, opened) in tunnels(end)? {
                *books.tunnels.entry(name).or_default() += opened;
            }
        }
        Ok(books)
    }

    /// What came on top.
    fn since(mut self, before: &Self) -> Self {
        let less = |now: &mut u64, before: &u64| *now = now.saturating_sub(*before);
        self.vip.iter_mut().zip(&before.vip).for_each(|(now, before)| less(now, before));
        for (name, now) in &mut self.servers {
            let before = before.servers.get(name).copied().unwrap_or_default();
            now.iter_mut().zip(&before).for_each(|(now, before)| less(now, before));
        }
        self.tunnels.iter_mut().for_each(|(name, now)| less(now, before.tunnels.get(name).unwrap_or(&0)));
        self
    }

    /// What the VIP was sent, the servers were sent, and came out of the tunnels.
    fn balance(&self, way: Way, flows: &Flows) -> Result<()> {
        let [packets, connections, returned] = self.vip;
        ensure!(connections == FLOWS as u64, "the VIP counted {connections} connections");
        // A connection takes three packets to open and one at least to speak; a datagram is one.
        ensure!(packets >= 5 * FLOWS as u64, "the VIP counted {packets} packets");
        let of_servers: u64 = self.servers.values().map(|[packets, _]| packets).sum();
        ensure!(of_servers == packets, "the VIP counted {packets} packets, its servers {of_servers}");
        for (server, count) in flows.by_server() {
            let [_, connections] = self.servers.get(&server).context("a server without a row")?;
            ensure!(*connections == count as u64, "{server} has {count} connections, the kernel counted {connections}");
        }
        let back = if way.translates() { returned >= 3 * FLOWS as u64 } else { returned == 0 };
        ensure!(back, "{returned} packets came back through the balancer");
        let opened = way.tunnel().map(|tunnel| (kind(tunnel, way.servers, way.vip), packets));
        let counted = self.tunnels.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| (kind.clone(), *count));
        ensure!(counted.eq(opened), "of {packets} packets these came out of tunnels: {:?}", self.tunnels);
        Ok(())
    }
}

fn kind(tunnel: Tunnel, outer: Family, inner: Family) -> String {
    format!("{tunnel:?} {outer:?} {inner:?}")
}

/// All that the end of a server's tunnels counts.
fn tunnels(end: &TunnelEnd) -> Result<BTreeMap<String, u64>> {
    let mut counted = BTreeMap::from([("damaged".to_owned(), end.damaged()?)]);
    for tunnel in [Tunnel::Ipip, Tunnel::Gue] {
        for (outer, inner) in Family::BOTH.into_iter().flat_map(|outer| Family::BOTH.map(|inner| (outer, inner))) {
            counted.insert(kind(tunnel, outer, inner), end.opened(tunnel, outer, inner)?);
        }
    }
    Ok(counted)
}
