//! The HTTP check: requests one after the other, and what their answers must be.
//!
//! Beside HAProxy: a regular expression looks at a body when that has ended, not at whatever has come by then, for what follows
//! may change what it finds; interim answers (1xx) are passed over; a 404 with `disable_on_404` ends the check at any step.

pub(super) mod answer;
mod http1;
pub(super) mod http2;
#[cfg(test)]
pub(super) mod tests;

use self::answer::Judge;
use super::{Finding, finding::Step, probe::Prober, wire::Wire};
use crate::{
    l7::{http2::to_map, message::Fields},
    model::{
        CheckKind, Proto, ServerTls, SharedServerTls,
        check::{HttpCheck, HttpStep},
    },
};
use std::{net::SocketAddr, sync::Arc};

/// How we call ourselves.
const AGENT: &str = "sluice-check";
/// HTTP/2 by its name in TLS (RFC 9113 §3.1).
const H2: &str = "h2";
/// HTTP/1.1 by its name in TLS (RFC 7301 §6).
const H1: &str = "http/1.1";

/// Takes the steps of `check`, the first one on `wire`, and others on more of `prober`'s, if they are to. Without
/// one there is only `wire`.
pub(super) async fn probe(wire: &mut Wire, check: &HttpCheck, prober: Option<&Prober>) -> Step<Finding> {
    let mut taken = 0;
    let mut found = Finding::ok("");
    for steps in check.steps.chunk_by(|_, next| !next.connect) {
        if taken > 0 {
            let Some(prober) = prober else { return Err(Finding::strange("only one connection")) };
            *wire = prober.again(wire.deadline()).await.map_err(|found| in_step(found, taken, check))?;
        }
        let is_http2 = check.proto == Some(Proto::Http2) || wire.agreed() == Some(H2.as_bytes());
        let numbered = (taken..).zip(steps);
        let answered =
            if is_http2 { over_http2(wire, numbered, check).await } else { over_http1(wire, numbered, check).await };
        found = answered?;
        taken += steps.len();
    }
    Ok(found)
}

/// Takes steps on one connection in HTTP/1.
async fn over_http1<'a>(
    wire: &mut Wire,
    steps: impl Iterator<Item = (usize, &'a HttpStep)>,
    check: &HttpCheck,
) -> Step<Finding> {
    let (mut found, mut steps) = (Finding::ok(""), steps.peekable());
    while let Some((index, step)) = steps.next() {
        let host = host(step.host.as_deref(), wire.address());
        let judge = Judge::new(&step.expect, check.disable_on_404);
        let answer = http1::exchange(wire, (step, &host), judge, steps.peek().is_some()).await;
        found = Finding::ok(answer.map_err(|found| in_step(found, index, check))?.status());
    }
    Ok(found)
}

/// Takes steps on one connection in HTTP/2.
async fn over_http2<'a>(
    wire: &mut Wire,
    steps: impl Iterator<Item = (usize, &'a HttpStep)>,
    check: &HttpCheck,
) -> Step<Finding> {
    let (mut found, secure, address) = (Finding::ok(""), wire.is_secure(), wire.address());
    let mut connection = http2::Connection::open(wire).await?;
    for (index, step) in steps {
        let taken = async {
            let request = request(step, secure, &host(step.host.as_deref(), address))?;
            let mut judge = Judge::new(&step.expect, check.disable_on_404);
            connection.exchange(request, step.body.clone().into(), |answer| judge.look(answer)).await
        };
        found = Finding::ok(taken.await.map_err(|found| in_step(found, index, check))?.status());
    }
    Ok(found)
}

/// What a request is for.
pub(super) fn host(given: Option<&str>, address: SocketAddr) -> String {
    given.map_or_else(|| address.to_string(), str::to_owned)
}

/// A finding of one of several steps says of which.
fn in_step(found: Finding, index: usize, check: &HttpCheck) -> Finding {
    if check.steps.len() == 1 {
        return found;
    }
    Finding { detail: format!("step {}: {}", index + 1, found.detail).trim_end_matches([':', ' ']).to_owned(), ..found }
}

/// The request of a step for HTTP/2.
fn request(step: &HttpStep, secure: bool, host: &str) -> Step<http::Request<()>> {
    let HttpStep { method, path, headers, body, .. } = step;
    let mut fields: Fields = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    if !body.is_empty() {
        fields.push("content-length", body.len().to_string());
    }
    of_http2((method, secure, host, path), fields)
}

/// A request for HTTP/2: its method, whether it goes over TLS, what it is for, and its path.
pub(super) fn of_http2(
    (method, secure, host, path): (&str, bool, &str, &str),
    mut fields: Fields,
) -> Step<http::Request<()>> {
    if fields.get("user-agent").is_none() {
        fields.push("user-agent", AGENT);
    }
    let scheme = if secure { "https" } else { "http" };
    let uri = http::Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
    let unsayable = |error: http::Error| Finding::strange(format!("the request cannot be said in HTTP/2: {error}"));
    let mut request =
        http::Request::builder().method(method).uri(uri.map_err(unsayable)?).body(()).map_err(unsayable)?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = to_map(&fields);
    Ok(request)
}

/// What a check speaks, if the servers speak `traffic` to clients and it goes where traffic goes, and what it offers in TLS.
pub(super) fn spoken(kind: &CheckKind, traffic: Option<Proto>, tls: SharedServerTls) -> (CheckKind, SharedServerTls) {
    let mut kind = kind.clone();
    let is_silent = tls.as_ref().is_some_and(|tls| tls.alpn.is_empty());
    let offered = if let CheckKind::Http(check) = &mut kind {
        let own = check.proto;
        check.proto = own.or(traffic);
        match own {
            Some(Proto::Http2) => Some(H2),
            Some(Proto::Http1) => Some(H1),
            None if traffic == Some(Proto::Http2) && is_silent => Some(H2),
            None => None,
        }
    } else {
        matches!(kind, CheckKind::Grpc(_)).then_some(H2)
    };
    let offering = |tls: Arc<ServerTls>| match offered {
        Some(name) => Arc::new(ServerTls { alpn: vec![name.to_owned()], ..(*tls).clone() }),
        None => tls,
    };
    (kind, tls.map(offering))
}
