//! What is said to the runner, and what it answers. Both of its lines are [`Channel`](crate::channel::Channel)s.

use crate::model::check::ExecCheck;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, time::Duration};

/// From the supervisor; one descriptor beside each. The runner says nothing to it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub enum ToRunner {
    /// Run exactly these from now on; descriptor: a memory file with a set of [`ExecCheck`].
    Allow,
    /// Serve this worker and no other any more; descriptor: the end of a line on which come [`Job`]s. When that line ends,
    /// so do they.
    Worker,
}

/// From a worker: run this. Answered by one [`Ended`]; at most [`JOBS`] may be without an answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Job {
    /// For the answer.
    pub number: u64,
    /// What; one that the supervisor has allowed.
    pub check: ExecCheck,
    /// What the program is told.
    pub facts: Facts,
    /// Connections of the proxy to the server that are open now.
    pub connections: u64,
    /// From when this comes, with the wait for others to end.
    pub timeout: Duration,
}

/// What a program is told of the server that it is run for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Facts {
    /// The name of the backend.
    pub backend: String,
    /// Its number among the backends in the order of their names, from 1.
    pub backend_id: usize,
    /// The name of the server.
    pub server: String,
    /// Its number in the backend, from 1.
    pub server_id: usize,
    /// Where traffic goes.
    pub address: SocketAddr,
    /// Most connections to it; 0: any number.
    pub maxconn: u32,
    /// Whether traffic goes there in TLS.
    pub tls: bool,
}

/// From the runner to a worker: how a [`Job`] ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ended {
    /// That of the job.
    pub number: u64,
    /// How.
    pub how: How,
    /// What the program printed first, to standard output or standard error: at most [`SAID`] bytes.
    pub said: Vec<u8>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum How {
    /// The program ended with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// It did not end in time, and was killed.
    TimedOut,
    /// It could not be started; the number of the system's error, 0 if it has none.
    Failed(i32),
    /// It was not started, because others did not end in time.
    Crowded,
    /// It was not started: it is not among those that the supervisor has allowed.
    Refused,
}

/// Most [`Job`]s of a worker that are not answered yet. The line of one that asks for more ends.
pub const JOBS: usize = 4_096;

/// Most bytes that are kept of what a program prints. What comes behind them is read and forgotten.
pub const SAID: usize = 1_024;

impl Job {
    /// The arguments of the program, as HAProxy's `external-check` has them in a backend, and the configuration's.
    pub fn arguments(&self) -> impl Iterator<Item = String> {
        let address = self.facts.address;
        let own = [NOT_USED.to_owned(), NOT_USED.to_owned(), address.ip().to_string(), address.port().to_string()];
        own.into_iter().chain(self.check.args.iter().cloned())
    }

    /// Its environment, likewise.
    pub fn environment(&self) -> [(&'static str, String); 13] {
        let Facts { backend, backend_id, server, server_id, address, maxconn, tls } = &self.facts;
        [
            ("HAPROXY_PROXY_ADDR", String::new()),
            ("HAPROXY_PROXY_ID", backend_id.to_string()),
            ("HAPROXY_PROXY_NAME", backend.clone()),
            ("HAPROXY_PROXY_PORT", String::new()),
            ("HAPROXY_SERVER_ADDR", address.ip().to_string()),
            ("HAPROXY_SERVER_CURCONN", self.connections.to_string()),
            ("HAPROXY_SERVER_ID", server_id.to_string()),
            ("HAPROXY_SERVER_MAXCONN", maxconn.to_string()),
            ("HAPROXY_SERVER_NAME", server.clone()),
            ("HAPROXY_SERVER_PORT", address.port().to_string()),
            ("HAPROXY_SERVER_PROTO", self.check.spoken.word().to_owned()),
            ("HAPROXY_SERVER_SSL", u8::from(*tls).to_string()),
            ("PATH", self.check.path.clone()),
        ]
    }
}

/// What stands for a backend's own address, which it does not have.
const NOT_USED: &str = "NOT_USED";
