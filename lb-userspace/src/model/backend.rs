//! Backend: a named set of servers with one way to balance and one check.

use super::{Balance, Check, Cookie, ErrorFiles, Failover, Pressure, Reuse, Rules, Server};
use lb_common::Forward;
use std::{net::IpAddr, time::Duration};

/// A named set of servers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backend {
    /// Unique among backends.
    pub name: String,
    /// How a server is picked.
    pub balance: Balance,
    /// How packets reach the servers, for kernel frontends.
    pub forward: Forward,
    /// What its servers speak to `http` frontends. Default: HTTP/1.1.
    pub proto: Proto,
    /// Whether clients share connections to servers (`http`). Default: safe.
    pub reuse: Reuse,
    /// Servers are told who the client is before its first byte. Default: they are not.
    pub send_proxy: Option<SendProxy>,
    /// What becomes of requests that come here, and of the servers' responses (`http`).
    pub rules: Rules,
    /// How a client is brought back to its server (`http`). Default: not at all.
    pub cookie: Option<Cookie>,
    /// Queues, retries.
    pub pressure: Pressure,
    /// How servers are checked; `None`: they are always up.
    pub check: Option<Check>,
    /// In the order of the file; not empty; names are unique.
    pub servers: Vec<Server>,
    /// Once no other server can, all backups take traffic, not only the first. Default: false.
    pub allbackups: bool,
    /// What becomes of its traffic as it loses servers.
    pub failover: Failover,
    /// UDP port that servers take `gue` packets on. Default: 6080 (IANA).
    pub gue_port: u16,
    /// `fullnat`: addresses of ours that servers answer to; empty otherwise.
    pub sources: Vec<IpAddr>,
    /// What decides which server a flow gets, for kernel frontends. Default: the whole flow.
    pub affinity: Affinity,
    /// Which flows the kernel half remembers. Default: as few as it can.
    pub track: Track,
    /// How long a slot of the ring changes hands: flows that send a packet within it stay with their server. Default: 5 min.
    pub transition: Duration,
    /// Longest time that a removed server goes on with what it has. Default: 1 h.
    pub drain_timeout: Duration,
    /// Longest wait for a connection to a server. Default: 5 s.
    pub timeout_connect: Duration,
    /// Longest silence of a server. Default: 60 s.
    pub timeout_server: Duration,
    /// Longest silence of both ends of a tunnel. Default: the shorter one of those of client and server.
    pub timeout_tunnel: Option<Duration>,
    /// Longest silence of a server in a tunnel whose client has ended its half. Default: as before.
    pub timeout_server_fin: Option<Duration>,
    /// Answers in place of ours (`http`), from when it was chosen; then those of the frontend.
    pub errors: ErrorFiles,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SendProxy {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What servers speak.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Proto {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, also in clear text, as gRPC servers do.
    Http2,
}

impl Backend {
    /// Most servers that take new traffic together: backups do only once no other server can.
    pub fn most_takers(&self) -> usize {
        let backups = self.servers.iter().filter(|server| server.backup).count();
        let at_once = if self.allbackups { backups } else { backups.min(1) };
        at_once.max(self.servers.len() - backups)
    }

    /// The load at which all servers may have their `maxconn`.
    pub fn fullconn(&self) -> usize {
        let sum = || self.servers.iter().map(|server| server.limits.maxconn as usize).sum();
        self.pressure.fullconn.map_or_else(sum, |fullconn| fullconn as usize)
    }
}

/// What of a flow decides which server it gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Affinity {
    /// Both addresses, both ports and the protocol.
    #[default]
    None,
    /// The client's address alone, so that all it opens meets at one server.
    Source,
}

/// Which flows the kernel half remembers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Track {
    /// Only those of slots that change hands.
    #[default]
    Auto,
    /// All, in a table that forgets the oldest when it is full.
    Full,
}

/// Identity of a backend in the kernel's maps.
pub fn identity(name: &str) -> u64 {
    lb_common::hash::name_hash(0x6261_636b, name.as_bytes()).max(1)
}
