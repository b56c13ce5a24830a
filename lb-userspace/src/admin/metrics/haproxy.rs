//! Metrics by the names, types and labels of HAProxy's own exporter (promex, 2.6), for dashboards and alerts that are there. What
//! the proxy half does not count is left out; so are frontends and VIPs of the kernel half, which HAProxy has none of.

use super::{Rows, backends::sum, by_class, counters, gauges, parts, seconds};
use crate::{
    admin::status::{BackendStatus, FrontendStatus, ServerStatus, Status},
    servers::{Admin, FrontendTotals, Health},
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

/// One moment of the daemon.
#[derive(Debug)]
pub(super) struct Snapshot(pub(super) Status);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        process(&self.0, &mut encoder)?;
        frontends(&self.0, &mut encoder)?;
        backends(&self.0, &mut encoder)?;
        backend_states(&self.0, &mut encoder)?;
        servers(&self.0, &mut encoder)?;
        server_states(&self.0, &mut encoder)?;
        checks(&self.0, &mut encoder)
    }
}

/// What one of several states is, in HAProxy's order.
const SERVER_STATES: [&str; 5] = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];
const CHECK_STATES: [&str; 16] = [
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK", "L7OKC",
    "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

fn process(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let none = |value: u64| vec![([], value)];
    let all = |value: fn(&FrontendTotals) -> u64| -> u64 { proxied(status).map(|it| value(&it.totals)).sum() };
    gauges(encoder, ("process_nbthread", "Number of started threads (global.nbthread)"), none(status.threads as u64))?;
    let uptime = UNIX_EPOCH.elapsed().unwrap_or_default().saturating_sub(Duration::from_secs(status.started_at));
    let name = ("process_uptime_seconds", "How long ago this worker process was started (seconds)");
    gauges(encoder, name, none(uptime.as_secs()))?;
    gauges(encoder, ("process_start_time_seconds", "Start time in seconds"), none(status.started_at))?;
    let name =
        ("process_max_connections", "Hard limit on the number of per-process connections (configured or imposed)");
    gauges(encoder, name, none(status.max_connections as u64))?;
    let name = ("process_current_connections", "Current number of connections on this worker process");
    gauges(encoder, name, none(status.connections as u64))?;
    let name = ("process_connections", "Total number of connections on this worker process since started");
    counters(encoder, name, none(all(|totals| totals.connections)))?;
    let name = ("process_requests", "Total number of requests on this worker process since started");
    counters(encoder, name, none(all(|totals| totals.requests)))?;
    let name = ("process_bytes_out", "Total number of bytes emitted by this worker process since started");
    counters(encoder, name, none(all(|totals| totals.bytes_out)))?;
    let name = ("process_dropped_logs", "Total number of dropped logs for this worker process since started");
    counters(encoder, name, none(status.logs.iter().map(|log| log.lost).sum()))?;
    gauges(encoder, ("process_build_info", "Build info"), vec![([("version", status.version.clone())], 1)])
}

fn proxied(status: &Status) -> impl Iterator<Item = &FrontendStatus> {
    status.frontends.iter().filter(|frontend| frontend.mode != "l4")
}

fn proxy(name: &str) -> (&'static str, String) {
    ("proxy", name.to_owned())
}

fn frontends(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&FrontendStatus) -> u64| -> Rows<1> {
        proxied(status).map(|frontend| ([proxy(&frontend.name)], value(frontend))).collect()
    };
    let name = ("frontend_current_sessions", "Number of current sessions on the frontend, backend or server");
    gauges(encoder, name, rows(|it| it.connections))?;
    let name = ("frontend_limit_sessions", "Frontend/listener/server's maxconn, backend's fullconn");
    gauges(encoder, name, rows(|it| it.maxconn as u64))?;
    let total = "Total number of sessions since process started";
    counters(encoder, ("frontend_sessions", total), rows(|it| it.totals.connections))?;
    let name = ("frontend_bytes_in", "Total number of request bytes since process started");
    counters(encoder, name, rows(|it| it.totals.bytes_in))?;
    let name = ("frontend_bytes_out", "Total number of response bytes since process started");
    counters(encoder, name, rows(|it| it.totals.bytes_out))?;
    let name = ("frontend_requests_denied", "Total number of denied requests since process started");
    counters(encoder, name, rows(|it| it.totals.denied_requests))?;
    let name = ("frontend_responses_denied", "Total number of denied responses since process started");
    counters(encoder, name, rows(|it| it.totals.denied_responses))?;
    let name = ("frontend_request_errors", "Total number of invalid requests since process started");
    counters(encoder, name, rows(|it| it.totals.request_errors))?;
    let states = proxied(status).flat_map(|it| states(["DOWN", "UP"], "UP", |state| [proxy(&it.name), state]));
    gauges(encoder, ("frontend_status", "Current status of the service, per state label value"), states.collect())?;
    let mut responses = Rows::new();
    for frontend in proxied(status) {
        let labels = |code: &str| [proxy(&frontend.name), ("code", code.to_owned())];
        by_class(frontend.totals.responses, labels, &mut responses);
    }
    counters(encoder, ("frontend_http_responses", "Total number of HTTP responses"), responses)?;
    let name = ("frontend_http_requests", "Total number of HTTP requests processed by this object");
    counters(encoder, name, rows(|it| it.totals.requests))?;
    let name = ("frontend_connections", "Total number of new connections accepted on this frontend");
    counters(encoder, name, rows(|it| it.totals.connections))?;
    let name = ("frontend_denied_connections", "Total number of incoming connections blocked");
    counters(encoder, name, rows(|it| it.totals.denied_connections))
}

fn backends(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&BackendStatus) -> u64| -> Rows<1> {
        status.backends.iter().map(|backend| ([proxy(&backend.name)], value(backend))).collect()
    };
    gauges(encoder, ("backend_current_queue", "Number of current queued connections"), rows(|it| it.queued))?;
    let name = ("backend_current_sessions", "Number of current sessions on the frontend, backend or server");
    gauges(encoder, name, rows(|it| sum(it, |server| server.connections)))?;
    let name = ("backend_sessions", "Total number of sessions since process started");
    counters(encoder, name, rows(|it| it.totals.total))?;
    let name = ("backend_connection_errors", "Total number of failed connections to server since process started");
    counters(encoder, name, rows(|it| it.totals.connect_errors))?;
    let name = ("backend_response_errors", "Total number of invalid responses since process started");
    counters(encoder, name, rows(|it| it.totals.response_errors))?;
    let name = ("backend_redispatch_warnings", "Total number of server redispatches since process started");
    counters(encoder, name, rows(|it| it.totals.redispatches))?;
    let weight = "Server's effective weight, or sum of active servers' effective weights for a backend";
    gauges(encoder, ("backend_weight", weight), rows(|it| available(it, |server| server.current_weight.into())))?;
    let name = ("backend_active_servers", "Total number of active UP servers with a non-zero weight");
    gauges(encoder, name, rows(|it| sum(it, |server| (is_usable(server) && !server.backup).into())))?;
    let name = ("backend_backup_servers", "Total number of backup UP servers with a non-zero weight");
    gauges(encoder, name, rows(|it| sum(it, |server| (is_usable(server) && server.backup).into())))?;
    let name = ("backend_loadbalanced", "Total number of requests routed by load balancing since process started");
    counters(encoder, name, rows(|it| it.totals.total))?;
    let mut responses = Rows::new();
    for backend in &status.backends {
        let labels = |code: &str| [proxy(&backend.name), ("code", code.to_owned())];
        by_class(backend.totals.responses, labels, &mut responses);
    }
    counters(encoder, ("backend_http_responses", "Total number of HTTP responses"), responses)?;
    let name = ("backend_http_requests", "Total number of HTTP requests processed by this object");
    counters(encoder, name, rows(|it| it.totals.total))?;
    let weight = "Server's user weight, or sum of active servers' user weights for a backend";
    gauges(encoder, ("backend_uweight", weight), rows(|it| available(it, |server| server.current_weight.into())))
}

fn available(backend: &BackendStatus, value: fn(&ServerStatus) -> u64) -> u64 {
    backend.servers.iter().filter(|server| server.available).map(value).sum()
}

fn backend_states(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let state = |backend: &BackendStatus| if backend.servers.iter().any(is_usable) { "UP" } else { "DOWN" };
    let rows =
        status.backends.iter().flat_map(|it| states(["DOWN", "UP"], state(it), |state| [proxy(&it.name), state]));
    gauges(encoder, ("backend_status", "Current status of the service, per state label value"), rows.collect())?;
    let count = |backend: &BackendStatus, state: &str| {
        backend.servers.iter().filter(|server| server_state(server) == state).count() as u64
    };
    let rows = status.backends.iter().flat_map(|backend| {
        SERVER_STATES.map(|state| ([proxy(&backend.name), ("state", state.to_owned())], count(backend, state)))
    });
    gauges(encoder, ("backend_agg_server_status", "Backend's aggregated gauge of servers' status"), rows.collect())?;
    let count = |backend: &BackendStatus, state: &str| {
        let checks = backend.servers.iter().filter_map(|server| server.check.as_ref()?.code.as_deref());
        checks.filter(|code| *code == state).count() as u64
    };
    let rows = status.backends.iter().flat_map(|backend| {
        CHECK_STATES.map(|state| ([proxy(&backend.name), ("state", state.to_owned())], count(backend, state)))
    });
    let help = "Backend's aggregated gauge of servers' state check status";
    gauges(encoder, ("backend_agg_check_status", help), rows.collect())
}

fn members(status: &Status) -> impl Iterator<Item = ([(&'static str, String); 2], &ServerStatus)> {
    let of = |backend: &BackendStatus, server: &ServerStatus| [proxy(&backend.name), ("server", server.name.clone())];
    status
        .backends
        .iter()
        .flat_map(move |backend| backend.servers.iter().map(move |server| (of(backend, server), server)))
}

fn servers(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&ServerStatus) -> u64| -> Rows<2> {
        members(status).map(|(labels, server)| (labels, value(server))).collect()
    };
    gauges(encoder, ("server_current_queue", "Number of current queued connections"), rows(|it| it.queued))?;
    let name = ("server_current_sessions", "Number of current sessions on the frontend, backend or server");
    gauges(encoder, name, rows(|it| it.connections))?;
    // Where there is no limit HAProxy has no number.
    let limits = members(status)
        .map(|(labels, server)| (labels, if server.maxconn == 0 { f64::NAN } else { f64::from(server.maxconn) }));
    let name = ("server_limit_sessions", "Frontend/listener/server's maxconn, backend's fullconn");
    parts(encoder, name, limits.collect())?;
    let name = ("server_sessions", "Total number of sessions since process started");
    counters(encoder, name, rows(|it| it.totals.total))?;
    let name = ("server_connection_errors", "Total number of failed connections to server since process started");
    counters(encoder, name, rows(|it| it.totals.connect_errors))?;
    let name = ("server_response_errors", "Total number of invalid responses since process started");
    counters(encoder, name, rows(|it| it.totals.response_errors))?;
    let name = ("server_redispatch_warnings", "Total number of server redispatches since process started");
    counters(encoder, name, rows(|it| it.totals.redispatches))?;
    let weight = "Server's effective weight, or sum of active servers' effective weights for a backend";
    gauges(encoder, ("server_weight", weight), rows(|it| it.current_weight.into()))?;
    let throttled = members(status).map(|(labels, it)| (labels, it.throttle.map_or(f64::NAN, f64::from)));
    let name =
        ("server_current_throttle", "Throttling ratio applied to a server's maxconn and weight during the slowstart");
    parts(encoder, name, throttled.collect())?;
    let name = ("server_loadbalanced", "Total number of requests routed by load balancing since process started");
    counters(encoder, name, rows(|it| it.totals.total))?;
    let mut responses = Rows::new();
    for (labels, server) in members(status) {
        let [proxy, name] = labels;
        let labels = |code: &str| [proxy.clone(), name.clone(), ("code", code.to_owned())];
        by_class(server.totals.responses, labels, &mut responses);
    }
    counters(encoder, ("server_http_responses", "Total number of HTTP responses"), responses)?;
    let weight = "Server's user weight, or sum of active servers' user weights for a backend";
    gauges(encoder, ("server_uweight", weight), rows(|it| it.current_weight.into()))
}

fn server_states(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = members(status).flat_map(|([proxy, name], server)| {
        states(SERVER_STATES, server_state(server), move |state| [proxy.clone(), name.clone(), state])
    });
    gauges(encoder, ("server_status", "Current status of the service, per state label value"), rows.collect())?;
    let rows = |value: fn(&ServerStatus) -> u64| -> Rows<2> {
        members(status).map(|(labels, server)| (labels, value(server))).collect()
    };
    let name = ("server_check_last_change_seconds", "How long ago the last server state changed, in seconds");
    gauges(encoder, name, rows(|it| it.changed))?;
    let name = ("server_downtime_seconds", "Total time spent in DOWN state, for server or backend");
    counters(encoder, name, rows(|it| it.downtime))
}

/// Of those that have one.
fn checks(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let checked = || members(status).filter_map(|(labels, server)| Some((labels, server.check.as_ref()?)));
    let failures = checked().map(|(labels, check)| (labels, check.failures)).collect();
    let help = "Total number of failed individual health checks per server/backend, since the worker process started";
    counters(encoder, ("server_check_failures", help), failures)?;
    let downs = checked().map(|(labels, check)| (labels, check.downs)).collect();
    let help = "Total number of failed checks causing UP to DOWN server transitions, per server/backend, since the worker \
                process started";
    counters(encoder, ("server_check_up_down", help), downs)?;
    let rows = checked().flat_map(|([proxy, name], check)| {
        let code = check.code.as_deref().unwrap_or_default();
        states(CHECK_STATES, code, move |state| [proxy.clone(), name.clone(), state])
    });
    let help = "Status of last health check, per state label value";
    gauges(encoder, ("server_check_status", help), rows.collect())?;
    let took = checked().filter_map(|(labels, check)| Some((labels, seconds(check.took_us?))));
    let help = "Total duration of the latest server health check, in seconds";
    parts(encoder, ("server_check_duration_seconds", help), took.collect())
}

/// Whether HAProxy counts it as active.
fn is_usable(server: &ServerStatus) -> bool {
    server.health.serves() && server.admin == Admin::Ready && server.current_weight > 0
}

/// HAProxy's word for how a server stands.
fn server_state(server: &ServerStatus) -> &'static str {
    if server.admin == Admin::Maint || server.health == Health::Unresolved {
        "MAINT"
    } else if !server.health.serves() {
        "DOWN"
    } else if server.admin == Admin::Drain || server.current_weight == 0 {
        "DRAIN"
    } else if server.health == Health::Stopping {
        "NOLB"
    } else {
        "UP"
    }
}

/// A row for each of these states, 1 for the one that it is.
fn states<const N: usize, const S: usize>(
    all: [&'static str; S],
    now: &str,
    labels: impl Fn((&'static str, String)) -> [(&'static str, String); N],
) -> [([(&'static str, String); N], u64); S] {
    all.map(|state| (labels(("state", state.to_owned())), (state == now).into()))
}
