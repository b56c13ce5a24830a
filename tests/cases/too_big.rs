//! Packets that the next link does not take: their senders are told, if they can be.

use super::{Case, Expect, tunnels::wrapped, world::*};
use lb_common::{Bucket, Stop, bucket::ANSWERS, vip::flags::FRAGMENTS_TRACK};
use lb_tests::packet::{ETHERNET, Frame};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [told(net), tunnelled(net), untold(net), fitting(net)].into_iter().flatten().collect()
}

/// Bytes of a header without options or extensions.
fn header(net: &Net) -> usize {
    if net.is_v6() { 40 } else { 20 }
}

/// A segment whose packet has so many bytes.
fn sized(net: &Net, vip: SocketAddr, bytes: usize) -> Frame {
    net.tcp(vip).payload(&vec![0x3c; bytes - header(net) - 20])
}

/// What goes back to the sender of a packet.
fn answer(net: &Net, about: &Frame, (from, to): (SocketAddr, SocketAddr), mtu: u16) -> Frame {
    let quote = if net.is_v6() { 1_232 } else { 548 };
    let kind = if net.is_v6() { (2, 0) } else { (3, 4) };
    let [high, low] = mtu.to_be_bytes();
    Frame::icmp(from.ip(), to.ip(), kind, [0, 0, high, low]).payload(&about.packet()[..quote]).id(0)
}

fn client_told(net: &Net, about: &Frame, vip: SocketAddr, mtu: u16) -> Expect {
    let answer = answer(net, about, (vip, net.client), mtu).hop(BALANCER_MAC, ROUTER_MAC);
    Expect::Answer(Stop::ToldTooBig, answer.bytes())
}

/// The MTU of the way to server 1.
fn limit(case: Case, net: &'static Net, mtu: u16) -> Case {
    case.with(|tables| {
        for net in [net, net.crossed()] {
            set_hop(tables, net.id(1).into(), |hop| hop.mtu = mtu);
        }
    })
}

fn told(net: &'static Net) -> Vec<Case> {
    let big = sized(net, net.nat, 1_401);
    let reply = answers(Frame::tcp(net.servers[1], net.client).payload(&[9; 1_400]), 1);
    let to_server = answer(net, &reply, (net.client, net.servers[1]), 1_400).hop(BALANCER_MAC, SERVER_MACS[1]);
    let marked = big.clone().service(0xff);
    let padded = sized(net, net.nat, 1_401).padding(50);
    let tags = [(0x8100, 0x2005)];
    let tagged = answer(net, &big, (net.nat, net.client), 1_400).hop(BALANCER_MAC, ROUTER_MAC).tags(&tags);
    let jumbo = sized(net, net.direct, 8_000);
    let limit = |case, mtu| limit(case, net, mtu);
    let mut cases = vec![
        limit(net.row("too big: nat", big.bytes(), client_told(net, &big, net.nat, 1_400)), 1_400),
        limit(net.row("too big: a jumbo frame", jumbo.bytes(), client_told(net, &jumbo, net.direct, 1_500)), 1_500),
        limit(
            net.row("too big: marks are not copied", marked.bytes(), client_told(net, &marked, net.nat, 1_400)),
            1_400,
        ),
        limit(net.row("too big: with padding", padded.bytes(), client_told(net, &padded, net.nat, 1_400)), 1_400),
        limit(
            net.row(
                "too big: with a tag, and so is the answer",
                big.clone().tags(&tags).bytes(),
                Expect::Answer(Stop::ToldTooBig, tagged.bytes()),
            ),
            1_400,
        ),
        net.row("too big: a reply", reply.bytes(), Expect::Answer(Stop::ToldTooBig, to_server.bytes()))
            .with(|tables| set_hop(tables, ROUTER, |hop| hop.mtu = 1_400)),
        // No link of IPv6 takes less than 1,280 bytes; whoever is told of less does not believe it.
        limit(
            net.row(
                "too big: for a link of 1,200 bytes",
                sized(net, net.nat, 1_300).bytes(),
                client_told(net, &sized(net, net.nat, 1_300), net.nat, if net.is_v6() { 1_280 } else { 1_200 }),
            ),
            1_200,
        ),
    ];
    if !net.is_v6() {
        let options = big.options(&[1; 40]);
        cases.push(limit(
            net.row("too big: with options", options.bytes(), client_told(net, &options, net.nat, 1_400)),
            1_400,
        ));
    }
    cases
}

/// What the tunnel takes is not there for the packet.
fn tunnelled(net: &'static Net) -> Vec<Case> {
    let over = |other: &Net, udp: usize| u16::try_from(1_500 - header(other) - udp).expect("16 bits");
    let mut cases = Vec::new();
    for (name, vip, room) in [
        ("ipip", net.ipip, over(net, 0)),
        ("ipip over the other family", net.crossed_ipip, over(net.crossed(), 0)),
        ("gue", net.gue, over(net, 8)),
        ("gue over the other family", net.crossed_gue, over(net.crossed(), 8)),
    ] {
        let big = sized(net, vip, usize::from(room) + 1);
        let case = net.row(&format!("too big: {name}"), big.bytes(), client_told(net, &big, vip, room));
        cases.push(limit(case, net, 1_500));
    }
    // No header has room for a larger number, whatever the link takes.
    let most = u16::MAX - u16::try_from(header(net)).expect("16 bits");
    let big = sized(net, net.ipip, usize::from(most) + 1);
    cases.push(net.row("too big: for the tunnel's header", big.bytes(), client_told(net, &big, net.ipip, most)));
    cases
}

fn untold(net: &'static Net) -> Vec<Case> {
    let big = sized(net, net.nat, 1_401);
    let limit = |case, mtu| limit(case, net, mtu);
    let [_, later] = sized(net, net.nat, 3_000).fragments(64);
    let mut cases =
        vec![limit(net.stops("too big: after too many others", big.bytes(), Stop::TooBig), 1_400).with(|tables| {
            // Filled up in the future: nothing comes in any more.
            tables.buckets.get_mut()[ANSWERS as usize] = Bucket { filled: u64::MAX, tokens: 0 };
        })];
    if !net.is_v6() {
        let short = sized(net, net.nat, 400);
        cases.extend([
            limit(net.stops("too big: it may be fragmented", big.may_be_fragmented().bytes(), Stop::TooBig), 1_400),
            limit(net.stops("too big: a later fragment", keep_whole(later), Stop::TooBig), 1_400)
                .with(flag(net.nat, FRAGMENTS_TRACK))
                .after(sized(net, net.nat, 3_000).fragments(64)[0].clone()),
            limit(net.stops("too big: shorter than an answer would be", short.bytes(), Stop::TooBig), 300),
            limit(net.stops("too big: padding is not quoted", short.padding(200).bytes(), Stop::TooBig), 300),
        ]);
    }
    cases
}

/// The same with "don't fragment" set, as no sender should.
fn keep_whole(mut frame: Vec<u8>) -> Vec<u8> {
    frame[ETHERNET + 6] |= 0x40;
    let header = &mut frame[ETHERNET..ETHERNET + 20];
    header[10..12].fill(0);
    let sum = lb_tests::oracle::checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Just not too big.
fn fitting(net: &'static Net) -> Vec<Case> {
    let nat = sized(net, net.nat, 1_400);
    let padded = nat.clone().padding(40);
    let sent = |frame: &Frame| leaves_for(frame.clone(), 1).to(net.servers[1]);
    let tunnel = sized(net, net.ipip, 1_500 - header(net));
    vec![
        limit(net.sends("too big: exactly as long as the link takes", &nat, &sent(&nat)), net, 1_400),
        limit(net.sends("too big: padding does not count", &padded, &sent(&padded)), net, 1_400),
        limit(net.sends("too big: exactly as long with the tunnel", &tunnel, &wrapped(&tunnel, net)), net, 1_500),
    ]
}
