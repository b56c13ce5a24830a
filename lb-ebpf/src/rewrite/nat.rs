//! Network address translation of one end of a flow: the destination on the way to a server, the source on the way back.

use crate::{
    Packet,
    checksum::Change,
    parse::{Ipv4, L4, ipv4, l4},
};
use lb_common::{Be16, Protocol, Return4, ServerEntry};

/// Rewrites a packet to a server: the VIP becomes the server.
#[inline(always)]
pub fn to_server(packet: &mut impl Packet, ip: &Ipv4, l4: &L4, ttl: u8, server: &ServerEntry) {
    let keeps_port = server.port == Be16::default();
    let port = if keeps_port { l4.destination_port } else { server.port };
    packet.write(ipv4::DESTINATION, server.addr);
    packet.write(ip.l4_offset + l4::DESTINATION_PORT, port);
    let addresses = Change::default().long(ip.destination, server.addr);
    let ports = Change::default().word(l4.destination_port, port);
    checksums(packet, ip, l4, ttl, addresses, ports);
}

/// Rewrites a reply to a client: the server becomes the VIP.
#[inline(always)]
pub fn to_client(packet: &mut impl Packet, ip: &Ipv4, l4: &L4, ttl: u8, reply: &Return4) {
    packet.write(ipv4::SOURCE, reply.vip_addr);
    packet.write(ip.l4_offset + l4::SOURCE_PORT, reply.vip_port);
    let addresses = Change::default().long(ip.source, reply.vip_addr);
    let ports = Change::default().word(l4.source_port, reply.vip_port);
    checksums(packet, ip, l4, ttl, addresses, ports);
}

/// The time to live and both checksums: the transport's covers the addresses too (its pseudo header).
#[inline(always)]
fn checksums(packet: &mut impl Packet, ip: &Ipv4, l4: &L4, ttl: u8, addresses: Change, ports: Change) {
    packet.write(ipv4::TTL, ttl);
    packet.write(ipv4::CHECKSUM, addresses.byte(ip.ttl, ttl).applied_to(ip.checksum));
    let change = addresses.and(ports);
    match ip.protocol {
        Protocol::Tcp => packet.write(l4.checksum_offset, change.applied_to(l4.checksum)),
        Protocol::Udp => {
            if let Some(checksum) = change.applied_to_udp(l4.checksum) {
                packet.write(l4.checksum_offset, checksum);
            }
        }
    }
}
