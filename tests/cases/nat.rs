//! `nat`: forward to the server, back to the client.

use super::{Case, world::*};
use lb_common::ServerState;
use lb_tests::packet::{
    ETHERNET, Frame, Numbers,
    flags::{ACK, RST},
};
use std::net::SocketAddr;

/// Router alert (RFC 2113) and three no-operations: two words of options.
const OPTIONS: [u8; 8] = [0x94, 0x04, 0x00, 0x00, 0x01, 0x01, 0x01, 0x00];

/// The frame as what a closed port answers to a SYN.
pub(super) fn refusing(reply: &Frame) -> Frame {
    let numbers = Numbers { sequence: 0, acknowledgment: 0x1234_5679, window: 0 };
    reply.clone().flags(RST | ACK).payload(b"").numbers(numbers)
}

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.nat).syn();
    let data = net.tcp(net.nat);
    let datagram = net.udp(net.nat);
    let other = net.tcp(net.other);
    let reply = answers(Frame::tcp(net.servers[1], net.client), 1);
    let syn_ack = reply.clone().syn_ack();
    let answer = answers(Frame::udp(net.servers[1], net.client), 1);
    let padded = datagram.clone().payload(b"x").padding(17);
    let jumbo = data.clone().payload(&[0x5a; 8_900]);
    let odd = data.clone().payload(&[0xff; 1_399]);
    let mut cases = vec![
        forward(net, "a SYN goes to the server", &syn, 1),
        forward(net, "a SYN-ACK of a client goes to the server", &syn.clone().syn_ack(), 1),
        forward(net, "a segment goes to the server", &data, 1),
        forward(net, "a segment of odd length goes to the server", &odd, 1),
        forward(net, "a datagram goes to the server", &datagram, 1),
        forward(net, "a datagram without checksum gets none", &datagram.clone().without_checksum(), 1),
        forward(net, "a datagram without payload goes to the server", &datagram.clone().payload(b""), 1),
        back(net, "a reply gets the VIP as its source", &reply, net.nat),
        back(net, "a SYN-ACK gets the VIP as its source", &syn_ack, net.nat),
        back(net, "a refusal gets the VIP as its source", &refusing(&reply), net.nat),
        back(net, "a server's SYN gets the VIP as its source", &reply.clone().syn(), net.nat),
        back(net, "a server's reset gets the VIP as its source", &reply.clone().flags(RST | ACK).payload(b""), net.nat),
        back(net, "a datagram's answer gets the VIP as its source", &answer, net.nat),
        back(net, "an answer without checksum gets none", &answer.without_checksum(), net.nat),
        forward(net, "padding after the packet stays", &padded, 1),
        forward(net, "type of service and congestion mark stay", &data.clone().service(0xb9), 1),
        // Katran's largest packet is a compile-time constant of 1514 bytes.
        forward(net, "katran: a jumbo frame goes to the server", &jumbo, 1),
        // blixt keys replies without the VIP: two VIPs used from one client port collide there.
        forward(net, "blixt: one client port at two VIPs reaches both servers", &other, 4),
        back(
            net,
            "blixt: one client port at two VIPs gets both replies",
            &answers(Frame::tcp(net.servers[4], net.client), 4),
            net.other,
        ),
        back(net, "a server that is down is heard to its end", &reply, net.nat)
            .with(|tables| set_state(tables, net, 1, ServerState::Down)),
        keeps_port(net),
        longest_prefix(net),
        default_route(net),
        sums_to_zero(net),
        unset_checksum_is_not_touched_by_zero_rule(net),
    ];
    if net.client.is_ipv4() {
        let options = data.options(&OPTIONS);
        let all_options = datagram.options(&[1; 40]);
        cases.extend([
            // glb-director reads ports from the options.
            forward(net, "glb: ports are read after the options", &options, 1),
            forward(net, "glb: ports are read after the longest options", &all_options, 1),
            back(net, "glb: a reply's ports are read after the options", &reply.options(&OPTIONS), net.nat),
        ]);
    }
    cases
}

fn forward(net: &Net, name: &str, input: &Frame, number: usize) -> Case {
    net.sends(name, input, &leaves_for(input.clone(), number).to(net.servers[number]))
}

fn back(net: &Net, name: &str, input: &Frame, vip: SocketAddr) -> Case {
    net.sends(name, input, &leaves_for_client(input.clone()).from(vip))
}

/// The default route leads to nobody, the client's own to the router.
fn longest_prefix(net: &Net) -> Case {
    let name = "a reply takes the longest prefix of its client";
    back(net, name, &answers(Frame::tcp(net.servers[1], net.client), 1), net.nat)
        .with(|tables| route(tables, net.client, 0, UNRESOLVED))
}

fn default_route(net: &Net) -> Case {
    let name = "a reply takes the default route where there is no other";
    back(net, name, &answers(Frame::tcp(net.servers[1], net.unrouted_client), 1), net.nat)
        .with(|tables| route(tables, net.client, 0, ROUTER))
}

/// Server 3 has port 0.
fn keeps_port(net: &'static Net) -> Case {
    let input = net.tcp(net.nat);
    let output = leaves_for(input.clone(), 3).to(at_port(net.servers[3], net.nat.port()));
    net.sends("a server without a port keeps that of the packet", &input, &output).with(|tables| {
        tables.rings.insert(net.nat_ring(), ring_of(|_| net.id(3)));
    })
}

/// A datagram whose checksum comes out as 0 must leave with 0xffff, because 0 means "none" (RFC 768).
fn sums_to_zero(net: &Net) -> Case {
    let input = |word: [u8; 2]| net.udp(net.nat).payload(&word);
    // With its own checksum as its payload a datagram of nothing else sums up to zero.
    let word = checksum_of_udp(net, &leaves_for(input([0, 0]), 1).to(net.servers[1]));
    forward(net, "a datagram whose new sum is zero gets 0xffff", &input(word), 1)
}

/// A datagram whose checksum is 0xffff on arrival: a sum of 0, not "none".
fn unset_checksum_is_not_touched_by_zero_rule(net: &Net) -> Case {
    let word = checksum_of_udp(net, &net.udp(net.nat).payload(&[0, 0]));
    let input = net.udp(net.nat).payload(&word);
    assert_eq!(checksum_of_udp(net, &input), [0xff, 0xff]);
    forward(net, "a datagram that arrives with 0xffff gets a new checksum", &input, 1)
}

/// The checksum of a datagram without tags, options and extensions.
fn checksum_of_udp(net: &Net, frame: &Frame) -> [u8; 2] {
    let at = ETHERNET + if net.client.is_ipv4() { 20 } else { 40 } + 6;
    let bytes = frame.bytes();
    [bytes[at], bytes[at + 1]]
}
