//! How the reference sends a packet: inside another IP header, to the gateway.

use super::headers::{ETHERNET, IPV4, IPV6, Packet};
use aya_ebpf::{helpers::bpf_xdp_adjust_head, programs::XdpContext};
use core::ptr;
use lb_ebpf_tools::rows::reference::{Gateway, Server};

/// `172.16.0.0/16` and `100::/64` (RFC 6666): where the outer header says that it comes from.
const SOURCE4: u32 = 0xac10_0000;
const SOURCE6: [u32; 2] = [0x0100_0000, 0];
const HOPS: u8 = 64;

#[inline(always)]
pub(super) fn to(context: &XdpContext, packet: &Packet, server: &Server, gateway: &Gateway) -> Option<()> {
    // So that the server's card spreads the flows, the source is another for each.
    let [client, ..] = packet.flow.source;
    let [.., last] = packet.flow.source;
    let [port, _] = packet.flow.ports;
    if packet.is_ipv6 {
        let [first, second] = SOURCE6.map(u32::to_be);
        let ip = ipv6(packet.bytes as u16, [first, second, 0, last ^ u32::from(port)], server.address);
        write(context, gateway, 0x86dd, ip)
    } else {
        let [address, ..] = server.address;
        let suffix = (u32::from(port) << 16 ^ client) & 0xffff_u32.to_be();
        write(context, gateway, 0x0800, ipv4(packet.bytes as u16, SOURCE4.to_be() | suffix, address))
    }
}

#[inline(always)]
fn write<Ip>(context: &XdpContext, gateway: &Gateway, ether_type: u16, ip: Ip) -> Option<()> {
    const { assert!(size_of::<Ip>() == IPV4 || size_of::<Ip>() == IPV6) };
    // SAFETY: the context is the one that the program was called with.
    let failed = unsafe { bpf_xdp_adjust_head(context.ctx, -(size_of::<Ip>() as i32)) } != 0;
    let start = context.data();
    if failed || start + size_of::<Ip>() + ETHERNET > context.data_end() {
        return None;
    }
    // The frame came to us: its old destination is the new source. All in words: a copy would go byte by byte.
    // SAFETY: within the frame, as was just compared.
    let own = unsafe { ptr::read_unaligned((start + size_of::<Ip>()) as *const u64) };
    let [first, last] = gateway.address;
    put(start, first);
    put(start + 4, last as u16);
    put(start + 6, own as u32);
    put(start + 10, (own >> 32) as u16);
    put(start + 12, ether_type.to_be());
    put(start + ETHERNET, ip);
    Some(())
}

/// Writes where there is room, as the caller knows.
#[inline(always)]
fn put<T>(at: usize, value: T) {
    // SAFETY: the caller has compared with the end of the frame.
    unsafe { ptr::write_unaligned(at as *mut T, value) };
}

/// IPv4 in words of 16 bits (RFC 2003 §3.1), with its checksum.
#[inline(always)]
fn ipv4(bytes: u16, source: u32, destination: u32) -> [u16; IPV4 / 2] {
    let [s0, s1] = halves(source);
    let [d0, d1] = halves(destination);
    let length = (bytes + IPV4 as u16).to_be();
    let (version, hops_and_protocol) = (0x4500_u16.to_be(), (u16::from(HOPS) << 8 | 4).to_be());
    let words = [version, length, 0, 0, hops_and_protocol, 0, s0, s1, d0, d1];
    let mut sum = 0_u32;
    for word in words {
        sum += u32::from(word);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    [version, length, 0, 0, hops_and_protocol, checksum, s0, s1, d0, d1]
}

/// IPv6 in words of 32 bits (RFC 2473 §5.1).
#[inline(always)]
fn ipv6(bytes: u16, source: [u32; 4], destination: [u32; 4]) -> [u32; IPV6 / 4] {
    let [s0, s1, s2, s3] = source;
    let [d0, d1, d2, d3] = destination;
    let lengths = (u32::from(bytes) << 16 | 41 << 8 | u32::from(HOPS)).to_be();
    [0x6000_0000_u32.to_be(), lengths, s0, s1, s2, s3, d0, d1, d2, d3]
}

#[inline(always)]
const fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}
