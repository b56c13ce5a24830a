//! What an old and a new supervisor say to each other. The greeting, both ways, is what versions have in common for ever: fields
//! may be added to it, none may go. All after it is of one [`PROTOCOL`].

use crate::model::StatsSocket;
use lb_common::maps::{ABI_VERSION, SCHEMA};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Raised whenever what follows the greeting changes, or what a worker leaves to the next one.
pub(super) const PROTOCOL: u32 = 1;

/// The first word, of the old one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Greeting {
    pub(super) protocol: u32,
    /// For people.
    pub(super) version: String,
    /// [`SCHEMA`] of its maps.
    pub(super) schema: u64,
    /// [`ABI_VERSION`] of their rows.
    pub(super) abi: u64,
    /// Of its configuration; the next one goes on from there.
    pub(super) generation: u64,
    /// Flows that cannot be carried may be dropped.
    pub(super) drop_flows: bool,
}

/// The answer of the new one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Reply {
    pub(super) protocol: u32,
    pub(super) version: String,
    /// Why not.
    pub(super) refused: Option<String>,
}

/// From the old one to the new one, after the greeting. Descriptors travel beside a message.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum ToNew {
    /// Listening sockets of an address; in as many messages as they need.
    Listeners { address: SocketAddr },
    /// The control socket; descriptors: that, and the lock beside it.
    ControlSocket { path: PathBuf },
    /// A stats socket; one descriptor.
    StatsSocket(StatsSocket),
    /// The metrics socket; one descriptor.
    MetricsSocket { address: SocketAddr },
    /// The socket of a statistics page; one descriptor.
    PageSocket { address: SocketAddr },
    /// There is a kernel half; descriptor: the lock on its pin directory.
    Kernel { pin_dir: PathBuf },
    /// Where servers are that are known by their names; descriptor: the worker's memory file.
    Addresses,
    /// That was all. Prepare what can fail, change nothing, and say [`ToOld::Prepared`].
    Prepare,
    /// Nobody writes maps any more: take over, and say [`ToOld::Ready`]. Descriptor: a memory file with what the old worker
    /// [knows](crate::worker::state::State).
    Take,
    /// All is yours: what only the old one used may go.
    Yours,
}

/// From the new one to the old one, after the greeting.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum ToOld {
    /// All that can fail without a change has been done.
    Prepared,
    /// It serves. Descriptor: a memory file with a [`Report`].
    Ready,
    /// It cannot; its worker has ended.
    Failed { why: String },
}

/// How the new one took over.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Report {
    /// For the operator.
    pub(super) warnings: String,
    /// Addresses that its configuration does not have: what waits there nobody but the old worker will accept.
    pub(super) gone: Vec<SocketAddr>,
}

impl Greeting {
    pub(super) fn new(generation: u64, drop_flows: bool) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { protocol: PROTOCOL, version, schema: SCHEMA, abi: ABI_VERSION, generation, drop_flows }
    }

    /// Why what this one hands over cannot be taken.
    pub(super) fn refusal(&self) -> Option<String> {
        let Self { protocol, version, .. } = self;
        (*protocol != PROTOCOL).then(|| {
            format!(
                "sluice {version} hands over by protocol {protocol}, and sluice {} takes over by protocol {PROTOCOL}: restart \
                 instead",
                env!("CARGO_PKG_VERSION")
            )
        })
    }

    /// Whether rows of its maps may mean something else, where they are not the same maps.
    pub(super) fn has_other_rows(&self) -> bool {
        self.abi != ABI_VERSION
    }

    pub(super) fn reply(&self) -> Reply {
        Reply { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), refused: self.refusal() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_protocol_is_refused_whatever_else_a_greeting_says_and_both_versions_are_named() {
        let text = r#"{"protocol": 9, "version": "7.0.0", "moons": ["of", "jupiter"]}"#;
        let reply = serde_json::from_str::<Greeting>(text).expect("a greeting").reply();
        let why = reply.refused.expect("refused");
        assert!(
            why.contains("7.0.0") && why.contains("protocol 9") && why.contains(env!("CARGO_PKG_VERSION")),
            "{why}"
        );
        assert_eq!(Greeting::new(3, false).reply().refused, None);
        assert_eq!(serde_json::from_str::<Greeting>("{}").expect("a greeting").protocol, 0);
    }
}
