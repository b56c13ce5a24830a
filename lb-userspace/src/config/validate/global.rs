//! `[global]`.

use super::{event_log::event_logs, range, stats_socket::stats_sockets};
use crate::{
    config::{
        error::Diagnostic,
        file::{Global as Typed, Size},
        read::{Knob, OneOrMany},
        text::Text,
    },
    model::{Global, MetricNames, global::CONTROL_SOCKET},
};
use lb_common::hash::HashKey;
use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, time::Duration};

pub(super) fn global(typed: Option<&Typed>, cpus: usize, out: &mut Vec<Diagnostic>) -> Global {
    let nothing = Typed::default();
    let typed = typed.unwrap_or(&nothing);
    let control_socket = path(&typed.control_socket, "control_socket", CONTROL_SOCKET, out);
    Global {
        interfaces: interfaces(&typed.interfaces, out),
        hash_key: typed.hash_key.value().map_or([0, 0], |text| hash_key(text, out)),
        user: user(&typed.user, out),
        exec_checks: typed.exec_checks.or(false),
        exec_user: exec_user(typed, out),
        stats_sockets: stats_sockets(typed, &control_socket, out),
        stats_pages: Vec::new(), // They are tables of their own.
        control_socket,
        pin_dir: path(&typed.pin_dir, "pin_dir", "/sys/fs/bpf/sluice", out),
        threads: range::number(&typed.threads, "threads", 1_u16..=1024, 0, out).into(),
        max_connections: typed
            .max_connections
            .given()
            .map(|_| range::number(&typed.max_connections, "max_connections", 1..=range::MOST_CONNECTIONS, 1, out)),
        max_memory: max_memory(&typed.max_memory, out),
        on_stop: typed.on_stop.value().copied().unwrap_or_default(),
        stop_timeout: range::duration(
            [&typed.stop_timeout, &Knob::Absent],
            "stop_timeout",
            Duration::ZERO..=range::LONGEST,
            STOP_TIMEOUT,
            out,
        ),
        hard_stop_after: range::optional(
            [&typed.hard_stop_after, &Knob::Absent],
            "hard_stop_after",
            Duration::ZERO..=range::LONGEST,
            out,
        ),
        metrics: typed.metrics.value().copied(),
        metrics_names: metrics_names(typed, out),
        event_logs: event_logs(&typed.event_log, out),
        flow_timeout_tcp: flow_timeout(&typed.flow_timeout_tcp, "flow_timeout_tcp", FLOW_TIMEOUT_TCP, out),
        flow_timeout_udp: flow_timeout(&typed.flow_timeout_udp, "flow_timeout_udp", FLOW_TIMEOUT_UDP, out),
        track_budget: range::number(&typed.track_budget, "track_budget", TRACK_BUDGETS, TRACK_BUDGET, out),
        heartbeat_timeout: range::duration(
            [&typed.heartbeat_timeout, &Knob::Absent],
            "heartbeat_timeout",
            HEARTBEAT_TIMEOUTS,
            HEARTBEAT_TIMEOUT,
            out,
        ),
    }
    .with_threads(cpus)
}

impl Global {
    /// 0 threads: one a CPU.
    fn with_threads(self, cpus: usize) -> Self {
        Self { threads: if self.threads == 0 { cpus.max(1) } else { self.threads }, ..self }
    }
}

/// With less it could serve nobody.
fn max_memory(knob: &Knob<Size>, out: &mut Vec<Diagnostic>) -> Option<u64> {
    let typed = knob.given()?;
    let Size(bytes) = typed.value;
    if bytes < LEAST_MEMORY {
        out.push(Diagnostic::error(typed.span, "`max_memory` must be at least 64MiB"));
    }
    Some(bytes)
}

/// By which names metrics are exported, each once.
fn metrics_names(typed: &Typed, out: &mut Vec<Diagnostic>) -> Vec<MetricNames> {
    let Some(given) = typed.metrics_names.given() else { return vec![MetricNames::Sluice] };
    let OneOrMany(names) = &given.value;
    if names.is_empty() {
        out.push(Diagnostic::error(given.span, "`metrics_names` must name at least one: `sluice` or `haproxy`"));
    }
    if typed.metrics.is_absent() {
        out.push(Diagnostic::warning(given.span, "`metrics_names` has no effect without `metrics`"));
    }
    let mut all: Vec<MetricNames> = Vec::new();
    for name in names {
        if all.contains(&name.value) {
            out.push(Diagnostic::error(name.span, "these names are asked for twice"));
        }
        all.push(name.value);
    }
    all
}

fn flow_timeout(knob: &Knob<Duration>, key: &str, default: Duration, out: &mut Vec<Diagnostic>) -> Duration {
    range::duration([knob, &Knob::Absent], key, FLOW_TIMEOUTS, default, out)
}

fn interfaces(knob: &Knob<OneOrMany<Text>>, out: &mut Vec<Diagnostic>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for text in knob.value().into_iter().flat_map(|OneOrMany(texts)| texts).map(|text| &text.value) {
        // dev_valid_name() of the kernel; IFNAMSIZ counts the final zero.
        let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if text.value.is_empty()
            || text.value.len() > 15
            || text.value.contains(bad)
            || matches!(text.value.as_str(), "." | "..")
        {
            out.push(Diagnostic::error(text.span, format!("`{text}` cannot be the name of a network interface")));
        } else if !seen.insert(&text.value) {
            out.push(Diagnostic::error(text.span, format!("interface `{text}` is listed twice")));
        }
        names.push(text.value.clone());
    }
    names
}

/// 32 hexadecimal digits. What is wrong with them is said without showing any.
fn hash_key(text: &Text, out: &mut Vec<Diagnostic>) -> HashKey {
    let digits = text.value.as_str();
    let half = |half: Option<&str>| u64::from_str_radix(half.unwrap_or_default(), 16).ok();
    if digits.len() == 32
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        && let (Some(first), Some(second)) = (half(digits.get(..16)), half(digits.get(16..)))
    {
        return [first, second];
    }
    let hexadecimal = digits.chars().filter(char::is_ascii_hexdigit).count();
    let error = Diagnostic::error(text.span, "`hash_key` must be 32 hexadecimal digits");
    let label = format!("{} characters, {hexadecimal} of them hexadecimal digits", digits.chars().count());
    out.push(error.label(label).help("make one: openssl rand -hex 16"));
    [0, 0]
}

fn user(knob: &Knob<Text>, out: &mut Vec<Diagnostic>) -> Option<String> {
    let text = knob.value()?;
    if text.value.is_empty() || text.value.contains([':', '\0', '\n', '/']) {
        out.push(Diagnostic::error(text.span, format!("`{text}` cannot be the name of a user")));
    }
    Some(text.value.clone())
}

/// Who runs programs that check servers.
fn exec_user(typed: &Typed, out: &mut Vec<Diagnostic>) -> Option<String> {
    if let (Some(unused), false) = (typed.exec_user.given(), typed.exec_checks.or(false)) {
        out.push(Diagnostic::warning(unused.span, "`exec_user` has no effect without `exec_checks`"));
    }
    user(&typed.exec_user, out)
}

fn path(knob: &Knob<Text>, key: &str, default: &str, out: &mut Vec<Diagnostic>) -> PathBuf {
    let Some(text) = knob.value() else { return default.into() };
    if !text.value.starts_with('/') || text.value.contains('\0') {
        let error = Diagnostic::error(text.span, format!("`{key}` must be an absolute path"));
        out.push(error.help("it must mean the same in every directory that the daemon or its tools start from"));
    }
    PathBuf::from(&text.value)
}

const LEAST_MEMORY: u64 = 64 << 20;
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const FLOW_TIMEOUT_TCP: Duration = Duration::from_hours(1);
const FLOW_TIMEOUT_UDP: Duration = Duration::from_mins(3);
/// The table of flows is not searched more than once a second, and forgets nobody who comes back within a week.
const FLOW_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
const TRACK_BUDGET: u32 = 20_000;
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);
/// It beats once a second, and a busy machine may be late.
const HEARTBEAT_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_hours(1);
const TRACK_BUDGETS: RangeInclusive<u32> = 1..=1_000_000;
