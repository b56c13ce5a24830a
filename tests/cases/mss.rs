//! The largest segment that connections agree on, made smaller.

use super::{Case, Expect, tunnels::wrapped, world::*};
use lb_common::{Note, returns::ReturnRow, vip::flags::TRACK_FULL};
use lb_ebpf::testing::MemoryTables;
use lb_tests::packet::{
    Frame,
    flags::{ACK, SYN},
};

const MOST: u16 = 1_300;

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    [options(net), ways(net), malformed(net)].into_iter().flatten().collect()
}

/// What Linux offers, with `segment` in it: segment, selective acknowledgment, timestamps, nothing, scale.
fn linux(segment: u16) -> Vec<u8> {
    let [high, low] = segment.to_be_bytes();
    [&[2, 4, high, low, 4, 2, 8, 10][..], &[7; 8], &[1, 3, 3, 7]].concat()
}

fn limited(net: &'static Net) -> impl Fn(&mut MemoryTables) {
    move |tables| {
        for vip in [net.nat, net.direct, net.ipip, net.fullnat, net.other] {
            set_vip(tables, vip, |row| row.mss = MOST);
        }
        set_returns(tables, net.servers[1], |row| Some(ReturnRow { mss: MOST, ..row }));
    }
}

/// A SYN by `nat` with options, as it leaves with others.
fn nat(net: &'static Net, name: &str, before: &[u8], after: &[u8]) -> Case {
    let syn = net.tcp(net.nat).syn();
    let output = leaves_for(syn.clone(), 1).to(net.servers[1]).tcp_options(after);
    let case = net.sends(&format!("mss: {name}"), &syn.tcp_options(before), &output).with(limited(net));
    case.notes(if before == after { &[] } else { &[Note::MssClamped] })
}

/// Options of a header, whose bytes are a multiple of 4.
fn options(net: &'static Net) -> Vec<Case> {
    let stays = |name, options: &[u8]| nat(net, name, options, options);
    vec![
        nat(net, "a larger one is lowered", &linux(1_460), &linux(MOST)),
        nat(net, "one of 9,000 is lowered", &linux(8_960), &linux(MOST)),
        nat(net, "the largest is lowered", &linux(u16::MAX), &linux(MOST)),
        stays("an equal one stays", &linux(MOST)),
        stays("a smaller one stays", &linux(1_000)),
        stays("none stays none", &[]),
        stays("other options stay", &[1, 3, 3, 7]),
        // Not at an even place: its bytes belong to two words of the sum.
        nat(net, "at an odd place", &[1, 2, 4, 0x05, 0xb4, 1, 1, 0], &[1, 2, 4, 0x05, 0x14, 1, 1, 0]),
        nat(
            net,
            "after seven others",
            &[1, 1, 1, 1, 1, 1, 1, 2, 4, 0x23, 0x28, 0],
            &[1, 1, 1, 1, 1, 1, 1, 2, 4, 0x05, 0x14, 0],
        ),
        stays("not looked for after eight others", &[1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 0x23, 0x28]),
        nat(net, "at the end of the longest header", &longest(0x2328), &longest(MOST)),
        stays("not after the end of the options", &[0, 1, 1, 1, 2, 4, 0x23, 0x28]),
    ]
}

fn longest(segment: u16) -> Vec<u8> {
    let [high, low] = segment.to_be_bytes();
    let mut options = vec![254, 36];
    options.resize(36, 9);
    options.extend([2, 4, high, low]);
    options
}

/// Every way that a SYN or its answer takes.
fn ways(net: &'static Net) -> Vec<Case> {
    let with = |frame: Frame, segment| frame.tcp_options(&linux(segment));
    let sends = |name: &str, input: Frame, output: Frame| {
        net.sends(&format!("mss: {name}"), &with(input, 1_460), &with(output, MOST)).with(limited(net))
    };
    let syn = |vip| net.tcp(vip).syn();
    let reply = answers(Frame::tcp(net.servers[1], net.client), 1).syn_ack();
    let lent = super::fullnat::lent(net, lb_common::Protocol::Tcp, 0);
    let fullnat_reply = answers(Frame::tcp(net.servers[1], lent), 1).syn_ack();
    let tracked = |tables: &mut MemoryTables| {
        flag(net.nat, TRACK_FULL)(tables);
        set_returns(tables, net.servers[1], |row| Some(ReturnRow { vip: 0, mss: 0, ..row }));
    };
    let segment = with(net.tcp(net.nat), 1_460);
    vec![
        sends("direct", syn(net.direct), leaves_for(syn(net.direct), 1)),
        sends("a SYN-ACK of a client", syn(net.nat).flags(SYN | ACK), {
            leaves_for(syn(net.nat).flags(SYN | ACK), 1).to(net.servers[1])
        }),
        sends("a reply", reply.clone(), leaves_for_client(reply.clone()).from(net.nat)),
        sends("fullnat", syn(net.fullnat), leaves_for(syn(net.fullnat), 1).from(lent).to(net.servers[1])),
        sends("a reply by fullnat", fullnat_reply.clone(), {
            leaves_for_client(fullnat_reply).from(net.fullnat).to(net.client)
        })
        .after(syn(net.fullnat).bytes()),
        sends("a reply that is tracked", reply.clone(), leaves_for_client(reply).from(net.nat))
            .with(tracked)
            .after(syn(net.nat).bytes()),
        net.row("mss: ipip", with(syn(net.ipip), 1_460).bytes(), {
            Expect::Transmit(wrapped(&with(syn(net.ipip), MOST), net).bytes())
        })
        .with(limited(net)),
        net.sends("mss: a segment that opens nothing stays", &segment, &{
            leaves_for(segment.clone(), 1).to(net.servers[1])
        })
        .with(limited(net))
        .notes(&[]),
    ]
}

/// What no host sends changes nothing, or at least no byte that is not of an option.
fn malformed(net: &'static Net) -> Vec<Case> {
    let stays = |name, options: &[u8]| nat(net, name, options, options);
    let mut beyond = net.tcp(net.nat).syn();
    beyond = beyond.padding(8);
    let longer = |frame: &Frame| {
        let mut bytes = frame.bytes();
        let at = bytes.len() - 8;
        bytes[at..].copy_from_slice(&[2, 4, 0x23, 0x28, 1, 1, 1, 1]);
        // The header says that it is 8 bytes longer, which lie behind the packet.
        let length = at - 20 + 12;
        bytes[length] = 0x70;
        let sum = u16::from_be_bytes([bytes[length + 4], bytes[length + 5]]);
        let change = u32::from(!sum) + u32::from(!0x5000_u16) + 0x7000;
        let folded = (change & 0xffff) + (change >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        bytes[length + 4..length + 6].copy_from_slice(&(!u16::try_from(folded).expect("16 bits")).to_be_bytes());
        bytes
    };
    let output = leaves_for(beyond.clone(), 1).to(net.servers[1]);
    vec![
        stays("an option without a length", &[254, 0, 2, 4, 0x23, 0x28, 1, 1]),
        stays("an option of length 1", &[254, 1, 2, 4, 0x23, 0x28, 1, 1]),
        stays("an option longer than the header", &[254, 40, 2, 4, 0x23, 0x28, 1, 1]),
        stays("one of three bytes is none", &[2, 3, 0x23, 1, 1, 1, 1, 1]),
        stays("one that ends behind the header", &[1, 1, 2, 4]),
        net.row("mss: options behind the packet", longer(&beyond), Expect::Transmit(longer(&output)))
            .with(limited(net))
            .notes(&[]),
    ]
}
