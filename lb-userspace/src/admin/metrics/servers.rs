//! Metrics of servers: their shares and loads, what checks found of them, and how they stand with their names.

use super::{Rows, counters, gauges, parts, seconds};
use crate::admin::status::{AgentStatus, BackendStatus, CheckStatus, HostStatus, ServerStatus, Status};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

pub(super) fn encode(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&ServerStatus) -> u64| -> Rows<2> {
        let servers =
            status.backends.iter().flat_map(|backend| backend.servers.iter().map(move |server| (backend, server)));
        servers
            .map(|(backend, server)| {
                ([("backend", backend.name.clone()), ("server", server.name.clone())], value(server))
            })
            .collect()
    };
    gauges(
        encoder,
        ("server_available", "1 if the server takes new traffic now"),
        rows(|server| server.available.into()),
    )?;
    let name =
        ("server_throttle_percent", "Part of its full share that the server has in the proxy; less while it rises");
    gauges(encoder, name, rows(|server| server.throttle.unwrap_or(100).into()))?;
    let name = ("server_weight_configured", "Share relative to the other servers, as configured");
    gauges(encoder, name, rows(|server| server.weight.into()))?;
    let name = ("server_weight", "The same as it is now, by the last word of the operator or of the server's agent");
    gauges(encoder, name, rows(|server| server.current_weight.into()))?;
    let name = ("server_limit", "Most requests or connections of the proxy at once; 0: any number");
    gauges(encoder, name, rows(|server| server.maxconn.into()))?;
    gauges(encoder, ("server_connections", "Connections of the proxy open now"), rows(|server| server.connections))?;
    let name = ("server_tracked_flows", "Flows to the server that the kernel half remembers one by one");
    gauges(encoder, name, rows(|server| server.flows))?;
    let name = ("server_drained", "1 if the server is in drain and has no flow or connection left");
    gauges(encoder, name, rows(|server| server.drained.into()))?;
    counters(
        encoder,
        ("server_requests", "Connections or requests that the proxy sent there"),
        rows(|server| server.total),
    )?;
    let name = ("server_connect_errors", "Connections that the proxy could not open");
    counters(encoder, name, rows(|server| server.connect_errors))?;
    let name = ("server_response_errors", "Responses that were invalid, cut off or late");
    counters(encoder, name, rows(|server| server.totals.response_errors))?;
    let name = ("server_queued", "Requests or connections that wait in the proxy for this server alone");
    gauges(encoder, name, rows(|server| server.queued))?;
    let name = ("server_last_change_seconds", "Since when the server is up, or is not");
    gauges(encoder, name, rows(|server| server.changed))?;
    let name = ("server_downtime_seconds", "How long the server was not up");
    counters(encoder, name, rows(|server| server.downtime))?;
    encode_checks(status, encoder)?;
    encode_agents(status, encoder)?;
    encode_names(status, encoder)
}

fn encode_checks(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let checked = || {
        status.backends.iter().flat_map(|backend| {
            backend.servers.iter().filter_map(|server| {
                let labels = [("backend", backend.name.clone()), ("server", server.name.clone())];
                Some((labels, server.check.as_ref()?))
            })
        })
    };
    let rows = |value: fn(&CheckStatus) -> u64| checked().map(|(labels, check)| (labels, value(check))).collect();
    let name = ("server_check_failures", "Probes that failed while the server was up");
    counters(encoder, name, rows(|check| check.failures))?;
    counters(
        encoder,
        ("server_downs", "How often the checks or the agent took the server down"),
        rows(|check| check.downs),
    )?;
    let took = checked().filter_map(|(labels, check)| Some((labels, seconds(check.took_us?))));
    parts(encoder, ("server_check_duration_seconds", "How long the last probe took"), took.collect())?;
    let code =
        checked().filter_map(|([backend, server], check)| Some(([backend, server, ("code", check.code.clone()?)], 1)));
    gauges(encoder, ("server_check_code", "1 for what the last probe found, by HAProxy's codes"), code.collect())
}

fn encode_agents(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&AgentStatus) -> u64| -> Rows<2> {
        let servers = status.backends.iter().flat_map(|backend| {
            backend.servers.iter().filter_map(move |server| Some((backend, server, server.agent.as_ref()?)))
        });
        let row = |(backend, server, agent): (&BackendStatus, &ServerStatus, &AgentStatus)| {
            ([("backend", backend.name.clone()), ("server", server.name.clone())], value(agent))
        };
        servers.map(row).collect()
    };
    let name = ("server_agent_down", "1 if the last word of the server's agent about that is that it is down");
    gauges(encoder, name, rows(|agent| agent.down.into()))?;
    let name = ("server_agent_silences", "Questions to the server's agent that had no answer");
    counters(encoder, name, rows(|agent| agent.silences))
}

/// Of servers that are known by their names.
fn encode_names(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&HostStatus) -> Option<u64>| -> Rows<3> {
        let servers = status.backends.iter().flat_map(|backend| {
            backend.servers.iter().filter_map(move |server| Some((backend, server, server.host.as_ref()?)))
        });
        let row = |(backend, server, host): (&BackendStatus, &ServerStatus, &HostStatus)| {
            let labels =
                [("backend", backend.name.clone()), ("server", server.name.clone()), ("name", host.name.clone())];
            Some((labels, value(host)?))
        };
        servers.filter_map(row).collect()
    };
    let name = ("server_name_age_seconds", "Since the last good answer about the server's host name");
    gauges(encoder, name, rows(|host| host.age))?;
    let name = ("server_name_failing", "1 if the last answer is of no use to the server, or did not come");
    gauges(encoder, name, rows(|host| Some(host.problem.is_some().into())))?;
    let name = ("server_name_failures", "Questions about the server's host name that failed");
    counters(encoder, name, rows(|host| Some(host.failures)))
}
