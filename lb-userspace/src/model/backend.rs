//! Backend: a named set of servers with one way to balance and one check.

use super::{Check, Server};
use lb_common::Forward;
use std::time::Duration;

/// A named set of servers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backend {
    /// Unique among backends.
    pub name: String,
    /// How a server is picked.
    pub balance: Balance,
    /// How packets reach the servers, for kernel frontends.
    pub forward: Forward,
    /// How servers are checked; `None`: they are always up.
    pub check: Option<Check>,
    /// In the order of the file; not empty; names are unique.
    pub servers: Vec<Server>,
    /// Longest wait for a connection to a server. Default: 5 s.
    pub timeout_connect: Duration,
    /// Longest silence of a server. Default: 60 s.
    pub timeout_server: Duration,
}

/// How a server is picked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Balance {
    /// By turns, smoothly by weight. For `tcp` and `http` frontends only: the kernel half keeps no turn.
    #[default]
    RoundRobin,
    /// By the hash of the flow in the ring of the backend: the same server from every balancer of the group.
    Maglev,
}

/// Identity of a backend in the kernel's maps.
pub fn identity(name: &str) -> u64 {
    lb_common::hash::name_hash(0x6261_636b, name.as_bytes()).max(1)
}
