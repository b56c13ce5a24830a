//! A VIP that is withdrawn: nothing new, and all that is there goes on.

use super::{Case, world::*};
use lb_common::{
    Stop,
    vip::flags::{TRACK_FULL, WITHDRAWN},
};
use lb_tests::packet::{Extension, Frame};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [dropped(net), goes_on(net)].into_iter().flatten().collect()
}

/// What opens a connection.
fn dropped(net: &'static Net) -> Vec<Case> {
    let stops = |name: &str, vip: SocketAddr, input: &Frame| {
        let name = format!("withdrawn: {name}");
        net.stops(&name, input.bytes(), Stop::Withdrawn).with(flag(vip, WITHDRAWN)).notes(&[])
    };
    let syn = |vip| net.tcp(vip).syn();
    let vips = [
        ("direct", net.direct),
        ("nat", net.nat),
        ("ipip", net.ipip),
        ("gue", net.gue),
        ("ipip, the other family", net.crossed_ipip),
        ("fullnat", net.fullnat),
    ];
    let mut cases: Vec<_> = vips.map(|(forward, vip)| stops(&format!("a SYN, {forward}"), vip, &syn(vip))).into();
    cases.extend([
        stops("a SYN that is tracked", net.nat, &syn(net.nat)).with(flag(net.nat, TRACK_FULL)),
        stops("a SYN into a tunnel that is tracked", net.ipip, &syn(net.ipip)).with(flag(net.ipip, TRACK_FULL)),
        stops("a SYN whose segments are limited", net.direct, &syn(net.direct))
            .with(|tables| set_vip(tables, net.direct, |row| row.mss = 1_300)),
        stops("a SYN that is sent again", net.fullnat, &syn(net.fullnat)).after(syn(net.fullnat).bytes()),
    ]);
    if net.is_v6() {
        let behind = syn(net.direct).extensions(&[Extension::destination(1)]);
        cases.push(stops("a SYN behind a header", net.direct, &behind));
    }
    cases
}

/// What does not.
fn goes_on(net: &'static Net) -> Vec<Case> {
    let (to_nat, to_direct) = (net.tcp(net.nat), net.tcp(net.direct));
    let reply = answers(Frame::tcp(net.servers[1], net.client).syn_ack(), 1);
    let sends = |name: &str, vip: SocketAddr, input: &Frame, output: &Frame| {
        net.sends(&format!("withdrawn: {name}"), input, output).with(flag(vip, WITHDRAWN))
    };
    vec![
        sends("a segment, nat", net.nat, &to_nat, &leaves_for(to_nat.clone(), 1).to(net.servers[1])),
        sends("a segment, direct", net.direct, &to_direct, &leaves_for(to_direct.clone(), 1)),
        sends("a reply", net.nat, &reply, &leaves_for_client(reply.clone()).from(net.nat)),
        // Nothing says that it is the first one.
        sends("a datagram", net.direct, &net.udp(net.direct), &leaves_for(net.udp(net.direct), 1)),
        sends("another VIP of that backend", net.direct, &to_nat, &leaves_for(to_nat.clone(), 1).to(net.servers[1])),
    ]
}
