//! Backends and their servers.

use super::{
    Entry, Use, agent, check, cookie, error_file, failover,
    names::{self, Names},
    pressure, range,
    rule::{Reading, Sorted, Stand},
    tls,
};
use crate::{
    config::{
        acl::Known,
        address::ServerAddress,
        bundle::Bundle,
        error::Diagnostic,
        file::{Agent, Backend as Typed, Defaults, Mode, ResolveOpts, Server as TypedServer},
        read::{Knob, OneOrMany},
        source::{At, Span},
    },
    model::{
        Backend, ErrorFiles, Host, Ports, Proto, Rules, Server, ServerTls, Sni, check::Spoken, cookie::CookieKey,
        server::NOWHERE,
    },
};
use lb_common::Forward;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

pub(super) fn backend(
    (name, typed): &Entry<Typed>,
    uses: &[&Use<'_>],
    (names, known): (&Names<'_>, &Known<'_>),
    defaults: &Defaults,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Backend {
    let in_kernel = uses.iter().any(|used| used.mode == Some(Mode::L4));
    check_mode(name, typed, uses, out);
    if !in_kernel && !uses.is_empty() {
        warn_of_kernel_knobs(name, typed, out);
    }
    check_port_of_check(typed, uses, out);
    let (balance, affinity) = pressure::balance(typed, uses, known, out);
    let connect = [&typed.timeout_connect, &defaults.timeout_connect];
    let server = [&typed.timeout_server, &defaults.timeout_server];
    let tunnel = [&typed.timeout_tunnel, &defaults.timeout_tunnel];
    let server_fin = [&typed.timeout_server_fin, &defaults.timeout_server_fin];
    let drain = [&typed.drain_timeout, &defaults.drain_timeout];
    let backend = Backend {
        name: name.value.clone(),
        balance,
        forward: typed.forward.or(Forward::Direct),
        proto: typed.proto.or(Proto::Http1),
        reuse: typed.http_reuse.value().copied().unwrap_or_default(),
        send_proxy: typed.send_proxy.value().copied(),
        rules: rules(typed, uses, (names, known), out),
        cookie: cookie::cookie(typed, uses, out),
        pressure: pressure::pressure(typed, defaults, out),
        check: typed.check.given().map(|check| check::check(check, spoken(typed, uses), (bundle, known), out)),
        servers: servers(name, typed, uses, bundle, out),
        allbackups: all_backups(typed, out),
        failover: failover::failover(typed, uses, names, out),
        gue_port: range::number(&typed.gue_port, "gue_port", 1_u16..=u16::MAX, GUE_PORT, out),
        sources: typed.source.value().into_iter().flat_map(|OneOrMany(pool)| pool).map(|source| source.value).collect(),
        affinity,
        track: typed.track.value().copied().unwrap_or_default(),
        transition: range::duration([&typed.transition, &Knob::Absent], "transition", TRANSITIONS, TRANSITION, out),
        drain_timeout: range::duration(drain, "drain_timeout", range::DRAIN, range::DRAIN_DEFAULT, out),
        timeout_connect: range::duration(connect, "timeout_connect", range::TIMEOUT, TIMEOUT_CONNECT, out),
        timeout_tunnel: range::optional(tunnel, "timeout_tunnel", range::TIMEOUT, out),
        timeout_server_fin: range::optional(server_fin, "timeout_server_fin", range::TIMEOUT, out),
        timeout_server: range::duration(server, "timeout_server", range::TIMEOUT, TIMEOUT_SERVER, out),
        errors: errors(name, typed, uses, defaults, bundle, out),
    };
    check::refuse_without_tls(&typed.check, &backend, out);
    check::refuse_unseen(typed, uses, &backend, out);
    backend
}

/// What servers speak to the proxy.
fn spoken(typed: &Typed, uses: &[&Use<'_>]) -> Spoken {
    match typed.proto.or(Proto::Http1) {
        _ if uses.iter().all(|used| used.mode != Some(Mode::Http)) => Spoken::Tcp,
        Proto::Http1 => Spoken::Http1,
        Proto::Http2 => Spoken::Http2,
    }
}

/// What becomes of messages.
fn rules(
    typed: &Typed,
    uses: &[&Use<'_>],
    (names, known): (&Names<'_>, &Known<'_>),
    out: &mut Vec<Diagnostic>,
) -> Rules {
    let first = typed.rule.value().and_then(|rules| rules.first());
    let other = uses.iter().find(|used| used.mode.is_some_and(|mode| mode != Mode::Http));
    if let Some((rule, used)) = first.zip(other) {
        let mode = used.mode.map_or("", Mode::word);
        let message = format!("frontend `{}` of mode `{mode}` has no messages that rules could look at", used.frontend);
        out.push(Diagnostic::error(rule.span, message).related(used.span, "used here"));
    }
    let mut reading = Reading::new(Stand::Backend, &typed.acl, (names, known), out);
    let Sorted { request, response, .. } = reading.rules(&typed.rule);
    reading.warn_of_unused();
    Rules { request, response }
}

fn all_backups(typed: &Typed, out: &mut Vec<Diagnostic>) -> bool {
    let backups = typed.server.value().into_iter().flatten().filter(|server| server.value.backup.or(false)).count();
    if let Some(At { span, .. }) = typed.allbackups.given().filter(|given| given.value && backups < 2) {
        let warning = Diagnostic::warning(*span, "`allbackups` has no effect without several backup servers");
        out.push(warning.help("a backup server has `backup = true`"));
    }
    typed.allbackups.or(false)
}

/// Its error files, if requests come to it.
fn errors(
    name: &At<String>,
    typed: &Typed,
    uses: &[&Use<'_>],
    defaults: &Defaults,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> ErrorFiles {
    if uses.iter().all(|used| used.mode.is_some_and(|mode| mode != Mode::Http)) {
        if let Some(span) = span(&typed.errorfile).filter(|_| !uses.is_empty()) {
            let message = format!("no http frontend uses backend `{}`: `errorfile` has no effect", name.value);
            out.push(Diagnostic::warning(span, message));
        }
        return ErrorFiles::default();
    }
    error_file::error_files(&typed.errorfile, &defaults.errorfile, bundle, out)
}

fn warn_of_kernel_knobs(name: &At<String>, typed: &Typed, out: &mut Vec<Diagnostic>) {
    let knobs = [
        ("forward", span(&typed.forward)),
        ("gue_port", span(&typed.gue_port)),
        ("source", span(&typed.source)),
        ("track", span(&typed.track)),
        ("transition", span(&typed.transition)),
    ];
    for (key, span) in knobs.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let message = format!("no l4 frontend uses backend `{}`: `{key}` has no effect", name.value);
        out.push(Diagnostic::warning(span, message));
    }
}

fn span<T>(knob: &Knob<T>) -> Option<Span> {
    knob.given().map(|at| at.span)
}

/// A server without a port, behind frontends of all ports, has none that could be probed.
fn check_port_of_check(typed: &Typed, uses: &[&Use<'_>], out: &mut Vec<Diagnostic>) {
    let Some(check) = typed.check.given().filter(|check| check.value.keys.port.is_absent()) else { return };
    let servers = typed.server.value().into_iter().flatten();
    let all_have_ports = servers.filter_map(|server| server.value.address.value()).all(|server| server.port.is_some());
    let mut ports = uses.iter().flat_map(|used| used.ports()).peekable();
    if !all_have_ports && ports.peek().is_some() && ports.all(|ports| ports == Ports::All) {
        let error = Diagnostic::error(check.span, "this check needs a `port`");
        out.push(error.help("it is for servers without a port, behind frontends of all ports"));
    }
}

/// A backend that says its mode is not for frontends of another; the kernel half asks for none.
fn check_mode(name: &At<String>, typed: &Typed, uses: &[&Use<'_>], out: &mut Vec<Diagnostic>) {
    let Some(mode) = typed.mode.given() else { return };
    let others = uses.iter().filter_map(|used| Some((used, used.mode?)));
    for (used, wanted) in others.filter(|(_, wanted)| *wanted != Mode::L4 && *wanted != mode.value) {
        let (wanted, word) = (wanted.word(), mode.value.word());
        let message =
            format!("frontend `{}` of mode `{wanted}` uses backend `{}` of mode `{word}`", used.frontend, name.value);
        out.push(Diagnostic::error(used.span, message).related(mode.span, "the mode of the backend"));
    }
}

fn servers(
    name: &At<String>,
    typed: &Typed,
    uses: &[&Use<'_>],
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Vec<Server> {
    let typed_servers = match &typed.server {
        Knob::Given(At { value, .. }) if !value.is_empty() => value,
        Knob::Faulty => return Vec::new(),
        Knob::Given(_) | Knob::Absent => {
            let error = Diagnostic::error(name.span, format!("backend `{}` has no server", name.value));
            out.push(
                error.help(format!("add one under `[[backend.{}.server]]`, with `name` and `address`", name.value)),
            );
            return Vec::new();
        }
    };
    check_unique(name, typed_servers, out);
    let ports = uses.iter().flat_map(|used| used.ports());
    let lowest_port = ports.filter_map(Ports::lowest).min().unwrap_or(0);
    tls::check_mode(typed, uses, out);
    let shared = tls::of_server(&typed.tls, bundle, out);
    let with_tls = |server: &At<TypedServer>, out: &mut Vec<Diagnostic>| {
        let own = tls::of_server(&server.value.tls, bundle, out);
        let asks_for = [&server.value.tls, &typed.tls].into_iter().find_map(Knob::value);
        let names_none = asks_for.is_some_and(|tls| tls.sni.is_absent());
        let mut server = one(server, lowest_port, cookie::dynamic(typed), &typed.agent, out);
        server.tls = own.or_else(|| shared.clone());
        // The name that is typed is the name that is meant, whatever address it has.
        if let (Some(host), Some(tls), true) = (&server.host, &mut server.tls, names_none) {
            *tls = Arc::new(ServerTls { sni: Sni::Name(host.name.to_string()), ..ServerTls::clone(tls) });
        }
        server
    };
    typed_servers.iter().map(|server| with_tls(server, out)).collect()
}

/// A server; `lowest_port` of its frontends. `key`: what its cookie is made with if it has none of its own. `agent`: the backend's.
fn one(
    At { value: typed, span }: &At<TypedServer>,
    lowest_port: u16,
    key: Option<CookieKey>,
    agent: &Knob<Agent>,
    out: &mut Vec<Diagnostic>,
) -> Server {
    if typed.name.is_absent() {
        out.push(Diagnostic::error(*span, "a server needs a `name`"));
    }
    if typed.address.is_absent() {
        out.push(Diagnostic::error(*span, "a server needs an `address`"));
    }
    if let Some(name) = typed.name.value() {
        names::check("server", &name.value, name.span, out);
    }
    if let Some(At { value: 0, span }) = typed.weight.given() {
        let error = Diagnostic::error(*span, "`weight` must be from 1 to 256");
        out.push(error.help("HAProxy's weight 0 is a state here, not a share: drain the server at run time"));
    }
    let weight = if typed.weight.value() == Some(&0) { &Knob::Absent } else { &typed.weight };
    let address = typed.address.value();
    let own_port = address.and_then(|address| address.port);
    let port = own_port.unwrap_or(lowest_port);
    let own_cookie = typed.cookie.value().map(|value| value.value.clone());
    let key = key.filter(|_| own_cookie.is_none());
    let ip = address.map_or(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), ServerAddress::ip);
    let made = ip.zip(key.as_ref()).map(|(ip, key)| key.value(ip, own_port.unwrap_or(0)));
    Server {
        name: typed.name.value().map_or_else(String::new, |name| name.value.clone()),
        address: SocketAddr::new(ip.unwrap_or(NOWHERE), port),
        host: host(typed, key, out),
        keeps_port: own_port.is_none(),
        weight: range::number(weight, "weight", 1_u16..=256, 1, out),
        backup: typed.backup.or(false),
        cookie: own_cookie.or(made),
        limits: pressure::limits(typed, out),
        keeping: pressure::keeping(typed, out),
        slowstart: range::optional([&typed.slowstart, &Knob::Absent], "slowstart", SLOWSTARTS, out),
        agent: agent::agent(typed, agent, out),
        tls: None,
        track: None, // See `track`.
    }
}

/// What is asked about its name, if it has one.
fn host(typed: &TypedServer, cookie_key: Option<CookieKey>, out: &mut Vec<Diagnostic>) -> Option<Arc<Host>> {
    if typed.address.value().is_some_and(|address| address.name().is_none()) {
        let knobs = [("resolve_prefer", span(&typed.resolve_prefer)), ("resolve_opts", span(&typed.resolve_opts))];
        for (key, span) in knobs.into_iter().filter_map(|(key, span)| Some((key, span?))) {
            let error = Diagnostic::error(span, format!("`{key}` has no meaning for a server by address"));
            out.push(error.help("it is for servers by host name: address = \"db1.example.com:3306\""));
        }
    }
    Some(Arc::new(Host {
        name: Arc::clone(typed.address.value()?.name()?),
        prefer: typed.resolve_prefer.value().copied().unwrap_or_default(),
        allow_dup_ip: typed.resolve_opts.value() == Some(&ResolveOpts::AllowDupIp),
        cookie_key,
    }))
}

fn check_unique(name: &At<String>, servers: &[At<TypedServer>], out: &mut Vec<Diagnostic>) {
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for At { value: server, .. } in servers {
        if let Some(text) = server.name.value() {
            if let Some(first) = names.get(&text.value) {
                let message = format!("backend `{}` has two servers named `{text}`", name.value);
                out.push(Diagnostic::error(text.span, message).related(*first, "first here"));
            } else {
                names.insert(&text.value, text.span);
            }
        }
        // Of several servers with one name each gets an address of its own.
        if let Some(At { value, span }) = server.address.given().filter(|address| address.value.name().is_none()) {
            let key = (&value.place, value.port);
            if let Some(first) = addresses.get(&key) {
                let message = format!("backend `{}` has two servers with this address", name.value);
                out.push(
                    Diagnostic::warning(*span, message)
                        .related(*first, "first here")
                        .help("to give a server a larger share, use `weight`"),
                );
            } else {
                addresses.insert(key, *span);
            }
        }
    }
}

const SLOWSTARTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const TIMEOUT_CONNECT: Duration = Duration::from_secs(5);
const TIMEOUT_SERVER: Duration = Duration::from_mins(1);
/// IANA: "Generic UDP Encapsulation".
const GUE_PORT: u16 = 6080;
const TRANSITION: Duration = Duration::from_mins(5);
const TRANSITIONS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
