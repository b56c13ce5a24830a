//! `on_empty = "reset"`: what no server takes is refused.

use super::{Case, Expect, world::*};
use lb_common::{
    Bucket, Note, ServerState, Stop,
    bucket::{ANSWERS, REFUSALS},
    vip::flags::{FRAGMENTS_TRACK, REFUSES, TRACK_FULL},
};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::{
    ETHERNET, Extension, Frame, Numbers,
    flags::{ACK, FIN, RST, SYN},
};
use std::net::SocketAddr;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [segments(net), datagrams(net), unanswered(net), unanswerable(net), served(net)].into_iter().flatten().collect()
}

/// A VIP that refuses, and no server of its backend is up.
fn empty(case: Case, net: &'static Net, vip: SocketAddr) -> Case {
    case.with(flag(vip, REFUSES)).with(|tables| all_down(tables, net)).with(without_servers).notes(&[])
}

/// The rings have followed.
fn without_servers(tables: &mut MemoryTables) {
    for ring in tables.rings.values_mut() {
        *ring = ring_of(|_| 0);
    }
}

fn all_down(tables: &mut MemoryTables, net: &'static Net) {
    for of in [net, net.crossed()] {
        for number in 1..=4 {
            set_state(tables, of, number, ServerState::Down);
        }
    }
}

/// What goes back to the client in the place of a segment.
pub(super) fn reset(net: &Net, vip: SocketAddr, flags: u8, sequence: u32, acknowledgment: u32) -> Frame {
    let numbers = Numbers { sequence, acknowledgment, window: 0 };
    let answer = Frame::tcp(vip, net.client).payload(b"").flags(flags).numbers(numbers).id(0);
    answer.hop(BALANCER_MAC, ROUTER_MAC)
}

/// What goes back in the place of a datagram: 8 bytes of it beside its header.
fn unreachable(net: &Net, vip: SocketAddr, about: &Frame) -> Frame {
    let (kind, quote) = if net.is_v6() { ((1, 4), 48) } else { ((3, 3), 28) };
    let answer = Frame::icmp(vip.ip(), net.client.ip(), kind, [0; 4]).payload(&about.packet()[..quote]).id(0);
    answer.hop(BALANCER_MAC, ROUTER_MAC)
}

/// RFC 9293 §3.10.7.1.
fn segments(net: &'static Net) -> Vec<Case> {
    let at = |sequence, acknowledgment| Numbers { sequence, acknowledgment, window: 512 };
    let refused = |name: &str, vip: SocketAddr, input: &Frame, answer: &Frame| {
        let expect = Expect::Answer(Stop::Refused, answer.bytes());
        empty(net.row(&format!("refused: {name}"), input.bytes(), expect), net, vip)
    };
    let to_syn = |vip| reset(net, vip, RST | ACK, 0, 8);
    let syn = |vip| net.tcp(vip).syn().numbers(at(7, 0));
    let data = |vip| net.tcp(vip).numbers(at(7, 0xfedc_ba98));
    let to_data = |vip| reset(net, vip, RST, 0xfedc_ba98, 0);
    let tags = [(0x88a8, 0x2064), (0x8100, 0xe007)];
    let mut cases = vec![
        refused("a SYN, nat", net.nat, &syn(net.nat), &to_syn(net.nat)),
        refused("a SYN, direct", net.direct, &syn(net.direct), &to_syn(net.direct)),
        refused("a SYN, ipip", net.ipip, &syn(net.ipip), &to_syn(net.ipip)),
        refused("a SYN, gue over the other family", net.crossed_gue, &syn(net.crossed_gue), &to_syn(net.crossed_gue)),
        refused("a SYN, fullnat", net.fullnat, &syn(net.fullnat), &to_syn(net.fullnat)),
        refused("a segment, fullnat", net.fullnat, &data(net.fullnat), &to_data(net.fullnat)),
        refused("a SYN that is tracked", net.nat, &syn(net.nat), &to_syn(net.nat)).with(flag(net.nat, TRACK_FULL)),
        refused("a SYN that has options", net.nat, &syn(net.nat).tcp_options(&[1; 40]), &to_syn(net.nat)),
        // As fast open sends it: what it carries counts too (RFC 7413).
        refused("a SYN with data", net.nat, &syn(net.nat).payload(b"odd"), &reset(net, net.nat, RST | ACK, 0, 11)),
        refused("a SYN whose frame is padded", net.nat, &syn(net.nat).padding(6), &to_syn(net.nat)),
        refused("a SYN with tags", net.nat, &syn(net.nat).tags(&tags), &to_syn(net.nat).tags(&tags)),
        refused(
            "the last number of all",
            net.nat,
            &syn(net.nat).numbers(at(u32::MAX, 0)),
            &reset(net, net.nat, RST | ACK, 0, 0),
        ),
        refused("a segment", net.nat, &data(net.nat), &to_data(net.nat)),
        refused("a large one", net.nat, &data(net.nat).payload(&[0x5a; 8_900]), &to_data(net.nat)),
        refused("a FIN", net.nat, &data(net.nat).flags(FIN | ACK), &to_data(net.nat)),
        refused("a SYN-ACK", net.nat, &data(net.nat).syn_ack(), &to_data(net.nat)),
        refused(
            "a FIN without ACK",
            net.nat,
            &data(net.nat).flags(FIN).payload(b"four"),
            &reset(net, net.nat, RST | ACK, 0, 12),
        ),
        refused(
            "all flags but one",
            net.nat,
            &data(net.nat).flags(SYN | FIN).payload(b""),
            &reset(net, net.nat, RST | ACK, 0, 9),
        ),
        refused("marks are not copied", net.nat, &syn(net.nat).service(0xff), &to_syn(net.nat)),
        refused("the last hop", net.nat, &syn(net.nat).ttl(2), &to_syn(net.nat)),
    ];
    if net.is_v6() {
        let behind = syn(net.nat).extensions(&[Extension::hop_by_hop(), Extension::destination(3)]);
        cases.push(refused("a SYN behind headers", net.nat, &behind, &to_syn(net.nat)));
    } else {
        cases.push(refused("a SYN behind options", net.nat, &syn(net.nat).options(&[1; 40]), &to_syn(net.nat)));
    }
    cases
}

fn datagrams(net: &'static Net) -> Vec<Case> {
    let refused = |name: &str, vip: SocketAddr, input: &Frame| {
        let expect = Expect::Answer(Stop::Refused, unreachable(net, vip, input).bytes());
        empty(net.row(&format!("refused: {name}"), input.bytes(), expect), net, vip)
    };
    let tags = [(0x8100, 0x2005)];
    let tagged = net.udp(net.nat).tags(&tags);
    vec![
        refused("a datagram, nat", net.nat, &net.udp(net.nat)),
        refused("a datagram, direct", net.direct, &net.udp(net.direct)),
        refused("a datagram, ipip", net.ipip, &net.udp(net.ipip)),
        refused("a datagram, fullnat", net.fullnat, &net.udp(net.fullnat)),
        refused("a datagram after too many answers of another sort", net.nat, &net.udp(net.nat)).with(|tables| {
            tables.buckets.get_mut()[ANSWERS as usize] = Bucket { filled: u64::MAX, tokens: 0 };
        }),
        refused("a datagram without payload", net.nat, &net.udp(net.nat).payload(b"")),
        refused("a datagram without checksum", net.nat, &net.udp(net.nat).without_checksum()),
        refused("a datagram whose frame is padded", net.nat, &net.udp(net.nat).payload(b"x").padding(17)),
        refused("a large datagram", net.nat, &net.udp(net.nat).payload(&[0xff; 8_900])),
        empty(
            net.row(
                "refused: a datagram with a tag",
                tagged.bytes(),
                Expect::Answer(Stop::Refused, unreachable(net, net.nat, &tagged).tags(&tags).bytes()),
            ),
            net,
            net.nat,
        ),
    ]
}

fn unanswered(net: &'static Net) -> Vec<Case> {
    let data = net.tcp(net.nat);
    let stops =
        |name: &str, input: Vec<u8>| empty(net.stops(&format!("refused: {name}"), input, Stop::NoServer), net, net.nat);
    let offset_of = |words: u8| {
        let mut frame = data.bytes();
        frame[ETHERNET + if net.is_v6() { 40 } else { 20 } + 12] = words << 4;
        frame
    };
    let mut cases = vec![
        stops("not a reset", data.clone().flags(RST).bytes()),
        stops("nor one with ACK", data.clone().flags(RST | ACK).bytes()),
        stops("a header that is too short", offset_of(4)),
        stops("a header that is longer than the packet", offset_of(15)),
        stops("a datagram after too many others", net.udp(net.nat).bytes()).with(|tables| {
            tables.buckets.get_mut()[REFUSALS as usize] = Bucket { filled: u64::MAX, tokens: 0 };
        }),
        stops("a fragment", net.udp(net.nat).payload(&[1; 64]).fragments(32)[0].clone())
            .with(flag(net.nat, FRAGMENTS_TRACK)),
        net.stops("refused: not without being asked", net.tcp(net.nat).syn().bytes(), Stop::NoServer)
            .with(|tables| all_down(tables, net))
            .with(without_servers),
        // There may be a server that is up, beyond the slots that are tried.
        net.stops("refused: not before the ring has followed", net.tcp(net.nat).syn().bytes(), Stop::NoServer)
            .with(flag(net.nat, REFUSES))
            .with(|tables| all_down(tables, net)),
    ];
    if net.is_v6() {
        let behind = net.udp(net.nat).extensions(&[Extension::destination(1)]);
        cases.push(stops("a datagram behind a header", behind.bytes()));
    } else {
        cases.push(stops("a datagram behind options", net.udp(net.nat).options(&[1; 8]).bytes()));
    }
    cases
}

/// What came to many, or from none (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
fn unanswerable(net: &'static Net) -> Vec<Case> {
    let stops = |name: &str, input: Frame| {
        empty(net.stops(&format!("refused: {name}"), input.bytes(), Stop::NoServer), net, net.nat)
    };
    let mut cases = Vec::new();
    for mac in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        let many = |frame: Frame| frame.hop(ROUTER_MAC, mac);
        cases.push(stops(&format!("no SYN to {mac:02x?}"), many(net.tcp(net.nat).syn())));
        cases.push(stops(&format!("no datagram to {mac:02x?}"), many(net.udp(net.nat))));
    }
    let sources: &[&str] = if net.is_v6() {
        &["[::]:9", "[::1]:9", "[ff02::1]:9", "[ff0e::1:2]:9"]
    } else {
        &["0.0.0.0:9", "0.1.2.3:9", "127.0.0.1:9", "224.0.0.1:9", "255.255.255.255:9"]
    };
    for name in sources {
        let source: SocketAddr = name.parse().expect("an address");
        cases.push(stops(&format!("no SYN from {name}"), arrives(Frame::tcp(source, net.nat).syn())));
        cases.push(stops(&format!("no datagram from {name}"), arrives(Frame::udp(source, net.nat))));
    }
    cases
}

/// Nothing that a server takes.
fn served(net: &'static Net) -> Vec<Case> {
    let goes = |name: &str, input: &Frame| {
        let output = leaves_for(input.clone(), 1).to(net.servers[1]);
        net.sends(&format!("refused: {name}"), input, &output).with(flag(net.nat, REFUSES))
    };
    vec![
        goes("not while there is a server", &net.tcp(net.nat).syn()).notes(&[]),
        goes("nor by another one's choice", &net.tcp(net.nat))
            .with(|tables| set_state(tables, net, 2, ServerState::Down))
            .notes(&[]),
        net.stops("refused: a segment of no connection, while there is one", net.tcp(net.fullnat).bytes(), {
            Stop::NoConnection
        })
        .with(flag(net.fullnat, REFUSES)),
        goes("a datagram beside servers that are down", &net.udp(net.nat))
            .with(|tables| {
                set_state(tables, net, 2, ServerState::Down);
                let own = lb_common::slots::slot_of(hash(net.client, net.nat, lb_common::Protocol::Udp));
                tables.rings.insert(net.nat_ring(), ring_of(|slot| net.id(if slot == own { 2 } else { 1 })));
            })
            .notes(&[Note::Reselected, Note::Tracked]),
    ]
}
