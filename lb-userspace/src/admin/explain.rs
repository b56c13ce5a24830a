//! Explains what becomes of a packet: it is run through a [copy](crate::dataplane::replica) of the program that the kernel runs,
//! and beside what came out stands why.

pub mod capture;
pub mod frame;

use super::{
    kernel::{state_name, vips},
    names::Names,
};
use crate::{
    dataplane::{
        flows::Table,
        replica::{Action, Known, Ran, Replica, ReplicaError, Tuple},
    },
    model::Endpoint,
    plan::Tables,
};
use frame::{Change, Inside, Read, changes, read};
use lb_common::{
    End, Forward, NextHop, Note, ServerId, ServerState, Slot, Stop, Vip,
    vip::flags::{ANY_PORT, FRAGMENTS_HASH, FRAGMENTS_ONLY},
};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// What packets meet.
pub struct Scene<'a> {
    /// The copy of the kernel half.
    pub replica: &'a Replica,
    /// What the planner's maps hold.
    pub tables: &'a Tables,
    /// What the daemon calls it.
    pub names: &'a Names,
    /// Where packets come in.
    pub interface: &'a str,
    /// The name of an interface of that number.
    pub link: &'a dyn Fn(u32) -> String,
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explained {
    /// Which one of a capture, from 1.
    pub number: Option<usize>,
    /// The interface that it comes in by.
    pub interface: String,
    /// The packet in a line.
    pub packet: String,
    /// Bytes of its frame.
    pub bytes: usize,
    /// The VIP that it is for, or that it is a reply of.
    pub vip: Option<VipFound>,
    /// What the tables of flows knew of it. Of an ICMP error: of the flow that it is about.
    pub known: Vec<KnownFound>,
    /// Where the ring has its flow.
    pub slot: Option<SlotFound>,
    /// The server that gets it, or that it comes from.
    pub server: Option<ServerFound>,
    /// How it leaves.
    pub next_hop: Option<HopFound>,
    /// What the program answered: `XDP_TX`, `XDP_REDIRECT`, `XDP_PASS` or `XDP_DROP`.
    pub verdict: &'static str,
    /// Why it stopped, as it is counted; `None`: it went on.
    pub reason: Option<Counted>,
    /// What else was counted.
    pub notes: Vec<Counted>,
    /// What the tables of flows know of it afterwards, and did not before.
    pub remembered: Vec<KnownFound>,
    /// Addresses whose Ethernet address the daemon would ask for.
    pub asked_for: Vec<IpAddr>,
    /// What differs in the frame that leaves: a field, its value before and after.
    pub changes: Vec<Change>,
    /// In a sentence.
    pub outcome: String,
}

/// A VIP.
#[derive(Clone, Debug, Serialize)]
pub struct VipFound {
    /// Address and port, or ports.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The frontend's name, if the daemon knows it.
    pub frontend: Option<String>,
    /// The backend's name, if the daemon knows it.
    pub backend: Option<String>,
    /// `direct`, `nat`, `ipip`, `gue` or `fullnat`.
    pub forward: &'static str,
}

/// What a table of flows knows.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct KnownFound {
    /// `flows`, `connections`, `half_open` or `fragments`.
    pub table: &'static str,
    /// `backend/name`, or `#row`.
    pub server: String,
    /// Seconds since its last packet, as far as that was noted.
    pub idle: u64,
    /// FIN or RST was seen.
    pub closing: bool,
    /// It is the way back to the client.
    pub back: bool,
    /// Of a connection: the source and destination that its packets get.
    pub becomes: Option<(SocketAddr, SocketAddr)>,
}

/// A slot of a ring.
#[derive(Clone, Debug, Serialize)]
pub struct SlotFound {
    /// The backend's name, if the daemon knows it.
    pub backend: Option<String>,
    /// Its number.
    pub number: usize,
    /// Whose it is: `backend/name`, `#row`, or `(none)`.
    pub server: String,
    /// Whose it was, while it changes hands: flows that no table knows are still that one's.
    pub previous: Option<String>,
    /// The flow table is asked.
    pub tracked: bool,
}

/// A server.
#[derive(Clone, Debug, Serialize)]
pub struct ServerFound {
    /// Row.
    pub id: u16,
    /// `backend/name`, or `#row`.
    pub name: String,
    /// Address and port; port 0 keeps the port of the packet.
    pub address: Option<SocketAddr>,
    /// `up`, `drain` or `down`.
    pub state: &'static str,
    /// Why this one.
    pub why: &'static str,
}

/// How a frame leaves.
#[derive(Clone, Debug, Serialize)]
pub struct HopFound {
    /// Row.
    pub row: u32,
    /// The interface.
    pub interface: String,
    /// The next machine's Ethernet address, if it is known.
    pub ethernet: Option<String>,
    /// VLANs, the outer one first.
    pub vlans: Vec<u16>,
    /// Largest IP packet in bytes; 0: not known.
    pub mtu: u16,
}

/// A reason, or something that happened.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted {
    /// The counter's name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
}

/// Runs a packet that comes in now, and explains what came out.
pub fn explain(scene: &Scene<'_>, frame: &[u8]) -> Result<Explained, ReplicaError> {
    let before = read(frame, Inside::Nothing);
    let for_vip = before.tuple.as_ref().and_then(|tuple| vip_for(scene.tables, tuple));
    let look = || {
        let tuple = before.tuple.as_ref();
        tuple.map_or_else(|| Ok(Vec::new()), |tuple| scene.replica.known(tuple, for_vip.as_ref()))
    };
    let known = look()?;
    let ran = scene.replica.run(frame, scene.tables)?;
    let after = look()?;
    Ok(Explained { bytes: frame.len(), ..scene.told(&Told { before, for_vip, known, ran, after })? })
}

/// All that there is to tell of.
struct Told {
    before: Read,
    /// The VIP that it is for.
    for_vip: Option<Vip>,
    known: Vec<Known>,
    ran: Ran,
    after: Vec<Known>,
}

impl Scene<'_> {
    fn told(&self, told: &Told) -> Result<Explained, ReplicaError> {
        let Told { before, for_vip, known, ran, after } = told;
        let totals = &ran.totals;
        let reason =
            Stop::ALL.into_iter().find(|stop| totals.stops.get(*stop as usize).is_some_and(|count| *count > 0));
        let notes =
            Note::ALL.into_iter().filter(|note| totals.notes.get(*note as usize).is_some_and(|count| *count > 0));
        let counted = totals.vips.keys().next().and_then(|id| self.tables.vips.values().find(|vip| vip.id == *id));
        let vip = counted.or(for_vip.as_ref());
        let slot = for_vip.as_ref().zip(before.tuple.as_ref()).and_then(|(vip, tuple)| self.slot(vip, tuple));
        let forwarded = totals.servers.iter().find(|(_, counters)| counters.packets > 0).map(|(id, _)| *id);
        let returned = totals.servers.iter().find(|(_, counters)| counters.return_packets > 0).map(|(id, _)| *id);
        let server = forwarded.map(|id| self.server(id, why(id, known, slot.map(|(_, slot)| slot))));
        let server = server.or_else(|| returned.map(|id| self.server(id, "it answers")));
        let inside = match vip.filter(|_| forwarded.is_some()).and_then(|vip| Forward::from_byte(vip.forward)) {
            Some(Forward::Ipip) => Inside::Ip,
            Some(Forward::Gue) => Inside::Udp,
            Some(Forward::Direct | Forward::Nat | Forward::FullNat) | None => Inside::Nothing,
        };
        let sent = matches!(ran.action, Action::Transmit | Action::Redirect);
        let left = read(&ran.frame, inside);
        let client = left.tuple.map(|tuple| tuple.destination.ip()).filter(|_| returned.is_some() && !left.is_error);
        let next_hop = match (forwarded, client) {
            (Some(id), _) => self.tables.servers.get(&id).map(|server| self.hop(server.next_hop.into())).transpose()?,
            (None, Some(client)) => self.replica.route(client)?.map(|row| self.hop(row)).transpose()?,
            (None, None) => None,
        };
        let mut explained = Explained {
            number: None,
            interface: self.interface.to_owned(),
            packet: before.summary.clone(),
            bytes: 0,
            vip: vip.and_then(|vip| self.vip(vip)),
            known: known.iter().map(|known| self.known(known)).collect(),
            slot: slot.map(|(number, slot)| self.slot_found(vip, number, slot)),
            server,
            next_hop,
            verdict: ran.action.name(),
            reason: reason.map(|stop| Counted { name: stop.name(), help: stop.help() }),
            notes: notes.map(|note| Counted { name: note.name(), help: note.help() }).collect(),
            remembered: after
                .iter()
                .filter(|entry| !known.iter().any(|known| known.is(entry)))
                .map(|entry| self.known(entry))
                .collect(),
            asked_for: ran.unresolved.clone(),
            changes: if sent { changes(before, &left) } else { Vec::new() },
            outcome: String::new(),
        };
        explained.outcome = outcome(&explained, reason, returned.is_some());
        Ok(explained)
    }

    fn vip(&self, vip: &Vip) -> Option<VipFound> {
        let (address, protocol, _) = vips(self.tables).into_iter().find(|(.., known)| known.id == vip.id)?;
        let ring = self.tables.rings.get(&vip.ring);
        Some(VipFound {
            frontend: self.names.frontends.get(&(address.clone(), protocol.clone())).cloned(),
            backend: ring.and_then(|ring| self.names.backends.get(&ring.identity)).cloned(),
            forward: Forward::from_byte(vip.forward).map_or("unknown", Forward::word),
            address,
            protocol,
        })
    }

    fn slot(&self, vip: &Vip, tuple: &Tuple) -> Option<(usize, Slot)> {
        let number = self.replica.slot(tuple, vip);
        Some((number, *self.tables.rings.get(&vip.ring)?.slots.get(number)?))
    }

    fn slot_found(&self, vip: Option<&Vip>, number: usize, slot: Slot) -> SlotFound {
        let ring = vip.and_then(|vip| self.tables.rings.get(&vip.ring));
        SlotFound {
            backend: ring.and_then(|ring| self.names.backends.get(&ring.identity)).cloned(),
            number,
            server: self.named(slot.current()),
            previous: slot.changes_hands().then(|| self.named(slot.previous)),
            tracked: slot.is_tracked() || slot.changes_hands(),
        }
    }

    fn named(&self, id: ServerId) -> String {
        if id == 0 { "(none)".to_owned() } else { self.names.server(id) }
    }

    fn server(&self, id: ServerId, why: &'static str) -> ServerFound {
        let row = self.tables.servers.get(&id);
        ServerFound {
            id,
            name: self.names.server(id),
            address: row.map(|row| SocketAddr::new(row.addr.ip(), row.port.host())),
            state: row.map_or("free", |row| state_name(ServerState::from_byte(row.state))),
            why,
        }
    }

    fn known(&self, known: &Known) -> KnownFound {
        KnownFound {
            table: match known.table {
                Some(Table::Flows) => "flows",
                Some(Table::Connections) => "connections",
                Some(Table::HalfOpen) => "half_open",
                None => "fragments",
            },
            server: self.names.server(known.server),
            idle: known.idle.as_secs(),
            closing: known.closing,
            back: known.back,
            becomes: known.becomes,
        }
    }

    fn hop(&self, row: u32) -> Result<HopFound, ReplicaError> {
        let NextHop { destination, ifindex, resolved, tags, tag, mtu, .. } = self.replica.next_hop(row)?;
        let known = row != 0 && resolved != 0;
        let ethernet = destination.map(|byte| format!("{byte:02x}")).join(":");
        Ok(HopFound {
            row,
            interface: if known { (self.link)(ifindex) } else { "?".to_owned() },
            ethernet: known.then_some(ethernet),
            vlans: tag.iter().take(tags.into()).map(|tag| tag.control.host() & 0xfff).collect(),
            mtu,
        })
    }
}

/// Why a flow goes to that server.
fn why(server: ServerId, known: &[Known], slot: Option<Slot>) -> &'static str {
    let told_by = known.iter().find(|known| known.server == server && !known.back);
    match (told_by.map(|known| known.table), slot) {
        (Some(Some(Table::Flows)), _) => "the flow table knows it",
        (Some(Some(Table::Connections)), _) => "the table of connections knows it",
        (Some(Some(Table::HalfOpen)), _) => "the table of half-open connections knows it",
        (Some(None), _) => "the first fragment went there",
        (None, Some(slot)) if slot.current() == server && slot.changes_hands() => {
            "it opens a connection, and its slot now belongs to it"
        }
        (None, Some(slot)) if slot.current() == server => "its slot belongs to it",
        (None, Some(slot)) if slot.previous == server => "no table knows the flow, and its slot belonged to it before",
        (None, Some(_)) => "the server of its slot takes no packets, and this one is next in the chain of slots",
        (None, None) => "it was chosen by the program",
    }
}

/// The VIP that packets of these ends are for.
fn vip_for(tables: &Tables, tuple: &Tuple) -> Option<Vip> {
    let (address, port) = (tuple.destination.ip(), tuple.destination.port());
    let find = |port| tables.vips.get(&Endpoint::new(address, port, tuple.protocol)).copied();
    if tuple.fragment.is_some() && port == 0 {
        return find(0).filter(|vip| vip.has(FRAGMENTS_HASH));
    }
    let any_port = || {
        let entry = tables.vips.get(&Endpoint::address_entry(address))?;
        find(0).filter(|_| entry.has(ANY_PORT))
    };
    find(port).filter(|vip| !vip.has(FRAGMENTS_ONLY)).or_else(any_port).filter(|vip| !vip.has(FRAGMENTS_ONLY))
}

fn outcome(explained: &Explained, reason: Option<Stop>, is_reply: bool) -> String {
    if let Some(stop) = reason {
        let end = match stop.end() {
            End::Pass => "it goes on to this host's own stack",
            End::Drop => "it is dropped",
            End::Answer => "it is answered here",
        };
        let help = stop.help().split_once(": ").map_or_else(|| stop.help(), |(_, why)| why);
        return format!("{end}: {help}");
    }
    let by = explained.next_hop.as_ref().map(|hop| format!(" by {}", hop.interface)).unwrap_or_default();
    match &explained.server {
        Some(server) if is_reply => format!("it is the reply of server {}, and goes on to the client{by}", server.name),
        Some(server) => format!("it goes to server {}{by}", server.name),
        None => format!("it ends with {}", explained.verdict),
    }
}

#[cfg(test)]
mod tests;
