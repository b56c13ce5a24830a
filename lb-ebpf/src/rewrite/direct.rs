//! Direct server return: the packet stays as the client sent it, but for its time to live.

use crate::{
    Packet,
    checksum::Change,
    parse::{Ipv4, ipv4},
};

/// Rewrites a packet to a server that owns the VIP.
#[inline(always)]
pub fn to_server(packet: &mut impl Packet, ip: &Ipv4, ttl: u8) {
    let change = Change::default().byte(ip.ttl, ttl);
    packet.write(ipv4::TTL, ttl);
    packet.write(ipv4::CHECKSUM, change.applied_to(ip.checksum));
}
