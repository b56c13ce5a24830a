//! What must hold of every packet, whatever it was and whatever the tables say.

use crate::{
    oracle::{self, Sums},
    world::{NET4, NET6, Net},
    worlds,
};
use lb_common::{End, Forward, NextHop, ServerId, ServerState, Stop, VipId};
use lb_ebpf::{
    Verdict,
    testing::{Counted, MemoryTables},
};
use std::net::{IpAddr, Ipv6Addr};

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
        if *stops != [(stop as u32, 1)].into() || !vips.is_empty() || !servers.is_empty() {
            return Some("a packet that stops is counted as that alone");
        }
        match stop.end() {
            End::Answer => self.answered(),
            // There is no way back from a frame that is half rewritten, so it is dropped.
            End::Drop if stop == Stop::NoRoom => None,
            End::Drop if self.input == self.output || stop == Stop::TooBig => None,
            End::Pass if self.input == self.output => None,
            End::Drop | End::Pass => Some("a packet that stops is as it came"),
        }
    }

    /// An answer goes to the sender, and its sums are right.
    fn answered(&self) -> Option<&'static str> {
        if self.output.get(..6) != self.input.get(6..12) || self.output.get(6..12) != self.input.get(..6) {
            return Some("an answer goes back where the packet came from");
        }
        let (Some(asked), Some(answer)) = (Addresses::of(self.input), Addresses::of(self.output)) else {
            return Some("what is answered has addresses");
        };
        if (answer.source, answer.destination) != (asked.destination, asked.source) {
            return Some("an answer goes from the receiver to the sender");
        }
        self.sums()
    }

    fn sent(&self, verdict: Verdict) -> Option<&'static str> {
        let Counted { vips, servers, stops, .. } = self.counted;
        let (Some((vip, of_vip)), Some((server, of_server))) = (vips.first_key_value(), servers.first_key_value())
        else {
            return Some("a packet that is sent is counted");
        };
        let once = of_vip == of_server && of_vip.packets + of_vip.return_packets == 1;
        if !once || vips.len() != 1 || servers.len() != 1 || !stops.is_empty() {
            return Some("a packet that is sent is counted once");
        }
        if !self.leaves_by_a_next_hop(verdict) {
            return Some("a frame leaves for a next hop that is known, by its interface and with its tags");
        }
        let (Some(before), Some(after)) = (Addresses::of(self.input), Addresses::of(self.output)) else {
            return Some("what is sent has addresses");
        };
        let wrong = if of_vip.packets == 1 {
            self.to_server(*vip, *server, &before, &after)
        } else {
            self.to_client(*vip, &before, &after)
        };
        wrong.or_else(|| self.sums())
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
            hop.resolved == 1 && hop.destination == destination && hop.source == source && there && tagged
        };
        self.tables.next_hops.values().any(by)
    }

    /// To a server of the VIP's backend that takes packets, and to no other machine.
    fn to_server(&self, vip: VipId, id: ServerId, before: &Addresses, after: &Addresses) -> Option<&'static str> {
        let Some((net, forward)) = of_vip(vip) else { return Some("a VIP that exists") };
        let ring = match (vip - net.vip_id(0)) / 2 {
            1 => net.direct_ring(),
            2 => net.other_ring(),
            5 | 6 => net.crossed_ring(),
            _ => net.nat_ring(),
        };
        let Some(server) = self.tables.servers.get(&id) else { return Some("a server that exists") };
        if !worlds::members(net, ring).contains(&id) {
            return Some("packets go to servers of the VIP's own backend");
        }
        if !ServerState::from_byte(server.state).forwards() {
            return Some("packets go to servers that take some");
        }
        let hop = self.tables.next_hops.get(&server.next_hop.into());
        if hop.is_none_or(|hop| self.output.get(..6) != Some(&hop.destination)) {
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

    /// To the client from the VIP; what routers say keeps their name.
    fn to_client(&self, vip: VipId, before: &Addresses, after: &Addresses) -> Option<&'static str> {
        let Some((net, forward)) = of_vip(vip) else { return Some("a VIP that exists") };
        if !forward.translates() {
            return Some("only what is translated comes back this way");
        }
        let of_vip = usize::from((vip - net.vip_id(0)) / 2);
        let from = net.vips()[of_vip].ip();
        if after.source != from && !(oracle::is_icmp(self.input) && after.source == before.source) {
            return Some("clients get packets from the VIP");
        }
        let pooled = net.pool.contains(&before.destination);
        (!pooled && after.destination != before.destination).then_some("the client stays the destination")
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
fn of_vip(vip: VipId) -> Option<(&'static Net, Forward)> {
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
