//! The check by a program of one's own.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Runs a program, which says by its exit status whether the server works: HAProxy's `external-check`.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ExecCheck {
    /// The program, an absolute path.
    pub command: PathBuf,
    /// What it is given behind the four arguments that HAProxy gives it. Default: nothing.
    pub args: Vec<String>,
    /// Its environment's `PATH`. Default: empty, as HAProxy's.
    pub path: String,
    /// What the program is told that the servers speak.
    pub spoken: Spoken,
}

/// What servers speak to the proxy, by HAProxy's words.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Spoken {
    /// `tcp`: anything.
    #[default]
    Tcp,
    /// `h1`: HTTP/1.1.
    Http1,
    /// `h2`: HTTP/2.
    Http2,
}

impl Spoken {
    /// As HAProxy's `HAPROXY_SERVER_PROTO` has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}
