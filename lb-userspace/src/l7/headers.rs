//! Headers on their way through us: what belongs to one hop is removed, what servers want to know of the client is added.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header, request, uri::PathAndQuery};
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers of one hop, whoever names them or not (RFC 9110 §7.6.1; RFC 9113 §3.1 for the settings of h2c).
const OF_ONE_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Headers that `Connection` cannot have removed: else a client could strip what a proxy before us has added, or what
/// gives the message its meaning.
const PROTECTED: [&str; 16] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "forwarded",
    "host",
    "set-cookie",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Fields that are never trailers: they would change how the message is read after it was (RFC 9110 §6.5.1).
const NEVER_TRAILERS: [HeaderName; 9] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::TRAILER,
];

/// Makes of a client's request, already found strict, the one for a server.
pub(super) fn prepare_request(request: &mut request::Parts, client: Option<IpAddr>, secure: bool) {
    let headers = &mut request.headers;
    // gRPC servers want to see that the client takes trailers.
    let takes_trailers =
        headers.get(header::TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    remove_hop_by_hop(headers);
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(client) = client {
        append_forwarded_for(headers, client);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
    }
    if request.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    // Without a host it cannot be HTTP/1.1 (RFC 9112 §3.2).
    request.version = if headers.contains_key(header::HOST) { Version::HTTP_11 } else { Version::HTTP_10 };
    request.uri = origin_form(&request.uri, &request.method);
    request.extensions.clear();
}

/// Removes what belonged to the hop that the message came by.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let lines = headers.get_all(header::CONNECTION).into_iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let nominated: Vec<HeaderName> = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect();
    for name in nominated.iter().filter(|name| !PROTECTED.contains(&name.as_str())).chain(&OF_ONE_HOP) {
        headers.remove(name);
    }
}

/// Removes what must not come as a trailer.
pub(super) fn filter_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in &NEVER_TRAILERS {
        trailers.remove(name);
    }
}

/// One line, whatever came: many programs read only the first.
fn append_forwarded_for(headers: &mut HeaderMap, client: IpAddr) {
    let mut value = Vec::new();
    for line in headers.get_all(FORWARDED_FOR) {
        value.extend_from_slice(line.as_bytes());
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(client.to_canonical().to_string().as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// HTTP/2 may split cookies over lines, HTTP/1.1 must not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if let (2.., Ok(joined)) = (lines.len(), HeaderValue::from_bytes(&lines.join(b"; ".as_slice()))) {
        headers.insert(header::COOKIE, joined);
    }
}

/// What an origin server expects in the request line (RFC 9112 §3.2.1): the target without scheme and authority.
fn origin_form(uri: &Uri, method: &Method) -> Uri {
    // `OPTIONS http://a.test` means the server as a whole (RFC 9112 §3.2.4).
    let whole_server =
        *method == Method::OPTIONS && uri.authority().is_some() && uri.path_and_query().is_none_or(|path| path == "/");
    match uri.path_and_query() {
        _ if whole_server => Uri::from(PathAndQuery::from_static("*")),
        Some(target) => Uri::from(target.clone()),
        None => Uri::from(PathAndQuery::from_static("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(version: Version, uri: &str, lines: &[(&str, &str)]) -> request::Parts {
        let builder = http::Request::builder().version(version).uri(uri);
        let builder = lines.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        let (mut parts, ()) = builder.body(()).expect("request").into_parts();
        prepare_request(&mut parts, Some("192.0.2.9".parse().expect("address")), true);
        parts
    }

    fn lines(headers: &HeaderMap, name: &str) -> Vec<String> {
        headers.get_all(name).iter().map(|value| value.to_str().expect("text").to_string()).collect()
    }

    #[test]
    fn what_belongs_to_one_hop_is_removed_and_what_is_protected_is_not() {
        let parts = prepared(
            Version::HTTP_11,
            "/",
            &[
                ("host", "a"),
                ("connection", "close, X-Mine , x-forwarded-for"),
                ("connection", "upgrade, http2-settings"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABk"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("te", "trailers"),
                ("x-mine", "1"),
                ("x-kept", "1"),
                ("x-forwarded-for", "198.51.100.1"),
            ],
        );
        let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "te", "x-forwarded-for", "x-forwarded-proto", "x-kept"]);
    }

    #[test]
    fn the_client_is_appended_to_what_came_and_the_scheme_is_ours_to_say() {
        let sent = [
            ("host", "a"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "http"),
        ];
        let parts = prepared(Version::HTTP_11, "/", &sent);
        assert_eq!(lines(&parts.headers, "x-forwarded-for"), ["1.1.1.1, 2.2.2.2, 192.0.2.9"]);
        assert_eq!(lines(&parts.headers, "x-forwarded-proto"), ["https"]);
    }

    #[test]
    fn targets_become_origin_form_and_cookies_one_line() {
        let host = ("host", "a.test");
        assert_eq!(prepared(Version::HTTP_11, "http://a.test/x?y=1", &[host]).uri, "/x?y=1");
        assert_eq!(prepared(Version::HTTP_11, "http://a.test", &[host]).uri, "/");
        assert_eq!(prepared(Version::HTTP_11, "*", &[host]).uri, "*");
        assert_eq!(prepared(Version::HTTP_10, "/", &[]).version, Version::HTTP_10);
        let cookies = prepared(Version::HTTP_2, "https://a.test/", &[host, ("cookie", "a=1"), ("cookie", "b=2")]);
        assert_eq!(
            (lines(&cookies.headers, "cookie"), cookies.version),
            (vec!["a=1; b=2".to_string()], Version::HTTP_11)
        );
    }

    #[test]
    fn a_trailer_cannot_change_what_was_read() {
        let names = ["grpc-status", "content-length", "transfer-encoding", "host", "authorization", "connection"];
        let mut trailers: HeaderMap =
            names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1"))).collect();
        filter_trailers(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["grpc-status"]);
    }
}
