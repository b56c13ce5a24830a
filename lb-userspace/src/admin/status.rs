//! How a daemon stands: what `sluice status` shows and `--json` prints.

use crate::{
    channel::message::Interface,
    servers::{Admin, FrontendTotals, Health, ServerTotals},
    worker::privileges::Sandbox,
};
use serde::{Deserialize, Serialize};

/// How a daemon stands.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Process of the supervisor.
    pub pid: u32,
    /// Process of the worker; the same as `pid` with `--single-process`.
    pub worker_pid: u32,
    /// Configurations taken up since the supervisor started, from 1; the one that both halves have.
    pub generation: u64,
    /// How often rings of the kernel half were rebuilt since the worker started: at most ten times a second.
    pub ring_rebuilds: u64,
    /// Where the kernel half runs; empty without kernel frontends.
    pub interfaces: Vec<Interface>,
    /// Where clients connect.
    pub frontends: Vec<FrontendStatus>,
    /// Where they are sent.
    pub backends: Vec<BackendStatus>,
    /// Connections open now in the proxy.
    pub connections: usize,
    /// Most of them that there may be; 0: any number.
    pub max_connections: usize,
    /// The kernel half's tables of single flows; empty without kernel frontends, or before the first look.
    pub tables: Vec<TableStatus>,
    /// The last changes of health, newest last, at most [`FAILOVERS`].
    pub failovers: Vec<Failover>,
    /// Where access logs go.
    pub logs: Vec<LogStatus>,
    /// What reloads have removed and has flows or connections still.
    #[serde(default)]
    pub leaving: Vec<LeavingStatus>,
    /// How far the worker is held.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// When the worker started, in seconds of the Unix epoch.
    #[serde(default)]
    pub started_at: u64,
    /// Threads of the proxy.
    #[serde(default)]
    pub threads: usize,
    /// How many events there were, of each kind.
    #[serde(default)]
    pub events: Vec<EventStatus>,
}

/// Events of a kind.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct EventStatus {
    /// One of [`KINDS`](crate::events::KINDS).
    pub event: String,
    /// How many the worker knows of.
    pub count: u64,
}

/// A frontend, VIP or server that a reload has removed, or moved to another address, and that has flows or connections still.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LeavingStatus {
    /// A frontend's name, also of a VIP; a server's as BACKEND/NAME, or nothing if nobody knows it any more, as after a restart.
    pub name: String,
    /// `frontend` (of the proxy), `vip` (of an `l4` frontend) or `server`.
    pub kind: String,
    /// That of a server or VIP.
    pub address: Option<String>,
    /// Connections of the proxy open now.
    pub connections: u64,
    /// Flows that the kernel half remembers one by one, as of the last look; those of slots that it just loses come as they send.
    pub flows: u64,
    /// Seconds after which what is left will be cut.
    pub within: u64,
}

/// Changes of health that are remembered.
pub const FAILOVERS: usize = 64;

/// A table of single flows, as of the last look.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct TableStatus {
    /// `flows` (of slots that change hands), `connections` (`track = "full"`, `fullnat`), or `half_open` (of the same, but only
    /// their beginning was seen).
    pub table: String,
    /// 4 or 6: each family has its own.
    pub family: u8,
    /// Entries that are taken. A connection that is translated has two.
    pub entries: usize,
    /// Entries that there are.
    pub capacity: usize,
}

/// A target of access logs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct LogStatus {
    /// As typed: `udp:192.0.2.1:514`, `unix:/dev/log`, `file:/var/log/sluice.log`, `stdout`.
    pub target: String,
    /// Lines that it took since it was first named.
    pub written: u64,
    /// Lines that were lost: it was slow or gone for too long, or never takes such.
    pub lost: u64,
    /// The last attempt to write failed; it is tried again.
    pub failing: bool,
}

/// A frontend.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct FrontendStatus {
    /// Its name.
    pub name: String,
    /// `l4`, `tcp` or `http`.
    pub mode: String,
    /// Its addresses.
    pub binds: Vec<BindStatus>,
    /// The backend of a kernel frontend, the default backend of others.
    pub backend: Option<String>,
    /// Connections of clients open now in the proxy.
    pub connections: u64,
    /// Most of them that there may be; 0: any number.
    pub maxconn: usize,
    /// Servers of that backend that take new traffic now.
    pub servers: usize,
    /// How many of them it needs; 0: it has no such backend.
    pub quorum: u32,
    /// Whether there are so many, or were, and `hysteresis` allows for it.
    pub has_quorum: bool,
    /// New traffic is turned away, because there are not.
    pub withdrawn: bool,
    /// What the proxy has counted.
    #[serde(default)]
    pub totals: FrontendTotals,
}

/// An address of a frontend.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct BindStatus {
    /// Address and port, or ports: `192.0.2.10:80`, `192.0.2.10:5000-5009`, `192.0.2.10:*`.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// A backend.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Identity in the kernel's maps.
    pub identity: u64,
    /// In the order of the file.
    pub servers: Vec<ServerStatus>,
    /// What the proxy has counted of all its servers, also of those that reloads have removed.
    #[serde(default)]
    pub totals: ServerTotals,
    /// Requests or connections that wait for whichever server has room first.
    #[serde(default)]
    pub queued: u64,
    /// Those that found no server.
    #[serde(default)]
    pub no_server: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct CheckStatus {
    /// The last probe in words; `None` before the first.
    pub last: Option<String>,
    /// Its code, by HAProxy's names: `L7OK`, `L4CON`.
    pub code: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: Option<u64>,
    /// Probes that failed while the server was up.
    pub failures: u64,
    /// How often it went down.
    pub downs: u64,
    /// Its counter of rise and fall: 0 to `rise + fall - 1`, up from `rise` on.
    pub health: u32,
}

/// What an agent says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct AgentStatus {
    /// The last thing that it said about the server's health, or what was wrong with it; `None`: nothing of either. HAProxy's
    /// `last_agt`.
    pub last: Option<String>,
    /// How the last question ended, by HAProxy's names: `L7OK`, `L7STS`, `CHECKED` (no word about health), `L4CON`.
    pub code: Option<String>,
    /// How long it took, in microseconds.
    pub took_us: Option<u64>,
    /// Questions that had no answer: they change nothing.
    pub silences: u64,
    /// Whether its last word about that is that the server is down.
    pub down: bool,
    /// Whether it is the agent that wanted the administrative state which the server has.
    pub admin: bool,
}

/// A server.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Its address; of one that is known by its name and has none, the name with the port.
    pub address: String,
    /// How it stands with its name; `None`: it is known by its address.
    #[serde(default)]
    pub host: Option<HostStatus>,
    /// Row in the kernel's maps.
    pub id: u16,
    /// In one word.
    pub state: String,
    /// Whether it takes new traffic now: a backup server may be up and yet idle.
    pub available: bool,
    /// What the operator wants, or its agent.
    pub admin: Admin,
    /// What the checks found, and its agent.
    pub health: Health,
    /// What its check found; `None`: it has none of its own.
    pub check: Option<CheckStatus>,
    /// What its agent says; `None`: it has none.
    #[serde(default)]
    pub agent: Option<AgentStatus>,
    /// Share of the traffic relative to the others, as configured.
    pub weight: u16,
    /// The same as it is now, by the last word of the operator or of its agent.
    #[serde(default)]
    pub current_weight: u16,
    /// Most requests or connections of the proxy that it has at once now; 0: any number.
    #[serde(default)]
    pub maxconn: u32,
    /// What part of that it has in the proxy while it rises by `slowstart`, in percent; `None`: all.
    pub throttle: Option<u8>,
    /// Whether it is a backup server.
    pub backup: bool,
    /// Connections of the proxy open now.
    pub connections: u64,
    /// Flows that the kernel half remembers one by one, as of the last look.
    pub flows: u64,
    /// It is in `drain`, and neither half has a flow or connection of it left.
    pub drained: bool,
    /// Connections or requests of the proxy ever sent there.
    pub total: u64,
    /// Connections of the proxy that could not be opened.
    pub connect_errors: u64,
    /// What else the proxy has counted.
    #[serde(default)]
    pub totals: ServerTotals,
    /// Requests or connections that wait for this server alone.
    #[serde(default)]
    pub queued: u64,
    /// Since when it is up, or is not, in seconds before now.
    #[serde(default)]
    pub changed: u64,
    /// How long it was not up since the worker started, in seconds.
    #[serde(default)]
    pub downtime: u64,
}

/// How a server stands with its host name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostStatus {
    /// The name.
    pub name: String,
    /// How old the last good answer is, in seconds; `None`: there was none since the worker started.
    pub age: Option<u64>,
    /// How often the question has failed since the worker started.
    pub failures: u64,
    /// Why the last answer is of no use, or did not come; `None`: all is well.
    pub problem: Option<String>,
}

/// One change of health and how fast it took effect.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Failover {
    /// The backend's name.
    pub backend: String,
    /// The server's name.
    pub server: String,
    /// What it became.
    pub to: Health,
    /// The probe that decided, in words.
    pub reason: String,
    /// When both halves had the verdict, in microseconds of the Unix epoch.
    pub at_us: u64,
    /// From the end of that probe until then, in microseconds.
    pub probe_to_map_us: u64,
}
