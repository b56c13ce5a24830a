//! Fragments. The first one has the ports and goes its way; later ones follow it by what all fragments of a packet share, or
//! all of them go by their addresses alone.

use super::deliver::Destination;
use crate::{
    Tables,
    outcome::{Early, Packed},
    parse::{Ip, L4, Layer3, Part},
    path::{Kept, reply_to},
    select,
    vip::{self, For},
};
use lb_common::{
    Forward, Stop, Vip,
    flow::{FRAGMENTS_LIVE, seconds},
    vip::flags::{FRAGMENTS_HASH, FRAGMENTS_TRACK, POOL, TRACK_FULL},
};

/// Finds out where a fragment goes, or that the ring of its VIP decides.
#[inline(always)]
pub fn place<F: Layer3>(tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    let found = if kept.ip.part == Part::First { first(tables, kept) } else { follow(tables, kept) };
    match found {
        Ok(Placed::To(to)) => {
            kept.to = to;
            Early::Send.into()
        }
        Ok(Placed::At(vip)) => {
            kept.vip = vip;
            Early::ByRing.into()
        }
        Err(stop) => stop.into(),
    }
}

/// Where a fragment goes.
enum Placed<F: Layer3> {
    /// There.
    To(Destination<F>),
    /// Where the ring of this VIP says.
    At(Vip),
}

#[inline(always)]
fn first<F: Layer3>(tables: &impl Tables<F>, kept: &Kept<F>) -> Result<Placed<F>, Stop> {
    match vip::find(tables, &kept.l4.ends)? {
        (For::Vip, vip) => at(vip),
        (For::Other, _) => {
            let to = to_client(tables, &kept.l4)?;
            remember(tables, &kept.ip, &to);
            Ok(Placed::To(to))
        }
        (For::Pool, _) => Err(if tables.is_local(kept.ip.destination) { Stop::ToHost } else { Stop::Fragment }),
    }
}

#[inline(always)]
fn follow<F: Layer3>(tables: &impl Tables<F>, kept: &Kept<F>) -> Result<Placed<F>, Stop> {
    let ip = &kept.ip;
    let now = seconds(tables.now());
    let first = tables.fragment(&key(ip)).map(|row| F::unpack_fragment(&row));
    if let Some(first) = first.filter(|first| now.wrapping_sub(first.last) < FRAGMENTS_LIVE) {
        let is_down = first.forward != 0 && !tables.server(first.server).is_some_and(select::forwards);
        let to = Destination::recalled(&first, kept.l4.ends.protocol);
        return if is_down { Err(Stop::NoServer) } else { Ok(Placed::To(to)) };
    }
    if let Some(vip) = vip::by_address(tables, ip.destination, ip.protocol) {
        return at(vip);
    }
    // Of the pool's addresses the host may have packets of its own.
    let is_local = tables.is_local(ip.destination);
    Err(match vip::address_entry(tables, ip.destination) {
        Some(address) if !(is_local && address.has(POOL)) => Stop::FragmentUnknown,
        _ if is_local => Stop::ToHost,
        _ => Stop::NotOurs,
    })
}

/// Lets later fragments follow this one.
#[inline(always)]
pub(super) fn remember<F: Layer3>(tables: &impl Tables<F>, ip: &Ip<F>, to: &Destination<F>) {
    tables.put_fragment(&key(ip), &to.remembered(seconds(tables.now())));
}

#[inline(always)]
fn key<F: Layer3>(ip: &Ip<F>) -> F::FragmentKey {
    F::fragment_key(ip.source, ip.destination, ip.id, ip.protocol)
}

/// To a server of the VIP, if it takes fragments. Connections that are tracked by themselves take none.
#[inline(always)]
fn at<F: Layer3>(vip: Vip) -> Result<Placed<F>, Stop> {
    let takes_some = vip.has(FRAGMENTS_TRACK) || vip.has(FRAGMENTS_HASH);
    if takes_some && vip.forward != Forward::FullNat as u8 && !vip.has(TRACK_FULL) {
        Ok(Placed::At(vip))
    } else {
        Err(Stop::Fragment)
    }
}

/// To the client of a server that was reached by `nat`.
#[inline(always)]
fn to_client<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>) -> Result<Destination<F>, Stop> {
    let reply = F::unpack_return(&reply_to(tables, &l4.ends).ok_or(Stop::NotOurs)?);
    if reply.vip == 0 { Err(Stop::Fragment) } else { Ok(Destination::of_reply(&reply, &l4.ends)) }
}
