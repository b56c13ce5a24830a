//! HEALTH PATH 1: probes in, verdicts out.
//!
//! The `checker` runs a probe a server, at its interval; each ends as an [`Outcome`]. [`Verdicts`] counts outcomes by rise
//! and fall, and says when a server's health changes. What follows from that is `worker::halves`' business.

pub mod rise_fall;
pub mod verdicts;
mod tasks;
mod stalls;
pub mod checker;
pub mod finding;
pub mod probe;
mod wire;
mod http;
mod grpc;
mod redis;
mod script;
mod tls;
mod reply;
mod smtp;
mod ftp;
mod ssh;
mod ldap;
mod udp;
pub mod agent;
pub mod agents;
mod mysql;
mod pgsql;
mod sql;
mod exec;
#[cfg(any(test, fuzzing))]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what tests and fuzzers alone have may panic"
)]
mod testing;
#[cfg(test)]
pub(crate) mod haproxy;
#[cfg(any(test, fuzzing))]
pub mod holds;

pub use agent::{AgentOutcome, AgentReport};
pub use agents::{Agents, Heard};
pub use checker::{Checker, Probers, ProbersError};
pub(crate) use finding::is_ours;
pub use finding::{Code, Finding, Meaning, Report};
pub use verdicts::{Transition, Verdicts};

use tokio::time::Instant;

/// The end of one probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// Which server; see [`Server::identity`](crate::model::Server::identity).
    pub identity: u64,
    /// Which of the checker's tasks: a changed check has another.
    pub task: u64,
    /// What the probe found.
    pub report: Report,
    /// When it ended.
    pub finished_at: Instant,
}
