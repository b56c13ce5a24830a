//! Access logs: what is logged, how it is written and where to.

pub mod format;
pub mod parse;

pub use format::{Field, Flags, Item};
pub use parse::{Fault, FormatError};

use std::{fmt, net::SocketAddr, path::PathBuf};

/// What a frontend logs. By default nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Logging {
    /// Every line goes to each of these.
    pub targets: Vec<Log>,
    /// Connections that closed without a byte are left out, as with HAProxy's `option dontlognull`.
    pub skip_null: bool,
    /// What went as it should is left out, as with HAProxy's `option dontlog-normal`.
    pub skip_normal: bool,
    /// Fields of requests that lines show.
    pub capture_request: Vec<Capture>,
    /// Fields of responses that lines show.
    pub capture_response: Vec<Capture>,
    /// How requests get an id, and in which field servers see it.
    pub unique_id: Option<UniqueId>,
}

/// How requests get an id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UniqueId {
    /// Field that carries it to servers.
    pub header: String,
    /// What it is made of; `None`: 128 random bits, in hexadecimal.
    pub format: Option<Vec<Item>>,
}

/// Where lines go, and how they are written there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// Where to.
    pub target: Target,
    /// What a line says.
    pub format: Format,
    /// What stands around it.
    pub framing: Framing,
    /// Longest line in bytes, framing included.
    pub length: usize,
}

/// Where events go, and how they are written there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventLog {
    /// Where to.
    pub target: Target,
    /// What a line says.
    pub format: EventFormat,
    /// What stands around it.
    pub framing: Framing,
    /// Longest line in bytes, framing included.
    pub length: usize,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventFormat {
    /// One JSON object.
    Json,
    /// Words.
    Text,
}

/// Where lines go. The identity of a queue, its writer and its counters: these outlive reloads.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Target {
    /// A datagram for each line.
    Udp(SocketAddr),
    /// A datagram for each line, to a socket in the file system.
    Unix(PathBuf),
    /// Appended to a file.
    File(PathBuf),
    /// Written to the daemon's standard output.
    Stdout,
}

impl Target {
    /// Whether lines follow each other there, each with its end.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::Udp(_) | Self::Unix(_) => false,
            Self::File(_) | Self::Stdout => true,
        }
    }
}

/// As typed.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Stdout => f.write_str("stdout"),
        }
    }
}

/// What a line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// HAProxy's `log-format`, or one of its ready-made forms.
    Items(Vec<Item>),
}

/// What stands around a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// Nothing.
    Raw,
    /// Syslog.
    Syslog {
        /// Its dialect.
        dialect: Dialect,
        /// Facility, 0 to 23 (RFC 5424 §6.2.1).
        facility: u8,
        /// Severity of what went as it should, 0 to 7.
        level: u8,
        /// Severity of what did not.
        error_level: u8,
    },
}

/// A dialect of syslog.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// RFC 3164 without the host's name: what a syslog daemon on the same host expects.
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
}

/// A header field that goes into the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capture {
    /// Its name.
    pub name: String,
    /// Bytes of it that are kept, at most.
    pub length: usize,
}
