//! Server: one machine of a backend.

use super::{Agent, Backend, Check, Host, Keeping, Limits, SharedServerTls};
use lb_common::hash::name_hash;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// One machine of a backend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Unique in its backend.
    pub name: String,
    /// Where it listens. The port of one that the configuration gives none is the lowest of its frontends, 0 if they have
    /// all: checks go there. [`NOWHERE`] as long as that of its host is not known; then nothing is sent to it.
    pub address: SocketAddr,
    /// What it is called, if the configuration names no address.
    pub host: Option<Arc<Host>>,
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
    /// Its agent, if it tracks no other server. Default: it has none.
    pub agent: Option<Agent>,
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

/// The address of a server of which none is known.
pub const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Server {
    /// How it is checked, if it is one of `backend` and checked itself.
    pub fn check<'a>(&self, backend: &'a Backend) -> Option<&'a Check> {
        backend.check.as_ref().filter(|_| self.track.is_none())
    }

    /// How its agent is asked, if it has one. What it tracks decides about its health alone.
    pub fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref().filter(|_| self.track.is_none())
    }

    /// Whether it can be reached: it has an address.
    pub fn is_resolved(&self) -> bool {
        self.address.ip() != NOWHERE
    }

    /// The same server at that address of its host; `None`: at none.
    #[must_use]
    pub fn at(&self, ip: Option<IpAddr>) -> Self {
        let address = SocketAddr::new(ip.unwrap_or(NOWHERE), self.address.port());
        let key = self.host.as_ref().and_then(|host| host.cookie_key.as_ref());
        let made = key.map(|key| ip.map(|ip| key.value(ip, if self.keeps_port { 0 } else { address.port() })));
        Self { address, cookie: made.unwrap_or_else(|| self.cookie.clone()), ..self.clone() }
    }

    /// Who this is, across reloads and restarts: backend, name and address. Never 0.
    pub fn identity(&self, backend: &str) -> u64 {
        name_hash(0x7365_7276, format!("{backend}/{}@{}", self.name, self.address).as_bytes()).max(1)
    }
}
