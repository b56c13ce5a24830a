//! The gRPC check: `grpc.health.v1.Health/Check`, as gRPC's "Health Checking Protocol" has it.

use super::{
    Code, Finding,
    finding::{Step, quote},
    http::{answer::Answer, host, http2::Connection, of_http2},
    wire::{LIMIT, Wire},
};
use crate::{l7::message::Fields, model::check::GrpcCheck};
use bytes::Bytes;

/// The method that is called.
const METHOD: &str = "/grpc.health.v1.Health/Check";
/// What goes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Protobuf's types on the wire: a number, eight bytes, bytes with their length, four bytes.
const VARINT: u64 = 0;
const EIGHT: u64 = 1;
const BYTES: u64 = 2;
const FOUR: u64 = 5;

/// Asks whether the service of `check` is served.
pub(super) async fn probe(wire: &mut Wire, check: &GrpcCheck) -> Step<Finding> {
    let (secure, host) = (wire.is_secure(), host(check.host.as_deref(), wire.address()));
    let fields: Fields = [("content-type", "application/grpc"), ("te", "trailers")].into_iter().collect();
    let request = of_http2(("POST", secure, &host, METHOD), fields)?;
    let mut connection = Connection::open(wire).await?;
    let whole = |answer: &Answer| answer.ended.then_some(Ok(()));
    read(&connection.exchange(request, message(&check.service), whole).await?)
}

/// `HealthCheckRequest`: the name of the service is field 1.
fn message(service: &str) -> Bytes {
    let mut text = Vec::new();
    if !service.is_empty() {
        push_varint(&mut text, 1 << 3 | BYTES);
        push_varint(&mut text, service.len() as u64);
        text.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(text.len()).unwrap_or_default().to_be_bytes());
    message.extend_from_slice(&text);
    message.into()
}

/// Writes a number of protobuf's.
fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// What an answer says.
fn read(answer: &Answer) -> Step<Finding> {
    if answer.status != 200 {
        return Err(Finding::new(Code::L7Status, answer.status()));
    }
    let kind = answer.fields.get("content-type").unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with(b"application/grpc") {
        return Err(Finding::strange(format!("not gRPC, but {}", quote(kind))));
    }
    // An answer without a message has in its head what otherwise comes after it.
    let said = |name| answer.trailers.get(name).or_else(|| answer.fields.get(name));
    let Some(status) = said("grpc-status") else { return Err(Finding::strange("no grpc-status")) };
    if status != b"0" {
        let name = str::from_utf8(status)
            .ok()
            .and_then(|text| text.parse().ok())
            .and_then(|number: usize| STATUSES.get(number));
        let Some(name) = name else { return Err(Finding::strange(format!("grpc-status {}", quote(status)))) };
        return Err(match said("grpc-message") {
            Some(message) if !message.is_empty() => Finding::refused(name, &unescaped(message)),
            Some(_) | None => Finding::new(Code::L7Status, *name),
        });
    }
    match serving(&answer.body) {
        Some(1) => Ok(Finding::ok("SERVING")),
        Some(0) => Err(Finding::new(Code::L7Status, "UNKNOWN")),
        Some(2) => Err(Finding::new(Code::L7Status, "NOT_SERVING")),
        Some(3) => Err(Finding::new(Code::L7Status, "SERVICE_UNKNOWN")),
        Some(other) => Err(Finding::new(Code::L7Status, format!("serving status {other}"))),
        None => Err(Finding::strange(format!("not an answer of Health/Check: {}", quote(&answer.body)))),
    }
}

/// The status in a `HealthCheckResponse`, its field 1, from the one message of a body. `None`: it is none, or compressed, which we
/// did not ask for.
fn serving(body: &[u8]) -> Option<u64> {
    let (prefix, message) = body.split_first_chunk::<PREFIX>()?;
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 || message.len() >= LIMIT || u32::from_be_bytes(length) as usize != message.len() {
        return None;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match (tag >> 3, tag & 7) {
            (1, VARINT) => status = varint(&mut rest)?,
            (0 | 1, _) => return None,
            (_, VARINT) => drop(varint(&mut rest)?),
            (_, EIGHT) => rest = rest.get(8..)?,
            (_, BYTES) => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (_, FOUR) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A number of protobuf's, taken from the front.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Words of gRPC's, with `%XX` resolved; others stay as they are.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let byte =
        |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?, 16).ok();
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = if *first == b'%' { after.split_at_checked(2) } else { None };
        let (byte, left) = match escaped.and_then(|(digits, left)| Some((byte(digits)?, left))) {
            Some(resolved) => resolved,
            None => (*first, after),
        };
        out.push(byte);
        rest = left;
    }
    out
}

/// Statuses of gRPC by their number.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[cfg(test)]
mod tests;
