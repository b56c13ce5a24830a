//! Frontends: what each mode has and has not, their rules.

use super::{
    Entry, bind, error_file, log,
    names::Names,
    range,
    rule::{Reading, Sorted, Stand},
};
use crate::{
    config::{
        acl::{Known, format},
        bundle::Bundle,
        error::Diagnostic,
        file::{Defaults, Frontend as Typed, Mode},
        read::{Knob, Named, OneOrMany},
        source::{At, Span},
        text::Text,
    },
    model::{
        BackendIndex, Condition, ErrorFiles, Frontend, FrontendKind, HttpFrontend, L4Frontend, Quorum, Rules,
        TcpFrontend,
        frontend::{INSPECT_DELAY, Monitor},
    },
};
use lb_common::Protocol;
use std::{ops::RangeInclusive, time::Duration};

/// Every name of a backend in a frontend.
pub(super) fn references(typed: &Typed) -> impl Iterator<Item = &Text> {
    typed.default_backend.value().into_iter().chain(routes(typed).filter(|text| !format::has_values(text)))
}

/// What gives names of backends in a frontend, any of them.
pub(super) fn formats(typed: &Typed) -> impl Iterator<Item = &Text> {
    routes(typed).filter(|text| format::has_values(text))
}

fn routes(typed: &Typed) -> impl Iterator<Item = &Text> {
    typed.rule.value().into_iter().flatten().filter_map(|rule| rule.value.r#use.value())
}

pub(super) fn frontend(
    (name, typed): &Entry<Typed>,
    names: &Names<'_>,
    known: &Known<'_>,
    defaults: &Defaults,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Frontend {
    if typed.mode.is_absent() {
        let error = Diagnostic::error(name.span, format!("frontend `{}` has no `mode`", name.value));
        out.push(error.help("`l4` forwards packets in the kernel, `tcp` relays bytes, `http` routes requests"));
    }
    let mode = typed.mode.value().copied();
    if let Some(mode) = mode {
        refuse_knobs_of_other_modes(typed, mode, out);
    }
    require_backend(name, typed, mode, out);
    let backend = typed.default_backend.value().and_then(|text| names.find(&text.value));
    let stand = if mode == Some(Mode::Tcp) { Stand::TcpFrontend } else { Stand::HttpFrontend };
    let mut reading = Reading::new(stand, &typed.acl, (names, known), out);
    let Sorted { connection, content, request, response, routes } = reading.rules(&typed.rule);
    let monitor_fails = reading.stated(&typed.monitor_fail);
    reading.warn_of_unused();
    let client = [&typed.timeout_client, &defaults.timeout_client];
    let drain = [&typed.drain_timeout, &defaults.drain_timeout];
    let client_fin = [&typed.timeout_client_fin, &defaults.timeout_client_fin];
    Frontend {
        name: name.value.clone(),
        binds: bind::binds(name, &typed.bind, mode, bundle, out),
        kind: match mode {
            Some(Mode::L4) => FrontendKind::L4(l4(typed, backend.unwrap_or_default(), out)),
            Some(Mode::Tcp) => FrontendKind::Tcp(TcpFrontend {
                inspect_delay: inspect_delay(typed, content.is_empty() && routes.is_empty(), out),
                content,
                routes,
                default_backend: backend,
            }),
            Some(Mode::Http) | None => {
                let monitor = monitor(typed, monitor_fails, out);
                let rules = Rules { request, response };
                let http =
                    HttpFrontend { routes, monitor, default_backend: backend, ..http(typed, rules, defaults, out) };
                FrontendKind::Http(http)
            }
        },
        admission: connection,
        log: log::logging(typed, mode, defaults, out),
        timeout_client: range::duration(client, "timeout_client", range::TIMEOUT, TIMEOUT, out),
        drain_timeout: range::duration(drain, "drain_timeout", range::DRAIN, range::DRAIN_DEFAULT, out),
        timeout_client_fin: range::optional(client_fin, "timeout_client_fin", range::TIMEOUT, out),
        maxconn: maxconn(typed, mode, defaults, out),
        errors: match mode {
            Some(Mode::Http) => error_file::error_files(&typed.errorfile, &defaults.errorfile, bundle, out),
            Some(Mode::L4 | Mode::Tcp) | None => ErrorFiles::default(),
        },
        quorum: Quorum::default(), // Once its backend is known.
    }
}

fn maxconn(typed: &Typed, mode: Option<Mode>, defaults: &Defaults, out: &mut Vec<Diagnostic>) -> u32 {
    if mode == Some(Mode::L4) {
        return 0;
    }
    let knob = if typed.maxconn.is_absent() { &defaults.maxconn } else { &typed.maxconn };
    let before = out.len();
    let maxconn = range::number(knob, "maxconn", 0..=range::MOST_CONNECTIONS, 0, out);
    // What is wrong in `[defaults]` is seen by everyone who inherits it.
    if out.get(..before).is_some_and(|before| out.last().is_some_and(|last| before.contains(last))) {
        out.truncate(before);
    }
    maxconn
}

fn l4(typed: &Typed, backend: BackendIndex, out: &mut Vec<Diagnostic>) -> L4Frontend {
    let binds = typed.bind.value().into_iter().flat_map(|OneOrMany(binds)| binds);
    if let Some(mss) = typed.mss.given().filter(|_| binds.clone().all(|bind| !bind.value.0.serves(Protocol::Tcp))) {
        out.push(Diagnostic::warning(mss.span, "no bind of this frontend is tcp: `mss` has no effect"));
    }
    L4Frontend {
        backend,
        fragments: typed.fragments.value().copied().unwrap_or_default(),
        ping: typed.ping.value().copied().unwrap_or_default(),
        daemon_down: typed.daemon_down.value().copied().unwrap_or_default(),
        mss: typed.mss.given().map_or(0, |_| range::number(&typed.mss, "mss", MSS, 0, out)),
    }
}

/// With these rules, but not where it sends requests.
fn http(typed: &Typed, rules: Rules, defaults: &Defaults, out: &mut Vec<Diagnostic>) -> HttpFrontend {
    let request = [&typed.timeout_http_request, &defaults.timeout_http_request];
    let keep_alive = [&typed.timeout_http_keep_alive, &defaults.timeout_http_keep_alive];
    let tarpit = [&typed.timeout_tarpit, &defaults.timeout_tarpit];
    let limits = range::TIMEOUT;
    HttpFrontend {
        rules,
        routes: Vec::new(),
        monitor: None,
        default_backend: None,
        forwarded_for: typed.forwarded_for.or(true),
        abort_on_close: typed.abort_on_close.or(true),
        header_case: typed.header_case.value().copied().unwrap_or_default(),
        timeout_request: range::duration(request, "timeout_http_request", limits.clone(), TIMEOUT_REQUEST, out),
        timeout_keep_alive: range::duration(keep_alive, "timeout_http_keep_alive", limits.clone(), TIMEOUT, out),
        timeout_tarpit: range::optional(tarpit, "timeout_tarpit", limits, out),
    }
}

/// A knob without effect is a misunderstanding: say so instead of ignoring it.
fn refuse_knobs_of_other_modes(typed: &Typed, mode: Mode, out: &mut Vec<Diagnostic>) {
    let tcp_and_http: &[Mode] = &[Mode::Tcp, Mode::Http];
    let (l4, http): (&[Mode], &[Mode]) = (&[Mode::L4], &[Mode::Http]);
    let span_of_first = |span: Option<&At<Text>>| span.map(|at| at.span);
    let acl = typed.acl.value().and_then(|Named(acls)| acls.first()).map(|(name, _)| name.span);
    let rule = typed.rule.value().and_then(|rules| rules.first());
    let rule = rule.map(|rule| span_of_first(rule.value.r#use.given()).unwrap_or(rule.span));
    let knobs = [
        ("acl", acl, tcp_and_http),
        ("rule", rule, tcp_and_http),
        ("inspect_delay", span(&typed.inspect_delay), &[Mode::Tcp]),
        ("monitor_uri", span(&typed.monitor_uri), http),
        ("monitor_fail", span(&typed.monitor_fail), http),
        ("forwarded_for", span(&typed.forwarded_for), http),
        ("abort_on_close", span(&typed.abort_on_close), http),
        ("header_case", span(&typed.header_case), http),
        ("log", span(&typed.log), tcp_and_http),
        ("log_skip", span(&typed.log_skip), tcp_and_http),
        ("capture_request", span(&typed.capture_request), http),
        ("capture_response", span(&typed.capture_response), http),
        ("unique_id", span(&typed.unique_id), http),
        ("maxconn", span(&typed.maxconn), tcp_and_http),
        ("errorfile", span(&typed.errorfile), http),
        ("timeout_client", span(&typed.timeout_client), tcp_and_http),
        ("timeout_client_fin", span(&typed.timeout_client_fin), tcp_and_http),
        ("drain_timeout", span(&typed.drain_timeout), tcp_and_http),
        ("timeout_tarpit", span(&typed.timeout_tarpit), http),
        ("timeout_http_request", span(&typed.timeout_http_request), http),
        ("timeout_http_keep_alive", span(&typed.timeout_http_keep_alive), http),
        ("fragments", span(&typed.fragments), l4),
        ("ping", span(&typed.ping), l4),
        ("mss", span(&typed.mss), l4),
        ("quorum_down", span(&typed.quorum_down), l4),
        ("daemon_down", span(&typed.daemon_down), l4),
    ];
    for (key, span, modes) in knobs {
        let Some(span) = span.filter(|_| !modes.contains(&mode)) else { continue };
        let error = Diagnostic::error(span, format!("`{key}` has no meaning in mode `{}`", mode.word()));
        out.push(error.help(match mode {
            Mode::L4 => "the kernel half sees single packets: neither connections nor requests",
            Mode::Tcp | Mode::Http if modes == l4 => "only mode `l4` sees packets",
            Mode::Http if modes == [Mode::Tcp] => "requests have `timeout_http_request`",
            Mode::Tcp | Mode::Http => "only mode `http` reads requests",
        }));
    }
}

fn span<T>(knob: &Knob<T>) -> Option<Span> {
    knob.given().map(|at| at.span)
}

fn require_backend(name: &At<String>, typed: &Typed, mode: Option<Mode>, out: &mut Vec<Diagnostic>) {
    let no_rules = typed.rule.is_absent() || typed.rule.value().is_some_and(Vec::is_empty);
    let routed_by_rules = mode != Some(Mode::L4) && !no_rules;
    if typed.default_backend.is_absent() && !routed_by_rules {
        let error = Diagnostic::error(name.span, format!("frontend `{}` has no `default_backend`", name.value));
        out.push(error.help("name the backend that serves it: default_backend = \"…\""));
    }
}

/// The path that tells whether the frontend is of use.
fn monitor(typed: &Typed, fail: Option<Condition>, out: &mut Vec<Diagnostic>) -> Option<Monitor> {
    let uri = typed.monitor_uri.value().map(|text| text.value.clone());
    if let (None, Some(fail)) = (&uri, typed.monitor_fail.given()) {
        out.push(Diagnostic::error(fail.span, "`monitor_fail` without `monitor_uri` has no effect"));
    }
    if let Some(text) = typed.monitor_uri.given().filter(|text| !text.value.value.starts_with('/')) {
        out.push(Diagnostic::error(text.span, "`monitor_uri` begins with a slash"));
    }
    uri.map(|uri| Monitor { uri, fail })
}

fn inspect_delay(typed: &Typed, no_rules: bool, out: &mut Vec<Diagnostic>) -> Duration {
    if let Some(at) = typed.inspect_delay.given().filter(|_| no_rules) {
        let warning = Diagnostic::warning(at.span, "no rule looks at what connections begin with: this has no effect");
        out.push(warning.help("without rules nothing is waited for"));
    }
    let knobs = [&typed.inspect_delay, &Knob::Absent];
    range::duration(knobs, "inspect_delay", range::TIMEOUT, INSPECT_DELAY, out)
}

const TIMEOUT: Duration = Duration::from_mins(1);
const TIMEOUT_REQUEST: Duration = Duration::from_secs(10);
/// From the smallest that every host takes (Linux' `TCP_MIN_MSS`) to what fills a jumbo frame.
const MSS: RangeInclusive<u16> = 88..=9_000;
