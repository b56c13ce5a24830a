//! The cookie of a backend.

use super::{Use, range};
use crate::{
    config::{
        error::Diagnostic,
        file::{Backend, Cookie as Typed, Mode},
        read::{Knob, OneOrMany},
        source::{At, Span},
        text::Text,
    },
    model::cookie::{Cookie, CookieKey, CookieMode},
};
use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

pub(super) fn cookie(backend: &Backend, uses: &[&Use<'_>], out: &mut Vec<Diagnostic>) -> Option<Cookie> {
    check_values(backend, out);
    check_key(backend, out);
    let At { value: typed, span } = backend.cookie.given()?;
    if let Some(used) = uses.iter().find(|used| used.mode.is_some_and(|mode| mode != Mode::Http)) {
        let mode = used.mode.map_or("", Mode::word);
        let message = format!("frontend `{}` of mode `{mode}` has no requests with cookies", used.frontend);
        let error = Diagnostic::error(*span, message).related(used.span, "used here");
        out.push(error.help("bring clients back by their address: balance = \"source\""));
    }
    if typed.name.is_absent() {
        out.push(Diagnostic::error(*span, "a cookie needs a `name`"));
    }
    if let Some(name) = typed.name.value().filter(|name| name.value.is_empty() || !name.value.chars().all(is_token)) {
        out.push(Diagnostic::error(name.span, format!("`{name}` cannot be the name of a cookie")));
    }
    let mode = typed.mode.or(CookieMode::Insert);
    check_mode(typed, mode, out);
    let age = |knob: &Knob<Duration>, key, out: &mut Vec<_>| {
        knob.given().map(|_| range::duration([knob, &Knob::Absent], key, AGES, OLDEST, out))
    };
    Some(Cookie {
        name: typed.name.value().map_or_else(String::new, |name| name.value.clone()),
        mode,
        indirect: typed.indirect.or(false),
        nocache: typed.nocache.or(false),
        postonly: typed.postonly.or(false),
        preserve: typed.preserve.or(false),
        maxidle: age(&typed.maxidle, "maxidle", out),
        maxlife: age(&typed.maxlife, "maxlife", out),
        attributes: attributes(typed, out),
        persist: backend.persist.or(false),
    })
}

fn check_mode(typed: &Typed, mode: CookieMode, out: &mut Vec<Diagnostic>) {
    let flag = |knob: &Knob<bool>| knob.given().filter(|given| given.value).map(|given| given.span);
    let age = |knob: &Knob<Duration>| knob.given().map(|given| given.span);
    let knobs = [
        ("indirect", flag(&typed.indirect)),
        ("postonly", flag(&typed.postonly)),
        ("preserve", flag(&typed.preserve)),
        ("maxidle", age(&typed.maxidle)),
        ("maxlife", age(&typed.maxlife)),
    ];
    for (key, span) in knobs.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        if mode != CookieMode::Insert {
            let error = Diagnostic::error(span, format!("`{key}` has no meaning for a cookie that servers set"));
            out.push(error.help("it belongs to mode = \"insert\""));
        }
    }
}

/// What the values of servers are made with that have none of their own, where that is asked for.
pub(super) fn dynamic(backend: &Backend) -> Option<CookieKey> {
    asks_for_dynamic(backend)?;
    Some(CookieKey(backend.dynamic_cookie_key.value()?.value.clone()))
}

/// Where the cookie asks for values that are made.
fn asks_for_dynamic(backend: &Backend) -> Option<Span> {
    let cookie = backend.cookie.value()?;
    cookie.dynamic.given().filter(|dynamic| dynamic.value).map(|dynamic| dynamic.span)
}

/// A key, and values to make with it, belong together.
fn check_key(backend: &Backend, out: &mut Vec<Diagnostic>) {
    match (asks_for_dynamic(backend), &backend.dynamic_cookie_key) {
        (Some(span), Knob::Absent) => {
            let error = Diagnostic::error(span, "`dynamic` needs the backend's `dynamic_cookie_key`");
            out.push(error.help("any text, the same on all balancers of a group, and secret from clients"));
        }
        (_, Knob::Given(key)) if key.value.value.is_empty() => {
            out.push(Diagnostic::error(key.span, "`dynamic_cookie_key` is empty"));
        }
        (None, Knob::Given(key)) => {
            let error = Diagnostic::error(key.span, "`dynamic_cookie_key` has no meaning without a dynamic cookie");
            out.push(error.help("cookie = { name = \"SRV\", dynamic = true }"));
        }
        (Some(_), Knob::Given(_)) | (None, Knob::Absent) | (_, Knob::Faulty) => {}
    }
}

/// A server's value, and a cookie to carry it, belong together.
fn check_values(backend: &Backend, out: &mut Vec<Diagnostic>) {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    let servers = backend.server.value().into_iter().flatten();
    for value in servers.filter_map(|server| server.value.cookie.value()) {
        if backend.cookie.is_absent() {
            let error = Diagnostic::error(value.span, "this backend has no cookie");
            out.push(error.help("give the backend one: cookie = { name = \"SRV\", indirect = true, nocache = true }"));
        }
        if value.value.is_empty() || !value.value.chars().all(|c| is_token(c) && c != '|' && c != '~') {
            out.push(Diagnostic::error(value.span, format!("`{value}` cannot be the value of a cookie")));
        }
        if let Some(first) = first.insert(&value.value, value.span) {
            let warning = Diagnostic::warning(value.span, format!("two servers have the cookie `{value}`"));
            out.push(warning.related(first, "first here"));
        }
    }
    if let Some(At { span, .. }) =
        backend.cookie.given().filter(|_| first.is_empty() && asks_for_dynamic(backend).is_none())
    {
        let error = Diagnostic::error(*span, "no server has a value for this cookie");
        out.push(error.help("give each server its own: cookie = \"web1\""));
    }
    if let Some(At { span, .. }) = backend.persist.given().filter(|_| backend.cookie.is_absent()) {
        out.push(Diagnostic::error(*span, "`persist` has no meaning without a cookie"));
    }
}

/// What follows the value, in HAProxy's order.
fn attributes(typed: &Typed, out: &mut Vec<Diagnostic>) -> String {
    let mut attributes = String::new();
    add(&mut attributes, "domain=", &typed.domain, out);
    for (_, flag) in
        [(&typed.httponly, "; HttpOnly"), (&typed.secure, "; Secure")].iter().filter(|(knob, _)| knob.or(false))
    {
        attributes += flag;
    }
    add(&mut attributes, "", &typed.attr, out);
    attributes
}

fn add(attributes: &mut String, name: &str, knob: &Knob<OneOrMany<Text>>, out: &mut Vec<Diagnostic>) {
    let fits = |text: &str| !text.is_empty() && text.chars().all(|c| (' '..='~').contains(&c) && c != ';');
    for At { value: text, span } in knob.value().into_iter().flat_map(|OneOrMany(all)| all) {
        if !fits(&text.value) {
            out.push(Diagnostic::error(*span, format!("`{text}` cannot be an attribute of a cookie")));
        }
        attributes.push_str("; ");
        attributes.push_str(name);
        attributes.push_str(&text.value);
    }
}

/// RFC 9110 §5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

const OLDEST: Duration = range::LONGEST;
const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=OLDEST;
