//! Metrics by the names, types and labels of HAProxy's own exporter (promex, 2.6), for dashboards and alerts that are there: the
//! columns of `show stat`, and a little of the process. Frontends of the kernel half are left out, which HAProxy has none of.

mod columns;

use super::{counters, gauges};
use crate::{
    admin::{
        rows::{Column, Kind, Row, Rows, Value},
        status::{FrontendStatus, Status},
    },
    servers::{FrontendTotals, totals::CLASSES},
};
use columns::{As, METRICS, Metric};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

/// One moment of the daemon.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) rows: Rows,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        process(&self.status, &mut encoder)?;
        for kind in [Kind::Frontend, Kind::Backend, Kind::Server] {
            let rows: Vec<_> = self.rows.0.iter().filter(|row| row.kind == kind && !is_of_kernel(row)).collect();
            for metric in METRICS.iter().filter(|metric| metric.on.contains(kind.letter())) {
                metric.encode(kind, &rows, &mut encoder)?;
            }
            responses(kind, &rows, &mut encoder)?;
            states(kind, &rows, &mut encoder)?;
        }
        aggregates(&self.rows, &mut encoder)
    }
}

fn is_of_kernel(row: &Row) -> bool {
    row.kind == Kind::Frontend && row.text(Column::Mode) == "l4"
}

/// What one of several states is, in HAProxy's order.
const SERVER_STATES: [&str; 5] = ["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];
const CHECK_STATES: [&str; 16] = [
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK", "L7OKC",
    "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

type Label = (&'static str, String);

/// The labels of a row: the proxy, and the server of it.
fn labels(row: &Row) -> Vec<Label> {
    let mut labels = vec![("proxy", row.text(Column::Pxname).to_owned())];
    if row.kind == Kind::Server {
        labels.push(("server", row.text(Column::Svname).to_owned()));
    }
    labels
}

fn and(mut labels: Vec<Label>, name: &'static str, value: &str) -> Vec<Label> {
    labels.push((name, value.to_owned()));
    labels
}

fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Frontend => "frontend",
        Kind::Backend => "backend",
        Kind::Server => "server",
    }
}

/// A number; words are none.
#[expect(clippy::cast_precision_loss, reason = "a sum of bytes above 2^53 may lose some of them")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Text(_) => None,
        Value::U32(value) => Some((*value).into()),
        Value::S32(value) => Some((*value).into()),
        Value::U64(value) => Some(*value as f64),
    }
}

impl Metric {
    /// Its series of these rows; without any it is not there.
    fn encode(&self, kind: Kind, rows: &[&Row], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let known: Vec<_> = rows.iter().filter_map(|row| Some((*row, self.value(row)?))).collect();
        if known.is_empty() {
            return Ok(());
        }
        let name = format!("{}_{}", prefix(kind), self.name);
        let is = if self.is == As::Counter { MetricType::Counter } else { MetricType::Gauge };
        let mut family = encoder.encode_descriptor(&name, self.help, None, is)?;
        for (row, value) in known {
            let labels = labels(row);
            let series = family.encode_family(&labels)?;
            match self.is {
                As::Counter => ConstCounter::new(value).encode(series)?,
                As::Gauge | As::Known | As::Seconds => ConstGauge::new(value).encode(series)?,
            }
        }
        Ok(())
    }

    fn value(&self, row: &Row) -> Option<f64> {
        let known = row.get(self.column).and_then(number);
        match self.is {
            As::Counter | As::Gauge => known,
            As::Known => Some(known.unwrap_or(f64::NAN)),
            As::Seconds => known.map(|millis| millis / 1_000.0),
        }
    }
}

fn process(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let none = |value: u64| -> super::Rows<0> { vec![([], value)] };
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

fn responses(kind: Kind, rows: &[&Row], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all = rows.iter().flat_map(|row| {
        let count = |column| match row.get(column) {
            Some(Value::U64(count)) => Some(*count),
            Some(Value::Text(_) | Value::U32(_) | Value::S32(_)) | None => None,
        };
        let each = Column::RESPONSES.into_iter().zip(CLASSES);
        each.filter_map(move |(column, code)| Some((and(labels(row), "code", code), count(column)?)))
    });
    let name = format!("{}_http_responses", prefix(kind));
    counters(encoder, (&name, "Total number of HTTP responses"), all.collect())
}

/// A series for each of these states, 1 for the one that it is.
fn states_of(all: &[&'static str], now: &str, labels: &[Label]) -> Vec<(Vec<Label>, u64)> {
    all.iter().map(|state| (and(labels.to_vec(), "state", state), (*state == now).into())).collect()
}

fn states(kind: Kind, rows: &[&Row], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let of = |row: &&Row| match kind {
        // A frontend that is shut still has its sockets.
        Kind::Frontend => states_of(&["DOWN", "UP"], "UP", &labels(row)),
        Kind::Backend => states_of(&["DOWN", "UP"], row.text(Column::Status), &labels(row)),
        Kind::Server => states_of(&SERVER_STATES, server_state(row), &labels(row)),
    };
    let name = format!("{}_status", prefix(kind));
    let help = "Current status of the service, per state label value";
    gauges(encoder, (&name, help), rows.iter().flat_map(of).collect())?;
    if kind != Kind::Server {
        return Ok(());
    }
    let checked = rows.iter().filter(|row| row.get(Column::CheckStatus).is_some());
    let all = checked.flat_map(|row| states_of(&CHECK_STATES, row.text(Column::CheckStatus), &labels(row)));
    gauges(encoder, ("server_check_status", "Status of last health check, per state label value"), all.collect())
}

/// Of each backend, how many of its servers are in each state.
fn aggregates(rows: &Rows, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let count = |all: &[&'static str], of: fn(&Row) -> &str| {
        let backends = rows.0.iter().filter(|row| row.kind == Kind::Backend);
        let each = backends.flat_map(|backend| {
            let servers = || rows.0.iter().filter(|row| row.kind == Kind::Server && row.iid == backend.iid);
            let number = |state: &str| servers().filter(|server| of(server) == state).count() as u64;
            all.iter().map(|state| (and(labels(backend), "state", state), number(state))).collect::<Vec<_>>()
        });
        each.collect::<Vec<_>>()
    };
    let name = ("backend_agg_server_status", "Backend's aggregated gauge of servers' status");
    gauges(encoder, name, count(&SERVER_STATES, server_state))?;
    let name = ("backend_agg_check_status", "Backend's aggregated gauge of servers' state check status");
    gauges(encoder, name, count(&CHECK_STATES, |row| row.text(Column::CheckStatus)))
}

/// HAProxy's word for how a server stands: how what `show stat` says begins.
fn server_state(row: &Row) -> &str {
    match row.text(Column::Status).split_whitespace().next() {
        Some("no") => "UP",
        Some(state) => state,
        None => "",
    }
}
