//! `[resolvers]`.

use super::{Entry, range};
use crate::{
    config::{
        bundle::Bundle,
        error::Diagnostic,
        file::{Backend, File, Resolvers as Typed},
        read::{Knob, OneOrMany},
        source::At,
    },
    model::{
        Resolvers,
        resolvers::{Hold, hosts, nameservers},
    },
};
use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc, time::Duration};

/// The host names of servers.
pub(super) fn names<'a>(backends: impl IntoIterator<Item = &'a Entry<Backend>>) -> BTreeSet<Arc<str>> {
    let servers = backends.into_iter().flat_map(|(_, backend)| backend.server.value().into_iter().flatten());
    servers.filter_map(|server| server.value.address.value()?.name().cloned()).collect()
}

pub(super) fn resolvers(
    file: &File,
    names: &BTreeSet<Arc<str>>,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Resolvers {
    let nothing = Typed::default();
    let typed = file.resolvers.value().unwrap_or(&nothing);
    if let Some(At { span, .. }) = file.resolvers.given().filter(|_| names.is_empty()) {
        out.push(Diagnostic::warning(*span, "no server has a host name: `[resolvers]` has no effect"));
    }
    let retry = [&typed.timeout_retry, &Knob::Absent];
    let resolve = [&typed.timeout_resolve, &Knob::Absent];
    let (least, most) = ([&typed.ttl_min, &Knob::Absent], [&typed.ttl_max, &Knob::Absent]);
    let defaults = Resolvers::default();
    let ttl_min = range::duration(least, "ttl_min", TTL_MIN, defaults.ttl_min, out);
    let ttl_max = range::duration(most, "ttl_max", ttl_min..=TTL_MAX, defaults.ttl_max.max(ttl_min), out);
    let hold = |knob, key, out: &mut Vec<_>| range::optional([knob, &Knob::Absent], key, HOLD, out);
    Resolvers {
        nameservers: asked(typed, bundle, out).unwrap_or(defaults.nameservers),
        retries: range::number(&typed.resolve_retries, "resolve_retries", 1..=10, defaults.retries, out),
        timeout_retry: range::duration(retry, "timeout_retry", RETRY, defaults.timeout_retry, out),
        timeout_resolve: range::duration(resolve, "timeout_resolve", RESOLVE, defaults.timeout_resolve, out),
        ttl_min,
        ttl_max,
        hold: Hold {
            nx: hold(&typed.hold_nx, "hold_nx", out),
            refused: hold(&typed.hold_refused, "hold_refused", out),
            timeout: hold(&typed.hold_timeout, "hold_timeout", out),
            other: hold(&typed.hold_other, "hold_other", out),
            obsolete: hold(&typed.hold_obsolete, "hold_obsolete", out).unwrap_or_default(),
        },
        hosts: bundle.hosts.as_deref().map(|text| hosts(text, names)).unwrap_or_default(),
    }
}

/// The name servers that are typed, else those of the machine; `None`: there are none.
fn asked(typed: &Typed, bundle: &Bundle, out: &mut Vec<Diagnostic>) -> Option<Vec<std::net::SocketAddr>> {
    let Some(At { value: OneOrMany(given), span }) = typed.nameserver.given() else {
        let found = bundle.resolv_conf.as_deref().map(nameservers).unwrap_or_default();
        return (!found.is_empty()).then_some(found);
    };
    if given.is_empty() {
        out.push(Diagnostic::error(*span, "`nameserver` names none").help("such as \"10.0.0.53:53\""));
    }
    let mut seen = BTreeSet::new();
    for At { value: address, span } in given {
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            out.push(Diagnostic::error(*span, format!("`{address}` is not the address of one machine")));
        } else if !seen.insert(address) {
            out.push(Diagnostic::error(*span, format!("name server `{address}` is listed twice")));
        }
    }
    Some(given.iter().map(|given| given.value).collect())
}

const RETRY: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(1);
const RESOLVE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
const TTL_MIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);
const TTL_MAX: Duration = Duration::from_hours(7 * 24);
const HOLD: RangeInclusive<Duration> = Duration::ZERO..=range::LONGEST;
