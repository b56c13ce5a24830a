//! ICMP (RFC 792, RFC 4443): pings of VIPs are answered, errors go to the end of the flow that they quote.

use super::{
    answer::Link,
    connection,
    deliver::{Destination, count, way},
};
use crate::{
    Packet, Tables,
    checksum::Change,
    outcome::{Early, Outcome, Packed},
    parse::{
        Ip, Layer3,
        l4::{self, PORTS},
        quoted::{ICMP_HEADER, Quoted, quoted},
    },
    path::{Kept, reply_to},
    rewrite::translate,
    select::{self, Signs},
    transmit,
    vip::{self, For},
};
use lb_common::{
    Be16, Ends, Family, Forward, Note, Protocol, Stop, V4, V6, Vip,
    flow::BACK,
    vip::flags::{PING, PING_DROP, TRACK_FULL},
};

/// Where the checksum stands in an ICMP header.
const CHECKSUM: usize = 2;
/// Time to live of answers.
const TTL: u8 = 64;

/// Looks at an ICMP message, whose header was kept.
#[inline(always)]
pub fn look<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>) -> Packed {
    try_look(packet, tables).map_or_else(Packed::from, Packed::from)
}

#[inline(always)]
fn try_look<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>) -> Result<Early, Stop> {
    let ip = tables.kept(|kept: &mut Kept<F>| kept.ip.bounded()).ok_or(Stop::BadTables)??;
    let header = packet.read::<[u8; ICMP_HEADER]>(ip.l4_offset).filter(|_| ip.l4_length >= ICMP_HEADER);
    let [kind, code, ..] = header.ok_or(Stop::Truncated)?;
    if kind == F::ECHO.0 && code == 0 {
        return Err(ping(packet, tables, &ip));
    }
    if !F::quotes(kind) {
        return Err(Stop::NotBalanced);
    }
    // What an end of a flow sent is quoted to that end.
    let quoted = quoted(packet, &ip).filter(|quoted| quoted.ip.source == ip.destination);
    let quoted = quoted.ok_or_else(|| unconcerned(tables, &ip))?;
    tables.keep(About { ip, quoted, to: Destination::unknown(&quoted.ends) });
    Ok(Early::Error)
}

/// An error and what it is about.
#[derive(Clone, Copy, Debug)]
pub struct About<F: Layer3> {
    ip: Ip<F>,
    quoted: Quoted<F>,
    /// Where it goes. The ends are those that the quoted packet gets.
    to: Destination<F>,
}

/// Finds out whom an error concerns: the server that sent what it quotes, or the client.
#[inline(always)]
pub fn place<F: Layer3>(tables: &impl Tables<F>, about: &mut About<F>) -> Packed {
    let found = match vip::find(tables, &about.quoted.ends.swapped()) {
        Ok((For::Vip, vip)) => to_server(tables, &about.quoted.ends, &vip),
        whom => {
            // The host's own connections to servers are none of ours, but a pool's address may be the host's too.
            let pool = matches!(whom, Ok((For::Pool, _)));
            let untracked = !pool && !tables.is_local(about.quoted.ends.source);
            to_client(tables, &about.quoted.ends, untracked).ok_or_else(|| unconcerned(tables, &about.ip))
        }
    };
    match found {
        Ok(to) => {
            about.to = to;
            Early::Error.into()
        }
        Err(stop) => stop.into(),
    }
}

/// An ICMP message that is none of our business.
#[inline(always)]
fn unconcerned<F: Layer3>(tables: &impl Tables<F>, ip: &Ip<F>) -> Stop {
    if tables.is_local(ip.destination) { Stop::ToHost } else { Stop::NotOurs }
}

/// Answers a ping of a VIP, if so configured.
#[inline(always)]
fn ping<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, ip: &Ip<F>) -> Stop {
    let Some(address) = vip::address_entry(tables, ip.destination) else { return unconcerned(tables, ip) };
    if address.has(PING_DROP) {
        return Stop::VipDown;
    }
    if !address.has(PING) {
        return unconcerned(tables, ip);
    }
    let (Some(link), Some(sum)) = (Link::read(packet, ip.offset), packet.read::<Be16>(ip.l4_offset + CHECKSUM)) else {
        return Stop::Truncated;
    };
    link.write_back::<F>(packet, ip.offset);
    // The pseudo header of ICMPv6 has both addresses, and does not mind their order.
    let _same = translate::addresses(packet, ip, (ip.destination, ip.source), TTL);
    packet.write(ip.l4_offset, F::ECHO.1);
    packet.write(ip.l4_offset + CHECKSUM, Change::default().byte(F::ECHO.0, F::ECHO.1).applied_to(sum));
    Stop::Answered
}

/// An error about a packet from a VIP goes to the server that sent it.
#[inline(always)]
fn to_server<F: Layer3>(tables: &impl Tables<F>, quoted: &Ends<F>, vip: &Vip) -> Result<Destination<F>, Stop> {
    let mode = Forward::from_byte(vip.forward).ok_or(Stop::BadTables)?;
    let sent = quoted.swapped();
    let known = if vip.has(TRACK_FULL) || mode == Forward::FullNat {
        let known = connection::known_as(tables, &F::flow_key(&sent));
        known.filter(|row| {
            let takes = |server| select::keeps(server, select::last_state(&sent, false, vip));
            row.marks & BACK == 0 && tables.server(row.server).is_some_and(takes)
        })
    } else {
        None
    };
    let id = match known {
        Some(row) => row.server,
        None if mode == Forward::FullNat => return Err(Stop::NoConnection),
        None => select::server(tables, &sent, Signs { stranger: true, ..Signs::default() }, vip)?.id,
    };
    let server = tables.server(id).ok_or(Stop::BadTables)?;
    let mut ends = *quoted;
    if mode.translates() {
        // What the server sees is its own packet: from it to where it answers to.
        ends.source = F::narrow(server.addr);
        ends.source_port = translate::port(server.port, quoted.source_port);
        if let Some(row) = known {
            (ends.destination, ends.destination_port) = (row.source, row.source_port);
        }
    }
    let (forward, gue_port) = (vip.forward.into(), vip.gue_port);
    Ok(Destination { ends, server: id, vip: vip.id, forward, gue_port, mss: 0, redirected: 0, spread: 0 })
}

/// An error about a packet to a server that was reached by `nat` or `fullnat` goes to the client that sent it. `untracked`:
/// its connection need not be in the table.
#[inline(always)]
fn to_client<F: Layer3>(tables: &impl Tables<F>, quoted: &Ends<F>, untracked: bool) -> Option<Destination<F>> {
    let answer = quoted.swapped();
    let reply = if untracked { reply_to(tables, &answer).map(|row| F::unpack_return(&row)) } else { None };
    let back = Destination::unknown(quoted);
    if let Some(reply) = reply.filter(|reply| reply.vip != 0) {
        let destination_port = translate::port(reply.vip_port, quoted.destination_port);
        let ends = Ends { destination: reply.vip_addr, destination_port, ..*quoted };
        return Some(Destination { ends, vip: reply.vip, server: reply.server, ..back });
    }
    let row = connection::known_as(tables, &F::flow_key(&answer)).filter(|row| row.marks & BACK != 0)?;
    let ends = Ends {
        source: row.destination,
        source_port: row.destination_port,
        destination: row.source,
        destination_port: row.source_port,
        ..*quoted
    };
    Some(Destination { ends, vip: row.vip, server: row.server, ..back })
}

/// Sends an error where [`place`] found that it goes.
#[inline(always)]
pub fn send<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, about: &mut About<F>) -> Packed {
    deliver(packet, tables, about).into()
}

#[inline(always)]
fn deliver<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, about: &About<F>) -> Outcome {
    let (ip, to) = (&about.ip.bounded()?, &about.to);
    let quoted = &Quoted { ip: about.quoted.ip.bounded()?, ..about.quoted };
    let back = to.forward == 0;
    // An error goes to the end that sent what it quotes.
    let told = to.ends.source;
    let towards = Destination { ends: Ends { destination: told, ..to.ends }, ..*to };
    // Nobody is told of an error (RFC 1122 §3.2.2, RFC 4443 §2.4).
    let untold = |early: Packed| if early.too_big().is_some() { Stop::TooBig.into() } else { early };
    let out = way(packet, tables, ip, &towards).map_err(untold)?;
    if back || to.translates() {
        // What a server itself says comes from the VIP; a router on the way to it keeps its name.
        let source = if back && ip.source == quoted.ip.destination { to.ends.destination } else { ip.source };
        translated(packet, ip, quoted, (source, told), &to.ends, out.ttl);
    } else {
        translate::ttl(packet, ip, out.ttl);
    }
    transmit::leave(packet, ip, None, &out.way, &out.tunnel, 0)?;
    count(tables, ip, to, 0);
    tables.note(Note::Errors);
    Ok(out.way.verdict.into())
}

/// Gives an error other addresses, and the packet that it quotes other ends: that of the one who is told.
#[inline(always)]
fn translated<F: Layer3>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    quoted: &Quoted<F>,
    addresses: (F::Addr, F::Addr),
    ends: &Ends<F>,
    ttl: u8,
) {
    let Some(sum) = packet.read::<Be16>(ip.l4_offset + CHECKSUM) else { return };
    let outer = translate::addresses(packet, ip, addresses, ttl);
    // In ICMPv6 the pseudo header counts (RFC 4443 §2.3), in ICMP it does not exist.
    let mut change = if F::VERSION == V6::VERSION { outer } else { Change::default() };
    let inner = translate::addresses(packet, &quoted.ip, (ends.source, ends.destination), quoted.ip.ttl);
    let ports = Change::default()
        .word(quoted.ends.source_port, ends.source_port)
        .word(quoted.ends.destination_port, ends.destination_port);
    packet.write(quoted.ip.l4_offset + PORTS, [ends.source_port, ends.destination_port]);
    change = change.and(inner).and(ports);
    if F::VERSION == V4::VERSION {
        // The quoted header's own checksum changes with it, and it is quoted too.
        change = change.word(quoted.ip.checksum, inner.applied_to(quoted.ip.checksum));
    }
    if let (true, old) = (quoted.has_checksum, quoted.checksum) {
        let new = match quoted.ends.protocol {
            Protocol::Tcp => inner.and(ports).applied_to(old),
            Protocol::Udp => inner.and(ports).applied_to_udp(old).unwrap_or(old),
        };
        packet.write(quoted.ip.l4_offset + l4::checksum(quoted.ends.protocol), new);
        change = change.word(old, new);
    }
    packet.write(ip.l4_offset + CHECKSUM, change.applied_to(sum));
}
