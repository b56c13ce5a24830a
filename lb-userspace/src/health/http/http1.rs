//! A request and its answer in HTTP/1.

use super::answer::{Answer, Judge};
use crate::{
    health::{
        Finding,
        finding::{Step, quote},
        wire::{LIMIT, Wire},
    },
    l7::http1::{
        Limits,
        body::{Decoder, Piece},
        has_end,
        response::{self, Invalid, ResponseHead, response},
    },
    model::check::{HttpStep, HttpVersion},
};

/// Most interim answers (1xx) before the answer.
const INTERIM: usize = 16;
/// A head so short is looked at whenever more of it came, so that what is no HTTP is found out at once.
const SHORT: usize = 512;

/// Sends the request of `step` and reads the answer until `look` has seen enough of it; `keep`: to its end, after which the
/// connection must be good for another.
pub(super) async fn exchange(
    wire: &mut Wire,
    (step, host): (&HttpStep, &str),
    mut judge: Judge<'_>,
    keep: bool,
) -> Step<Answer> {
    wire.send(&request(step, host, keep)).await?;
    let ResponseHead { response, length, persistent, .. } = head(wire, step.method == "HEAD").await?;
    let mut answer = Answer::new(response.status, response.reason, response.fields);
    let mut decoder = Decoder::new(length);
    answer.ended = decoder.is_done();
    let mut verdict = judge.look(&answer);
    loop {
        match verdict {
            Some(Err(found)) => return Err(found),
            Some(Ok(())) if !keep => return Ok(answer),
            Some(Ok(())) if decoder.is_done() => break,
            Some(Ok(())) | None => {}
        }
        match decoder.decode(wire.received_mut()) {
            Ok(Some(Piece::Data(data))) => answer.add(&data),
            Ok(Some(Piece::Trailers(trailers))) => answer.trailers = trailers,
            Ok(Some(Piece::End)) => answer.ended = true,
            Ok(None) => {
                if !wire.more("the body").await? {
                    // If it is cut off, what came may still be enough.
                    answer.ended = true;
                    if keep && decoder.end_of_input().is_err() {
                        return Err(wire.ended("the body"));
                    }
                }
            }
            Err(error) => return Err(Finding::strange(error.to_string())),
        }
        if keep && answer.body.len() >= LIMIT {
            return Err(Finding::strange(format!("a body of {LIMIT} bytes and more before the next request")));
        }
        verdict = match verdict {
            Some(settled) => Some(settled),
            None => judge.look(&answer),
        };
    }
    if persistent {
        Ok(answer)
    } else {
        Err(Finding::strange(format!("{}, and no other request on this connection", answer.status())))
    }
}

/// The request.
fn request(step: &HttpStep, host: &str, keep: bool) -> Vec<u8> {
    let HttpStep { method, path, version, headers, body, .. } = step;
    let version = match version {
        HttpVersion::V10 => "1.0",
        HttpVersion::V11 => "1.1",
    };
    let mut text = format!("{method} {path} HTTP/{version}\r\nHost: {host}\r\n");
    let mut field = |name: &str, value: &str| [name, ": ", value, "\r\n"].iter().for_each(|part| text.push_str(part));
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        field("User-Agent", super::AGENT);
    }
    for (name, value) in headers {
        field(name, value);
    }
    if !body.is_empty() {
        field("Content-Length", &body.len().to_string());
    }
    field("Connection", if keep { "keep-alive" } else { "close" });
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// The head of the answer.
async fn head(wire: &mut Wire, head: bool) -> Step<ResponseHead> {
    let limits = Limits::default();
    let asked = response::Asked { head, ..response::Asked::default() };
    for _ in 0..INTERIM {
        let mut seen = 0;
        let found = loop {
            let received = wire.received();
            if received.len() <= SHORT || has_end(received, seen, &limits) {
                match response(received, asked, &limits) {
                    Ok(Some(found)) => break found,
                    Ok(None) => {}
                    Err(Invalid::Line) => return Err(no_http(wire).await),
                    Err(invalid) => return Err(Finding::strange(invalid.to_string())),
                }
            }
            seen = received.len();
            if !wire.more("the answer").await? {
                return Err(wire.ended("the answer"));
            }
        };
        drop(wire.take(found.consumed));
        if !found.response.is_interim() {
            return Ok(found);
        }
    }
    Err(Finding::strange(format!("more than {INTERIM} interim answers")))
}

/// What came is no HTTP: the line of it says what it is.
async fn no_http(wire: &mut Wire) -> Finding {
    let is_whole = |received: &[u8]| received.len() > SHORT || received.contains(&b'\n');
    while !is_whole(wire.received()) && wire.more("the answer").await.unwrap_or(false) {}
    let line = wire.received().split(|byte| *byte == b'\n').next().unwrap_or_default();
    Finding::strange(format!("not an HTTP answer: {}", quote(line)))
}
