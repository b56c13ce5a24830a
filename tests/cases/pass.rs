//! What is not ours goes to the host's stack, as it came.

use super::{Case, world::*};
use lb_common::Stop;
use lb_tests::packet::{ETHERNET, Frame};

pub(crate) fn cases(net: &'static Net) -> Vec<Case> {
    let to_vip = net.tcp(net.nat);
    let to_host = net.tcp(net.host);
    let elsewhere = net.udp(net.unknown_neighbour);
    let check = Frame::tcp(net.host, net.servers[1]).syn().hop(BALANCER_MAC, SERVER_MACS[1]);
    let check_reply = answers(Frame::tcp(net.servers[1], net.host).syn_ack(), 1);
    let other_reply = answers(Frame::tcp(at_port(net.servers[1], 22), net.client), 1);
    // Where a header says what follows it, and how long the packet is but for this.
    let (next, excess) = if net.is_v6() { (ETHERNET + 6, 40) } else { (ETHERNET + 9, 0) };
    let length = |frame: &Frame, bytes: u16| with_length(net, frame, bytes.saturating_sub(excess));
    let whole = u16::try_from(to_vip.packet().len()).expect("short");
    let ends_in_header = whole - 13 - 1;
    let mut cases = vec![
        net.stops("a segment to this host passes", to_host.bytes(), Stop::ToHost),
        net.stops("a fragment to this host passes", to_host.fragment(0, true).bytes(), Stop::ToHost),
        net.stops("what is for somebody else passes", elsewhere.bytes(), Stop::NotOurs),
        net.stops("the balancer's own check of a server passes", check.bytes(), Stop::NotOurs),
        net.stops("a server's reply to the balancer's check passes", check_reply.bytes(), Stop::ToHost),
        net.stops("what a server says from another port passes", other_reply.bytes(), Stop::NotOurs),
        net.stops("a header of the other version passes", with_byte(&to_vip, ETHERNET, 0xa5), Stop::BadHeader),
        net.stops("a packet longer than its frame passes", length(&to_vip, whole + 1), Stop::Truncated),
        net.stops("a packet of 65535 bytes in a short frame passes", length(&to_vip, u16::MAX), Stop::Truncated),
        net.stops("a packet that ends in its TCP header passes", length(&to_vip, ends_in_header), Stop::Truncated),
        net.stops(
            "a datagram that ends in its UDP header passes",
            length(&net.udp(net.nat), ends_in_header - 12),
            Stop::Truncated,
        ),
        net.stops("SCTP passes", with_byte(&to_vip, next, 132), Stop::NotBalanced),
        net.stops("IP in IP that came to a VIP passes", with_byte(&to_vip, next, 4), Stop::NotBalanced),
    ];
    if !net.is_v6() {
        cases.extend([
            net.stops("a header of four words passes", with_byte(&to_vip, ETHERNET, 0x44), Stop::BadHeader),
            net.stops("a packet shorter than its header passes", length(&to_vip, 19), Stop::BadHeader),
            net.stops("options that hide the TCP header pass", with_byte(&to_vip, ETHERNET, 0x4f), Stop::BadHeader),
            net.stops("options that leave no TCP header pass", with_byte(&to_vip, ETHERNET, 0x49), Stop::Truncated),
        ]);
    }
    cases
}

/// Frames that carry neither IPv4 nor IPv6.
pub(crate) fn of_no_family() -> Vec<Case> {
    vec![
        NET4.stops("ARP passes", arp(), Stop::NotIp),
        NET4.stops("an empty frame of another protocol passes", with_type(0x88cc), Stop::NotIp),
        NET4.stops("a tag without anything behind it passes", with_type(0x8100), Stop::Truncated),
        NET4.stops("IPv4 without a header passes", with_type(0x0800), Stop::Truncated),
        NET6.stops("IPv6 without a header passes", with_type(0x86dd), Stop::Truncated),
    ]
}

/// The frame with one byte changed, and the checksums as they were.
fn with_byte(frame: &Frame, offset: usize, byte: u8) -> Vec<u8> {
    let mut bytes = frame.bytes();
    bytes[offset] = byte;
    bytes
}

/// The frame with another length in its header.
fn with_length(net: &Net, frame: &Frame, length: u16) -> Vec<u8> {
    let at = ETHERNET + if net.is_v6() { 4 } else { 2 };
    let mut bytes = frame.bytes();
    bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Ethernet addresses, a type, and nothing that this type would need.
fn with_type(ether_type: u16) -> Vec<u8> {
    [&BALANCER_MAC[..], &ROUTER_MAC[..], &ether_type.to_be_bytes()].concat()
}

fn arp() -> Vec<u8> {
    let mut frame = with_type(0x0806);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([&ROUTER_MAC[..], &[198, 51, 100, 1], &[0; 6], &[192, 0, 2, 10]].concat());
    frame
}
