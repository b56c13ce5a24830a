//! Sockets of the runtime API beside the control socket, and what clients may do there. HAProxy's `stats socket`.

use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// A socket of the runtime API.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StatsSocket {
    /// Where it is.
    pub path: PathBuf,
    /// Who may connect, as chmod(2) has it.
    pub mode: u32,
    /// Its group. Default: that of who starts the daemon.
    pub group: Option<String>,
    /// What those may do that connect and are neither root nor who started the daemon.
    pub level: Level,
}

/// What a client may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Level {
    /// Look at what says nothing of single clients.
    User,
    /// Look at all, and change what does no harm.
    #[default]
    Operator,
    /// Change everything.
    Admin,
}

impl Level {
    /// As typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
