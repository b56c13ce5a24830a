//! Backends of `l4` frontends: how they balance and forward, and what belongs to which way to forward.

use super::{L4, Vip, family, servers};
use crate::{
    config::{
        balance::Balancing,
        error::Diagnostic,
        file::{Backend, Marked},
        read::{Knob, OneOrMany},
        source::{At, Span},
        validate::Entry,
    },
    model::{Fragments, balance::Keyed},
};
use lb_common::Forward;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

pub(super) fn check(frontend: &L4<'_>, out: &mut Vec<Diagnostic>) {
    let (name, typed) = frontend.backend;
    let used =
        |error: Diagnostic| error.related(frontend.used, format!("used by l4 frontend `{}` here", frontend.name));
    if let Some(At { span, .. }) = typed.balance.given().filter(|balance| !balance.value.is_of_l4()) {
        let message = format!("l4 frontends balance by maglev or source, but backend `{}` does not", name.value);
        out.push(used(Diagnostic::error(*span, message)).help(NO_TURNS));
    }
    if typed.forward.is_absent() {
        let message = format!("backend `{}` does not say how packets reach its servers", name.value);
        out.push(used(Diagnostic::error(name.span, message)).help(WAYS));
    }
    let Some(forward) = typed.forward.given() else { return };
    only_with(Forward::Gue, "gue_port", &typed.gue_port, forward, out);
    only_with(Forward::FullNat, "source", &typed.source, forward, out);
    let empty = typed.source.value().is_some_and(|OneOrMany(sources)| sources.is_empty());
    if forward.value == Forward::FullNat && (typed.source.is_absent() || empty) {
        let error = Diagnostic::error(forward.span, "`fullnat` needs `source`: what servers answer to");
        out.push(error.help(
            "name addresses of this machine's that are neither VIPs nor used by others: source = [\"10.1.1.200\"]",
        ));
    }
}

/// Connections can be kept with a server that is down, or reset, only where they can be told from new ones. `is_first`: no
/// frontend of that backend was looked at before.
pub(super) fn check_marked_down(frontend: &L4<'_>, is_first: bool, out: &mut Vec<Diagnostic>) {
    let (name, typed) = frontend.backend;
    let Some(At { span, .. }) = typed.on_marked_down.given().filter(|at| at.value != Marked::Move) else { return };
    let by_source = typed.balance.given().filter(|_| is_first);
    let by_source = by_source.filter(|balance| matches!(balance.value, Balancing::Keyed(Keyed::Source)));
    let hashed = frontend.typed.fragments.given().filter(|fragments| fragments.value == Fragments::Hash);
    let grouped = by_source.map(|at| at.span).into_iter().chain(hashed.map(|at| at.span));
    for because in grouped {
        let message =
            format!("connections of a client to backend `{}` are not told apart: they can only move", name.value);
        let error = Diagnostic::error(*span, message).related(because, "they go by this together");
        out.push(
            error.help("on_marked_down = \"move\", or balance = \"maglev\" and fragments = \"track\" or \"drop\""),
        );
    }
}

fn only_with<T>(owner: Forward, key: &str, knob: &Knob<T>, forward: &At<Forward>, out: &mut Vec<Diagnostic>) {
    if let Some(At { span, .. }) = knob.given().filter(|_| forward.value != owner) {
        let message = format!("`{key}` has no meaning with forward = \"{}\"", forward.value.word());
        let error = Diagnostic::error(*span, message).related(forward.span, "the way to forward");
        out.push(error.help(format!("it belongs to forward = \"{}\"", owner.word())));
    }
}

/// The pools of `fullnat`: of every family that is needed, and of addresses that mean nothing else.
pub(super) fn check_sources(vips: &[Vip<'_>], backends: &[&Entry<Backend>], out: &mut Vec<Diagnostic>) {
    let vip_at: BTreeMap<IpAddr, Span> = vips.iter().rev().map(|vip| (vip.ip, vip.span)).collect();
    let server_at: BTreeMap<IpAddr, Span> = backends
        .iter()
        .flat_map(|backend| servers(backend))
        .filter_map(|server| Some((server.value.ip()?, server.span)))
        .collect();
    let mut seen = BTreeSet::new();
    for vip in vips.iter().filter(|vip| vip.frontend.forward() == Some(Forward::FullNat)) {
        let Some(At { value: OneOrMany(pool), span }) = vip.frontend.backend.1.source.given() else { continue };
        let of_family = pool.iter().any(|source| source.value.is_ipv4() == vip.ip.is_ipv4());
        if !pool.is_empty() && !of_family && seen.insert((vip.frontend.index, vip.ip.is_ipv4())) {
            let family = family(vip.ip);
            let error = Diagnostic::error(*span, format!("`source` has no {family} address, but a VIP is of {family}"));
            out.push(error.related(vip.span, "the VIP").help("`fullnat` rewrites addresses within their family"));
        }
    }
    let mut seen = BTreeSet::new();
    for frontend in vips.iter().map(|vip| &vip.frontend).filter(|frontend| seen.insert(frontend.index)) {
        let pool = frontend.backend.1.source.value().into_iter().flat_map(|OneOrMany(pool)| pool);
        let mut first = BTreeMap::new();
        for At { value: source, span } in pool {
            let taken = [
                ("is listed twice", "first here", first.get(source)),
                ("is a VIP", "the VIP", vip_at.get(source)),
                ("is a server's", "the server", server_at.get(source)),
            ];
            for (what, label, at) in taken {
                if let Some(at) = at {
                    let error = Diagnostic::error(*span, format!("the source {source} {what}")).related(*at, label);
                    out.push(
                        error.help(
                            "what servers answer to is an address of this machine's that nobody else is reached at",
                        ),
                    );
                }
            }
            first.entry(*source).or_insert(*span);
        }
    }
}

const NO_TURNS: &str = "the kernel half keeps no turn and counts no load: it hashes each packet, so that every balancer of a group picks the same server; set \"maglev\"";
const WAYS: &str = "forward = \"direct\", \"ipip\" or \"gue\" if the servers own the VIP and answer clients themselves; forward = \"nat\" if their replies pass here; forward = \"fullnat\" if they answer to an address of this machine's";
