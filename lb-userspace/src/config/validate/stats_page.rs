//! `stats_page`.

use super::{Entry, names, range, users};
use crate::{
    config::{
        error::Diagnostic,
        file::{File, StatsPage as Typed},
        read::{Knob, OneOrMany},
        source::{At, Span},
        text::Text,
    },
    model::{
        Bind, Frontend, StatsPage,
        stats_page::{REALM, URI},
        userlist::Userlist,
    },
};
use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

/// All of them. `frontends`: who listens elsewhere.
pub(super) fn stats_pages(file: &File, frontends: &[Frontend], out: &mut Vec<Diagnostic>) -> Vec<StatsPage> {
    let typed = names::sorted("statistics page", file.stats_page.value(), out);
    let pages = typed.iter().map(|entry| page(entry, out)).collect();
    check_conflicts(file, &typed, frontends, out);
    pages
}

fn page((name, typed): &Entry<Typed>, out: &mut Vec<Diagnostic>) -> StatsPage {
    let binds = binds(typed);
    if binds.is_empty() && !matches!(typed.bind, Knob::Faulty) {
        let error = Diagnostic::error(name.span, format!("statistics page `{}` is served nowhere", name.value));
        out.push(error.help("give it an address: bind = \"127.0.0.1:8404\""));
    }
    let users = Userlist { name: name.value.clone(), users: users(&typed.user, out) };
    let admin = typed.admin.or(false);
    if let (true, Knob::Given(at), true) = (admin, &typed.admin, typed.user.is_absent()) {
        let warning = Diagnostic::warning(at.span, "everybody who reaches this page may take servers out");
        out.push(warning.help("user = [{ name = \"…\", password = \"…\" }]"));
    }
    StatsPage {
        name: name.value.clone(),
        binds: binds.iter().map(|(address, _)| *address).collect(),
        uri: typed.uri.value().map_or_else(|| URI.to_owned(), |text| uri(text, out)),
        refresh: range::optional([&typed.refresh, &Knob::Absent], "refresh", REFRESH, out),
        users,
        realm: typed.realm.value().map_or_else(|| REALM.to_owned(), |text| words(text, "realm", out)),
        admin,
        hide_version: typed.hide_version.or(false),
        node: typed.node.value().map(|text| words(text, "node", out)),
    }
}

fn binds(typed: &Typed) -> Vec<(SocketAddr, Span)> {
    let binds = typed.bind.value().into_iter().flat_map(|OneOrMany(binds)| binds);
    binds.map(|At { value, span }| (*value, *span)).collect()
}

/// A URI is found by what it begins with, and what comes behind it are options.
fn uri(text: &Text, out: &mut Vec<Diagnostic>) -> String {
    let is_plain = text.value.bytes().all(|byte| byte.is_ascii_graphic() && !b";#\"<>\\".contains(&byte));
    if !text.value.starts_with('/') || !is_plain || text.value.len() > LONGEST {
        let error = Diagnostic::error(text.span, format!("`{text}` cannot be the URI of a statistics page"));
        out.push(error.help(format!("a path of at most {LONGEST} bytes, as in requests: \"/stats\"")));
    }
    text.value.clone()
}

/// Words that go into a field of an answer, or on the page.
fn words(text: &Text, key: &str, out: &mut Vec<Diagnostic>) -> String {
    if text.value.is_empty() || text.value.len() > LONGEST || text.value.contains(|c: char| c.is_control() || c == '"')
    {
        let message = format!("`{key}` must be words of at most {LONGEST} bytes, without quotes");
        out.push(Diagnostic::error(text.span, message));
    }
    text.value.clone()
}

/// Who listens where somebody else does would not start.
fn check_conflicts(file: &File, typed: &[&Entry<Typed>], frontends: &[Frontend], out: &mut Vec<Diagnostic>) {
    let mut taken: Vec<(SocketAddr, Span)> = Vec::new();
    let metrics = file.global.value().and_then(|global| global.metrics.given());
    taken.extend(metrics.map(|At { value, span }| (*value, *span)));
    for (address, span) in typed.iter().flat_map(|(_, page)| binds(page)) {
        let listens = |frontend: &&Frontend| {
            let mut addresses = frontend.binds.iter().flat_map(Bind::addresses);
            frontend.is_proxied() && addresses.any(|other| is_same(other, address))
        };
        if let Some(frontend) = frontends.iter().find(listens) {
            let message = format!("frontend `{}` listens on {address} already", frontend.name);
            out.push(Diagnostic::error(span, message));
        }
        if let Some((_, first)) = taken.iter().find(|(other, _)| is_same(*other, address)) {
            let error = Diagnostic::error(span, format!("{address} is taken already"));
            out.push(error.related(*first, "here"));
        }
        taken.push((address, span));
    }
}

/// All addresses of a family are each of it.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let both = [one, other];
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || both.iter().any(|address| address.ip().is_unspecified()))
}

const REFRESH: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// Of a URI, a realm or a name, in bytes.
const LONGEST: usize = 128;
