//! How a packet leaves: its time to live, the next machine, the interface.

use crate::{Packet, Tables, Verdict, parse::Ipv4, parse::ethernet};
use lb_common::{Be32, NextHop, Stop};

/// The time to live that the packet leaves with. Every packet that we send has passed a hop, so that a loop between
/// balancers and servers ends.
#[inline(always)]
pub fn ttl(ip: &Ipv4) -> Result<u8, Stop> {
    match ip.ttl {
        0 | 1 => Err(Stop::TtlExpired),
        ttl => Ok(ttl - 1),
    }
}

/// The next machine on the way to `address`, and the way out to it. If nobody knows its Ethernet address, this packet is
/// lost; the next one need not be, because the supervisor is told to have it asked for.
#[inline(always)]
pub fn way_out(
    packet: &impl Packet,
    tables: &impl Tables,
    row: u32,
    address: Be32,
) -> Result<(NextHop, Verdict), Stop> {
    let next_hop = tables.next_hop(row).ok_or(Stop::BadTables)?;
    if next_hop.resolved == 0 {
        tables.unresolved(address);
        return Err(Stop::NoNextHop);
    }
    if next_hop.ifindex == packet.ingress() {
        Ok((next_hop, Verdict::Transmit))
    } else if tables.redirect(next_hop.ifindex) {
        Ok((next_hop, Verdict::Redirect))
    } else {
        Err(Stop::NoNextHop)
    }
}

/// Writes the Ethernet addresses.
#[inline(always)]
pub fn address(packet: &mut impl Packet, next_hop: &NextHop) {
    packet.write(ethernet::ADDRESSES, [next_hop.destination, next_hop.source]);
}
