//! Check: how a backend finds out which servers work.

use std::{collections::BTreeSet, time::Duration};

/// An active probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check {
    /// The protocol.
    pub kind: CheckKind,
    /// From the start of one probe to the start of the next. Default: 2 s, as HAProxy's `inter`.
    pub interval: Duration,
    /// Longest time of one probe. Default: the interval.
    pub timeout: Duration,
    /// Successes in a row that bring a server up. Default: 2.
    pub rise: u32,
    /// Failures in a row that take a server down. Default: 3.
    pub fall: u32,
    /// Port to probe, if not the server's.
    pub port: Option<u16>,
}

/// The protocol of a check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CheckKind {
    /// A connection opens.
    Tcp,
    /// A request is answered with an expected status.
    Http {
        /// Default: `HEAD`, as the article recommends; HAProxy's own default is `OPTIONS`.
        method: String,
        /// Default: `/`.
        path: String,
        /// Sent as `Host`; default: the server's address.
        host: Option<String>,
        /// Default: 200 to 399.
        expect: BTreeSet<u16>,
    },
}
