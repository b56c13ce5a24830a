//! Pings of VIPs: answered here, or dropped because the VIP is down, or left to the host.

use super::{Case, Expect, world::*};
use lb_common::{
    Stop,
    vip::flags::{PING, PING_DROP},
};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::Frame;
use std::net::IpAddr;

/// Identifier and sequence number.
const NUMBERS: [u8; 4] = [0x12, 0x34, 0, 9];

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    let ping = ping(net, net.nat.ip());
    let answers = |name, input: &Frame, output: &Frame| {
        net.row(name, input.bytes(), Expect::Answer(Stop::Answered, output.bytes())).with(answered(net, PING))
    };
    let odd = |frame: Frame| frame.payload(b"odd");
    let tagged = |frame: Frame| frame.tags(&[(0x88a8, 0x0064), (0x8100, 0xe007)]);
    let mut cases = vec![
        answers("ping: a VIP answers", &ping, &pong(net)),
        answers("ping: one of odd length", &odd(ping.clone()), &odd(pong(net))),
        answers("ping: one without data", &ping.clone().payload(b""), &pong(net).payload(b"")),
        answers("ping: with tags, and so is the answer", &tagged(ping.clone()), &tagged(pong(net))),
        answers("ping: one whose time to live is used up has arrived", &ping.clone().ttl(1), &pong(net)),
        net.stops("ping: a VIP that is down", ping.bytes(), Stop::VipDown).with(answered(net, PING_DROP)),
        net.stops("ping: down counts more than up", ping.bytes(), Stop::VipDown).with(answered(net, PING | PING_DROP)),
        // Katran answers echo requests to every address that reaches the host, its own included.
        net.stops("katran: a ping of a VIP that does not answer passes", ping.bytes(), Stop::NotOurs),
        net.stops("katran: a ping of this host passes", self::ping(net, net.host.ip()).bytes(), Stop::ToHost),
        net.stops("ping: a VIP that the host owns and answers for", ping.bytes(), Stop::ToHost)
            .with(|tables| own(tables, net.nat.ip())),
        net.stops("ping: of somebody else passes", self::ping(net, net.unknown_neighbour.ip()).bytes(), Stop::NotOurs),
        net.stops("ping: a fragment of one passes", ping.clone().fragment(0, true).bytes(), Stop::NotBalanced)
            .with(answered(net, PING)),
        net.stops("ping: another code passes", echo(net, net.nat.ip(), (request(net), 1)).bytes(), Stop::NotBalanced)
            .with(answered(net, PING)),
        net.stops("ping: an answer passes", echo(net, net.nat.ip(), (reply(net), 0)).bytes(), Stop::NotBalanced)
            .with(answered(net, PING)),
    ];
    if !net.is_v6() {
        let options = |frame: Frame| frame.options(&[1; 8]);
        cases.push(answers("ping: with options", &options(ping), &options(pong(net))));
    }
    cases
}

/// Type of a request.
fn request(net: &Net) -> u8 {
    if net.is_v6() { 128 } else { 8 }
}

fn reply(net: &Net) -> u8 {
    if net.is_v6() { 129 } else { 0 }
}

fn echo(net: &Net, address: IpAddr, kind: (u8, u8)) -> Frame {
    arrives(Frame::icmp(net.client.ip(), address, kind, NUMBERS))
}

/// A ping from the client.
pub(crate) fn ping(net: &Net, address: IpAddr) -> Frame {
    echo(net, address, (request(net), 0))
}

/// What comes of it at the `nat` VIP.
fn pong(net: &Net) -> Frame {
    Frame::icmp(net.nat.ip(), net.client.ip(), (reply(net), 0), NUMBERS).hop(BALANCER_MAC, ROUTER_MAC)
}

/// Sets flags of the `nat` VIP's address.
pub(crate) fn answered(net: &'static Net, flags: u16) -> impl Fn(&mut MemoryTables) {
    move |tables| flag_address(tables, net.nat.ip(), flags)
}
