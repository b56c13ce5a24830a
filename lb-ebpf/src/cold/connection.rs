//! Connections that are tracked one by one: `track = "full"`, and `forward = "fullnat"`, whose source ports must be
//! remembered.
//!
//! The first packet of a connection is remembered among the half-open ones, in a small table of their own. Who goes on with
//! it establishes it: a client by a packet without SYN, FIN or RST, a server by a datagram. So what a flood of first packets
//! makes the balancer forget is half-open itself.

use super::{
    deliver::{Destination, note_answer},
    fragment::remember,
    lending::{is_back_to, lend, own, reserve},
};
use crate::{
    Tables,
    outcome::{Early, Packed},
    parse::{L4, Layer3, Part},
    path::{Kept, reply_to},
    rewrite::translate,
    select::{self, Signs},
    tables::{Stage, Touch},
    vip::{self, For},
};
use lb_common::{
    Be16, Ends, Forward, Note, Protocol, ServerEntry, ServerId, ServerState, Stop, Vip,
    flow::{BACK, CLOSING, ConnectionRow, REFRESH, seconds},
    vip::flags::{FRAGMENTS_TRACK, NEEDS_DAEMON, REFUSES, RESETS, TRACK_FULL, WITHDRAWN},
};

/// Whether the connections of a VIP are tracked one by one.
#[inline(always)]
fn is_tracked(vip: &Vip) -> bool {
    vip.has(TRACK_FULL) || vip.forward == Forward::FullNat as u8
}

/// Whether a VIP takes nothing new. To be asked only of what opens a connection.
#[inline(always)]
fn is_withdrawn<F: Layer3>(tables: &impl Tables<F>, vip: &Vip) -> bool {
    vip.has(WITHDRAWN) || (vip.has(NEEDS_DAEMON) && tables.heartbeat().is_dead(tables.now()))
}

/// By the tables of connections, from a client to a VIP.
#[inline(always)]
pub fn known<F: Layer3>(tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    let (l4, vip) = (&kept.l4, &kept.vip);
    // Not refused: a SYN that is sent again finds whoever has the VIP by then.
    if l4.opens && is_withdrawn(tables, vip) {
        return Stop::Withdrawn.into();
    }
    if !is_tracked(vip) {
        return Early::ByRing.into();
    }
    match to_vip(tables, l4, vip) {
        Ok(Some(to)) => {
            kept.to = to;
            Early::Send.into()
        }
        Ok(None) => Early::ByRing.into(),
        Err(stop) => stop.into(),
    }
}

/// By the tables of connections and of returns, from a server to its client.
#[inline(always)]
pub fn answer<F: Layer3>(tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    let l4 = &kept.l4;
    match if kept.whom == For::Pool { to_client(tables, l4, true) } else { reply(tables, l4) } {
        Ok(to) => {
            note_answer(tables, l4, (to.vip, to.server));
            kept.to = to;
            Early::Send.into()
        }
        Err(stop) => stop.into(),
    }
}

/// The connection of a packet to a VIP, if it is known.
#[inline(always)]
fn to_vip<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, vip: &Vip) -> Result<Option<Destination<F>>, Stop> {
    if let Some(to) = forward(tables, l4, vip)? {
        return Ok(Some(to));
    }
    if let Some(to) = half_open(tables, l4, vip) {
        return Ok(Some(to));
    }
    // The server would not know it. Whether it is to be answered the ring tells.
    if is_lost(l4, vip) && vip.flags & (REFUSES | RESETS) == 0 {
        return Err(Stop::NoConnection);
    }
    Ok(None)
}

/// Whether the connection of a packet that no table leads anywhere is to be reset, because its server is down.
#[inline(always)]
fn is_cut<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, vip: &Vip) -> bool {
    vip.has(RESETS)
        && select::goes_on(&l4.ends, l4.opens)
        && known_as(tables, &F::flow_key(&l4.ends))
            .is_some_and(|row| row.marks & BACK == 0 && tables.server(row.server).is_some_and(select::is_down))
}

/// Whether a packet that no table knows is of a connection that has lost its source port.
#[inline(always)]
fn is_lost<F: Layer3>(l4: &L4<F>, vip: &Vip) -> bool {
    vip.forward == Forward::FullNat as u8 && select::goes_on(&l4.ends, l4.opens)
}

/// By the ring and the flow table, also a fragment. A connection that is tracked by itself is still to be made.
#[inline(always)]
pub fn by_ring<F: Layer3>(tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    let (l4, vip) = (&kept.l4, &kept.vip);
    let tracked = is_tracked(vip);
    if tracked && is_cut(tables, l4, vip) {
        return Early::Reset.into();
    }
    let signs = Signs { opens: l4.opens, closes: l4.closes, stranger: tracked };
    let chosen = match select::server(tables, &l4.ends, signs, vip) {
        // Only if it would have been answered.
        Ok(_) if is_lost(l4, vip) => return Stop::NoConnection.into(),
        Ok(chosen) => chosen,
        // Of a packet that is not all there nobody knows the length.
        Err(stop) if kept.ip.part != Part::Whole => return stop.into(),
        Err(Stop::NoServer) if vip.has(REFUSES) && select::is_empty(tables, &l4.ends, vip) => {
            return Early::Refuse.into();
        }
        Err(Stop::ServerDown) if !l4.opens => return Early::Reset.into(),
        Err(stop) => return stop.into(),
    };
    let to = destination(l4, vip, (chosen.id, chosen.server), (l4.ends.source, l4.ends.source_port));
    kept.to = Destination { spread: chosen.hash, ..to };
    if kept.ip.part == Part::First && vip.has(FRAGMENTS_TRACK) {
        remember(tables, &kept.ip, &kept.to);
    }
    if tracked { Early::Make.into() } else { Early::Send.into() }
}

/// The established connection of a packet to a VIP. Its server keeps it as long as it takes its packets.
#[inline(always)]
pub fn forward<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, vip: &Vip) -> Result<Option<Destination<F>>, Stop> {
    let mode = Forward::from_byte(vip.forward).ok_or(Stop::BadTables)?;
    let now = seconds(tables.now());
    let Some((last, to)) = find(tables, Stage::Established, (l4, vip), now) else { return Ok(None) };
    let back = F::flow_key(&to.ends.swapped());
    // The way back may have been forgotten: the table keeps what was used last, in each direction by itself. Then somebody
    // else may have the port by now, and to the server both would be one connection.
    let there = mode == Forward::FullNat
        && tables.connection(Stage::Established, &back, Touch::No).is_some_and(|row| is_back_to(&row, &l4.ends));
    let again = mode == Forward::FullNat || (mode == Forward::Nat && now.wrapping_sub(last) >= REFRESH);
    let made = again && !there && tables.add_connection(Stage::Established, &back, &way_back(&l4.ends, &to, now));
    Ok(if mode != Forward::FullNat || there || made { Some(to) } else { None })
}

/// The half-open connection of a packet to a VIP, which is established by a packet that goes on with it.
#[inline(always)]
fn half_open<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, vip: &Vip) -> Option<Destination<F>> {
    let now = seconds(tables.now());
    let (_, to) = find(tables, Stage::HalfOpen, (l4, vip), now)?;
    let goes_on = !l4.agrees && !l4.closes;
    let there = if goes_on {
        establish(tables, &l4.ends, &to, vip.forward, now)
    } else {
        vip.forward != Forward::FullNat as u8
            || reserve(tables, &F::flow_key(&to.ends.swapped()), &way_back(&l4.ends, &to, now), &l4.ends)
    };
    there.then_some(to)
}

/// Moves a connection from the half-open ones to the established. False: its port is another one's by now.
#[inline(always)]
fn establish<F: Layer3>(tables: &impl Tables<F>, ends: &Ends<F>, to: &Destination<F>, forward: u8, now: u32) -> bool {
    let back = F::flow_key(&to.ends.swapped());
    if forward == Forward::FullNat as u8 {
        let row = way_back(ends, to, now);
        if !reserve(tables, &back, &row, ends) || !own(tables, Stage::Established, &back, &row, ends) {
            return false;
        }
        tables.remove_half_open(&back);
    } else if forward == Forward::Nat as u8 {
        tables.put_connection(Stage::Established, &back, &way_back(ends, to, now));
        tables.remove_half_open(&back);
    }
    let there = F::flow_key(ends);
    tables.put_connection(Stage::Established, &there, &way_there(to, 0, now));
    // Only now, so that there is no moment in which nobody knows of the connection, or of its port.
    tables.remove_half_open(&there);
    tables.note(Note::Connected);
    true
}

/// A row of the way to a server that still takes its packets, for a packet to a VIP: when it was used last, and where it leads.
#[inline(always)]
fn find<F: Layer3>(
    tables: &impl Tables<F>,
    stage: Stage,
    (l4, vip): (&L4<F>, &Vip),
    now: u32,
) -> Option<(u32, Destination<F>)> {
    let closing = if l4.closes { CLOSING } else { 0 };
    let key = F::flow_key(&l4.ends);
    let row = tables.connection(stage, &key, Touch::At { now, closing })?;
    let server = tables.server(row.server)?;
    let takes_new = ServerState::from_byte(server.state) == ServerState::Up;
    // A VIP may have been somebody's client, and then the way back to it stands here.
    if row.marks & BACK != 0
        || !select::keeps(server, select::last_state(&l4.ends, l4.opens, vip))
        || (!takes_new && (l4.opens || (stage == Stage::Established && begins_anew(tables, &key))))
    {
        return None;
    }
    let to = destination(l4, vip, (row.server, server), (row.source, row.source_port));
    Some((row.last, Destination { spread: select::hash(tables, &l4.ends, vip), ..to }))
}

/// Whether a SYN with the ports of an established connection, whose server takes no new ones, has begun another one elsewhere.
#[inline(always)]
fn begins_anew<F: Layer3>(tables: &impl Tables<F>, key: &F::FlowKey) -> bool {
    tables.connection(Stage::HalfOpen, key, Touch::No).is_some_and(|row| row.marks & BACK == 0)
}

/// Makes the connection of a packet whose server was chosen.
#[inline(always)]
pub fn make<F: Layer3>(tables: &impl Tables<F>, kept: &mut Kept<F>) -> Packed {
    let (l4, vip) = (&kept.l4, &kept.vip);
    let (to, now) = (&mut kept.to, seconds(tables.now()));
    if vip.forward == Forward::FullNat as u8 {
        if let Err(stop) = lend(tables, (l4, vip), to, now) {
            return stop.into();
        }
    } else if vip.forward == Forward::Nat as u8 {
        let back = F::flow_key(&to.ends.swapped());
        tables.put_connection(Stage::HalfOpen, &back, &way_back(&l4.ends, to, now));
    }
    let marks = if l4.closes { CLOSING } else { 0 };
    tables.put_connection(Stage::HalfOpen, &F::flow_key(&l4.ends), &way_there(to, marks, now));
    tables.note(Note::HalfOpen);
    Early::Send.into()
}

/// Where packets of a connection to that server go.
#[inline(always)]
pub fn destination<F: Layer3>(
    l4: &L4<F>,
    vip: &Vip,
    (id, server): (ServerId, &ServerEntry),
    (source, source_port): (F::Addr, Be16),
) -> Destination<F> {
    let mut ends = l4.ends;
    if Forward::from_byte(vip.forward).is_some_and(Forward::translates) {
        (ends.source, ends.source_port) = (source, source_port);
        ends.destination = F::narrow(server.addr);
        ends.destination_port = translate::port(server.port, ends.destination_port);
    }
    Destination {
        ends,
        server: id,
        vip: vip.id,
        forward: vip.forward.into(),
        gue_port: vip.gue_port,
        mss: vip.mss,
        redirected: 0,
        spread: 0,
    }
}

/// What a client's packets become.
#[inline(always)]
fn way_there<F: Layer3>(to: &Destination<F>, marks: u8, now: u32) -> F::Connection {
    F::connection(ConnectionRow {
        server: to.server,
        vip: to.vip,
        last: now,
        source: to.ends.source,
        destination: to.ends.destination,
        source_port: to.ends.source_port,
        destination_port: to.ends.destination_port,
        marks,
    })
}

/// What the server's packets become: from the VIP to the client. `ends` are those of the client's packets.
#[inline(always)]
pub(super) fn way_back<F: Layer3>(ends: &Ends<F>, to: &Destination<F>, now: u32) -> F::Connection {
    F::connection(ConnectionRow {
        server: to.server,
        vip: to.vip,
        last: now,
        source: ends.destination,
        destination: ends.source,
        source_port: ends.destination_port,
        destination_port: ends.source_port,
        marks: BACK,
    })
}

/// A connection of these ends, for who only wants to know of it.
#[inline(always)]
pub fn known_as<F: Layer3>(tables: &impl Tables<F>, key: &F::FlowKey) -> Option<ConnectionRow<F::Addr>> {
    tables.connection(Stage::Established, key, Touch::No).or_else(|| tables.connection(Stage::HalfOpen, key, Touch::No))
}

/// A packet from a server that is no address of a source pool's: what it becomes stands in its row, or the table knows.
#[inline(always)]
fn reply<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>) -> Result<Destination<F>, Stop> {
    let reply = F::unpack_return(&reply_to(tables, &l4.ends).ok_or(Stop::NotOurs)?);
    if reply.vip == 0 { to_client(tables, l4, false) } else { Ok(Destination::of_reply(&reply, &l4.ends)) }
}

/// A packet from a server whose connection is in a table. `pool`: it is for an address of a source pool.
#[inline(always)]
fn to_client<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, pool: bool) -> Result<Destination<F>, Stop> {
    if let Some(to) = back(tables, l4, Stage::Established) {
        return Ok(to);
    }
    if let Some(to) = back(tables, l4, Stage::HalfOpen) {
        let (ends, now) = (to.ends.swapped(), seconds(tables.now()));
        if l4.ends.protocol == Protocol::Udp {
            let there = Destination { ends: l4.ends.swapped(), ..to };
            let forward = if pool { Forward::FullNat } else { Forward::Nat };
            let _known_anyway = establish(tables, &ends, &there, forward as u8, now);
        } else {
            // The table keeps what was looked at: the way there too, which the client will need.
            let _kept = tables.connection(Stage::HalfOpen, &F::flow_key(&ends), Touch::At { now, closing: 0 });
        }
        return Ok(to);
    }
    // Of the pool's addresses the host may have connections of its own.
    Err(match (pool, tables.is_local(l4.ends.destination)) {
        (_, true) => Stop::ToHost,
        (true, false) => Stop::NoConnection,
        (false, false) => Stop::NotOurs,
    })
}

/// Where a packet from a server goes by a table of connections.
#[inline(always)]
pub fn back<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, stage: Stage) -> Option<Destination<F>> {
    let touch = Touch::At { now: seconds(tables.now()), closing: if l4.closes { CLOSING } else { 0 } };
    let row = tables.connection(stage, &F::flow_key(&l4.ends), touch).filter(|row| row.marks & BACK != 0)?;
    let ends = Ends {
        source: row.source,
        source_port: row.source_port,
        destination: row.destination,
        destination_port: row.destination_port,
        ..l4.ends
    };
    let (server, vip) = (row.server, row.vip);
    let mss = if l4.agrees { most(tables, &ends) } else { 0 };
    Some(Destination { ends, server, vip, forward: 0, gue_port: Be16::new(0), mss, redirected: 0, spread: 0 })
}

/// The largest segment of the VIP that a reply comes from.
#[inline(always)]
fn most<F: Layer3>(tables: &impl Tables<F>, reply: &Ends<F>) -> u16 {
    match vip::find(tables, &reply.swapped()) {
        Ok((For::Vip, vip)) => vip.mss,
        Ok((For::Pool | For::Other, _)) | Err(_) => 0,
    }
}
