//! VLAN tags on the links to client and servers. The balancer's program gets tagged frames and sends tagged frames; which
//! tags, the rows of the next hops say. The daemon takes them from VLAN devices, which not every kernel has: here the test
//! writes them itself.

use crate::scene::{More, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use aya::maps::{Array, Map, MapData};
use lb_common::{Be16, NextHop, Tag, maps::NEXT_HOPS};
use lb_tests::{
    client::{Flows, seen, udp},
    lab::Family,
    netns::Namespace,
    raw::Raw,
    vlan::Vlan,
};
use lb_userspace::dataplane::pins::Pins;

const FLOWS: usize = 100;

#[test]
fn one_link_has_one_tag_and_the_other_has_two() -> Result<()> {
    let mut scene = Scene::of(Way::within("direct", Family::V4), &WEBS, More::default())?;
    for way in ["direct", "nat"].into_iter().flat_map(|of| Family::BOTH.map(|on| Way::within(of, on))) {
        scene.turn(way, More::default())?;
        crosses(&scene, way).with_context(|| format!("{way:?}"))?;
    }
    scene.over()
}

fn crosses(scene: &Scene, way: Way) -> Result<()> {
    let client = lay(scene, &scene.lab.client, "client", &[100])?;
    // Where servers answer the client themselves, the two have one VLAN.
    let tags = if way.translates() { &[200, 7][..] } else { &[100] };
    let lay_server = |name: &&str| lay(scene, &scene.lab.machine(name)?.namespace, name, tags);
    let servers = WEBS.iter().map(lay_server).collect::<Result<Vec<_>>>()?;

    let mut flows = Flows::open(&scene.lab.client, scene.vip, FLOWS)?;
    flows.exchange("with tags")?;
    let datagrams = udp::ask(&scene.lab.client, scene.vip, FLOWS)?;
    ensure!(flows.by_server().keys().eq(WEBS) && seen::by_server(&datagrams).keys().eq(WEBS), "not to all servers");
    // Four packets at least each way for a connection, and one for a datagram.
    let least = 5 * FLOWS as u64;
    let of_servers = |count: fn(&Vlan) -> Result<u64>| servers.iter().map(count).sum::<Result<u64>>();
    for (what, frames) in [
        ("the client sent", client.pushed()?),
        ("the client got", client.popped()?),
        ("the servers sent", of_servers(Vlan::pushed)?),
        ("the servers got", of_servers(Vlan::popped)?),
    ] {
        ensure!(frames >= least, "{what} {frames} tagged frames");
    }
    let wrong = (client.wrong()?, of_servers(Vlan::wrong)?);
    ensure!(wrong == (0, 0), "client and servers got {wrong:?} frames with wrong tags");
    Ok(())
}

/// Puts tags on a cable, and into the rows of the next hops at its end.
fn lay(scene: &Scene, machine: &Namespace, port: &str, tags: &[u16]) -> Result<Vlan> {
    let pinned = MapData::from_pin(Pins::new(scene.lab.pins()).map(NEXT_HOPS))?;
    let mut rows: Array<_, Raw<NextHop>> = Map::from_map_data(pinned)?.try_into()?;
    let (machine_address, mut tagged) = (machine.ethernet_address("eth0")?, 0);
    for row in 0..rows.len() {
        let hop = rows.get(&row, 0)?.0;
        if hop.resolved == 1 && hop.destination == machine_address {
            rows.set(row, Raw(NextHop { tags: u8::try_from(tags.len())?, tag: tag(tags), ..hop }), 0)?;
            tagged += 1;
        }
    }
    ensure!(tagged > 0, "no next hop is {}", machine.name());
    Vlan::lay(&scene.lab, machine, port, tags)
}

/// The outer one of two has a number of its own (IEEE 802.1Q §9.5).
fn tag(tags: &[u16]) -> [Tag; 2] {
    let tag = |protocol, vlan: u16| Tag { protocol: Be16::new(protocol), control: Be16::new(vlan) };
    match tags {
        [one] => [tag(0x8100, *one), Tag::default()],
        [outer, inner, ..] => [tag(0x88a8, *outer), tag(0x8100, *inner)],
        [] => [Tag::default(); 2],
    }
}
