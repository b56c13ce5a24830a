//! What a request and a response must not contain. HTTP libraries let pass what two readers may understand differently,
//! and that is what request smuggling is made of. Pure.

use super::answer::Answer;
use http::{HeaderMap, HeaderValue, Method, Version, header, request, response, uri::Uri};

/// Checks a request and brings it into one form: exactly one `Host`, none of two readings. `Err` says what to answer.
pub(super) fn request(request: &mut request::Parts) -> Result<(), Answer> {
    if request.method == Method::CONNECT {
        return Err(Answer::MethodNotAllowed);
    }
    if request.uri.path() == "*" && request.method != Method::OPTIONS {
        return Err(Answer::BadRequest);
    }
    transfer_encoding(request)?;
    host(request)
}

/// One line that says `chunked`, in HTTP/1.1. hyper has made sure that the last coding is `chunked`.
fn transfer_encoding(request: &request::Parts) -> Result<(), Answer> {
    let mut lines = request.headers.get_all(header::TRANSFER_ENCODING).into_iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(Answer::BadRequest),
        (Some(_), None) if request.version != Version::HTTP_11 => Err(Answer::BadRequest),
        (Some(only), None) if is_chunked(only) => Ok(()),
        (Some(_), None) => Err(Answer::Unprocessable),
    }
}

fn is_chunked(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"chunked")
}

/// Exactly one `Host` (equal ones are merged), well-formed, and the same as in the request line, if it has one there.
fn host(request: &mut request::Parts) -> Result<(), Answer> {
    let mut hosts = request.headers.get_all(header::HOST).into_iter();
    let first = hosts.next().cloned();
    if hosts.any(|other| Some(other) != first.as_ref()) {
        return Err(Answer::BadRequest);
    }
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = match (first, authority) {
        (Some(host), None) => host,
        (Some(host), Some(authority)) if is_same_authority(&request.uri, host.as_bytes(), authority) => host,
        // Only HTTP/2 may leave `Host` out when the authority stands elsewhere (RFC 9113 §8.3.1).
        (None, Some(authority)) if request.version == Version::HTTP_2 => {
            HeaderValue::from_bytes(authority).map_err(|_invalid| Answer::BadRequest)?
        }
        (None, None) if request.version < Version::HTTP_11 => return Ok(()),
        (Some(_) | None, _) => return Err(Answer::BadRequest),
    };
    if !is_valid_host(host.as_bytes()) {
        return Err(Answer::BadRequest);
    }
    request.headers.insert(header::HOST, host);
    Ok(())
}

/// RFC 3986 §3.2.2, as far as it concerns which characters may occur where.
fn is_valid_host(host: &[u8]) -> bool {
    let (name, port) = split_port(host);
    let is_name = match name.strip_prefix(b"[") {
        Some(literal) => literal
            .strip_suffix(b"]")
            .is_some_and(|inner| inner.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))),
        None => name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte)),
    };
    is_name && port.iter().all(u8::is_ascii_digit)
}

/// Name and port of an authority; the port is empty if there is none.
fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    match colon.and_then(|colon| authority.split_at_checked(colon)) {
        // The last colon of "[::1]" stands inside the brackets.
        Some((name, [_, port @ ..])) if !port.contains(&b']') => (name, port),
        Some(_) | None => (authority, b""),
    }
}

/// Whether both name the same place: case does not count, nor does the default port of the scheme.
fn is_same_authority(uri: &Uri, host: &[u8], authority: &[u8]) -> bool {
    let default: &[u8] = if uri.scheme_str() == Some("https") { b"443" } else { b"80" };
    let normal = |authority| {
        let (name, port) = split_port(authority);
        (<[u8]>::to_ascii_lowercase(name), if port == default { Vec::new() } else { port.to_vec() })
    };
    normal(host) == normal(authority)
}

/// Checks a response. `Err`: it must not be handed on.
pub(super) fn response(response: &mut response::Parts) -> Result<(), Answer> {
    // Nobody asked for another protocol: `Upgrade` was not forwarded.
    if response.status.is_informational() {
        return Err(Answer::BadGateway);
    }
    let headers = &mut response.headers;
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => merge_content_length(headers),
        // RFC 9112 §6.3: the coding decides and the length is a lie.
        (Some(only), None) if is_chunked(only) => {
            headers.remove(header::CONTENT_LENGTH);
            Ok(())
        }
        (Some(_), _) => Err(Answer::BadGateway),
    }
}

/// Equal lengths are one; hyper has refused different ones, save in answers that have no body.
fn merge_content_length(headers: &mut HeaderMap) -> Result<(), Answer> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).into_iter();
    let Some(first) = lengths.next().cloned() else { return Ok(()) };
    let mut differ = false;
    let mut several = false;
    for other in lengths {
        several = true;
        differ |= *other != first;
    }
    if differ {
        return Err(Answer::BadGateway);
    }
    if several {
        headers.insert(header::CONTENT_LENGTH, first);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: Version, method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<String, Answer> {
        let builder = http::Request::builder().version(version).method(method).uri(uri);
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        let (mut parts, ()) = builder.body(()).expect("request").into_parts();
        request(&mut parts)?;
        let hosts: Vec<_> = parts.headers.get_all("host").iter().map(|host| host.to_str().expect("text")).collect();
        Ok(hosts.join("|"))
    }

    #[test]
    fn hosts() {
        let bad = Err(Answer::BadRequest);
        let ok = |host: &str| Ok(host.to_string());
        let cases: [(&str, &[&str], _); 16] = [
            ("/", &["a.test"], ok("a.test")),
            ("/", &["a.test:8080"], ok("a.test:8080")),
            ("/", &["[2001:db8::1]:80"], ok("[2001:db8::1]:80")),
            ("/", &["[2001:db8::1]"], ok("[2001:db8::1]")),
            ("/", &["a.test", "a.test"], ok("a.test")),
            ("/", &["a.test", "b.test"], bad.clone()),
            ("/", &[], bad.clone()),
            ("/", &["a.test/x"], bad.clone()),
            ("/", &["a b"], bad.clone()),
            ("/", &["a@b"], bad.clone()),
            ("/", &["a.test:80x"], bad.clone()),
            ("/", &["[::1"], bad.clone()),
            ("http://a.test/", &["A.test:80"], ok("A.test:80")),
            ("http://a.test/", &["b.test"], bad.clone()),
            ("http://a.test/", &[], bad.clone()),
            ("http://a.test:81/", &["a.test"], bad),
        ];
        for (uri, hosts, expected) in cases {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(verdict(Version::HTTP_11, "GET", uri, &headers), expected, "{uri} {hosts:?}");
        }
        assert_eq!(verdict(Version::HTTP_10, "GET", "/", &[]), ok(""));
        assert_eq!(verdict(Version::HTTP_2, "GET", "https://a.test/", &[]), ok("a.test"));
    }

    #[test]
    fn transfer_encodings_methods_and_targets() {
        let with = |method, uri, version, codings: &[&str]| {
            let codings = codings.iter().map(|coding| ("transfer-encoding", *coding));
            let headers: Vec<_> = codings.chain([("host", "a")]).collect();
            verdict(version, method, uri, &headers).map(drop)
        };
        assert_eq!(with("POST", "/", Version::HTTP_11, &["Chunked"]), Ok(()));
        assert_eq!(with("POST", "/", Version::HTTP_11, &["chunked", "chunked"]), Err(Answer::BadRequest));
        assert_eq!(with("POST", "/", Version::HTTP_11, &["gzip, chunked"]), Err(Answer::Unprocessable));
        assert_eq!(with("POST", "/", Version::HTTP_10, &["chunked"]), Err(Answer::BadRequest));
        assert_eq!(with("CONNECT", "a:443", Version::HTTP_11, &[]), Err(Answer::MethodNotAllowed));
        assert_eq!(with("GET", "*", Version::HTTP_11, &[]), Err(Answer::BadRequest));
        assert_eq!(with("OPTIONS", "*", Version::HTTP_11, &[]), Ok(()));
    }

    #[test]
    fn responses() {
        let check = |status: u16, headers: &[(&str, &str)]| {
            let builder = http::Response::builder().status(status);
            let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
            let (mut parts, ()) = builder.body(()).expect("response").into_parts();
            response(&mut parts).map(|()| parts.headers.get_all("content-length").iter().count())
        };
        let (length, chunked) = (("content-length", "2"), ("transfer-encoding", "chunked"));
        assert_eq!(check(200, &[length]), Ok(1));
        assert_eq!(check(200, &[length, chunked]), Ok(0));
        assert_eq!(check(200, &[length, length]), Ok(1));
        assert_eq!(check(304, &[length, ("content-length", "3")]), Err(Answer::BadGateway));
        assert_eq!(check(200, &[("transfer-encoding", "gzip")]), Err(Answer::BadGateway));
        assert_eq!(check(200, &[chunked, chunked]), Err(Answer::BadGateway));
        assert_eq!(check(101, &[]), Err(Answer::BadGateway));
    }
}
