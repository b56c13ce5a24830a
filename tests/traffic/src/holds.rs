//! What must hold of every packet, whatever it was and whatever the tables say.

use crate::{
    oracle::{self, Sums},
    packet::flags::{ACK, FIN, RST, SYN},
    world::{NET4, NET6, Net, addr},
    worlds,
};
use lb_common::{
    Counters, End, Forward, NextHop, ServerEntry, ServerId, ServerState, Stop, V4, V6, VipId,
    vip::flags::{KEEPS, NEEDS_DAEMON, WITHDRAWN},
};
use lb_ebpf::{
    Tables, Verdict,
    testing::{Counted, MemoryTables},
};
use std::{
    iter,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// One packet on its way through.
#[derive(Debug)]
pub struct Passage<'a> {
    /// What was known.
    pub tables: &'a MemoryTables,
    /// What was counted of this packet alone.
    pub counted: &'a Counted,
    /// The interface of arrival.
    pub ingress: u32,
    /// The frame on arrival.
    pub input: &'a [u8],
    /// What became of it.
    pub outcome: Result<Verdict, Stop>,
    /// The frame afterwards.
    pub output: &'a [u8],
}

impl Passage<'_> {
    /// What does not hold.
    pub fn broken(&self) -> Option<&'static str> {
        match self.outcome {
            Ok(verdict) => self.sent(verdict),
            Err(stop) => self.stopped(stop),
        }
    }

    fn stopped(&self, stop: Stop) -> Option<&'static str> {
        let Counted { vips, servers, stops, .. } = self.counted;
        // That a server answers is counted wherever the answer goes.
        let answers = |row: &Counters| {
            row.accepted + row.resets == 1
                && *row == Counters { accepted: row.accepted, resets: row.resets, ..Counters::default() }
        };
        if *stops != [(stop as u32, 1)].into() || !vips.values().chain(servers.values()).all(answers) {
            return Some("a packet that stops is counted as that alone");
        }
        match stop.end() {
            End::Answer => self.answered(stop),
            // There is no way back from a frame that is half rewritten, so it is dropped.
            End::Drop if stop == Stop::NoRoom => None,
            End::Drop if self.input == self.output || stop == Stop::TooBig => None,
            End::Pass if self.input == self.output => None,
            End::Drop | End::Pass => Some("a packet that stops is as it came"),
        }
    }

    /// An answer goes to the sender, says what it should, and its sums are right.
    fn answered(&self, stop: Stop) -> Option<&'static str> {
        if self.output.get(..6) != self.input.get(6..12) || self.output.get(6..12) != self.input.get(..6) {
            return Some("an answer goes back where the packet came from");
        }
        let (Some(asked), Some(answer)) = (Addresses::of(self.input), Addresses::of(self.output)) else {
            return Some("what is answered has addresses");
        };
        if (answer.source, answer.destination) != (asked.destination, asked.source) {
            return Some("an answer goes from the receiver to the sender");
        }
        let (Some(asked), Some(answer)) = (oracle::packet(self.input), oracle::packet(self.output)) else {
            return Some("what is answered is a whole packet");
        };
        let wrong = if stop == Stop::ToldTooBig {
            told(asked, answer)
        } else if stop == Stop::Refused && oracle::is_icmp(self.output) {
            unreachable(asked, answer)
        } else if matches!(stop, Stop::Refused | Stop::Reset) {
            reset(asked, answer)
        } else {
            let differs = differing(asked, answer).is_none_or(|bytes| bytes > 2 * LARGEST_ADDRESS + 6);
            differs.then_some("a ping comes back as it was")
        };
        // What is quoted is as it came, and a ping as well.
        let is_own = |sum: &String| matches!(stop, Stop::Refused | Stop::Reset) && !sum.starts_with("quoted");
        let is_wrong =
            || oracle::wrong(self.output).iter().any(is_own).then_some("the sums of our own answers are right");
        wrong.or_else(is_wrong).or_else(|| self.sums())
    }

    fn sent(&self, verdict: Verdict) -> Option<&'static str> {
        let Counted { vips, servers, stops, .. } = self.counted;
        let (Some((vip, of_vip)), Some((id, of_server))) = (vips.first_key_value(), servers.first_key_value()) else {
            return Some("a packet that is sent is counted");
        };
        let once = of_vip == of_server && of_vip.packets + of_vip.return_packets == 1;
        if of_vip.accepted + of_vip.resets > of_vip.return_packets || of_vip.connections > of_vip.packets {
            return Some("clients open connections, and servers answer");
        }
        if !once || vips.len() != 1 || servers.len() != 1 || !stops.is_empty() {
            return Some("a packet that is sent is counted once");
        }
        if !self.leaves_by_a_next_hop(verdict) {
            return Some(
                "a frame leaves for a next hop that is known, by its interface, with its tags and in its size",
            );
        }
        let (Some(before), Some(after)) = (Addresses::of(self.input), Addresses::of(self.output)) else {
            return Some("what is sent has addresses");
        };
        let Some((net, forward)) = served(*vip) else { return Some("a VIP that exists") };
        let Some(server) = self.tables.servers.get(id) else { return Some("a server that exists") };
        let wrong = if of_vip.packets == 1 {
            self.to_server((net, *vip, forward), (*id, server), (&before, &after))
        } else {
            self.to_client((net, *vip, forward), server, (&before, &after))
        };
        let to = if of_vip.packets == 1 {
            To::Server(forward, server.port.host())
        } else {
            To::Client { lent: net.pool.contains(&before.destination) }
        };
        wrong.or_else(|| self.passed_a_hop(to)).or_else(|| self.sums())
    }

    /// The packet that left, behind the header of its tunnel, is the one that came, but for its headers.
    fn passed_a_hop(&self, to: To) -> Option<&'static str> {
        let (Some(before), Some(mut after)) = (oracle::packet(self.input), oracle::packet(self.output)) else {
            return Some("what is sent is a whole packet");
        };
        let outer = if after.first().is_some_and(|first| first >> 4 == 4) { 20 } else { 40 };
        let in_front = match to {
            To::Client { .. } | To::Server(Forward::Direct | Forward::Nat | Forward::FullNat, _) => 0,
            To::Server(Forward::Ipip, _) => outer,
            To::Server(Forward::Gue, _) => outer + 8,
        };
        after = after.get(in_front..).unwrap_or_default();
        let hops = |packet: &[u8]| packet.get(if packet.first()? >> 4 == 4 { 8 } else { 7 }).copied();
        if hops(before) != hops(after).and_then(|hops| hops.checked_add(1)) {
            return Some("every packet has passed one hop");
        }
        if oracle::ports(before).zip(oracle::ports(after)).is_some_and(|(before, after)| !to.ports(before, after)) {
            return Some("ports are those of both ends");
        }
        // Addresses, ports, sums, the limit of segments; of an error the addresses and the quoted packet's.
        let headers = if oracle::is_icmp(self.input) { 4 * LARGEST_ADDRESS + 16 } else { 2 * LARGEST_ADDRESS + 12 };
        (differing(before, after).is_none_or(|bytes| bytes > headers)).then_some("what is behind the headers stays")
    }

    fn leaves_by_a_next_hop(&self, verdict: Verdict) -> bool {
        let (Some(destination), Some(source)) = (self.output.get(..6), self.output.get(6..12)) else { return false };
        let by = |hop: &NextHop| {
            let there = match verdict {
                Verdict::Transmit => hop.ifindex == self.ingress,
                Verdict::Redirect => hop.ifindex != self.ingress && self.tables.devices.contains(&hop.ifindex),
            };
            let tagged = hop.tag.iter().take(hop.tags.into()).enumerate().all(|(at, tag)| {
                let at = 12 + 4 * at;
                let wanted = [tag.protocol.host().to_be_bytes(), tag.control.host().to_be_bytes()].concat();
                self.output.get(at..at + 4) == Some(&wanted[..])
            });
            let fits = hop.mtu == 0 || oracle::packet(self.output).is_some_and(|packet| packet.len() <= hop.mtu.into());
            hop.resolved == 1 && hop.destination == destination && hop.source == source && there && tagged && fits
        };
        self.tables.next_hops.values().any(by)
    }

    /// To a server of the VIP's backend that takes packets, and to no other machine.
    fn to_server(
        &self,
        (net, vip, forward): (&Net, VipId, Forward),
        (id, server): (ServerId, &ServerEntry),
        (before, after): (&Addresses, &Addresses),
    ) -> Option<&'static str> {
        let number = (vip - net.vip_id(0)) / 2;
        if net.vips().get(usize::from(number)).is_none_or(|vip| vip.ip() != before.destination) {
            return Some("packets are counted for the VIP that they were sent to");
        }
        let ring = match number {
            1 => net.direct_ring(),
            2 => net.other_ring(),
            5 | 6 => net.crossed_ring(),
            _ => net.nat_ring(),
        };
        if !worlds::members(net, ring).contains(&id) {
            return Some("packets go to servers of the VIP's own backend");
        }
        if self.is_withdrawn(net, vip) {
            return Some("a VIP that is withdrawn takes no new connection");
        }
        let state = ServerState::from_byte(server.state);
        let may = state.forwards() || (state == ServerState::Down && self.stays(net, vip));
        if !may {
            return Some("packets go to servers that take some, or that keep what they have");
        }
        if !self.goes_by(server.next_hop.into()) {
            return Some("packets go to the server's own next hop");
        }
        let wanted = match forward {
            Forward::Direct => before.destination,
            Forward::Nat | Forward::FullNat | Forward::Ipip | Forward::Gue => server.addr.ip(),
        };
        if after.destination != wanted {
            return Some("packets go to the server's address, or by direct to the VIP");
        }
        let source_stays = matches!(forward, Forward::Direct | Forward::Nat);
        (source_stays && after.source != before.source).then_some("the client stays the source")
    }

    /// Whether the packet may stay with a server that is down: its VIP says so, and it is of a connection that may be there. So
    /// is what an error is about. A VIP may be there twice, for its port and for all.
    fn stays(&self, net: &Net, vip: VipId) -> bool {
        let Self { tables, input, .. } = self;
        let mut rows = tables.v4.vips.values().chain(tables.v6.vips.values());
        let is_tcp = (vip - net.vip_id(0)).is_multiple_of(2);
        is_tcp && !oracle::opens(input) && rows.any(|row| row.id == vip && row.has(KEEPS))
    }

    /// Whether the packet opens a connection to a VIP that is withdrawn, by whichever row of it.
    fn is_withdrawn(&self, net: &Net, vip: VipId) -> bool {
        let Self { tables, input, .. } = self;
        let is_dead = tables.heartbeat.is_dead(tables.now.get());
        let mut rows = tables.v4.vips.values().chain(tables.v6.vips.values()).filter(|row| row.id == vip);
        let is_tcp = (vip - net.vip_id(0)).is_multiple_of(2);
        is_tcp && oracle::opens(input) && rows.all(|row| row.has(WITHDRAWN) || (is_dead && row.has(NEEDS_DAEMON)))
    }

    /// To the client from the VIP; what routers say keeps their name.
    fn to_client(
        &self,
        (net, vip, forward): (&Net, VipId, Forward),
        server: &ServerEntry,
        (before, after): (&Addresses, &Addresses),
    ) -> Option<&'static str> {
        if !forward.translates() {
            return Some("only what is translated comes back this way");
        }
        let of_router = oracle::is_icmp(self.input) && after.source == before.source;
        if !of_router && before.source != server.addr.ip() {
            return Some("packets are counted for the server that sent them");
        }
        let from = net.vips().get(usize::from((vip - net.vip_id(0)) / 2)).map(SocketAddr::ip);
        if !of_router && Some(after.source) != from {
            return Some("clients get packets from the VIP");
        }
        let route = match after.destination {
            IpAddr::V4(_) => Tables::<V4>::route(self.tables, addr::<V4>(after.destination)),
            IpAddr::V6(_) => Tables::<V6>::route(self.tables, addr::<V6>(after.destination)),
        };
        if !route.is_some_and(|row| self.goes_by(row)) {
            return Some("packets go where the client's route leads");
        }
        let pooled = net.pool.contains(&before.destination);
        (!pooled && after.destination != before.destination).then_some("the client stays the destination")
    }

    /// Whether the frame is for the machine of that row.
    fn goes_by(&self, row: u32) -> bool {
        self.tables.next_hops.get(&row).is_some_and(|hop| self.output.get(..6) == Some(&hop.destination))
    }

    /// What was right stays right, and what was wrong stays wrong.
    fn sums(&self) -> Option<&'static str> {
        let (before, after) = (oracle::sums(self.input), oracle::sums(self.output));
        let wrong = |sums: &Sums| sums.iter().any(|(_, right)| !right);
        if wrong(&after) && !wrong(&before) {
            return Some("right checksums stay right");
        }
        let stays_wrong = |name: &str| {
            let transport = ["tcp", "udp", "icmp"].iter().find(|what| **what == name);
            let inside = transport.and_then(|name| after.get(&format!("inside {name}"))).or_else(|| after.get(name));
            transport.is_none() || inside.is_none_or(|right| !right)
        };
        let healed = before.iter().any(|(name, right)| !right && !stays_wrong(name));
        (healed && self.outcome.is_ok()).then_some("wrong checksums stay wrong")
    }
}

/// The network and the mode of a VIP.
fn served(vip: VipId) -> Option<(&'static Net, Forward)> {
    let net = [&NET6, &NET4].into_iter().find(|net| vip >= net.vip_id(0))?;
    let modes = [
        Forward::Nat,
        Forward::Direct,
        Forward::Nat,
        Forward::Ipip,
        Forward::Gue,
        Forward::Ipip,
        Forward::Gue,
        Forward::FullNat,
    ];
    Some((net, *modes.get(usize::from((vip - net.vip_id(0)) / 2))?))
}

/// Whom a packet was sent to.
#[derive(Clone, Copy)]
enum To {
    /// A server, in that way, which listens on that port.
    Server(Forward, u16),
    /// A client, whose port was another one's if it was `lent`.
    Client { lent: bool },
}

impl To {
    /// Whether source and destination port are right. They add up to the same sum in any order.
    fn ports(self, before: [u16; 2], after: [u16; 2]) -> bool {
        let ([source, port], [new_source, new_port]) = (before, after);
        let of_server = |own: u16| new_port == if own == 0 { port } else { own };
        match self {
            Self::Server(Forward::Direct | Forward::Ipip | Forward::Gue, _) => before == after,
            Self::Server(Forward::Nat, own) => new_source == source && of_server(own),
            Self::Server(Forward::FullNat, own) => of_server(own),
            // The VIP's port, and that of a client behind a pool, only the tables of connections know.
            Self::Client { lent } => lent || new_port == port,
        }
    }
}

/// Bytes of an address of IPv6.
const LARGEST_ADDRESS: usize = 16;

/// How many bytes of two packets differ; none if they are not of the same length.
fn differing(one: &[u8], other: &[u8]) -> Option<usize> {
    (one.len() == other.len()).then(|| iter::zip(one, other).filter(|(one, other)| one != other).count())
}

/// An answer to a packet that is too big: as large as it may be, of which the sender learns something.
fn told(asked: &[u8], answer: &[u8]) -> Option<&'static str> {
    let (header, largest) = if answer.first().is_some_and(|first| first >> 4 == 4) { (20, 576) } else { (40, 1_280) };
    let Some((icmp, quote)) = answer.get(header..).and_then(|icmp| icmp.split_at_checked(8)) else {
        return Some("an answer is an ICMP message");
    };
    if answer.len() != largest || !asked.starts_with(quote) {
        return Some("an answer quotes the packet, and no more than it may");
    }
    let mtu = icmp.last_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
    (mtu >= asked.len() && mtu != 1_280).then_some("who is told that a packet is too big is told of less")
}

/// A reset in answer to a segment (RFC 9293 §3.10.7.1), which is no longer.
fn reset(asked: &[u8], answer: &[u8]) -> Option<&'static str> {
    let header = if answer.first().is_some_and(|first| first >> 4 == 4) { 20 } else { 40 };
    let (Some((6, segment)), Some((6, reset))) = (oracle::transport(asked), oracle::transport(answer)) else {
        return Some("a reset answers a segment");
    };
    let number =
        |of: &[u8], at: usize| of.get(at..at + 4).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    let (Some(sequence), Some(acknowledgment)) = (number(&segment, 4), number(&segment, 8)) else {
        return Some("a segment has numbers");
    };
    let (Some(flags), Some(words)) = (segment.get(13), segment.get(12).map(|offset| usize::from(offset >> 4))) else {
        return Some("a segment has flags");
    };
    let Some(payload) = segment.len().checked_sub(words * 4).filter(|_| words >= 5 && flags & RST == 0) else {
        return Some("what is no whole segment, or a reset, has no answer");
    };
    let length = payload + usize::from(flags & SYN != 0) + usize::from(flags & FIN != 0);
    let (sequence, acknowledgment, flags) = if flags & ACK != 0 {
        (acknowledgment, 0, RST)
    } else {
        (0, u32::try_from(length).map_or(0, |length| sequence.wrapping_add(length)), RST | ACK)
    };
    let ports = [segment.get(2..4).unwrap_or_default(), segment.get(..2).unwrap_or_default()].concat();
    let wanted = [&ports[..], &sequence.to_be_bytes(), &acknowledgment.to_be_bytes(), &[0x50, flags, 0, 0]].concat();
    let is_right = reset.starts_with(&wanted) && reset.len() == 20 && answer.len() == header + 20;
    (!is_right || answer.len() > asked.len()).then_some("a reset says what the standard says")
}

/// An answer to a datagram that nobody takes: its headers, and no more.
fn unreachable(asked: &[u8], answer: &[u8]) -> Option<&'static str> {
    let (header, says, quote) =
        if answer.first().is_some_and(|first| first >> 4 == 4) { (20, [3, 3], 28) } else { (40, [1, 4], 48) };
    let icmp = answer.get(header..).unwrap_or_default();
    let is_right = icmp.starts_with(&says)
        && icmp.get(4..8) == Some(&[0; 4])
        && icmp.get(8..) == asked.get(..quote)
        && asked.get(if header == 20 { 9 } else { 6 }) == Some(&17);
    (!is_right).then_some("an answer to a datagram quotes its headers")
}

/// Those of the outermost header of a frame.
struct Addresses {
    source: IpAddr,
    destination: IpAddr,
}

impl Addresses {
    fn of(frame: &[u8]) -> Option<Self> {
        let packet = oracle::payload(frame)?;
        if packet.first()? >> 4 == 4 {
            let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            Some(Self { source: address(12)?, destination: address(16)? })
        } else {
            let octets = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok();
            let address = |at: usize| Some(IpAddr::from(Ipv6Addr::from(octets(at)?)));
            Some(Self { source: address(8)?, destination: address(24)? })
        }
    }
}
