//! Leaving: a server that a reload has removed and that goes on with what it has, for a while.

use super::Standing;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, time::Duration};

/// A server of the kernel half that is gone from the configuration, or from its `l4` frontends, and keeps the flows that it has.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Leaving {
    /// The backend's name; empty if nobody knows it any more, as after a restart.
    pub backend: String,
    /// The server's name; empty likewise.
    pub server: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How long it may take: `drain_timeout` of its backend.
    pub within: Duration,
    /// When that is over, in the time of whoever plans. `None`: it has not begun yet.
    pub until: Option<Duration>,
    /// Whether its flows may be in the tables of connections.
    pub is_tracked: bool,
    /// How it stood.
    pub standing: Standing,
}

/// `drain_timeout` of servers whose backend nobody knows.
pub const WITHIN: Duration = Duration::from_hours(1);
