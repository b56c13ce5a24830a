//! Datagrams of several fragments, of which only the first says for which port it is.

use crate::scene::{More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{bulk::Unfragmented, seen, udp},
    lab::Family,
    wait,
};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Bytes of a datagram: three fragments on links that take 1,500.
const SIZE: usize = 3_000;
const DATAGRAMS: usize = 50;

#[test]
fn they_follow_the_first_one_to_its_server_and_back() -> Result<()> {
    let mut scene = Scene::of(Way::within("direct", Family::V4), &WEBS, More::default())?;
    for way in ["direct", "nat", "ipip"].into_iter().flat_map(|of| Family::BOTH.map(|on| Way::within(of, on))) {
        scene.turn(way, More::default())?;
        if way.tunnel().is_some() {
            learn_what_the_tunnel_takes(&scene)?;
        }
        arrive(&scene).with_context(|| format!("{way:?}"))?;
    }
    scene.over()
}

#[test]
fn by_hash_they_need_no_first_one() -> Result<()> {
    let more = More { frontend: "fragments = \"hash\"", ..More::default() };
    let mut scene = Scene::of(Way::within("direct", Family::V4), &WEBS, more)?;
    for family in Family::BOTH {
        scene.turn(Way::within("direct", family), more)?;
        // Flows of one client to one address share a server.
        let mut servers = seen::by_server(&ask(&scene, family.client())?);
        ensure!(servers.len() == 1, "{family:?}: {servers:?}");
        for client in scene.lab.add_clients(family, 20)? {
            servers.extend(seen::by_server(&ask(&scene, client)?));
        }
        ensure!(servers.keys().eq(WEBS), "{family:?}: twenty clients met {servers:?}");
    }
    scene.over()
}

#[test]
fn where_the_frontend_takes_none_they_are_dropped_and_counted() -> Result<()> {
    let more = More { frontend: "fragments = \"drop\"", ..More::default() };
    let mut scene = Scene::of(Way::within("nat", Family::V4), &WEBS, more)?;
    for family in Family::BOTH {
        scene.turn(Way::within("nat", family), more)?;
        ensure!(udp::ask(&scene.lab.client, scene.vip, 10)?.len() == 10, "whole datagrams pass");
        let dropped = || -> Result<[u64; 2]> {
            let maps = scene.sluice.maps()?;
            Ok(["fragment", "fragment_unknown"].map(|reason| maps.stopped(reason)))
        };
        let [first, later] = dropped()?;
        let send = || UdpSocket::bind((family.client(), 0))?.send_to(&[b'.'; SIZE], scene.vip);
        scene.lab.client.run(send)??;
        // Of the later ones nobody knows the frontend, as the first one was not remembered.
        wait::until(
            "three fragments to be counted",
            SOON,
            || Ok((dropped()? == [first + 1, later + 2]).then_some(())),
        )?;
    }
    scene.over()
}

/// Each from another port, and all servers take part.
fn arrive(scene: &Scene) -> Result<()> {
    let ask = |number| udp::ask_once(scene.vip, &format!("{number:0SIZE$}"));
    let seen: Vec<_> = scene.lab.client.run(|| (0..DATAGRAMS).map(ask).collect::<Result<_>>())??;
    ensure!(seen::by_server(&seen).keys().eq(WEBS), "{:?}", seen::by_server(&seen));
    Ok(())
}

/// From one of the client's addresses.
fn ask(scene: &Scene, client: IpAddr) -> Result<Vec<seen::Seen>> {
    let ask = |number| udp::ask_from(SocketAddr::new(client, 0), scene.vip, &format!("{number:0SIZE$}"));
    scene.lab.client.run(|| (0..5).map(ask).collect())?
}

/// A sender that fragments does so as the path takes it, if it knows.
fn learn_what_the_tunnel_takes(scene: &Scene) -> Result<()> {
    let probe = Unfragmented::open(&scene.lab.client, scene.vip)?;
    wait::until("the client to be told", SOON, || Ok(probe.send(1_500).is_err().then_some(())))
}
