//! IPv6 extension headers: the transport header lies behind them.

use super::{Case, tunnels::wrapped, world::*};
use lb_common::Stop;
use lb_tests::packet::{ETHERNET, Extension, Frame};

pub(crate) fn cases() -> Vec<Case> {
    [followed(), left()].into_iter().flatten().collect()
}

fn followed() -> Vec<Case> {
    let net = &NET6;
    let chains: [(&str, Vec<Extension>); 8] = [
        ("hop-by-hop options", vec![Extension::hop_by_hop()]),
        ("a routing header that is used up", vec![Extension::routing(0)]),
        ("destination options", vec![Extension::destination(1)]),
        ("long destination options", vec![Extension::destination(31)]),
        ("an authentication header", vec![Extension::authentication()]),
        ("an atomic fragment", vec![Extension::fragment((0, false), 7)]),
        (
            "one of each",
            vec![
                Extension::hop_by_hop(),
                Extension::destination(2),
                Extension::routing(0),
                Extension::fragment((0, false), 7),
                Extension::authentication(),
            ],
        ),
        ("six", vec![Extension::destination(1); 6]),
    ];
    let mut cases = Vec::new();
    for (name, chain) in chains {
        let nat = net.tcp(net.nat).extensions(&chain);
        let udp = net.udp(net.nat).extensions(&chain);
        let direct = net.tcp(net.direct).syn().extensions(&chain);
        let ipip = net.tcp(net.crossed_ipip).extensions(&chain);
        let reply = answers(Frame::udp(net.servers[1], net.client), 1).extensions(&chain);
        cases.extend([
            net.sends(&format!("extensions: {name}, nat"), &nat, &leaves_for(nat.clone(), 1).to(net.servers[1])),
            net.sends(&format!("extensions: {name}, udp"), &udp, &leaves_for(udp.clone(), 1).to(net.servers[1])),
            net.sends(&format!("extensions: {name}, direct"), &direct, &leaves_for(direct.clone(), 1)),
            net.sends(&format!("extensions: {name}, ipip"), &ipip, &wrapped(&ipip, &NET4)),
            net.sends(&format!("extensions: {name}, reply"), &reply, &leaves_for_client(reply.clone()).from(net.nat)),
        ]);
    }
    cases
}

/// What leads to nothing that we balance.
fn left() -> Vec<Case> {
    let net = &NET6;
    let with = |chain: &[Extension]| net.tcp(net.nat).extensions(chain).bytes();
    let seven = vec![Extension::destination(1); 7];
    let esp = Extension::destination(1).numbered(50);
    let none = Extension::destination(1).numbered(59);
    let mut beyond = with(&[Extension::destination(1)]);
    beyond[ETHERNET + 41] = 200;
    let mut last = with(&[Extension::destination(1)]);
    // A packet that ends after the second byte of its extension.
    last[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&[0, 2]);
    last.truncate(ETHERNET + 42);
    let mut first = last.clone();
    first[ETHERNET + 5] = 1;
    first.truncate(ETHERNET + 41);
    vec![
        net.stops("extensions: seven", with(&seven), Stop::TooManyHeaders),
        net.stops("extensions: a routing header with a way to go", with(&[Extension::routing(1)]), Stop::NotBalanced),
        net.stops("extensions: encrypted contents", with(&[esp]), Stop::NotBalanced),
        net.stops("extensions: no next header", with(&[none]), Stop::NotBalanced),
        net.stops("extensions: one longer than the packet", beyond, Stop::Truncated),
        net.stops("extensions: a packet that ends in one", last, Stop::Truncated),
        net.stops("extensions: a packet that ends in the first byte of one", first, Stop::Truncated),
    ]
}
