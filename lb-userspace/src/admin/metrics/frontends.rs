//! Metrics of frontends. Those of the kernel half are counted by VIP.

use super::{Rows, by_class, counters, gauges};
use crate::{
    admin::status::{FrontendStatus, Status},
    servers::FrontendTotals,
};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

pub(super) fn encode(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let proxied = || status.frontends.iter().filter(|frontend| frontend.mode != "l4");
    let open = proxied().map(|frontend| ([("frontend", frontend.name.clone())], frontend.connections));
    gauges(encoder, ("frontend_connections", "Connections of clients open now"), open.collect())?;
    let limited = proxied().filter(|frontend| frontend.maxconn > 0);
    let most = limited.map(|frontend| ([("frontend", frontend.name.clone())], frontend.maxconn as u64));
    gauges(encoder, ("frontend_connections_limit", "Most that there may be"), most.collect())?;
    let rows = |value: fn(&FrontendTotals) -> u64| -> Rows<1> {
        proxied().map(|it| ([("frontend", it.name.clone())], value(&it.totals))).collect()
    };
    let name = ("frontend_connections_accepted", "Connections of clients that were accepted");
    counters(encoder, name, rows(|totals| totals.connections))?;
    let name = ("frontend_denied_connections", "Connections that rules have closed");
    counters(encoder, name, rows(|totals| totals.denied_connections))?;
    counters(encoder, ("frontend_tls_errors", "TLS handshakes that failed"), rows(|totals| totals.tls_errors))?;
    counters(encoder, ("frontend_received_bytes", "Bytes from clients"), rows(|totals| totals.bytes_in))?;
    counters(encoder, ("frontend_sent_bytes", "Bytes to clients"), rows(|totals| totals.bytes_out))?;
    encode_requests(status, encoder)?;
    encode_quorums(status, encoder)
}

/// Where there are any.
fn encode_requests(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let http = || status.frontends.iter().filter(|frontend| frontend.mode == "http");
    let rows = |value: fn(&FrontendTotals) -> u64| -> Rows<1> {
        http().map(|it| ([("frontend", it.name.clone())], value(&it.totals))).collect()
    };
    let name = ("frontend_requests", "Requests whose header was complete");
    counters(encoder, name, rows(|totals| totals.requests))?;
    let name = ("frontend_request_errors", "Requests that were malformed or late");
    counters(encoder, name, rows(|totals| totals.request_errors))?;
    let name = ("frontend_denied_requests", "Requests that rules have refused");
    counters(encoder, name, rows(|totals| totals.denied_requests))?;
    let name = ("frontend_denied_responses", "Responses of servers that rules have refused");
    counters(encoder, name, rows(|totals| totals.denied_responses))?;
    let mut responses = Rows::new();
    for frontend in http() {
        let labels = |code: &str| [("frontend", frontend.name.clone()), ("code", code.to_owned())];
        by_class(frontend.totals.responses, labels, &mut responses);
    }
    counters(
        encoder,
        ("frontend_responses", "Responses to clients, also ours, by the class of their status"),
        responses,
    )
}

fn encode_quorums(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&FrontendStatus) -> u64| -> Rows<1> {
        let counted = status.frontends.iter().filter(|frontend| frontend.backend.is_some());
        counted.map(|frontend| ([("frontend", frontend.name.clone())], value(frontend))).collect()
    };
    let name = ("frontend_servers", "Servers of the default backend that take new traffic now");
    gauges(encoder, name, rows(|frontend| frontend.servers as u64))?;
    gauges(encoder, ("frontend_quorum", "How many of them it needs"), rows(|frontend| frontend.quorum.into()))?;
    let name = ("frontend_has_quorum", "1 if it has them; `sluice ready` fails otherwise");
    gauges(encoder, name, rows(|frontend| frontend.has_quorum.into()))?;
    let name = ("frontend_withdrawn", "1 if new traffic is turned away, because it has not");
    gauges(encoder, name, rows(|frontend| frontend.withdrawn.into()))
}
