//! VLAN tags: those of arrival go, those of the next hop come.

use super::{Case, Expect, tunnels, world::*};
use lb_common::{Be16, NextHop, Protocol, Stop, Tag};
use lb_tests::packet::Frame;

/// None, one, and two: a service tag outside and a customer tag inside, with priorities.
const TAGS: [&[(u16, u16)]; 3] = [&[], &[(0x8100, 0x2007)], &[(0x88a8, 0x0064), (0x8100, 0xe007)]];
/// Others of as many.
const NEW: [&[(u16, u16)]; 3] = [&[], &[(0x8100, 0x0fa1)], &[(0x88a8, 0x4065), (0x8100, 0x0008)]];

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    let mut cases = Vec::new();
    for before in TAGS {
        for after in NEW {
            cases.extend(row(net, before, after));
        }
    }
    let three = [(0x88a8, 1), (0x8100, 2), (0x8100, 3)];
    cases.extend([
        net.stops("tags: three of them", net.tcp(net.nat).tags(&three).bytes(), Stop::TooManyHeaders),
        net.stops("tags: a tagged packet to this host passes", net.tcp(net.host).tags(TAGS[1]).bytes(), Stop::ToHost),
        net.stops("tags: somebody else's passes", net.tcp(net.unknown_neighbour).tags(TAGS[2]).bytes(), Stop::NotOurs),
    ]);
    cases
}

fn row(net: &'static Net, before: &'static [(u16, u16)], after: &'static [(u16, u16)]) -> Vec<Case> {
    let sends = |what: &str, input: Frame, output: &Frame| {
        let name = format!("tags: {what} with {} in, {} out", before.len(), after.len());
        let case = net.row(&name, input.tags(before).bytes(), Expect::Transmit(output.clone().tags(after).bytes()));
        case.with(|tables| {
            let hops = [net.id(1), net.crossed().id(1)].map(u32::from);
            hops.into_iter().chain([ROUTER]).for_each(|row| set_hop(tables, row, |hop| tag(hop, after)));
        })
    };
    let (direct, nat, ipip, gue) = (net.tcp(net.direct), net.tcp(net.nat), net.tcp(net.ipip), net.udp(net.crossed_gue));
    let reply = answers(Frame::tcp(net.servers[1], net.client), 1);
    vec![
        sends("direct", direct.clone(), &leaves_for(direct, 1)),
        sends("nat", nat.clone(), &leaves_for(nat, 1).to(net.servers[1])),
        sends("a reply", reply.clone(), &leaves_for_client(reply).from(net.nat)),
        sends("ipip", ipip.clone(), &tunnels::wrapped(&ipip, net)),
        sends(
            "gue over the other family",
            gue.clone(),
            &tunnels::in_udp(&gue, (net, net.crossed_gue, Protocol::Udp), net.crossed()),
        ),
    ]
}

/// Gives a next hop its tags.
pub(crate) fn tag(hop: &mut NextHop, tags: &[(u16, u16)]) {
    hop.tags = u8::try_from(tags.len()).expect("at most two");
    for (place, (protocol, control)) in hop.tag.iter_mut().zip(tags) {
        *place = Tag { protocol: Be16::new(*protocol), control: Be16::new(*control) };
    }
}
