//! Totals: what all threads have counted of a frontend, a server or a backend.

use super::{
    BackendLive, FrontendLive, ServerLive,
    counts::{Counter, FrontendCounts, Responses, ServerCounts, Sharded},
};
use serde::{Deserialize, Serialize};

/// The classes of responses by their status, by HAProxy's names.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Responses over all threads, in the order of [`CLASSES`].
pub(crate) fn responses<T>(counts: &Sharded<T>, of: impl Fn(&T) -> &Responses) -> [u64; CLASSES.len()] {
    [100, 200, 300, 400, 500, 0].map(|status| counts.sum(|counts| of(counts).of(status)))
}

/// What the proxy has counted of a frontend since the worker started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct FrontendTotals {
    /// See [`FrontendCounts::opened`].
    pub connections: u64,
    /// See [`FrontendCounts::tls_errors`].
    pub tls_errors: u64,
    /// See [`FrontendCounts::requests`].
    pub requests: u64,
    /// See [`FrontendCounts::request_errors`].
    pub request_errors: u64,
    /// See [`FrontendCounts::denied_connections`].
    pub denied_connections: u64,
    /// See [`FrontendCounts::denied_requests`].
    pub denied_requests: u64,
    /// See [`FrontendCounts::denied_responses`].
    pub denied_responses: u64,
    /// See [`FrontendCounts::bytes_in`].
    pub bytes_in: u64,
    /// See [`FrontendCounts::bytes_out`].
    pub bytes_out: u64,
    /// See [`FrontendCounts::responses`], in the order of [`CLASSES`].
    pub responses: [u64; CLASSES.len()],
}

impl From<&FrontendLive> for FrontendTotals {
    fn from(live: &FrontendLive) -> Self {
        let sum = |counter: fn(&FrontendCounts) -> &Counter| live.counts.sum(counter);
        Self {
            connections: sum(|counts| &counts.opened),
            tls_errors: sum(|counts| &counts.tls_errors),
            requests: sum(|counts| &counts.requests),
            request_errors: sum(|counts| &counts.request_errors),
            denied_connections: sum(|counts| &counts.denied_connections),
            denied_requests: sum(|counts| &counts.denied_requests),
            denied_responses: sum(|counts| &counts.denied_responses),
            bytes_in: sum(|counts| &counts.bytes_in),
            bytes_out: sum(|counts| &counts.bytes_out),
            responses: responses(&live.counts, |counts| &counts.responses),
        }
    }
}

/// What the proxy has counted of a server, or of all servers of a backend, since the worker started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ServerTotals {
    /// See [`ServerCounts::total`].
    pub total: u64,
    /// See [`ServerCounts::connect_errors`].
    pub connect_errors: u64,
    /// See [`ServerCounts::redispatches`].
    pub redispatches: u64,
    /// See [`ServerCounts::response_errors`].
    pub response_errors: u64,
    /// See [`ServerCounts::opened`].
    pub opened: u64,
    /// See [`ServerCounts::denied_responses`].
    pub denied_responses: u64,
    /// See [`ServerCounts::client_aborts`].
    pub client_aborts: u64,
    /// See [`ServerCounts::server_aborts`].
    pub server_aborts: u64,
    /// See [`ServerCounts::bytes_in`].
    pub bytes_in: u64,
    /// See [`ServerCounts::bytes_out`].
    pub bytes_out: u64,
    /// See [`ServerCounts::responses`], in the order of [`CLASSES`].
    pub responses: [u64; CLASSES.len()],
}

impl From<&ServerLive> for ServerTotals {
    fn from(live: &ServerLive) -> Self {
        let sum = |counter: fn(&ServerCounts) -> &Counter| live.counts.sum(counter);
        Self {
            total: sum(|counts| &counts.total),
            connect_errors: sum(|counts| &counts.connect_errors),
            redispatches: sum(|counts| &counts.redispatches),
            response_errors: sum(|counts| &counts.response_errors),
            opened: sum(|counts| &counts.opened),
            denied_responses: sum(|counts| &counts.denied_responses),
            client_aborts: sum(|counts| &counts.client_aborts),
            server_aborts: sum(|counts| &counts.server_aborts),
            bytes_in: sum(|counts| &counts.bytes_in),
            bytes_out: sum(|counts| &counts.bytes_out),
            responses: responses(&live.counts, |counts| &counts.responses),
        }
    }
}

impl ServerTotals {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.with(other, u64::wrapping_add)
    }

    /// Without the other.
    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        self.with(other, u64::wrapping_sub)
    }

    fn with(self, other: &Self, of: fn(u64, u64) -> u64) -> Self {
        let mut responses = self.responses;
        responses.iter_mut().zip(other.responses).for_each(|(one, other)| *one = of(*one, other));
        Self {
            total: of(self.total, other.total),
            connect_errors: of(self.connect_errors, other.connect_errors),
            redispatches: of(self.redispatches, other.redispatches),
            response_errors: of(self.response_errors, other.response_errors),
            opened: of(self.opened, other.opened),
            denied_responses: of(self.denied_responses, other.denied_responses),
            client_aborts: of(self.client_aborts, other.client_aborts),
            server_aborts: of(self.server_aborts, other.server_aborts),
            bytes_in: of(self.bytes_in, other.bytes_in),
            bytes_out: of(self.bytes_out, other.bytes_out),
            responses,
        }
    }
}

impl BackendLive {
    /// Of all its servers, also those that reloads have removed, as of then: so these numbers only grow.
    pub fn totals(&self) -> ServerTotals {
        let servers = self.servers.iter().map(|server| ServerTotals::from(&**server));
        servers.fold(self.gone, |sum, server| sum.plus(&server))
    }

    /// What the next configuration's backend of that name has to add to what its servers have counted: `stays` says of which.
    pub(super) fn gone(&self, stays: impl Fn(u64) -> bool) -> ServerTotals {
        let gone = self.servers.iter().filter(|server| !stays(server.identity));
        gone.fold(self.gone, |sum, server| sum.plus(&ServerTotals::from(&**server)))
    }
}
