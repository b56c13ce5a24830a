//! The whole story: a packet to a VIP goes forward to a server, a server's reply goes back to the client, and everything
//! else stops somewhere on the way, for a reason that is counted.

use crate::{
    Packet, Tables, parse,
    parse::{Ipv4, L4},
    returns, rewrite, select, transmit, vip,
};
use lb_common::{Forward, Stop, Vip};

/// Where a rewritten packet goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Out of the interface it came from.
    Transmit,
    /// Out of the interface named in [`Tables::redirect`].
    Redirect,
}

/// One packet, from wire to wire. A packet that ends in a [`Stop`] is as it came.
#[inline(always)]
pub fn run(packet: &mut impl Packet, tables: &impl Tables) -> Result<Verdict, Stop> {
    let outcome = balance(packet, tables);
    if let Err(stop) = outcome {
        tables.count_stop(stop);
    }
    outcome
}

#[inline(always)]
fn balance(packet: &mut impl Packet, tables: &impl Tables) -> Result<Verdict, Stop> {
    let ip = parse::ipv4(packet)?;
    if ip.is_fragment {
        return Err(vip::stop_fragment(tables, &ip));
    }
    let l4 = parse::l4(packet, &ip)?;
    match vip::find(tables, &ip, &l4)? {
        Some(vip) => forward(packet, tables, &ip, &l4, vip),
        None => back(packet, tables, &ip, &l4),
    }
}

/// From a client to a server.
#[inline(always)]
fn forward(packet: &mut impl Packet, tables: &impl Tables, ip: &Ipv4, l4: &L4, vip: Vip) -> Result<Verdict, Stop> {
    let (id, server) = select::server(tables, ip, l4, vip.ring)?;
    let mode = Forward::from_byte(vip.forward).ok_or(Stop::BadTables)?;
    let ttl = transmit::ttl(ip)?;
    let (next_hop, verdict) = transmit::way_out(packet, tables, server.next_hop.into(), server.addr)?;

    match mode {
        Forward::Direct => rewrite::direct::to_server(packet, ip, ttl),
        Forward::Nat => rewrite::nat::to_server(packet, ip, l4, ttl, &server),
    }
    transmit::address(packet, &next_hop);

    let bytes = ip.frame_length as u64;
    let opened = u64::from(l4.opens);
    tables.count_vip(vip.id, |row| row.forwarded(bytes, opened));
    tables.count_server(id, |row| row.forwarded(bytes, opened));
    Ok(verdict)
}

/// From a server that was reached by `nat` to its client.
#[inline(always)]
fn back(packet: &mut impl Packet, tables: &impl Tables, ip: &Ipv4, l4: &L4) -> Result<Verdict, Stop> {
    let reply = returns::find(tables, ip, l4)?;
    let ttl = transmit::ttl(ip)?;
    let route = tables.route4(ip.destination).ok_or(Stop::NoRoute)?;
    let (next_hop, verdict) = transmit::way_out(packet, tables, route, ip.destination)?;

    rewrite::nat::to_client(packet, ip, l4, ttl, &reply);
    transmit::address(packet, &next_hop);

    let bytes = ip.frame_length as u64;
    tables.count_vip(reply.vip, |row| row.returned(bytes));
    tables.count_server(reply.server, |row| row.returned(bytes));
    Ok(verdict)
}
