//! Reuse: what becomes of connections to servers between two requests.

use std::time::Duration;

/// Which requests may go on a connection that another client has used. HAProxy's `http-reuse`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Reuse {
    /// None: connections belong to their client, and end with it.
    Never,
    /// Not the first one of a client, unless it can be repeated: a server may close a kept connection just when it is used,
    /// and then nobody knows whether the request was done.
    #[default]
    Safe,
    /// Also a first one, on a connection that has been used by several requests.
    Aggressive,
    /// All.
    Always,
}

/// How many connections to a server are kept while nobody uses them, and how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keeping {
    /// Most of them, a thread; 0: none. HAProxy's `pool-max-conn`. Default: 64; HAProxy's is any number, which servers pay for.
    pub most: u32,
    /// How long one is kept: HAProxy's `pool-purge-delay`. Default: 4.5 s, below the keep-alive time of common servers (5 s
    /// Apache and Node.js, 75 s nginx): a request rarely meets a connection that is just being closed.
    pub delay: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { most: 64, delay: Duration::from_millis(4_500) }
    }
}
