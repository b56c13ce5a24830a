//! What the kernel half holds and counts, with names: what `sluice maps` shows and `/metrics` exports.

use super::{names::Names, ring::RingReport, status::Status};
use crate::{
    dataplane::{counters::Totals, heartbeat::Pulse},
    model::{Endpoint, Ports, frontend::shown},
    plan::Tables,
};
use lb_common::{
    Counters, Forward, Note, ServerState, Stop, Vip, VipId,
    vip::flags::{FRAGMENTS_ONLY, NEEDS_DAEMON, WITHDRAWN},
};
use serde::Serialize;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// The kernel's maps in words.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KernelReport {
    /// When a daemon was alive last.
    pub heartbeat: HeartbeatReport,
    /// VIPs, by address.
    pub vips: Vec<VipReport>,
    /// Servers, by row.
    pub servers: Vec<ServerReport>,
    /// Rings, by row.
    pub rings: Vec<RingReport>,
    /// Why packets left the path early; all reasons, also those never met.
    pub stops: Vec<CountedReport>,
    /// What else happened to packets; all of it, also what never did.
    pub notes: Vec<CountedReport>,
}

/// When a daemon was alive last.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct HeartbeatReport {
    /// Milliseconds since then, without those in which the machine slept; `None`: there was none yet.
    pub age_ms: Option<u64>,
    /// For how many milliseconds it may be silent.
    pub timeout_ms: u64,
    /// Whether the packet path takes it for dead.
    pub dead: bool,
}

impl From<Pulse> for HeartbeatReport {
    fn from(pulse: Pulse) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self { age_ms: pulse.age.map(millis), timeout_ms: millis(pulse.timeout), dead: pulse.is_dead() }
    }
}

/// A VIP.
#[derive(Clone, Debug, Serialize)]
pub struct VipReport {
    /// The frontend's name; `None` when no daemon runs that knows it.
    pub frontend: Option<String>,
    /// Address and port, or ports: `192.0.2.10:80`, `192.0.2.10:5000-5009`, `192.0.2.10:*`.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `direct`, `nat`, `ipip`, `gue` or `fullnat`.
    pub forward: &'static str,
    /// The backend's name; `None` when no daemon runs that knows it.
    pub backend: Option<String>,
    /// Row of the backend's ring.
    pub ring: u16,
    /// What opens a TCP connection is dropped, because the frontend has lost its quorum or the daemon is dead.
    pub withdrawn: bool,
    /// What was forwarded.
    #[serde(flatten)]
    pub counters: CountersReport,
}

/// A server.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    /// Row.
    pub id: u16,
    /// The backend's name; `None` when no daemon runs that knows it.
    pub backend: Option<String>,
    /// The server's name; `None` when no daemon runs that knows it.
    pub name: Option<String>,
    /// Address and port; port 0 keeps the port of the packet.
    pub address: SocketAddr,
    /// `up`, `drain` or `down`: what the packet path may do.
    pub state: &'static str,
    /// Row of its next hop.
    pub next_hop: u16,
    /// What was forwarded.
    #[serde(flatten)]
    pub counters: CountersReport,
}

/// A reason, or something that happens.
#[derive(Clone, Debug, Serialize)]
pub struct CountedReport {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Packets.
    pub packets: u64,
}

/// [`Counters`] by name.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CountersReport {
    /// See [`Counters::packets`].
    pub packets: u64,
    /// See [`Counters::bytes`].
    pub bytes: u64,
    /// See [`Counters::connections`].
    pub connections: u64,
    /// See [`Counters::return_packets`].
    pub return_packets: u64,
    /// See [`Counters::return_bytes`].
    pub return_bytes: u64,
    /// See [`Counters::accepted`].
    pub accepted: u64,
    /// See [`Counters::resets`].
    pub resets: u64,
}

impl From<CountersReport> for Counters {
    fn from(report: CountersReport) -> Self {
        let CountersReport { packets, bytes, connections, return_packets, return_bytes, accepted, resets } = report;
        Self { packets, bytes, connections, return_packets, return_bytes, accepted, resets }
    }
}

impl From<Counters> for CountersReport {
    fn from(counters: Counters) -> Self {
        let Counters { packets, bytes, connections, return_packets, return_bytes, accepted, resets } = counters;
        Self { packets, bytes, connections, return_packets, return_bytes, accepted, resets }
    }
}

impl KernelReport {
    /// Puts rows, counts and the daemon's names together; without a daemon there are numbers in place of names.
    pub fn new(tables: &Tables, totals: &Totals, pulse: Pulse, status: Option<&Status>) -> Self {
        let names = Names::new(status);
        let counters = |totals: &BTreeMap<u16, Counters>, id: u16| totals.get(&id).copied().unwrap_or_default().into();
        let vips = vips(tables).into_iter().map(|(address, protocol, vip)| VipReport {
            frontend: names.frontends.get(&(address.clone(), protocol.clone())).cloned(),
            backend: tables.rings.get(&vip.ring).and_then(|ring| names.backends.get(&ring.identity)).cloned(),
            ring: vip.ring,
            withdrawn: vip.has(WITHDRAWN) || (vip.has(NEEDS_DAEMON) && pulse.is_dead()),
            forward: Forward::from_byte(vip.forward).map_or("unknown", Forward::word),
            counters: counters(&totals.vips, vip.id),
            address,
            protocol,
        });
        let servers = tables.servers.iter().map(|(id, entry)| {
            let (backend, name) = names.servers.get(id).cloned().unzip();
            ServerReport {
                id: *id,
                backend,
                name,
                address: SocketAddr::from((entry.addr.ip(), entry.port.host())),
                state: state_name(ServerState::from_byte(entry.state)),
                next_hop: entry.next_hop,
                counters: counters(&totals.servers, *id),
            }
        });
        let rings = tables.rings.keys().filter_map(|id| RingReport::new(tables, *id, &names));
        let stop = |stop: Stop| (stop.name(), stop.help(), totals.stops.get(stop as usize));
        let note = |note: Note| (note.name(), note.help(), totals.notes.get(note as usize));
        let counted = |(name, help, packets): (_, _, Option<&u64>)| CountedReport {
            name,
            help,
            packets: packets.copied().unwrap_or_default(),
        };
        Self {
            heartbeat: pulse.into(),
            vips: vips.collect(),
            servers: servers.collect(),
            rings: rings.collect(),
            stops: Stop::ALL.into_iter().map(stop).map(counted).collect(),
            notes: Note::ALL.into_iter().map(note).map(counted).collect(),
        }
    }
}

/// Each VIP once, in the order of their addresses: address with ports, protocol, row. The ports of a range are one VIP.
pub(super) fn vips(tables: &Tables) -> Vec<(String, String, Vip)> {
    let mut last = tables.counted_vips();
    let firsts = last.clone();
    let ports = tables.vips.iter().filter(|(key, vip)| !key.is_address_entry() && !vip.has(FRAGMENTS_ONLY));
    ports.for_each(|(key, vip)| _ = last.insert(vip.id, *key));
    let vip = |(id, first): (&VipId, &Endpoint)| {
        let ports = match last.get(id).map_or(first.port, |last| last.port) {
            0 => Ports::All,
            last if last == first.port => Ports::One(last),
            last => Ports::Range(first.port, last),
        };
        let protocol = first.protocol.map(|known| known.to_string()).unwrap_or_default();
        Some((*first, (shown(first.address, ports), protocol, *tables.vips.get(first)?)))
    };
    firsts.iter().filter_map(vip).collect::<BTreeMap<_, _>>().into_values().collect()
}

pub(super) fn state_name(state: ServerState) -> &'static str {
    match state {
        ServerState::Free => "free",
        ServerState::Up => "up",
        ServerState::Drain => "drain",
        ServerState::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_common::Protocol;

    #[test]
    fn a_vip_that_needs_a_daemon_is_withdrawn_once_that_is_dead() {
        let key = Endpoint::new("192.0.2.10".parse().unwrap(), 80, Protocol::Tcp);
        let row = Vip { id: 1, forward: Forward::Nat as u8, flags: NEEDS_DAEMON, ..Vip::default() };
        let tables = Tables { vips: [(key, row)].into(), ..Tables::default() };
        let report = |age| {
            let pulse = Pulse { age: Some(Duration::from_secs(age)), timeout: Duration::from_secs(10) };
            KernelReport::new(&tables, &Totals::default(), pulse, None)
        };
        let (living, dead) = (report(1), report(11));
        assert!(!living.heartbeat.dead && !living.vips[0].withdrawn);
        assert!(dead.heartbeat.dead && dead.vips[0].withdrawn);
        assert_eq!((dead.heartbeat.age_ms, dead.heartbeat.timeout_ms), (Some(11_000), 10_000));
    }

    #[test]
    fn the_ports_of_a_range_are_one_vip_and_rows_for_fragments_are_none() {
        let mut tables = Tables::default();
        let mut put = |address: &str, port, id, flags| {
            let key = Endpoint::new(address.parse().unwrap(), port, Protocol::Udp);
            tables.vips.insert(Endpoint::address_entry(key.address), Vip::default());
            tables.vips.insert(key, Vip { id, forward: Forward::Ipip as u8, flags, ..Vip::default() });
        };
        put("192.0.2.10", 53, 9, 0);
        put("192.0.2.10", 0, 9, FRAGMENTS_ONLY);
        (5_000..5_010).for_each(|port| put("192.0.2.10", port, 3, 0));
        put("2001:db8::80", 0, 4, 0);
        let report = KernelReport::new(&tables, &Totals::default(), Pulse::default(), None);
        let shown: Vec<_> = report.vips.iter().map(|vip| (vip.address.as_str(), vip.protocol.as_str())).collect();
        assert_eq!(shown, [("192.0.2.10:53", "udp"), ("192.0.2.10:5000-5009", "udp"), ("[2001:db8::80]:*", "udp")]);
    }
}
