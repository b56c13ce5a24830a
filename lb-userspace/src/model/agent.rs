//! Agent: a program beside a server that says how the server is, and how much it wants. HAProxy's `agent-check`.

use std::{net::IpAddr, time::Duration};

/// How a server's agent is asked, beside the server's check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// Where it listens; HAProxy's `agent-port`.
    pub port: u16,
    /// The same; `None`: at the server's address. HAProxy's `agent-addr`.
    pub address: Option<IpAddr>,
    /// From the start of one question to the start of the next. Default: 2 s, as HAProxy's `agent-inter`.
    pub interval: Duration,
    /// Longest time of one. Default: the interval.
    pub timeout: Duration,
    /// What is said to it first, as it is; HAProxy's `agent-send`. Default: nothing.
    pub send: String,
}

impl Default for Agent {
    fn default() -> Self {
        let interval = Duration::from_secs(2);
        Self { port: 0, address: None, interval, timeout: interval, send: String::new() }
    }
}
