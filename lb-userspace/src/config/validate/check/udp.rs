//! Checks in datagrams: types `udp` and `dns`.

use super::script::{binary, bytes, content};
use crate::{
    config::{
        error::Diagnostic,
        file::{CheckKeys, DnsKeys, UdpKeys},
        read::OneOrMany,
        source::Span,
    },
    model::check::{DnsCheck, UdpCheck},
};
use std::collections::BTreeSet;

pub(super) fn check(typed: &UdpKeys, keys: &CheckKeys, span: Span, out: &mut Vec<Diagnostic>) -> UdpCheck {
    refuse_of_connections(keys, out);
    let send = match (typed.send.given(), typed.send_binary.given()) {
        (Some(text), None) => bytes(&text.value, out),
        (None, Some(digits)) => binary(&digits.value, out),
        (Some(_), Some(second)) => {
            out.push(Diagnostic::error(second.span, "a datagram is `send` or `send_binary`, not both"));
            Vec::new()
        }
        (None, None) => {
            if typed.send.is_absent() && typed.send_binary.is_absent() {
                let error = Diagnostic::error(span, "a check of type `udp` needs `send` or `send_binary`");
                out.push(error.help("what the service answers to"));
            }
            Vec::new()
        }
    };
    let expected = [&typed.expect, &typed.expect_regex, &typed.expect_binary, &typed.expect_binary_regex];
    if let Some(second) = expected.iter().filter_map(|knob| knob.given()).nth(1) {
        out.push(Diagnostic::error(second.span, "one `expect…` is enough"));
    }
    UdpCheck { send, expect: content(expected, out) }
}

pub(super) fn dns(typed: &DnsKeys, keys: &CheckKeys, span: Span, out: &mut Vec<Diagnostic>) -> DnsCheck {
    refuse_of_connections(keys, out);
    if typed.name.is_absent() {
        let error = Diagnostic::error(span, "a check of type `dns` needs a `name`");
        out.push(error.help("one that the servers know, such as name = \"example.com\""));
    }
    let name = typed.name.value().map_or("", |name| &name.value);
    let plain = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic());
    let is_name = name == "." || (plain.len() <= 253 && plain.split('.').all(is_label));
    if let Some(typed) = typed.name.given().filter(|_| !is_name) {
        out.push(Diagnostic::error(typed.span, format!("`{}` is not a name of DNS", typed.value)));
    }
    let rcodes: BTreeSet<u8> = match typed.rcode.value() {
        Some(OneOrMany(rcodes)) => rcodes.iter().map(|rcode| rcode.value.0).collect(),
        None => BTreeSet::from([0]),
    };
    if let Some(empty) = typed.rcode.given().filter(|_| rcodes.is_empty()) {
        out.push(Diagnostic::error(empty.span, "`rcode` names no code: the check could never pass"));
    }
    DnsCheck { name: plain.to_owned(), record: typed.record.value().map_or(1, |record| record.0), rcodes }
}

/// Datagrams have neither.
fn refuse_of_connections(keys: &CheckKeys, out: &mut Vec<Diagnostic>) {
    let given = [
        ("tls", keys.tls.given().map(|tls| tls.span)),
        ("send_proxy", keys.send_proxy.given().map(|version| version.span)),
    ];
    for (key, span) in given.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        out.push(Diagnostic::error(span, format!("`{key}` has no meaning in a check by UDP")));
    }
}
