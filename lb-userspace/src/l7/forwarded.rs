//! What a server learns of the client, and how a request looks to it. Pure.

use super::message::{Method, Request, Version};
use std::net::IpAddr;

/// Makes of a client's request, already found strict and without what belonged to its hop, the one for a server.
pub(super) fn prepare(request: &mut Request, client: Option<IpAddr>, secure: bool, upgrade: Option<&[u8]>) {
    if let Some(client) = client {
        append_forwarded_for(request, client);
        request.fields.set("x-forwarded-proto", if secure { "https" } else { "http" });
    }
    if let Some(protocol) = upgrade {
        request.fields.push("connection", "upgrade");
        request.fields.push("upgrade", protocol);
    }
    if request.version == Version::Http2 {
        join_cookies(request);
    }
    to_origin_form(request);
}

/// One line, whatever came: many programs read only the first.
fn append_forwarded_for(request: &mut Request, client: IpAddr) {
    const NAME: &str = "x-forwarded-for";
    let mut value = Vec::new();
    for line in request.fields.all(NAME) {
        value.extend_from_slice(line);
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(client.to_canonical().to_string().as_bytes());
    request.fields.set(NAME, value);
}

/// HTTP/2 may split cookies over lines, HTTP/1.1 must not (RFC 9113 §8.2.3).
fn join_cookies(request: &mut Request) {
    let lines: Vec<&[u8]> = request.fields.all("cookie").collect();
    if lines.len() > 1 {
        let joined = lines.join(b"; ".as_slice());
        request.fields.set("cookie", joined);
    }
}

/// What an origin server expects in the request line (RFC 9112 §3.2.1): the target without scheme and authority.
fn to_origin_form(request: &mut Request) {
    if request.target.first() == Some(&b'/') || request.scheme().is_none() {
        return;
    }
    let path = request.path_and_query();
    // `OPTIONS http://a.test` means the server as a whole (RFC 9112 §3.2.4).
    let target = match (&request.method, path) {
        (Method::Options, b"" | b"/") => b"*".to_vec(),
        (_, [b'/', ..]) => path.to_vec(),
        (_, query) => [b"/", query].concat(),
    };
    request.target = target;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(version: Version, method: Method, target: &str, lines: &[(&str, &str)]) -> Request {
        let mut request = Request { method, target: target.into(), version, fields: lines.iter().copied().collect() };
        prepare(&mut request, Some("192.0.2.9".parse().expect("address")), true, None);
        request
    }

    fn lines(request: &Request, name: &str) -> Vec<String> {
        request.fields.all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn the_client_is_appended_to_what_came_and_the_scheme_is_ours_to_say() {
        let sent = [
            ("host", "a"),
            ("x-forwarded-for", "1.1.1.1"),
            ("X-Forwarded-For", "2.2.2.2"),
            ("x-forwarded-proto", "http"),
        ];
        let request = prepared(Version::Http11, Method::Get, "/", &sent);
        assert_eq!(lines(&request, "x-forwarded-for"), ["1.1.1.1, 2.2.2.2, 192.0.2.9"]);
        assert_eq!(lines(&request, "x-forwarded-proto"), ["https"]);
    }

    #[test]
    fn targets_become_origin_form_and_cookies_one_line() {
        let host = ("host", "a.test");
        let target = |method, target: &str| {
            String::from_utf8(prepared(Version::Http11, method, target, &[host]).target).expect("text")
        };
        assert_eq!(target(Method::Get, "http://a.test/x?y=1"), "/x?y=1");
        assert_eq!(target(Method::Get, "http://a.test"), "/");
        assert_eq!(target(Method::Get, "http://a.test?q"), "/?q");
        assert_eq!(target(Method::Options, "http://a.test"), "*");
        assert_eq!(target(Method::Options, "*"), "*");
        assert_eq!(target(Method::Get, "/r?u=http://b"), "/r?u=http://b");
        let split = [host, ("cookie", "a=1"), ("cookie", "b=2")];
        assert_eq!(lines(&prepared(Version::Http2, Method::Get, "/", &split), "cookie"), ["a=1; b=2"]);
    }
}
