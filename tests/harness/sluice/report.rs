//! What `sluice status --json` and `sluice maps --json` print, as far as the tests read it.

use anyhow::{Context, Result};
use rustix::process::Pid;
use serde::Deserialize;
use std::{collections::BTreeMap, net::SocketAddr};

/// `sluice status --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The supervisor.
    pub pid: i32,
    /// The worker.
    pub worker_pid: i32,
    /// Goes up by one with every configuration that takes effect.
    pub generation: u64,
    /// How often rings were rebuilt.
    pub ring_rebuilds: u64,
    /// Where the program is attached.
    pub interfaces: Vec<Interface>,
    /// Connections open now in the proxy.
    pub connections: usize,
    /// Every backend.
    pub backends: Vec<BackendStatus>,
    /// The changes of health so far, oldest first.
    pub failovers: Vec<Failover>,
    /// Where clients connect.
    #[serde(default)]
    pub frontends: Vec<FrontendStatus>,
    /// What reloads have removed and has something left.
    #[serde(default)]
    pub leaving: Vec<Leaving>,
    /// The targets of access logs.
    pub logs: Vec<LogStatus>,
}

/// A frontend in the status.
#[derive(Clone, Debug, Deserialize)]
pub struct FrontendStatus {
    /// Its name.
    pub name: String,
    /// Most connections that it may have.
    pub maxconn: usize,
}

/// What a reload has removed and has something left.
#[derive(Clone, Debug, Deserialize)]
pub struct Leaving {
    /// BACKEND/NAME of a server; nothing if nobody knows it any more.
    pub name: String,
    /// `frontend`, `vip` or `server`.
    pub kind: String,
    /// Where a server or VIP is.
    pub address: Option<String>,
    /// Connections of the proxy.
    pub connections: u64,
    /// Flows that the kernel half remembers.
    pub flows: u64,
    /// Seconds that it may take.
    pub within: u64,
}

/// A target of access logs.
#[derive(Clone, Debug, Deserialize)]
pub struct LogStatus {
    /// Lines that it took.
    pub written: u64,
    /// Lines that were lost.
    pub lost: u64,
    /// Whether the last attempt to write failed.
    pub failing: bool,
}

/// A device with the program.
#[derive(Clone, Debug, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native`, `generic` or `none`.
    pub mode: String,
    /// Why there is none.
    pub error: Option<String>,
}

/// A backend in the status.
#[derive(Clone, Debug, Deserialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Its servers.
    pub servers: Vec<ServerStatus>,
}

/// A server in the status.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// `up`, `drain`, `down`.
    pub state: String,
    /// `ready`, `drain`, `maint`.
    pub admin: String,
    /// `unknown`, `up`, `down`.
    pub health: String,
    /// What its check found.
    pub check: Option<CheckStatus>,
    /// Where it is.
    pub address: String,
    /// Whether it takes new traffic.
    pub available: bool,
    /// Connections or requests of the proxy ever sent there.
    pub total: u64,
    /// How it stands with its host name, if it is known by one.
    pub host: Option<HostStatus>,
}

/// What a check found.
#[derive(Clone, Debug, Deserialize)]
pub struct CheckStatus {
    /// The last probe in words, its code first.
    pub last: Option<String>,
    /// HAProxy's code for the last probe.
    pub code: Option<String>,
    /// Probes that failed while the server was up.
    pub failures: u64,
}

/// How a server stands with its host name.
#[derive(Clone, Debug, Deserialize)]
pub struct HostStatus {
    /// Seconds since the last good answer.
    pub age: Option<u64>,
    /// How often the question has failed.
    pub failures: u64,
    /// Why the last answer is of no use, or did not come.
    pub problem: Option<String>,
}

/// A change of health.
#[derive(Clone, Debug, Deserialize)]
pub struct Failover {
    /// The backend.
    pub backend: String,
    /// The server.
    pub server: String,
    /// `up` or `down`.
    pub to: String,
    /// When both halves had it, in microseconds of the Unix epoch.
    pub at_us: u64,
    /// What the deciding probe found.
    pub reason: String,
    /// From the end of the deciding probe to the map, in microseconds.
    pub probe_to_map_us: u64,
}

impl Status {
    /// The worker's process id.
    pub fn worker(&self) -> Result<Pid> {
        Pid::from_raw(self.worker_pid).context("the daemon has no worker")
    }

    /// A server by backend and name.
    pub fn server(&self, backend: &str, name: &str) -> Result<&ServerStatus> {
        let servers = self.backends.iter().filter(|of| of.name == backend).flat_map(|of| &of.servers);
        servers.into_iter().find(|server| server.name == name).with_context(|| format!("no server {backend}/{name}"))
    }
}

/// `sluice maps --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Maps {
    /// The VIPs.
    pub vips: Vec<VipRow>,
    /// The servers of kernel backends.
    pub servers: Vec<ServerRow>,
    /// The live half of each ring.
    pub rings: Vec<RingRow>,
    /// Why packets left the path.
    pub stops: Vec<StopRow>,
    /// What else happened to packets on their way.
    pub notes: Vec<StopRow>,
}

/// A VIP.
#[derive(Clone, Debug, Deserialize)]
pub struct VipRow {
    /// Its frontend; `None` without a daemon.
    pub frontend: Option<String>,
    /// Address and port.
    pub address: String,
    /// `direct`, `nat` and so on.
    pub forward: String,
    /// Packets sent on to servers.
    pub packets: u64,
    /// TCP connections.
    pub connections: u64,
    /// Packets sent back to clients.
    pub return_packets: u64,
}

/// A server.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerRow {
    /// Its backend; `None` without a daemon.
    pub backend: Option<String>,
    /// Its name; `None` without a daemon.
    pub name: Option<String>,
    /// `up`, `drain`, `down`.
    pub state: String,
    /// Packets sent there.
    pub packets: u64,
    /// TCP connections sent there.
    pub connections: u64,
    /// Those that it refused, where replies pass.
    pub resets: u64,
}

/// A ring.
#[derive(Clone, Debug, Deserialize)]
pub struct RingRow {
    /// Whose; `None` without a daemon.
    pub backend: Option<String>,
    /// How many slots each server has.
    pub shares: Vec<ShareRow>,
}

/// A server's part of a ring.
#[derive(Clone, Debug, Deserialize)]
pub struct ShareRow {
    /// Its name.
    pub server: String,
    /// How many slots.
    pub slots: u64,
}

/// Packets that left the path early.
#[derive(Clone, Debug, Deserialize)]
pub struct StopRow {
    /// The reason.
    pub name: String,
    /// How many.
    pub packets: u64,
}

/// `sluice flows --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Remembered {
    /// All flows, or as many as were asked for, those seen last first.
    pub flows: Vec<FlowRow>,
    /// How many there are.
    pub found: usize,
}

/// A flow that the kernel half remembers.
#[derive(Clone, Debug, Deserialize)]
pub struct FlowRow {
    /// The client.
    pub client: SocketAddr,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `backend/name`.
    pub server: String,
    /// `flow`, or `connection`, of which `fullnat` makes one of every flow.
    pub kind: String,
}

impl Remembered {
    /// How many there are of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.flows.iter().filter(|flow| flow.kind == kind).count()
    }
}

impl Maps {
    /// The part of a backend's ring that each server has, from 0 to 1. Servers without a slot are not in it.
    pub fn shares(&self, backend: &str) -> Result<BTreeMap<String, f64>> {
        let ring = self
            .rings
            .iter()
            .find(|ring| ring.backend.as_deref() == Some(backend))
            .with_context(|| format!("no ring of {backend}"))?;
        let all: u64 = ring.shares.iter().map(|share| share.slots).sum();
        let part = |share: &ShareRow| (share.server.clone(), ratio(share.slots, all));
        Ok(ring.shares.iter().filter(|share| share.slots > 0).map(part).collect())
    }

    /// How many packets left the path early for a reason.
    pub fn stopped(&self, reason: &str) -> u64 {
        self.stops.iter().filter(|stop| stop.name == reason).map(|stop| stop.packets).sum()
    }

    /// How many packets that went on that happened to.
    pub fn noted(&self, what: &str) -> u64 {
        self.notes.iter().filter(|note| note.name == what).map(|note| note.packets).sum()
    }

    /// A server by backend and name.
    pub fn server(&self, backend: &str, name: &str) -> Result<&ServerRow> {
        let wanted = |row: &&ServerRow| row.backend.as_deref() == Some(backend) && row.name.as_deref() == Some(name);
        self.servers.iter().find(wanted).with_context(|| format!("no server {backend}/{name} in the maps"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "slots are far below 2^52")]
fn ratio(part: u64, all: u64) -> f64 {
    part as f64 / all as f64
}
