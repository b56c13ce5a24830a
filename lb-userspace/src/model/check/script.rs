//! The script: what is said on connections to a server, and what must come back, as HAProxy's `tcp-check`.

use super::super::{SendProxy, SharedServerTls, acl::converter::Pattern};
use std::net::IpAddr;

/// Connections one after the other, each with what happens on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScriptCheck {
    /// At least one.
    pub connections: Vec<Connection>,
}

/// A connection, and the steps on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connection {
    /// Where it goes, and how.
    pub connect: Connect,
    /// What happens on it.
    pub steps: Vec<Step>,
}

/// A connection of a script.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connect {
    /// The place of the step, from 1 on; 0: the script has no such step.
    pub number: usize,
    /// What it is for.
    pub comment: Option<String>,
    /// Default: the check's.
    pub address: Option<IpAddr>,
    /// Default: the check's.
    pub port: Option<u16>,
    /// With what the check and traffic have of TLS and the PROXY protocol, where the next two say nothing.
    pub default: bool,
    /// TLS of its own.
    pub tls: SharedServerTls,
    /// A PROXY header of its own.
    pub send_proxy: Option<SendProxy>,
    /// The end is a FIN, not a RST.
    pub linger: bool,
}

impl Connect {
    /// That of a script that says nothing of it.
    pub fn implicit() -> Self {
        Self {
            number: 0,
            comment: None,
            address: None,
            port: None,
            default: true,
            tls: None,
            send_proxy: None,
            linger: false,
        }
    }
}

/// A step of a script on a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Its place, from 1 on.
    pub number: usize,
    /// What it is for.
    pub comment: Option<String>,
    /// What is done.
    pub action: Action,
}

/// What is done in a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// These bytes are sent.
    Send(Vec<u8>),
    /// What came since the last `Send`, or since the connection opened, must be this.
    Expect(Box<Expect>),
}

/// What must have come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expect {
    /// What is looked for.
    pub content: Content,
    /// It must not be there.
    pub not: bool,
    /// So many bytes are waited for, and then a mismatch is final. Default: it never is, while more may come.
    pub min_recv: Option<usize>,
    /// Said instead of `(tcp-check)` if this is the last step.
    pub on_success: Option<String>,
    /// Said instead of HAProxy's words.
    pub on_error: Option<String>,
    /// Default: `L7OK`.
    pub ok_status: OkStatus,
    /// Default: `L7RSP`.
    pub error_status: ErrorStatus,
    /// Default: `L7TOUT`.
    pub timeout_status: TimeoutStatus,
}

/// What is looked for in what came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// These bytes, somewhere.
    Text(Vec<u8>),
    /// A match of this.
    Regex(Pattern),
    /// These bytes, somewhere.
    Binary(Vec<u8>),
    /// A match of this in the hexadecimal digits, in upper case, of what came.
    BinaryRegex(Pattern),
}

/// HAProxy's `ok-status`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OkStatus {
    /// `L7OK`.
    #[default]
    L7Ok,
    /// `L7OKC`: it works, and should get nothing new.
    L7OkConditionally,
    /// `L6OK`.
    L6Ok,
    /// `L4OK`.
    L4Ok,
}

/// HAProxy's `error-status`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ErrorStatus {
    /// `L7RSP`.
    #[default]
    L7Response,
    /// `L7STS`.
    L7Status,
    /// `L7OKC`: not a failure, but it should get nothing new.
    L7OkConditionally,
    /// `L6RSP`.
    L6Response,
    /// `L4CON`.
    L4Connection,
}

/// HAProxy's `tout-status`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TimeoutStatus {
    /// `L7TOUT`.
    #[default]
    L7Timeout,
    /// `L6TOUT`.
    L6Timeout,
    /// `L4TOUT`.
    L4Timeout,
}
