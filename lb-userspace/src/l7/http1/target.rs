//! What a request asks for: its target and its `Host`, of which there is one in the end, and which contradict each other
//! never.

use super::{
    super::message::{Method, Request, Version},
    Limits,
    request::Refusal,
};

/// Checks the target of a request (RFC 9112 §3.2), and that it and `Host` name the same place. A request of HTTP/1.0 that
/// has an absolute URI and no `Host` gets one.
pub(crate) fn check(request: &mut Request, limits: &Limits) -> Result<(), Refusal> {
    let target = &request.target;
    if target.contains(&b'#') || !target.is_ascii() {
        return Err(Refusal::Target);
    }
    let authority = match (target.as_slice(), &request.method) {
        (_, Method::Connect) if !limits.connect => return Err(Refusal::Connect),
        (authority, Method::Connect) if !split_port(authority).1.is_empty() => Some(authority),
        (_, Method::Connect) => return Err(Refusal::Target),
        (b"*", Method::Options) | (b"/" | [b'/', ..], _) => None,
        _ => Some(absolute(request).ok_or(Refusal::Target)?),
    };
    match (request.host(), authority) {
        (Some(host), Some(authority)) if !is_same_place(request, host, authority) => Err(Refusal::Host),
        (Some(host), _) => is_valid_host(host).then_some(()).ok_or(Refusal::Host),
        (None, _) if request.version > Version::Http10 && !limits.hostless => Err(Refusal::Host),
        (None, Some(authority)) if is_valid_host(authority) => {
            let authority = authority.to_vec();
            request.fields.push("Host", authority);
            Ok(())
        }
        (None, Some(_)) => Err(Refusal::Host),
        (None, None) => Ok(()),
    }
}

/// The authority of an absolute URI that has a scheme and an authority.
fn absolute(request: &Request) -> Option<&[u8]> {
    request.scheme().filter(|scheme| scheme.first().is_some_and(u8::is_ascii_alphabetic))?;
    request.authority().filter(|authority| !authority.is_empty())
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
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    match colon.and_then(|colon| authority.split_at_checked(colon)) {
        // The last colon of "[::1]" stands inside the brackets.
        Some((name, [_, port @ ..])) if !port.contains(&b']') => (name, port),
        Some(_) | None => (authority, b""),
    }
}

/// Whether both name the same place: case does not count, nor does the default port of the scheme.
fn is_same_place(request: &Request, host: &[u8], authority: &[u8]) -> bool {
    let secure = request.method == Method::Connect
        || request.scheme().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"));
    let default: &[u8] = if secure { b"443" } else { b"80" };
    let without_default = |(name, port)| (name, if port == default { &b""[..] } else { port });
    let ((name, port), (other, other_port)) =
        (without_default(split_port(host)), without_default(split_port(authority)));
    name.eq_ignore_ascii_case(other) && port == other_port
}
