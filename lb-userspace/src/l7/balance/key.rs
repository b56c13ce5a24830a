//! The key of a request, for ways to balance that hash one. Byte for byte what HAProxy hashes (backend.c), so that a client
//! finds the same server through either.

use super::{Flow, hash};
use crate::{
    l7::{
        acl::{Facts, Value, value},
        message::Request,
    },
    model::{
        acl::Kind,
        balance::{HashType, Keyed, Uri},
    },
};
use std::{borrow::Cow, net::IpAddr};

/// The hash of the key; `None`: there is none, or what was sent as such is empty.
pub(super) fn hashed(
    by: &Keyed,
    kind: HashType,
    flow: &Flow,
    request: Option<&Request>,
    facts: Option<&Facts<'_>>,
) -> Option<u32> {
    let key = match by {
        Keyed::Source => return Some(hash::spread(kind, folded(flow.client.ip().to_canonical()))),
        Keyed::Uri(parts) => Some(of_target(*parts, request?)),
        Keyed::UrlParam(name) => parameter(name.as_bytes(), request?),
        Keyed::Header { name, domain_only } => {
            let value = request?.fields.elements(name).next();
            value.map(|value| if *domain_only { domain(value) } else { value })
        }
        // As with HAProxy an empty value is one as well.
        Keyed::Expression(expression) => return Some(hash::hash(kind, &bytes(value(expression, facts?)?)?)),
    };
    key.filter(|key| !key.is_empty()).map(|key| hash::hash(kind, key))
}

/// The bytes of a value, HAProxy's cast to `bin`.
fn bytes(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value.cast(Kind::Binary)? {
        Value::Binary(bytes) => Some(bytes),
        Value::Bool(_) | Value::Int(_) | Value::Ip(_) | Value::Text(_) => None,
    }
}

/// The words of an address, one over the other: neighbours get neighbouring servers.
fn folded(client: IpAddr) -> u32 {
    match client {
        IpAddr::V4(client) => client.to_bits(),
        IpAddr::V6(client) => {
            let halves = client.segments();
            let words = halves.chunks(2).map(|word| word.iter().fold(0, |word, half| word << 16 | u32::from(*half)));
            words.fold(0, |folded, word| folded ^ word)
        }
    }
}

fn of_target(parts: Uri, request: &Request) -> &[u8] {
    let target = if parts.path_only { request.path_and_query() } else { &request.target };
    let target = target.get(..parts.len.unwrap_or(usize::MAX).min(target.len())).unwrap_or_default();
    let mut slashes = 0;
    let is_end = |byte: &u8| {
        slashes += usize::from(*byte == b'/');
        (*byte == b'?' && !parts.whole) || parts.depth.is_some_and(|depth| *byte == b'/' && slashes > depth)
    };
    let end = target.iter().position(is_end).unwrap_or(target.len());
    target.get(..end).unwrap_or_default()
}

/// The value of the first parameter of that name, as it was sent.
fn parameter<'a>(name: &[u8], request: &'a Request) -> Option<&'a [u8]> {
    let mut parameters = request.query()?.split(|byte| *byte == b'&');
    parameters.find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix(b"="))
}

/// The label before the last dot: `example` of `www.example.com`. All of it if there is none.
fn domain(host: &[u8]) -> &[u8] {
    let Some(dot) = host.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else { return host };
    let before = host.get(..dot).unwrap_or_default();
    before.rsplit(|byte| *byte == b'.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::message::{Method, Version};

    fn request(target: &str, fields: &[(&str, &str)]) -> Request {
        Request {
            method: Method::Get,
            target: target.into(),
            version: Version::Http11,
            fields: fields.iter().copied().collect(),
        }
    }

    fn uri(parts: Uri, target: &str) -> String {
        String::from_utf8(of_target(parts, &request(target, &[])).to_vec()).expect("text")
    }

    #[test]
    fn targets_are_cut_where_haproxy_cuts_them() {
        let all = Uri::default();
        assert_eq!(uri(all, "/a/b/c?d=e/f"), "/a/b/c");
        assert_eq!(uri(Uri { whole: true, ..all }, "/a/b/c?d=e/f"), "/a/b/c?d=e/f");
        assert_eq!(uri(Uri { depth: Some(1), ..all }, "/a/b/c"), "/a");
        assert_eq!(uri(Uri { depth: Some(2), ..all }, "/a/b/c"), "/a/b");
        assert_eq!(uri(Uri { len: Some(3), ..all }, "/a/b/c"), "/a/");
        assert_eq!(uri(all, "http://h/a?b"), "http://h/a");
        assert_eq!(uri(Uri { path_only: true, ..all }, "http://h/a?b"), "/a");
    }

    #[test]
    fn parameters_are_found_by_their_whole_name() {
        let found = |target| {
            let request = request(target, &[]);
            parameter(b"id", &request).map(|value| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!(found("/?xid=1&id=2&id=3").as_deref(), Some("2"));
        assert_eq!(found("/?ID=1&id2=1"), None);
        assert_eq!(found("/?id=").as_deref(), Some(""));
        assert_eq!(found("/id=1"), None);
    }

    #[test]
    fn domains_are_the_label_before_the_last() {
        for (host, label) in [("haproxy.1wt.eu", "1wt"), ("1wt.eu", "1wt"), ("localhost", "localhost"), (".eu", ".eu")]
        {
            assert_eq!(domain(host.as_bytes()), label.as_bytes(), "{host}");
        }
    }

    #[test]
    fn what_is_absent_or_empty_has_no_hash() {
        let flow = Flow { client: ([192, 0, 2, 1], 1).into(), local: ([192, 0, 2, 2], 1).into() };
        let hash = |by: &Keyed, request: &Request| hashed(by, HashType::default(), &flow, Some(request), None);
        let request = request("/?id=", &[("x", ""), ("host", "a, b")]);
        let header = |name: &str| Keyed::Header { name: name.into(), domain_only: false };
        assert_eq!(hash(&Keyed::UrlParam("id".into()), &request), None);
        assert_eq!((hash(&header("x"), &request), hash(&header("y"), &request)), (None, None));
        assert_eq!(hash(&header("host"), &request), Some(97));
        assert_eq!(hash(&Keyed::Source, &request), Some(0xc000_0201));
        assert_eq!(hashed(&Keyed::Uri(Uri::default()), HashType::default(), &flow, None, None), None);
    }

    #[test]
    fn addresses_of_ipv6_are_folded() {
        assert_eq!(
            folded("2001:db8:1:2:3:4:5:6".parse().expect("address")),
            0x2001_0db8 ^ 0x1_0002 ^ 0x3_0004 ^ 0x5_0006
        );
    }
}
