//! What `l4` frontends of one address must agree on: the kernel half sees the address before it sees a port.

use super::Vip;
use crate::{
    config::{error::Diagnostic, read::Knob},
    model::{Fragments, Ping},
};
use lb_common::{Forward, Protocol};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

pub(super) fn check(vips: &[Vip<'_>], out: &mut Vec<Diagnostic>) {
    check_fullnat(vips, out);
    let vips = vips.iter().filter(|vip| !vip.frontend.is_fallback);
    let mut by_address: BTreeMap<IpAddr, &Vip<'_>> = BTreeMap::new();
    let mut by_protocol: BTreeMap<(IpAddr, Protocol), &Vip<'_>> = BTreeMap::new();
    let (mut pings, mut fragments) = (BTreeSet::new(), BTreeSet::new());
    for vip in vips {
        let first = by_address.entry(vip.ip).or_insert(vip);
        if let Some(error) = other_ping(first, vip)
            && pings.insert((first.frontend.name, vip.frontend.name))
        {
            out.push(error);
        }
        let first = by_protocol.entry((vip.ip, vip.protocol)).or_insert(vip);
        if let Some(error) = other_fragments(first, vip)
            && fragments.insert((first.frontend.name, vip.frontend.name))
        {
            out.push(error);
        }
    }
}

fn other_ping(first: &Vip<'_>, vip: &Vip<'_>) -> Option<Diagnostic> {
    let (one, other) = (ping(first)?, ping(vip)?);
    let message =
        format!("frontends `{}` and `{}` of {} differ in `ping`", first.frontend.name, vip.frontend.name, vip.ip);
    let error = Diagnostic::error(vip.span, message).related(first.span, "the same address");
    (one != other).then(|| error.help("a ping is for an address, whatever its ports: say the same in both"))
}

/// `None`: a faulty one, which may be any.
fn ping(vip: &Vip<'_>) -> Option<Ping> {
    let knob = &vip.frontend.typed.ping;
    (!matches!(knob, Knob::Faulty)).then(|| knob.value().copied().unwrap_or_default())
}

/// Where fragments go by their addresses, all of an address and protocol go one way.
fn other_fragments(first: &Vip<'_>, vip: &Vip<'_>) -> Option<Diagnostic> {
    let (one, other) = (fragments(first)?, fragments(vip)?);
    let names = (first.frontend.name, vip.frontend.name);
    let message = if [one, other].iter().all(|fragments| *fragments != Fragments::Hash) {
        return None;
    } else if one != other {
        format!("frontends `{}` and `{}` of {} differ in `fragments`", names.0, names.1, vip.ip)
    } else if first.frontend.index != vip.frontend.index {
        format!("frontends `{}` and `{}` of {} share `fragments`, but no backend", names.0, names.1, vip.ip)
    } else {
        return None;
    };
    let error = Diagnostic::error(vip.span, message).related(first.span, "the same address and protocol");
    Some(error.help("with `hash` a fragment goes by its addresses and protocol, which do not tell the frontends apart"))
}

/// `None`: a faulty one, which may be any.
fn fragments(vip: &Vip<'_>) -> Option<Fragments> {
    let knob = &vip.frontend.typed.fragments;
    (!matches!(knob, Knob::Faulty)).then(|| knob.value().copied().unwrap_or_default())
}

fn check_fullnat(vips: &[Vip<'_>], out: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    for vip in vips.iter().filter(|vip| vip.frontend.forward() == Some(Forward::FullNat)) {
        let knob = vip.frontend.typed.fragments.given();
        if let Some(hash) = knob.filter(|at| at.value == Fragments::Hash && seen.insert(at.span)) {
            let error = Diagnostic::error(hash.span, "`hash` cannot bring fragments to the servers of `fullnat`");
            let forward = vip.frontend.backend.1.forward.given().map_or(hash.span, |forward| forward.span);
            let error = error.related(forward, "the way to forward");
            out.push(
                error.help(
                    "each flow has a source of its own there, which a later fragment does not tell: use \"track\"",
                ),
            );
        }
    }
}
