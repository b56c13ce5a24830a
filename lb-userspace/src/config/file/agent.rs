//! `agent` of a backend and of a server: a program that says how the server is.

use crate::config::{read::table, text::Text};
use std::{net::IpAddr, time::Duration};

table! {
    /// `agent` of a backend, for all its servers, and of a server: what that does not say, the backend's says.
    struct Agent, "an agent" {
        /// TCP port that the agent listens at, 1 to 65535; HAProxy's `agent-port`. Required, here or there.
        port: i64,
        /// Address that it listens at, HAProxy's `agent-addr`. Default: the server's.
        address: IpAddr,
        /// From the start of one question to the start of the next, at least 10ms; HAProxy's `agent-inter`. Default: 2s, as HAProxy.
        interval: Duration,
        /// Longest time of one, from the connection to the end of the line; later the agent is silent. Default: the interval.
        timeout: Duration,
        /// What is said to it once it is connected to, as it is: an agent that waits for a line needs `\n` at its end. HAProxy's
        /// `agent-send`. Default: nothing.
        send: Text,
    }
}
