//! Server: one machine of a backend.

use super::{Backend, Check, Keeping, Limits, SharedServerTls};
use lb_common::hash::name_hash;
use std::{net::SocketAddr, time::Duration};

/// One machine of a backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Unique in its backend.
    pub name: String,
    /// Where it listens. The port of one that the configuration gives none is the lowest of its frontends, 0 if they have
    /// all: checks go there.
    pub address: SocketAddr,
    /// Whether the configuration gives it no port: it is reached at the one that the client connected to.
    pub keeps_port: bool,
    /// Share of the traffic relative to the other servers: 1 to 256. Default: 1.
    pub weight: u16,
    /// Takes traffic only when no other server can; see [`Backend::allbackups`](super::Backend::allbackups). Default: false.
    pub backup: bool,
    /// Value of the backend's cookie.
    pub cookie: Option<String>,
    /// How much it takes at once. Default: any number.
    pub limits: Limits,
    /// Connections to it that nobody uses (`http`).
    pub keeping: Keeping,
    /// How long it takes to its full weight and limit after it came up. Default: no time.
    pub slowstart: Option<Duration>,
    /// Speak TLS to it; `None`: clear text.
    pub tls: SharedServerTls,
    /// The checked server whose health is also its own; it is not checked itself then.
    pub track: Option<ServerName>,
}

/// A server by its names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerName {
    /// Its backend's.
    pub backend: String,
    /// Its own.
    pub server: String,
}

impl Server {
    /// How it is checked, if it is one of `backend` and checked itself.
    pub fn check<'a>(&self, backend: &'a Backend) -> Option<&'a Check> {
        backend.check.as_ref().filter(|_| self.track.is_none())
    }

    /// Who this is, across reloads and restarts: backend, name and address. Never 0.
    pub fn identity(&self, backend: &str) -> u64 {
        name_hash(0x7365_7276, format!("{backend}/{}@{}", self.name, self.address).as_bytes()).max(1)
    }
}
