//! Fragments. The first one has the ports and goes its way; later ones follow it by what all fragments of a packet share, or
//! all of them go by their addresses alone.

use super::deliver::Destination;
use crate::{
    Packet, Tables,
    outcome::{Early, Packed},
    parse::{self, Ip, L4, Layer3, Part},
    path::{Kept, reply_to},
    rewrite::translate,
    select::{self, Signs},
    vip::{self, For},
};
use lb_common::{
    Be16, Ends, Forward, Protocol, Stop, Vip,
    flow::{FRAGMENTS_LIVE, seconds},
    vip::flags::{FRAGMENTS_HASH, FRAGMENTS_TRACK, POOL, TRACK_FULL},
};

/// Looks at a fragment.
#[inline(always)]
pub fn look<F: Layer3>(packet: &impl Packet, tables: &impl Tables<F>, offset: usize) -> Packed {
    match try_look(packet, tables, offset) {
        Ok(()) => Early::Kept.into(),
        Err(stop) => stop.into(),
    }
}

#[inline(always)]
fn try_look<F: Layer3>(packet: &impl Packet, tables: &impl Tables<F>, offset: usize) -> Result<(), Stop> {
    let ip = parse::ip::<F>(packet, offset)?;
    let protocol = Protocol::from_number(ip.protocol).ok_or(Stop::NotBalanced)?;
    let (zero, source, destination) = (Be16::new(0), ip.source, ip.destination);
    let ends = Ends { source, destination, source_port: zero, destination_port: zero, protocol };
    let none = L4 { ends, checksum: zero, opens: false, agrees: false, closes: false };
    let l4 = if ip.part == Part::First { parse::l4(packet, &ip, protocol)? } else { none };
    tables.keep(Kept::new(&ip, &l4, For::Other, &Vip::default()));
    Ok(())
}

/// Finds out where a fragment goes.
#[inline(always)]
pub fn place<F: Layer3>(tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    let found = if kept.ip.part == Part::First {
        first(tables, &kept.ip, &kept.l4)
    } else {
        follow(tables, &kept.ip, &kept.l4.ends)
    };
    match found {
        Ok(to) => {
            kept.to = to;
            Early::Send.into()
        }
        Err(stop) => stop.into(),
    }
}

#[inline(always)]
fn first<F: Layer3>(tables: &impl Tables<F>, ip: &Ip<F>, l4: &L4<F>) -> Result<Destination<F>, Stop> {
    let (to, remember) = match vip::find(tables, &l4.ends)? {
        (For::Vip, vip) => {
            let signs = Signs { opens: l4.opens, closes: l4.closes, stranger: false };
            (to_server(tables, &l4.ends, signs, &vip)?, vip.has(FRAGMENTS_TRACK))
        }
        (For::Other, _) => (to_client(tables, l4)?, true),
        (For::Pool, _) => return Err(if tables.is_local(ip.destination) { Stop::ToHost } else { Stop::Fragment }),
    };
    if remember {
        tables.put_fragment(&key(ip), &to.remembered(seconds(tables.now())));
    }
    Ok(to)
}

#[inline(always)]
fn follow<F: Layer3>(tables: &impl Tables<F>, ip: &Ip<F>, ends: &Ends<F>) -> Result<Destination<F>, Stop> {
    let now = seconds(tables.now());
    let first = tables.fragment(&key(ip)).map(|row| F::unpack_fragment(&row));
    if let Some(first) = first.filter(|first| now.wrapping_sub(first.last) < FRAGMENTS_LIVE) {
        let is_down = first.forward != 0 && !tables.server(first.server).is_some_and(select::forwards);
        return if is_down { Err(Stop::NoServer) } else { Ok(Destination::recalled(&first, ends.protocol)) };
    }
    if let Some(vip) = vip::by_address(tables, ip.destination, ip.protocol) {
        return to_server(tables, ends, Signs::default(), &vip);
    }
    // Of the pool's addresses the host may have packets of its own.
    let is_local = tables.is_local(ip.destination);
    Err(match vip::address_entry(tables, ip.destination) {
        Some(address) if !(is_local && address.has(POOL)) => Stop::FragmentUnknown,
        _ if is_local => Stop::ToHost,
        _ => Stop::NotOurs,
    })
}

#[inline(always)]
fn key<F: Layer3>(ip: &Ip<F>) -> F::FragmentKey {
    F::fragment_key(ip.source, ip.destination, ip.id, ip.protocol)
}

/// To a server of the VIP. Connections that are tracked by themselves take no fragments.
#[inline(always)]
fn to_server<F: Layer3>(
    tables: &impl Tables<F>,
    ends: &Ends<F>,
    signs: Signs,
    vip: &Vip,
) -> Result<Destination<F>, Stop> {
    let mode = Forward::from_byte(vip.forward).ok_or(Stop::BadTables)?;
    let takes_some = vip.has(FRAGMENTS_TRACK) || vip.has(FRAGMENTS_HASH);
    if !takes_some || mode == Forward::FullNat || vip.has(TRACK_FULL) {
        return Err(Stop::Fragment);
    }
    let chosen = select::server(tables, ends, signs, vip)?;
    let mut ends = *ends;
    if mode.translates() {
        ends.destination = F::narrow(chosen.server.addr);
        ends.destination_port = translate::port(chosen.server.port, ends.destination_port);
    }
    Ok(Destination {
        ends,
        server: chosen.id,
        vip: vip.id,
        forward: vip.forward.into(),
        gue_port: vip.gue_port,
        mss: vip.mss,
        reserved: 0,
        spread: chosen.hash,
    })
}

/// To the client of a server that was reached by `nat`.
#[inline(always)]
fn to_client<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>) -> Result<Destination<F>, Stop> {
    let reply = F::unpack_return(&reply_to(tables, &l4.ends).ok_or(Stop::NotOurs)?);
    if reply.vip == 0 {
        return Err(Stop::Fragment);
    }
    let (source, source_port) = (reply.vip_addr, translate::port(reply.vip_port, l4.ends.source_port));
    Ok(Destination {
        ends: Ends { source, source_port, ..l4.ends },
        server: reply.server,
        vip: reply.vip,
        forward: 0,
        gue_port: Be16::new(0),
        mss: reply.mss,
        reserved: 0,
        spread: 0,
    })
}
