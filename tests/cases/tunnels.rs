//! `ipip` and `gue`: the packet in another one, of either family in either.

use super::{Case, Expect, world::*};
use lb_common::{Be16, Protocol, Stop};
use lb_ebpf::testing::MemoryTables;
use lb_tests::{
    oracle::GUE_PORT,
    packet::{Extension, Frame, Tunnel},
};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [ipip(net), gue(net), sums(net), marks(net)].into_iter().flatten().collect()
}

fn ipip(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.ipip).syn();
    let bare = net.udp(net.ipip).without_checksum();
    let padded = syn.clone().padding(6);
    let jumbo = net.tcp(net.ipip).payload(&[3; 8_000]);
    let crossed = net.tcp(net.crossed_ipip);
    let free = net.tcp(net.ipip).may_be_fragmented();
    vec![
        net.sends("ipip: a SYN in a tunnel of its family", &syn, &wrapped(&syn, net)),
        net.sends("ipip: a datagram without checksum", &bare, &wrapped(&bare, net)),
        net.sends("ipip: in a tunnel of the other family", &crossed, &wrapped(&crossed, net.crossed())),
        net.sends("ipip: padding of the frame stays behind the packet", &padded, &wrapped(&padded, net)),
        net.sends("ipip: a jumbo frame", &jumbo, &wrapped(&jumbo, net)),
        net.sends("ipip: outside nothing may be fragmented", &free, &wrapped(&free, net)),
        net.row("ipip: out of the other interface", syn.bytes(), Expect::Redirect(wrapped(&syn, net).bytes()))
            .with(two_armed),
        net.stops("ipip: no address of ours to send from", syn.bytes(), Stop::NoSource).with(without_sources),
        net.stops("ipip: no address of the tunnel's family", crossed.bytes(), Stop::NoSource).with(|tables| {
            set_hop(tables, net.crossed().id(1).into(), |hop| {
                let own = *hop;
                no_sources(hop);
                if net.is_v6() { hop.source6 = own.source6 } else { hop.source4 = own.source4 }
            });
        }),
    ]
}

fn gue(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.gue).syn();
    let datagram = net.udp(net.gue).payload(&[0xc3; 701]);
    let crossed = net.udp(net.crossed_gue);
    let crossed_tcp = net.tcp(net.crossed_gue).payload(&[0x77; 33]);
    let elsewhere = Tunnel { udp: Some((gue_port(net, net.gue, Protocol::Tcp), 6_635, net.is_v6())), ..tunnel(net) };
    vec![
        net.sends("gue: a SYN in a tunnel of its family", &syn, &in_udp(&syn, (net, net.gue, Protocol::Tcp), net)),
        net.sends("gue: a datagram", &datagram, &in_udp(&datagram, (net, net.gue, Protocol::Udp), net)),
        net.sends(
            "gue: in a tunnel of the other family",
            &crossed,
            &in_udp(&crossed, (net, net.crossed_gue, Protocol::Udp), net.crossed()),
        ),
        net.sends(
            "gue: a segment in a tunnel of the other family",
            &crossed_tcp,
            &in_udp(&crossed_tcp, (net, net.crossed_gue, Protocol::Tcp), net.crossed()),
        ),
        net.sends("gue: to another port", &syn, &leaves_for(syn.clone(), 1).within(elsewhere))
            .with(|tables| set_vip(tables, net.gue, |vip| vip.gue_port = Be16::new(6_635))),
        net.stops("gue: no address of ours to send from", syn.bytes(), Stop::NoSource).with(without_sources),
    ]
}

/// The sum of a whole packet is known from its headers, or not at all.
fn sums(net: &'static Net) -> Vec<Case> {
    let without = net.udp(net.gue).without_checksum();
    let crossed_without = net.udp(net.crossed_gue).without_checksum();
    let mut cases = vec![
        net.sends(
            "gue: what has no checksum inside gets none outside",
            &without,
            &unsummed(&without, (net, net.gue, Protocol::Udp), net),
        ),
        net.sends(
            "gue: what has no checksum inside gets none outside, in the other family",
            &crossed_without,
            &unsummed(&crossed_without, (net, net.crossed_gue, Protocol::Udp), net.crossed()),
        ),
        surplus(net),
    ];
    if net.is_v6() {
        let extended = net.tcp(net.gue).extensions(&[Extension::destination(1)]);
        cases.push(net.sends(
            "gue: extension headers are covered by no sum",
            &extended,
            &unsummed(&extended, (net, net.gue, Protocol::Tcp), net),
        ));
    } else {
        let options = net.tcp(net.crossed_gue).options(&[1; 8]);
        cases.push(net.sends(
            "gue: options are covered by the header's sum",
            &options,
            &in_udp(&options, (net, net.crossed_gue, Protocol::Tcp), &NET6),
        ));
    }
    cases
}

/// What follows a datagram inside its packet is covered by no checksum (RFC 9868 gives it a use): the sum of the whole
/// packet cannot be known from the headers.
fn surplus(net: &'static Net) -> Case {
    let vip = if net.is_v6() { net.gue } else { net.crossed_gue };
    let (longer, shorter) = (net.udp(vip).payload(b"told and untold"), net.udp(vip).payload(b"told").bytes());
    // The header of the shorter datagram, before the payload of the longer one.
    let exchange = |mut frame: Vec<u8>| {
        let (at, from) = (frame.len() - 15 - 8, shorter.len() - 4 - 8);
        frame[at..at + 8].copy_from_slice(&shorter[from..from + 8]);
        frame
    };
    let output = unsummed(&longer, (net, vip, Protocol::Udp), &NET6).bytes();
    net.row("gue: a datagram with bytes behind it", exchange(longer.bytes()), Expect::Transmit(exchange(output)))
}

/// Type of service and congestion mark.
fn marks(net: &'static Net) -> Vec<Case> {
    let mut cases = Vec::new();
    for mark in [0, 1, 2, 3, 0xb8, 0xff] {
        let (ipip, gue) = (net.tcp(net.crossed_ipip).service(mark), net.tcp(net.gue).service(mark));
        cases.extend([
            net.sends(&format!("ipip: type of service {mark:#x} is copied"), &ipip, &wrapped(&ipip, net.crossed())),
            net.sends(
                &format!("gue: type of service {mark:#x} is copied"),
                &gue,
                &in_udp(&gue, (net, net.gue, Protocol::Tcp), net),
            ),
        ]);
    }
    cases
}

fn without_sources(tables: &mut MemoryTables) {
    for net in [&NET4, &NET6] {
        set_hop(tables, net.id(1).into(), no_sources);
    }
}

/// The way to server 1 over that family.
fn tunnel(over: &Net) -> Tunnel {
    Tunnel { source: over.tunnels, destination: over.servers[1].ip(), udp: None }
}

/// The frame as it leaves for server 1 in a tunnel over that family.
pub(super) fn wrapped(frame: &Frame, over: &Net) -> Frame {
    leaves_for(frame.clone(), 1).within(tunnel(over))
}

/// The same in UDP: from 14 bits of the flow's hash, above the first of the dynamic ports. Only over IPv6 there is a
/// checksum.
pub(super) fn in_udp(frame: &Frame, (net, vip, protocol): (&Net, SocketAddr, Protocol), over: &Net) -> Frame {
    let udp = Some((gue_port(net, vip, protocol), GUE_PORT, over.is_v6()));
    leaves_for(frame.clone(), 1).within(Tunnel { udp, ..tunnel(over) })
}

fn unsummed(frame: &Frame, (net, vip, protocol): (&Net, SocketAddr, Protocol), over: &Net) -> Frame {
    let udp = Some((gue_port(net, vip, protocol), GUE_PORT, false));
    leaves_for(frame.clone(), 1).within(Tunnel { udp, ..tunnel(over) })
}

fn gue_port(net: &Net, vip: SocketAddr, protocol: Protocol) -> u16 {
    let [low, high, ..] = hash(net.client, vip, protocol).to_le_bytes();
    0xc000 | u16::from_le_bytes([low, high])
}
