//! `direct`: only the Ethernet addresses and the time to live change.

use super::{Case, Expect, world::*};
use lb_common::Stop;
use lb_tests::packet::Frame;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    let syn = net.tcp(net.direct).syn();
    let datagram = net.udp(net.direct);
    let mut cases = vec![
        forward(net, "direct: a SYN goes to the server as it is", &syn),
        forward(net, "direct: a datagram goes to the server as it is", &datagram),
        forward(net, "direct: a datagram without checksum goes as it is", &datagram.clone().without_checksum()),
        forward(net, "direct: a jumbo frame goes to the server", &datagram.clone().payload(&[7; 8_900])),
        forward(net, "direct: type of service and congestion mark stay", &datagram.service(0x2f)),
        redirected(net, "direct: out of the other interface", &syn, &leaves_for(syn.clone(), 1)),
        nat_redirected(net),
        nat_reply_redirected(net),
        cannot_redirect(net),
    ];
    if net.client.is_ipv4() {
        cases.push(forward(net, "direct: options stay", &syn.options(&[1, 1, 1, 0])));
    }
    cases
}

fn forward(net: &Net, name: &str, input: &Frame) -> Case {
    net.sends(name, input, &leaves_for(input.clone(), 1))
}

fn redirected(net: &Net, name: &str, input: &Frame, output: &Frame) -> Case {
    net.row(name, input.bytes(), Expect::Redirect(output.bytes())).with(two_armed)
}

fn nat_redirected(net: &Net) -> Case {
    let input = net.tcp(net.nat).syn();
    let output = leaves_for(input.clone(), 1).to(net.servers[1]);
    redirected(net, "nat: out of the other interface", &input, &output)
}

fn nat_reply_redirected(net: &Net) -> Case {
    let input = answers(Frame::tcp(net.servers[1], net.client), 1);
    let output = leaves_for_client(input.clone()).from(net.nat);
    Case { ingress: INSIDE, ..redirected(net, "nat: a reply out of the other interface", &input, &output) }
}

/// The interface of the next hop went away: the frame must not be half rewritten.
fn cannot_redirect(net: &Net) -> Case {
    net.stops("out of an interface that is gone", net.tcp(net.nat).bytes(), Stop::NoNextHop)
        .with(two_armed)
        .with(|tables| tables.devices.clear())
}
