//! Pressure: what a backend does when its servers are full, or fail.

use std::{collections::BTreeSet, time::Duration};

/// Queues and retries of a backend.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pressure {
    /// The load at which servers with a `minconn` may have their `maxconn`; `None`: the sum of all `maxconn`.
    pub fullconn: Option<u32>,
    /// Longest wait for a place at a server; `None`: that for a connection.
    pub timeout_queue: Option<Duration>,
    /// What happens after a failure.
    pub retry: Retry,
    /// Whether an expression asks what it has in hand (`be_conn`, `srv_conn`): then that is counted, whether servers have
    /// limits or not.
    pub is_asked_for_load: bool,
}

/// How many requests or connections a server takes. HAProxy's words.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Most at once; 0: any number.
    pub maxconn: u32,
    /// Most at once while the backend has nothing else to do, rising to `maxconn`; 0: always `maxconn`.
    pub minconn: u32,
    /// Most that wait for this server alone; 0: any number.
    pub maxqueue: u32,
}

impl Limits {
    /// Most at once while the backend has `load`, or none: HAProxy's `srv_dynamic_maxconn` (queue.c).
    pub fn at(self, load: usize, fullconn: usize) -> usize {
        let (least, most) = (self.minconn as usize, self.maxconn as usize);
        match most {
            0 => usize::MAX,
            _ if least == 0 || least >= most || load >= fullconn => most,
            // Both are below 2³²: the product fits.
            _ => (load * most / fullconn).max(least),
        }
    }

    /// Whether the limit moves with the load.
    pub fn is_dynamic(self) -> bool {
        self.minconn > 0 && self.minconn < self.maxconn
    }
}

/// What happens after a failure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retry {
    /// Attempts after the first.
    pub retries: u32,
    /// Whether they may go to other servers, also where a cookie names one.
    pub redispatch: bool,
    /// After which failures.
    pub on: BTreeSet<RetryOn>,
}

impl Default for Retry {
    /// HAProxy's, but for `redispatch`.
    fn default() -> Self {
        Self { retries: 3, redispatch: true, on: BTreeSet::from([RetryOn::ConnFailure]) }
    }
}

/// A failure that is worth another attempt. HAProxy's `retry-on`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RetryOn {
    /// No connection: nothing was sent.
    ConnFailure,
    /// The connection ended before the answer began.
    EmptyResponse,
    /// What was answered is not HTTP.
    JunkResponse,
    /// The answer did not begin in time.
    ResponseTimeout,
    /// An answer of that status.
    Status(u16),
}
