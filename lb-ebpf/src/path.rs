//! The whole story: a packet to a VIP goes forward to a server, a server's reply goes back to the client, and everything
//! else stops somewhere on the way, for a reason that is counted.
//!
//! What most packets are stands here. What is rare (fragments, ICMP, what opens a connection that is tracked one by one,
//! packets that are too big) is in [`cold`].

use crate::{
    Packet, Tables,
    cold::{self, deliver::Destination},
    outcome::{Early, Outcome, Packed, Verdict},
    parse::{self, Ip, L4, Layer3, Part, ethernet},
    rewrite::{translate, tunnel::Tunnel},
    select,
    tables::Stage,
    transmit,
    vip::{self, For},
};
use lb_common::{
    Be16, Ends, Forward, Protocol, ServerId, Stop, V4, V6, Vip,
    vip::flags::{NEEDS_DAEMON, TRACK_FULL, WITHDRAWN},
};

/// One packet, from wire to wire. A packet that ends in a [`Stop`] is as it came, unless it was answered.
#[inline(always)]
pub fn run(packet: &mut impl Packet, tables: &(impl Tables<V4> + Tables<V6>)) -> Result<Verdict, Stop> {
    let payload = ethernet::payload(packet);
    let outcome = match payload {
        Ok((ethernet::IPV4, offset)) => steps(|step| self::step::<V4>(packet, tables, step, offset)),
        Ok((ethernet::IPV6, offset)) => steps(|step| self::step::<V6>(packet, tables, step, offset)),
        Ok(_) => Err(Stop::NotIp),
        Err(stop) => Err(stop),
    };
    if let Err(stop) = outcome {
        tables.count_stop(stop);
    }
    outcome
}

/// What is done with a packet, a step at a time. In the kernel each is a function of its own, which the verifier looks at by
/// itself and which has the stack for itself: 512 bytes are all there is. What one step found it hands on to the next one by
/// [`Shared::keep`](crate::Shared::keep).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Most packets need no other.
    Fast,
    /// A packet goes into the tunnel to its server.
    Enter,
    /// A packet goes by the table of connections, and needs no other step.
    Connected,
    /// A packet that takes more than the fast path is looked at again.
    Look,
    /// It is found out where a fragment goes.
    PlaceFragment,
    /// An ICMP message is looked at.
    Icmp,
    /// It is found out where an error goes.
    PlaceError,
    /// It is sent there.
    SendError,
    /// The table of connections is asked where a packet to a VIP goes.
    Known,
    /// It is asked where a server's packet goes.
    Answer,
    /// The ring is, and the flow table.
    ByRing,
    /// A connection is made.
    Make,
    /// A packet is sent where it goes.
    Send,
    /// Its segments are limited.
    Clamp,
    /// Its sender is told that it is too big.
    TooBig(u16),
    /// It is answered by a refusal: no server takes it, or the one of its connection is down.
    Refuse,
}

/// The order of the steps.
#[inline(always)]
pub fn steps(mut step: impl FnMut(Step) -> Packed) -> Result<Verdict, Stop> {
    let mut outcome = step(Step::Fast);
    // Most packets; each of the questions below would cost them something.
    if outcome.leaves() {
        return outcome.end();
    }
    if outcome.is(Early::Enter) {
        outcome = step(Step::Enter);
    } else if outcome.is(Early::Connected) {
        outcome = step(Step::Connected);
    }
    if outcome.is(Early::Look) {
        outcome = step(Step::Look);
    }
    if outcome.is(Early::Fragment) {
        outcome = step(Step::PlaceFragment);
    } else if outcome.is(Early::Kept) {
        outcome = step(Step::Known);
    } else if outcome.is(Early::Answer) {
        outcome = step(Step::Answer);
    } else if outcome.is(Early::Icmp) {
        outcome = step(Step::Icmp);
        if outcome.is(Early::Error) {
            outcome = step(Step::PlaceError);
        }
        if outcome.is(Early::Error) {
            outcome = step(Step::SendError);
        }
    }
    if outcome.is(Early::ByRing) {
        outcome = step(Step::ByRing);
    }
    if outcome.is(Early::Make) {
        outcome = step(Step::Make);
    }
    if outcome.is(Early::Send) {
        outcome = step(Step::Send);
    }
    if outcome.is(Early::Clamp) {
        outcome = step(Step::Clamp);
    }
    if let Some(mtu) = outcome.too_big() {
        outcome = step(Step::TooBig(mtu));
    } else if outcome.is(Early::Refuse) {
        outcome = step(Step::Refuse);
    } else if outcome.is(Early::Reset) {
        // The same answer, for another reason: as a step of its own the verifier would go all its ways once more.
        outcome = match step(Step::Refuse) {
            refused if refused == Stop::Refused.into() => Stop::Reset.into(),
            silent if silent == Stop::NoServer.into() => Stop::ServerDown.into(),
            other => other,
        };
    }
    outcome.end()
}

/// One step with a packet whose header begins at `offset`.
#[inline(always)]
pub fn step<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, step: Step, offset: usize) -> Packed {
    // Never; but the verifier looks at each step by itself, and wants to see its arguments used.
    if offset > ethernet::LENGTH + 2 * ethernet::TAG || (step != Step::Fast && !packet.holds(offset)) {
        return Stop::BadTables.into();
    }
    let kept = match step {
        Step::Fast => return straight(packet, tables, offset).into(),
        Step::Icmp => return cold::icmp::look(packet, tables),
        Step::TooBig(mtu) => return cold::too_big::tell(packet, tables, offset, mtu).into(),
        Step::Look => return cold::look::look(packet, tables, offset),
        Step::Enter => tables.kept(|entrance| enter(packet, tables, offset, entrance).into()),
        Step::Connected => tables.kept(|known| connected(packet, tables, offset, known).into()),
        Step::PlaceFragment => tables.kept(|kept| cold::fragment::place(tables, kept)),
        Step::PlaceError => tables.kept(|about| cold::icmp::place(tables, about)),
        Step::SendError => tables.kept(|about| cold::icmp::send(packet, tables, about)),
        Step::Known => tables.kept(|kept| cold::connection::known(tables, kept)),
        Step::Answer => tables.kept(|kept| cold::connection::answer(tables, kept)),
        Step::ByRing => tables.kept(|kept| cold::connection::by_ring(tables, kept)),
        Step::Make => tables.kept(|kept| cold::connection::make(tables, kept)),
        Step::Clamp => tables.kept(|kept| cold::deliver::clamp(packet, tables, kept)),
        Step::Send => tables.kept(|kept| cold::deliver::send(packet, tables, kept)),
        Step::Refuse => tables.kept(|kept| cold::refuse::refuse(packet, tables, offset, kept).into()),
    };
    kept.unwrap_or_else(|| Stop::BadTables.into())
}

/// What is known of a packet when it leaves the fast path.
#[derive(Clone, Copy, Debug)]
pub struct Kept<F: Layer3> {
    /// Its header.
    pub ip: Ip<F>,
    /// Its transport header; a later fragment has none, and then this says nothing.
    pub l4: L4<F>,
    /// Whom it is for.
    pub whom: For,
    /// That VIP, if it is one.
    pub vip: Vip,
    /// Where it goes, once that is found.
    pub to: Destination<F>,
}

impl<F: Layer3> Kept<F> {
    /// Of a packet that has not been placed yet.
    #[inline(always)]
    pub(crate) fn new(ip: &Ip<F>, l4: &L4<F>, whom: For, vip: &Vip) -> Self {
        Self { ip: *ip, l4: *l4, whom, vip: *vip, to: Destination::unknown(&l4.ends) }
    }
}

#[inline(always)]
fn straight<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, offset: usize) -> Outcome {
    let ip = parse::header::<F>(packet, offset)?;
    if ip.part != Part::Whole {
        return Err(Early::Look.into());
    }
    let Some(protocol) = Protocol::from_number(ip.protocol) else {
        let leads_on = ip.protocol == F::ICMP || F::is_extension(ip.protocol);
        return Err(if leads_on { Early::Look.into() } else { Stop::NotBalanced.into() });
    };
    let l4 = parse::l4(packet, &ip, protocol)?;
    let (whom, vip) = vip::find(tables, &l4.ends)?;
    match whom {
        For::Vip => forward(packet, tables, &ip, &l4, &vip),
        For::Other => back(packet, tables, &ip, &l4),
        For::Pool => Err(by_connection(tables, &l4, whom, &vip)),
    }
}

/// From a client to a server.
#[inline(always)]
fn forward<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, ip: &Ip<F>, l4: &L4<F>, vip: &Vip) -> Outcome {
    let mode = Forward::from_byte(vip.forward).ok_or(Stop::BadTables)?;
    let ttl = transmit::ttl(ip)?;
    let limited = l4.agrees && (vip.mss != 0 || vip.has_any(WITHDRAWN | NEEDS_DAEMON));
    if vip.has(TRACK_FULL) || mode == Forward::FullNat {
        return Err(if mode.is_tunnel() { Early::Look.into() } else { by_connection(tables, l4, For::Vip, vip) });
    }
    if limited {
        return Err(Early::Look.into());
    }
    let Some(chosen) = select::settled(tables, l4, vip)? else { return Err(Early::Look.into()) };
    if mode.is_tunnel() {
        tables.keep(Entrance { vip: *vip, spread: chosen.hash, server: chosen.id.into(), opened: l4.opens.into() });
        return Err(Early::Enter.into());
    }
    let way = transmit::to_server(packet, tables, ip, chosen.server, &Tunnel::NONE)?;

    if mode == Forward::Nat {
        let to = Ends {
            destination: F::narrow(chosen.server.addr),
            destination_port: translate::port(chosen.server.port, l4.ends.destination_port),
            ..l4.ends
        };
        translate::ends(packet, ip, l4, &to, ttl);
    } else {
        translate::ttl(packet, ip, ttl);
    }
    transmit::leave(packet, ip, Some(l4), &way, &Tunnel::NONE, 0)?;

    let (bytes, opened) = (ip.frame_length(), u64::from(l4.opens));
    tables.count_vip(vip.id, |row| row.forwarded(bytes, opened));
    tables.count_server(chosen.id, |row| row.forwarded(bytes, opened));
    Ok(way.verdict.into())
}

/// What is known of a packet whose connection is tracked by itself.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    vip: Vip,
    whom: For,
}

/// Leaves a packet to the table of connections. What opens a connection takes the long way.
#[inline(always)]
fn by_connection<F: Layer3>(tables: &impl Tables<F>, l4: &L4<F>, whom: For, vip: &Vip) -> Packed {
    if l4.agrees {
        return Early::Look.into();
    }
    tables.keep(Connected { vip: *vip, whom });
    Early::Connected.into()
}

/// A packet of an established connection that is tracked by itself, in either direction. Of any other it is looked at again.
/// As [`cold::deliver`] sends it, but without all that only other packets need.
#[inline(always)]
fn connected<F: Layer3>(
    packet: &mut impl Packet,
    tables: &impl Tables<F>,
    offset: usize,
    Connected { vip, whom }: &Connected,
) -> Outcome {
    let ip = parse::header::<F>(packet, offset)?;
    let protocol = Protocol::from_number(ip.protocol).ok_or(Stop::NotBalanced)?;
    let l4 = L4 { opens: false, agrees: false, ..parse::l4(packet, &ip, protocol)? };
    let to = match whom {
        For::Vip => cold::connection::forward(tables, &l4, vip)?,
        For::Pool | For::Other => cold::connection::back(tables, &l4, Stage::Established),
    };
    let to = to.ok_or(Early::Look)?;
    let ttl = transmit::ttl(&ip)?;
    let way = if to.forward == 0 {
        let client = to.ends.destination;
        transmit::to_client(packet, tables, &ip, (client, tables.route(client)))?
    } else {
        let server = tables.server(to.server).ok_or(Stop::BadTables)?;
        transmit::to_server(packet, tables, &ip, server, &Tunnel::NONE)?
    };
    translate::ends(packet, &ip, &l4, &to.ends, ttl);
    transmit::leave(packet, &ip, Some(&l4), &way, &Tunnel::NONE, 0)?;
    cold::deliver::count(tables, &ip, &to, 0);
    Ok(way.verdict.into())
}

/// What is known of a packet that goes into a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Entrance {
    vip: Vip,
    /// Bits of the flow's hash.
    spread: u32,
    /// Row in `SERVERS`.
    server: u32,
    /// Connections that it opens.
    opened: u64,
}

/// From a client to a server that is reached through a tunnel. Beside the fast path, because of the verifier, which would
/// follow all of it for each kind of tunnel.
#[inline(always)]
fn enter<F: Layer3>(
    packet: &mut impl Packet,
    tables: &impl Tables<F>,
    offset: usize,
    entrance: &mut Entrance,
) -> Outcome {
    let Entrance { vip, spread, server: id, opened } = *entrance;
    let ip = parse::header::<F>(packet, offset)?;
    #[expect(clippy::cast_possible_truncation, reason = "a server id has 14 bits")]
    let id = id as ServerId;
    let server = tables.server(id).ok_or(Stop::BadTables)?;
    let tunnel = Tunnel::of(&vip, Forward::from_byte(vip.forward).ok_or(Stop::BadTables)?, server);
    let ttl = transmit::ttl(&ip)?;
    let way = transmit::to_server(packet, tables, &ip, server, &tunnel)?;

    let l4 = match Protocol::from_number(ip.protocol) {
        Some(protocol) if tunnel.sums() => Some(parse::l4(packet, &ip, protocol)?),
        _ => None,
    };

    translate::ttl(packet, &ip, ttl);
    transmit::leave(packet, &ip, l4.as_ref(), &way, &tunnel, spread)?;

    let bytes = ip.frame_length();
    tables.count_vip(vip.id, |row| row.forwarded(bytes, opened));
    tables.count_server(id, |row| row.forwarded(bytes, opened));
    Ok(way.verdict.into())
}

/// From a server that was reached by `nat` to its client.
#[inline(always)]
fn back<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, ip: &Ip<F>, l4: &L4<F>) -> Outcome {
    let reply = reply_to(tables, &l4.ends).ok_or(Stop::NotOurs)?;
    let reply = F::unpack_return(&reply);
    if reply.vip == 0 {
        return Err(by_connection(tables, l4, For::Other, &Vip::default()));
    }
    if l4.agrees && reply.mss != 0 {
        return Err(Early::Look.into());
    }
    cold::deliver::note_answer(tables, l4, (reply.vip, reply.server));
    let ttl = transmit::ttl(ip)?;
    let way = transmit::to_client(packet, tables, ip, (ip.destination, tables.route(ip.destination)))?;

    let to =
        Ends { source: reply.vip_addr, source_port: translate::port(reply.vip_port, l4.ends.source_port), ..l4.ends };
    translate::ends(packet, ip, l4, &to, ttl);
    transmit::leave(packet, ip, Some(l4), &way, &Tunnel::NONE, 0)?;

    let bytes = ip.frame_length();
    tables.count_vip(reply.vip, |row| row.returned(bytes));
    tables.count_server(reply.server, |row| row.returned(bytes));
    Ok(way.verdict.into())
}

/// Whose reply a packet from there is: that of a port, else that of all ports.
#[inline(always)]
pub(crate) fn reply_to<F: Layer3>(tables: &impl Tables<F>, ends: &Ends<F>) -> Option<F::Return> {
    tables
        .returns(&ends.from())
        .or_else(|| tables.returns(&F::endpoint(ends.source, Be16::new(0), ends.protocol.number())))
}
