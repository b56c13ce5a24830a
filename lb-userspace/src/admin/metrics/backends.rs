//! Metrics of backends: the sums over their servers, of which alerts are made.

use super::{Rows, by_class, counters, gauges};
use crate::admin::status::{BackendStatus, ServerStatus, Status};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

pub(super) fn encode(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&BackendStatus) -> u64| -> Rows<1> {
        status.backends.iter().map(|backend| ([("backend", backend.name.clone())], value(backend))).collect()
    };
    gauges(encoder, ("backend_servers", "Servers of the backend"), rows(|it| it.servers.len() as u64))?;
    let name = ("backend_servers_available", "Those that take new traffic now");
    gauges(encoder, name, rows(|it| it.servers.iter().filter(|server| server.available).count() as u64))?;
    let name = ("backend_connections", "Connections of the proxy to them open now");
    gauges(encoder, name, rows(|it| sum(it, |server| server.connections)))?;
    let name = ("backend_queued", "Requests or connections that wait in the proxy for one of them");
    gauges(encoder, name, rows(|it| it.queued + sum(it, |server| server.queued)))?;
    let name = ("backend_requests", "Requests or connections that the proxy sent to them");
    counters(encoder, name, rows(|it| it.totals.total))?;
    let name = ("backend_unserved", "Requests or connections that found no server");
    counters(encoder, name, rows(|it| it.no_server))?;
    let name = ("backend_connect_errors", "Connections to them that the proxy could not open");
    counters(encoder, name, rows(|it| it.totals.connect_errors))?;
    let name = ("backend_response_errors", "Their responses that were invalid, cut off or late");
    counters(encoder, name, rows(|it| it.totals.response_errors))?;
    let name = ("backend_redispatches", "Attempts that failed and were followed by another elsewhere");
    counters(encoder, name, rows(|it| it.totals.redispatches))?;
    let mut responses = Rows::new();
    for backend in &status.backends {
        let labels = |code: &str| [("backend", backend.name.clone()), ("code", code.to_owned())];
        by_class(backend.totals.responses, labels, &mut responses);
    }
    counters(encoder, ("backend_responses", "Their responses to clients, by the class of their status"), responses)
}

/// Over the servers of a backend.
pub(super) fn sum(backend: &BackendStatus, value: fn(&ServerStatus) -> u64) -> u64 {
    backend.servers.iter().map(value).sum()
}
