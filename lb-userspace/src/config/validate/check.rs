//! Checks of servers.

mod exec;
mod ftp;
mod grpc;
mod http;
mod ldap;
mod mysql;
mod pgsql;
mod redis;
mod script;
mod smtp;
mod sql;
mod tls;
mod udp;

use super::{Use, failover::without_meaning, range, tls as tls_of};
use crate::{
    config::{
        acl::Known,
        bundle::Bundle,
        error::Diagnostic,
        file::{Backend as TypedBackend, Bind, Check as Typed, CheckKeys, Mode, OwnKeys},
        read::Knob,
        source::At,
        text::Text,
        units::show_duration,
    },
    model::{
        Backend, Check, CheckKind, Ports, Secret,
        check::{Layer, Login, Observe, Reach, Spoken},
    },
};
use lb_common::Protocol;
use std::{ops::RangeInclusive, time::Duration};

pub(super) fn check(
    At { value: typed, span }: &At<Typed>,
    spoken: Spoken,
    (bundle, known): (&Bundle, &Known<'_>),
    out: &mut Vec<Diagnostic>,
) -> Check {
    let keys = &typed.keys;
    if keys.r#type.is_absent() {
        out.push(Diagnostic::error(*span, "a check needs a `type`").help("such as type = \"tcp\", or \"http\""));
    }
    let mut time =
        |knob: &Knob<Duration>, key, range, default| range::duration([knob, &Knob::Absent], key, range, default, out);
    let interval = time(&keys.interval, "interval", INTERVALS, INTERVAL);
    let timeout = time(&keys.timeout, "timeout", range::TIMEOUT, interval);
    let fast_interval = time(&keys.fast_interval, "fast_interval", INTERVALS, interval);
    let down_interval = time(&keys.down_interval, "down_interval", INTERVALS, interval);
    if let Some(longer) = keys.timeout.given().filter(|_| timeout > interval) {
        let message = format!(
            "a probe may take {}, but the next is due after {}",
            show_duration(timeout),
            show_duration(interval)
        );
        let warning = Diagnostic::warning(longer.span, message);
        out.push(warning.help("a dead server is found later than `interval` and `fall` suggest"));
    }
    Check {
        kind: match &typed.own {
            Some(OwnKeys::Http(own)) => CheckKind::Http(http::check(own, out)),
            Some(OwnKeys::Grpc(own)) => CheckKind::Grpc(grpc::check(own, out)),
            Some(OwnKeys::Redis(own)) => CheckKind::Redis(redis::check(own, known, out)),
            Some(OwnKeys::Script(own)) => CheckKind::Script(script::check(own, *span, bundle, out)),
            Some(OwnKeys::Tls(own)) => CheckKind::Tls(tls::check(own, out)),
            Some(OwnKeys::Smtp(own)) => CheckKind::Smtp(smtp::check(own, keys, out)),
            Some(OwnKeys::Ftp(own)) => CheckKind::Ftp(ftp::check(own, keys, known, out)),
            Some(OwnKeys::Ssh) => CheckKind::Ssh,
            Some(OwnKeys::Ldap(own)) => CheckKind::Ldap(ldap::check(own, keys, known, out)),
            Some(OwnKeys::Udp(own)) => CheckKind::Udp(udp::check(own, keys, *span, out)),
            Some(OwnKeys::Dns(own)) => CheckKind::Dns(udp::dns(own, keys, *span, out)),
            Some(OwnKeys::Mysql(own)) => CheckKind::Mysql(mysql::check((keys, own), known, out)),
            Some(OwnKeys::Pgsql(own)) => CheckKind::Pgsql(pgsql::check((keys, own), known, out)),
            Some(OwnKeys::Exec(own)) => CheckKind::Exec(exec::check((keys, own), spoken, (*span, bundle), out)),
            Some(OwnKeys::Tcp) | None => CheckKind::Tcp,
        },
        reach: Reach {
            address: keys.address.value().copied(),
            port: keys.port.given().map(|_| range::number(&keys.port, "port", 1_u16..=u16::MAX, 1, out)),
            tls: tls_of::of_server(&keys.tls, bundle, out),
            send_proxy: keys.send_proxy.value().copied(),
        },
        interval,
        fast_interval,
        down_interval,
        timeout,
        rise: range::number(&keys.rise, "rise", 1_u32..=1000, 2, out),
        fall: range::number(&keys.fall, "fall", 1_u32..=1000, 3, out),
        init_state: keys.init_state.value().copied().unwrap_or_default(),
        observe: observe(keys, out),
    }
}

fn observe(keys: &CheckKeys, out: &mut Vec<Diagnostic>) -> Option<Observe> {
    let error_limit = range::number(&keys.error_limit, "error_limit", 1_u32..=1_000_000, 10, out);
    let floor = range::number(&keys.observe_floor, "observe_floor", 0_u32..=100, 50, out);
    let Some(layer) = keys.observe.value().copied() else {
        let spans = [
            ("error_limit", keys.error_limit.given().map(|at| at.span)),
            ("on_error", keys.on_error.given().map(|at| at.span)),
            ("observe_floor", keys.observe_floor.given().map(|at| at.span)),
        ];
        for (key, span) in
            spans.into_iter().filter_map(|(key, span)| Some((key, span?))).filter(|_| keys.observe.is_absent())
        {
            let warning = Diagnostic::warning(span, format!("`{key}` has no effect without `observe`"));
            out.push(warning.help("observe = \"layer4\" or \"layer7\": the failures that count"));
        }
        return None;
    };
    Some(Observe { layer, error_limit, on_error: keys.on_error.value().copied().unwrap_or_default(), floor })
}

/// A check of TLS needs it, of its own or as all traffic has it.
pub(super) fn refuse_without_tls(typed: &Knob<Typed>, backend: &Backend, out: &mut Vec<Diagnostic>) {
    let (Some(typed), Some(check)) = (typed.given(), &backend.check) else { return };
    let has_traffic = check.reach.is_as_traffic() && backend.servers.iter().all(|server| server.tls.is_some());
    if matches!(check.kind, CheckKind::Tls(_)) && check.reach.tls.is_none() && !has_traffic {
        let error = Diagnostic::error(typed.span, "a check of type `tls` needs `tls`");
        out.push(error.help("such as tls = { ca = \"system\", sni = \"www.example.com\" }"));
    }
}

/// Programs are run only where somebody said that they may.
pub(super) fn refuse_programs<'a>(checks: impl Iterator<Item = &'a Typed>, out: &mut Vec<Diagnostic>) {
    for check in checks {
        if let (Some(OwnKeys::Exec(_)), Some(r#type)) = (&check.own, check.keys.r#type.given()) {
            let error =
                Diagnostic::error(r#type.span, "a check of type `exec` needs `exec_checks = true` in `[global]`");
            out.push(error.help("it runs programs on this machine, as `exec_user`"));
        }
    }
}

/// Of traffic that goes through the kernel half `observe` sees what servers answer to SYNs, and that only where it passes.
pub(super) fn refuse_unseen(typed: &TypedBackend, uses: &[&Use<'_>], backend: &Backend, out: &mut Vec<Diagnostic>) {
    let observe = typed.check.given().and_then(|check| check.value.keys.observe.given());
    let kernel = || uses.iter().filter(|used| used.mode == Some(Mode::L4));
    let (Some(observe), Some(l4)) = (observe, kernel().next()) else { return };
    let only = kernel().count() == uses.len();
    let binds = || kernel().flat_map(|used| used.binds.iter().map(move |bind| (used.frontend, &bind.value.0)));
    let tcp = || binds().filter(|(_, bind)| bind.serves(Protocol::Tcp));
    if only && observe.value == Layer::Requests {
        out.push(without_meaning("observe = \"layer7\"", observe.span, l4));
    }
    if !backend.forward.translates() {
        if only {
            let way = backend.forward.word();
            let message = format!(
                "`observe` sees nothing of backend `{}`: by `{way}` replies go past the balancer",
                backend.name
            );
            let error = Diagnostic::error(observe.span, message);
            let error = error.related(l4.span, format!("used by l4 frontend `{}` here", l4.frontend));
            out.push(error.help("forward = \"nat\" or \"fullnat\" if they pass here; else leave it to probes"));
        }
        return;
    }
    if only && tcp().next().is_none() {
        let message =
            format!("`observe` sees nothing of backend `{}`: nothing answers datagrams for certain", backend.name);
        let error = Diagnostic::error(observe.span, message);
        let error = error.related(l4.span, format!("used by l4 frontend `{}` for UDP alone", l4.frontend));
        out.push(error.help("leave it to probes"));
    }
    let many = |(frontend, bind): (_, &Bind)| {
        let At { value: address, span } = bind.address.given()?;
        (!matches!(address.ports, Ports::One(_))).then_some((frontend, *span))
    };
    if let Some((frontend, span)) = tcp().find_map(many) {
        let message = format!(
            "`observe` would take clients that try closed ports of backend `{}` for failures of its servers",
            backend.name
        );
        let error = Diagnostic::error(observe.span, message);
        let error = error.related(span, format!("l4 frontend `{frontend}` takes more than one port"));
        out.push(error.help("bind the ports that servers listen on one by one, or leave it to probes"));
    }
}

/// Whether TLS is begun in the middle of the conversation.
fn starttls(knob: &Knob<bool>, keys: &CheckKeys, out: &mut Vec<Diagnostic>) -> bool {
    if let Some(given) = knob.given().filter(|given| given.value && keys.tls.is_absent()) {
        let error = Diagnostic::error(given.span, "`starttls` needs `tls`: whose certificates to believe");
        out.push(error.help("such as tls = { ca = \"system\", sni = \"mail.example.com\" }"));
    }
    knob.or(false)
}

/// A text that is said in one line.
fn one_line(knob: &Knob<Text>, key: &str, out: &mut Vec<Diagnostic>) -> Option<String> {
    let text = knob.value()?;
    if text.value.is_empty() || text.value.chars().any(char::is_control) {
        out.push(Diagnostic::error(
            text.span,
            format!("`{key}` is said in a line: it cannot be empty or have line ends"),
        ));
    }
    Some(text.value.clone())
}

/// Who a check logs in as; `None` without a user and without a password.
fn login(user: &Knob<Text>, password_file: &Knob<Text>, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> Option<Login> {
    let password = password_file.value().and_then(|named| secret(named, known, out));
    let user = user.value().map(|user| user.value.clone());
    (user.is_some() || password.is_some()).then(|| Login { user: user.unwrap_or_default(), password })
}

/// What a file has as its first line.
fn secret(named: &Text, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> Option<Secret> {
    let text = known.file(&named.value, named.span).map_err(|error| out.push(error)).ok()?;
    let first = text.lines().next().unwrap_or_default();
    if first.is_empty() {
        out.push(Diagnostic::error(
            named.span,
            format!("the first line of `{named}` is empty: a password stands there"),
        ));
    }
    Some(Secret::new(first))
}

const INTERVAL: Duration = Duration::from_secs(2);
/// Below this a check is a load test.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=range::LONGEST;
