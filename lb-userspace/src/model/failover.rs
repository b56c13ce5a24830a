//! Failover: what becomes of the traffic of a backend that loses servers.

use super::BackendIndex;

/// What becomes of the traffic of a backend that loses servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Failover {
    /// Fewest servers that can take new traffic; with fewer, nothing new comes to the backend. Default: 1.
    pub min_up: u32,
    /// What becomes of new traffic then. Default: an error.
    pub on_empty: OnEmpty,
    /// The backend that takes it then. Default: none.
    pub fallback: Option<BackendIndex>,
    /// Connections to a server that goes down are cut (`tcp`, `http`). Default: they go on.
    pub cut_down: bool,
    /// What becomes of flows of a server that goes down (`l4`). Default: they move.
    pub flows: DownFlows,
    /// Connections to backups are cut once another server is back (`tcp`, `http`). Default: they go on.
    pub cut_backups: bool,
}

impl Failover {
    /// Whether connections to servers are ever cut.
    pub fn cuts(&self) -> bool {
        self.cut_down || self.cut_backups
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            min_up: 1,
            on_empty: OnEmpty::Error,
            fallback: None,
            cut_down: false,
            flows: DownFlows::Move,
            cut_backups: false,
        }
    }
}

/// What becomes of new traffic of a backend without servers that can take it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnEmpty {
    /// 503 (`http`), a close (`tcp`), nothing (`l4`).
    #[default]
    Error,
    /// A reset (`tcp`, `l4`); of a datagram ICMP says so (`l4`).
    Reset,
    /// It goes to servers all the same, healthy or not.
    FailOpen,
}

/// What becomes of flows of an `l4` frontend whose server is down. New ones, and those of UDP, go to other servers anyway.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DownFlows {
    /// They go to other servers.
    #[default]
    Move,
    /// They stay.
    Keep,
    /// They are reset when they speak.
    Reset,
}
