//! How a packet leaves: its time to live, the next machine, the interface, whether it fits.

use crate::{
    Packet, Shared, Verdict,
    checksum::Change,
    outcome::{Early, Packed},
    parse::{Ip, L4, Layer3, ethernet},
    rewrite::tunnel::{Tunnel, sum},
};
use lb_common::{Be128, NextHop, ServerEntry, Stop};

/// The way out.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// The next machine.
    pub next_hop: &'a NextHop,
    /// How the frame leaves.
    pub verdict: Verdict,
}

/// The time to live that the packet leaves with. Every packet that we send has passed a hop, so that a loop between
/// balancers and servers ends.
#[inline(always)]
pub fn ttl<F: Layer3>(ip: &Ip<F>) -> Result<u8, Stop> {
    match ip.ttl {
        0 | 1 => Err(Stop::TtlExpired),
        ttl => Ok(ttl - 1),
    }
}

/// The next machine on the way to `address`, and the way out to it. If nobody knows its Ethernet address, this packet is
/// lost; the next one need not be, because the supervisor is told to have it asked for.
#[inline(always)]
fn way_out<'a>(packet: &impl Packet, tables: &'a impl Shared, row: u32, address: Be128) -> Result<Way<'a>, Stop> {
    let next_hop = tables.next_hop(row).ok_or(Stop::BadTables)?;
    if next_hop.resolved == 0 {
        tables.unresolved(address);
        return Err(Stop::NoNextHop);
    }
    if next_hop.ifindex == packet.ingress() {
        Ok(Way { next_hop, verdict: Verdict::Transmit })
    } else if tables.redirect(next_hop.ifindex) {
        Ok(Way { next_hop, verdict: Verdict::Redirect })
    } else {
        Err(Stop::NoNextHop)
    }
}

/// The way to a server, for a packet that fits: with what is put in front of it.
#[inline(always)]
pub fn to_server<'a, F: Layer3>(
    packet: &impl Packet,
    tables: &'a impl Shared,
    ip: &Ip<F>,
    server: &ServerEntry,
    tunnel: &Tunnel,
) -> Result<Way<'a>, Packed> {
    let way = way_out(packet, tables, server.next_hop.into(), server.addr)?;
    tunnel.check(way.next_hop)?;
    fits(ip, &way, tunnel.length)?;
    Ok(way)
}

/// The way to a client.
#[inline(always)]
pub fn to_client<'a, F: Layer3>(
    packet: &impl Packet,
    tables: &'a impl Shared,
    ip: &Ip<F>,
    (client, route): (F::Addr, Option<u32>),
) -> Result<Way<'a>, Packed> {
    let way = way_out(packet, tables, route.ok_or(Stop::NoRoute)?, F::widen(client))?;
    fits(ip, &way, 0)?;
    Ok(way)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "not more than the MTU, which has 16 bits")]
fn fits<F: Layer3>(ip: &Ip<F>, way: &Way<'_>, more: usize) -> Result<(), Packed> {
    // Where nobody knows the MTU, a header still has no room for a larger number.
    let mtu = usize::from(if way.next_hop.mtu == 0 { u16::MAX } else { way.next_hop.mtu });
    if ip.length + more <= mtu { Ok(()) } else { Err(Early::TooBig(mtu.saturating_sub(more) as u16).into()) }
}

/// Puts the packet into its tunnel, if any, and addresses the frame. Everything else of the packet is written by now, but for
/// what leaves its sum as it is. Returns where the packet lies now.
#[inline(always)]
pub fn leave<F: Layer3>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    l4: Option<&L4<F>>,
    way: &Way<'_>,
    tunnel: &Tunnel,
    spread: u32,
) -> Result<usize, Stop> {
    let NextHop { tags, tag, .. } = *way.next_hop;
    let inside = if tunnel.sums() { sum(packet, ip, l4) } else { Change::default() };
    let begin = ethernet::LENGTH + ethernet::TAG * usize::from(tags.min(2));
    let (new, old) = (begin + tunnel.length, ip.offset);
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 100")]
    let grow = new as i32 - old as i32;
    if !packet.grow_head(grow) {
        return Err(Stop::NoRoom);
    }
    packet.write(ethernet::ADDRESSES, way.next_hop.addresses());
    if grow != 0 || begin != ethernet::LENGTH {
        ethernet::write_tags(packet, tags, tag, tunnel.ether_type(F::ETHER_TYPE));
    }
    tunnel.write(packet, begin, ip, way.next_hop, spread, inside);
    Ok(new)
}
