//! Backends and their servers.

use super::{Entry, Use, check, names, range};
use crate::{
    config::{
        error::Diagnostic,
        file::{Backend as Typed, Defaults, Mode, Server as TypedServer},
        read::Knob,
        source::At,
    },
    model::{Affinity, Backend, Balance, Server, Track},
};
use lb_common::Forward;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

pub(super) fn backend(
    (name, typed): &Entry<Typed>,
    uses: &[&Use<'_>],
    defaults: &Defaults,
    out: &mut Vec<Diagnostic>,
) -> Backend {
    let in_kernel = uses.iter().any(|used| used.mode == Some(Mode::L4));
    check_mode(name, typed, uses, out);
    if let Some(forward) = typed.forward.given().filter(|_| !in_kernel) {
        let warning = Diagnostic::warning(
            forward.span,
            format!("no l4 frontend uses backend `{}`: `forward` has no effect", name.value),
        );
        out.push(warning);
    }
    let connect = [&typed.timeout_connect, &defaults.timeout_connect];
    let server = [&typed.timeout_server, &defaults.timeout_server];
    Backend {
        name: name.value.clone(),
        balance: typed.balance.or(if in_kernel { Balance::Maglev } else { Balance::RoundRobin }),
        forward: typed.forward.or(Forward::Direct),
        check: typed.check.given().map(|typed| check::check(typed, out)),
        servers: servers(name, typed, uses, out),
        gue_port: 6_080,
        sources: Vec::new(),
        affinity: Affinity::None,
        track: Track::Auto,
        transition: Duration::from_mins(5),
        timeout_connect: range::duration(connect, "timeout_connect", range::LEAST_TIMEOUT, TIMEOUT_CONNECT, out),
        timeout_server: range::duration(server, "timeout_server", range::LEAST_TIMEOUT, TIMEOUT_SERVER, out),
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

fn servers(name: &At<String>, typed: &Typed, uses: &[&Use<'_>], out: &mut Vec<Diagnostic>) -> Vec<Server> {
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
    let ports: BTreeSet<u16> = uses.iter().flat_map(|used| used.ports()).collect();
    // With `direct` the kernel half rewrites no port, so that a server without one may serve several.
    let only_direct =
        typed.forward.value() == Some(&Forward::Direct) && uses.iter().all(|used| used.mode == Some(Mode::L4));
    let frontend_port = if ports.len() == 1 || only_direct { ports.first().copied() } else { None };
    typed_servers.iter().map(|server| one(server, frontend_port, !uses.is_empty(), out)).collect()
}

fn one(
    At { value: typed, span }: &At<TypedServer>,
    frontend_port: Option<u16>,
    used: bool,
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
    if let Some(At { span, value }) = typed.address.given()
        && value.port.or(frontend_port).is_none()
        && used
    {
        let error = Diagnostic::error(*span, "this server needs a port: the frontends that use it have different ones");
        out.push(error.help(format!("such as \"{}\"", SocketAddr::new(value.address, 80))));
    }
    if let Some(At { value: 0, span }) = typed.weight.given() {
        let error = Diagnostic::error(*span, "`weight` must be from 1 to 256");
        out.push(error.help("HAProxy's weight 0 is a state here, not a share: drain the server at run time"));
    }
    let weight = if typed.weight.value() == Some(&0) { &Knob::Absent } else { &typed.weight };
    let address = typed.address.value();
    let port = address.and_then(|address| address.port).or(frontend_port).unwrap_or(1);
    Server {
        name: typed.name.value().map_or_else(String::new, |name| name.value.clone()),
        address: SocketAddr::new(address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.address), port),
        weight: range::number(weight, "weight", 1_u16..=256, 1, out),
        backup: typed.backup.or(false),
    }
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
        if let Some(At { value, span }) = server.address.given() {
            let key = (value.address, value.port);
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

const TIMEOUT_CONNECT: Duration = Duration::from_secs(5);
const TIMEOUT_SERVER: Duration = Duration::from_mins(1);
