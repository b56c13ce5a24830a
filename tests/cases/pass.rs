//! What is not ours goes to the host's stack, as it came.

use super::{Case, world::*};
use etherparse::{EtherType, PacketBuilder, VlanId};
use lb_common::Stop;
use lb_tests::packet::{ETHERNET, Frame};

pub(crate) fn cases() -> Vec<Case> {
    let to_vip = arrives(Frame::tcp(CLIENT, NAT_VIP));
    let to_host = arrives(Frame::tcp(CLIENT, HOST));
    let elsewhere = arrives(Frame::udp(CLIENT, UNKNOWN_NEIGHBOUR));
    let check = Frame::tcp(HOST, SERVERS[1]).syn().hop(BALANCER_MAC, SERVER_MACS[1]);
    let check_reply = answers(Frame::tcp(SERVERS[1], HOST).syn_ack(), 1);
    let other_reply = answers(Frame::tcp(at_port(SERVERS[1], 22), CLIENT), 1);
    vec![
        stops("ARP passes", arp(), Stop::NotIpv4),
        stops("IPv6 passes", ipv6(), Stop::NotIpv4),
        stops("a tagged frame passes", tagged(), Stop::NotIpv4),
        stops("an empty frame of another protocol passes", with_type(EtherType(0x88cc)), Stop::NotIpv4),
        // Katran answers echo requests to every address that reaches the host, its own included.
        stops("katran: an echo request to a VIP passes", echo(NAT_VIP), Stop::NotBalanced),
        stops("katran: an echo request to this host passes", echo(HOST), Stop::NotBalanced),
        stops("a segment to this host passes", to_host.bytes(), Stop::ToHost),
        stops("a fragment to this host passes", to_host.fragment(0, true).bytes(), Stop::ToHost),
        stops("what is for somebody else passes", elsewhere.bytes(), Stop::NotOurs),
        stops("a fragment for somebody else passes", elsewhere.fragment(3, false).bytes(), Stop::NotOurs),
        stops("the balancer's own check of a server passes", check.bytes(), Stop::NotOurs),
        stops("a server's reply to the balancer's check passes", check_reply.bytes(), Stop::ToHost),
        stops("what a server says from another port passes", other_reply.bytes(), Stop::NotOurs),
        stops("a header of four words passes", with_byte(&to_vip, ETHERNET, 0x44), Stop::BadHeader),
        stops("a header of version 6 passes", with_byte(&to_vip, ETHERNET, 0x65), Stop::BadHeader),
        stops("a packet shorter than its header passes", with_length(&to_vip, 19), Stop::BadHeader),
        stops("a packet longer than its frame passes", with_length(&to_vip, 54), Stop::Truncated),
        stops("a packet of 65535 bytes in a short frame passes", with_length(&to_vip, u16::MAX), Stop::Truncated),
        stops("a packet that ends in its TCP header passes", with_length(&to_vip, 39), Stop::Truncated),
        stops(
            "a datagram that ends in its UDP header passes",
            with_length(&arrives(Frame::udp(CLIENT, NAT_VIP)), 27),
            Stop::Truncated,
        ),
        stops("options that hide the TCP header pass", with_byte(&to_vip, ETHERNET, 0x4f), Stop::BadHeader),
        stops("options that leave no TCP header pass", with_byte(&to_vip, ETHERNET, 0x49), Stop::Truncated),
        stops("SCTP passes", with_byte(&to_vip, ETHERNET + 9, 132), Stop::NotBalanced),
    ]
}

fn at_port(mut address: std::net::SocketAddrV4, port: u16) -> std::net::SocketAddrV4 {
    address.set_port(port);
    address
}

/// The frame with one byte changed, and the checksums as they were.
fn with_byte(frame: &Frame, offset: usize, byte: u8) -> Vec<u8> {
    let mut bytes = frame.bytes();
    bytes[offset] = byte;
    bytes
}

/// The frame with another total length in its IPv4 header.
fn with_length(frame: &Frame, length: u16) -> Vec<u8> {
    let mut bytes = frame.bytes();
    bytes[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Ethernet addresses, a type, and nothing that this type would need.
fn with_type(ether_type: EtherType) -> Vec<u8> {
    [&BALANCER_MAC[..], &ROUTER_MAC[..], &ether_type.0.to_be_bytes()].concat()
}

fn arp() -> Vec<u8> {
    let mut frame = with_type(EtherType::ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([&ROUTER_MAC[..], &[198, 51, 100, 1], &[0; 6], &[192, 0, 2, 10]].concat());
    frame
}

fn ipv6() -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(ROUTER_MAC, BALANCER_MAC).ipv6([0x20; 16], [0x21; 16], 64).udp(1, 443);
    builder.write(&mut frame, b"six").expect("frame");
    frame
}

fn tagged() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER_MAC, BALANCER_MAC)
        .single_vlan(VlanId::try_new(7).expect("id"))
        .ipv4(CLIENT.ip().octets(), NAT_VIP.ip().octets(), 64)
        .udp(CLIENT.port(), NAT_VIP.port())
        .write(&mut frame, b"tagged")
        .expect("frame");
    frame
}

fn echo(to: std::net::SocketAddrV4) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(ROUTER_MAC, BALANCER_MAC)
        .ipv4(CLIENT.ip().octets(), to.ip().octets(), 64)
        .icmpv4_echo_request(1, 2)
        .write(&mut frame, b"ping")
        .expect("frame");
    frame
}
