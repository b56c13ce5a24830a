//! Which backend takes a request: rules in order, then the default. Pure.
//!
//! ACLs mean what they mean in HAProxy: a header fetch yields every comma-separated value of every such header, and
//! `hdr(host)` is the value as sent, port included.

use super::message::Request;
use crate::model::{
    BackendIndex, HttpFrontend,
    rule::{Acl, Condition, Fetch, Matching},
};
use std::borrow::Cow;

/// The backend of the first rule whose condition holds, else the default one.
pub(super) fn route(frontend: &HttpFrontend, request: &Request) -> Option<BackendIndex> {
    let rule = frontend.rules.iter().find(|rule| holds(&rule.condition, request));
    rule.map(|rule| rule.backend).or(frontend.default_backend)
}

fn holds(condition: &Condition, request: &Request) -> bool {
    let term = |term: &crate::model::Term| term.acl.iter().any(|acl| matches(acl, request)) != term.negated;
    condition.any.iter().any(|all| all.iter().all(term))
}

fn matches(acl: &Acl, request: &Request) -> bool {
    match &acl.fetch {
        Fetch::Path => matches_value(acl, request.path()),
        Fetch::Method => matches_value(acl, request.method.name()),
        Fetch::Header(name) => request.fields.elements(name).any(|value| matches_value(acl, value)),
    }
}

fn matches_value(acl: &Acl, value: &[u8]) -> bool {
    let value = if acl.ignore_case { Cow::Owned(value.to_ascii_lowercase()) } else { Cow::Borrowed(value) };
    let pattern = |pattern: &String| compare(acl.matching, &value, pattern.as_bytes());
    acl.matching == Matching::Found || acl.patterns.iter().any(pattern)
}

fn compare(matching: Matching, value: &[u8], pattern: &[u8]) -> bool {
    match matching {
        Matching::Found => true,
        Matching::Exact => value == pattern,
        Matching::Prefix => value.starts_with(pattern),
        Matching::Suffix => value.ends_with(pattern),
        Matching::Contains => pattern.is_empty() || value.windows(pattern.len()).any(|window| window == pattern),
        Matching::Directory => contains_word(value, pattern, b"/?"),
        Matching::Domain => contains_word(value, pattern, b"/?.:"),
    }
}

/// Whether `pattern` occurs in `value` from one delimiter (or end) to another, as HAProxy's `match_word`: delimiters
/// round the pattern do not count, and neither do several in a row.
fn contains_word(value: &[u8], pattern: &[u8], delimiters: &[u8]) -> bool {
    let is_delimiter = |byte: &u8| delimiters.contains(byte);
    let inside = |byte: &u8| !is_delimiter(byte);
    let (Some(first), Some(last)) = (pattern.iter().position(inside), pattern.iter().rposition(inside)) else {
        return false;
    };
    let pattern = pattern.get(first..=last).unwrap_or_default();
    (0..value.len()).any(|start| {
        let (before, rest) = value.split_at(start);
        let starts = before.last().is_none_or(is_delimiter);
        starts && rest.strip_prefix(pattern).is_some_and(|after| after.first().is_none_or(is_delimiter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::message::{Method, Version},
        model::{Rule, Term},
    };

    fn acl(fetch: Fetch, matching: Matching, ignore_case: bool, patterns: &[&str]) -> Acl {
        Acl { fetch, matching, ignore_case, patterns: patterns.iter().map(ToString::to_string).collect() }
    }

    fn header(name: &str) -> Fetch {
        Fetch::Header(name.into())
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
        let fields = headers.iter().copied().collect();
        Request { method: Method::Get, target: uri.into(), version: Version::Http11, fields }
    }

    #[test]
    fn each_matching_compares_as_haproxy_does() {
        use Matching::*;
        let cases = [
            (Exact, "/admin", "/admin", true),
            (Exact, "/admin/", "/admin", false),
            (Prefix, "/admin/x", "/admin/", true),
            (Prefix, "/Admin/x", "/admin/", false),
            (Suffix, "/a/x.png", ".png", true),
            (Contains, "/a/secret/b", "secret", true),
            (Contains, "/a/b", "secret", false),
            (Directory, "/a/static/b", "static", true),
            (Directory, "/a/static/b", "/a/static/", true),
            (Directory, "/a/statics/b", "static", false),
            (Directory, "//static", "static", true),
            (Directory, "/a", "/", false),
            (Domain, "www.example.com:80", "example", true),
            (Domain, "www.example.com:80", "example.com", true),
            (Domain, "www.badexample.com", "example.com", false),
            (Found, "", "", true),
        ];
        for (matching, value, pattern, expected) in cases {
            assert_eq!(
                compare(matching, value.as_bytes(), pattern.as_bytes()),
                expected,
                "{matching:?} {value} {pattern}"
            );
        }
    }

    #[test]
    fn a_host_is_compared_as_sent_with_its_port() {
        let host = acl(header("host"), Matching::Exact, true, &["api.example.com"]);
        let check = |value| matches(&host, &request("/", &[("host", value)]));
        assert_eq!(["API.example.com", "api.example.com:8080", "xapi.example.com"].map(check), [true, false, false]);
    }

    #[test]
    fn every_comma_separated_value_of_every_line_is_looked_at() {
        let acl = acl(header("x-tag"), Matching::Exact, false, &["b", "z"]);
        let check = |lines: &[(&str, &str)]| matches(&acl, &request("/", lines));
        assert!(check(&[("x-tag", "a, b ,c")]));
        assert!(check(&[("x-tag", "a"), ("x-tag", "z")]));
        assert!(!check(&[("x-tag", r#""a, b ,c""#)]));
        assert!(!check(&[("x-other", "b")]));
    }

    #[test]
    fn terms_are_joined_by_and_alternatives_by_or_and_the_first_rule_decides() {
        let term = |negated, acl| Term { negated, acl: vec![acl] };
        let api = || acl(header("host"), Matching::Exact, true, &["api.test"]);
        let admin = || acl(Fetch::Path, Matching::Prefix, false, &["/admin/"]);
        let post = || acl(Fetch::Method, Matching::Exact, false, &["POST"]);
        let rule = |any, backend| Rule { condition: Condition { any }, backend };
        let mut frontend = HttpFrontend {
            rules: vec![
                rule(vec![vec![term(false, api()), term(true, admin())], vec![term(false, post())]], 1),
                rule(vec![vec![term(false, api())]], 2),
            ],
            default_backend: Some(0),
            ..crate::l7::tests::model::http_frontend()
        };
        let routed = |frontend: &HttpFrontend, uri, host| route(frontend, &request(uri, &[("host", host)]));
        assert_eq!(routed(&frontend, "/", "api.test"), Some(1));
        assert_eq!(routed(&frontend, "/admin/x?y", "api.test"), Some(2));
        assert_eq!(routed(&frontend, "/admin/", "www.test"), Some(0));
        let mut posted = request("/admin/", &[]);
        posted.method = Method::Post;
        assert_eq!(route(&frontend, &posted), Some(1));
        frontend.default_backend = None;
        assert_eq!(routed(&frontend, "/", "www.test"), None);
    }
}
