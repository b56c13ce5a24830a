//! Heads and bodies, written.

use super::super::message::{Fields, Length, Request, Response, Version};
use crate::model::HeaderCase;
use std::io::Write as _;

/// The sender has not kept its word about the length of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum WrongLength {
    /// There is less of it.
    #[error("the body is shorter than promised")]
    Short,
    /// There is more of it.
    #[error("the body is longer than promised")]
    Long,
}

/// Writes the head of a request. `length` says how its body is framed, whatever the fields say.
pub(crate) fn request_head(out: &mut Vec<u8>, request: &Request, length: Length, case: HeaderCase) {
    let (has_host, chunked) = (request.host().is_some(), length == Length::Chunked);
    // Without a host it cannot be HTTP/1.1 (RFC 9112 §3.2), which chunks need: then there is one that names nothing.
    let version = if has_host || chunked { Version::Http11 } else { Version::Http10 };
    for part in [request.method.name(), b" ", &request.target, b" ", version.shown().as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
    if chunked && !has_host {
        field(out, b"Host", b"", case);
    }
    let mut says_length = false;
    for (name, value) in request.fields.iter() {
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => says_length = true,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {}
            _ => field(out, name, value, case),
        }
    }
    // Who said that there is nothing still says so: servers want it of POST (RFC 9110 §8.6).
    if says_length || !length.is_empty() {
        framing(out, length);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a response to a client of `version`. `length` says how its body is framed; `mute`: that of an answer to
/// HEAD, which has none. What the fields say of the length is kept where there is no body (RFC 9110 §8.6).
pub(crate) fn response_head(
    out: &mut Vec<u8>,
    response: &Response,
    length: Length,
    version: Version,
    case: HeaderCase,
    mute: bool,
) {
    let reason = match response.reason.as_slice() {
        [] => http::StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason()),
        _ => None,
    };
    let reason = reason.map_or(response.reason.as_slice(), str::as_bytes);
    out.extend_from_slice(b"HTTP/1.1 ");
    // Three digits, also of a status that is none (RFC 9112 §4).
    write!(out, "{:03} ", response.status).unwrap_or_default();
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    let keeps_length = mute || response.status == 304;
    for (name, value) in response.fields.iter() {
        match name.len() {
            14 if !keeps_length && name.eq_ignore_ascii_case(b"content-length") => {}
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {}
            _ => field(out, name, value, case),
        }
    }
    let framed = !keeps_length && !response.is_bodiless() && (length != Length::Chunked || version > Version::Http10);
    if framed {
        framing(out, length);
    }
    out.extend_from_slice(b"\r\n");
}

fn framing(out: &mut Vec<u8>, length: Length) {
    match length {
        Length::Exact(bytes) => {
            out.extend_from_slice(b"content-length: ");
            number(out, bytes);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Length::UntilClose => {}
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8], case: HeaderCase) {
    let start = out.len();
    out.extend_from_slice(name);
    if let (HeaderCase::Lower, Some(name)) = (case, out.get_mut(start..)) {
        name.make_ascii_lowercase();
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, number: u64) {
    // Writing into memory cannot fail.
    write!(out, "{number}").unwrap_or_default();
}

/// Writes a body of a given length.
#[derive(Debug)]
pub(crate) struct Encoder(State);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// So many bytes are owed.
    Exact(u64),
    /// Chunks.
    Chunked,
    /// The chunks are over and trailers are written.
    Trailers,
    /// Bytes as they are.
    Raw,
}

impl Encoder {
    pub(crate) const fn new(length: Length) -> Self {
        Self(match length {
            Length::Exact(bytes) => State::Exact(bytes),
            Length::Chunked => State::Chunked,
            Length::UntilClose => State::Raw,
        })
    }

    /// Writes what goes before `size` bytes of data, not 0; gives what goes after them.
    pub(crate) fn data(&mut self, out: &mut Vec<u8>, size: usize) -> Result<&'static [u8], WrongLength> {
        match &mut self.0 {
            State::Exact(owed) => {
                *owed = owed.checked_sub(size as u64).ok_or(WrongLength::Long)?;
                Ok(b"")
            }
            State::Chunked => {
                write!(out, "{size:x}\r\n").unwrap_or_default();
                Ok(b"\r\n")
            }
            State::Trailers => Err(WrongLength::Long),
            State::Raw => Ok(b""),
        }
    }

    /// Writes trailers, where they can be said.
    pub(crate) fn trailers(&mut self, out: &mut Vec<u8>, trailers: &Fields, case: HeaderCase) {
        if self.0 == State::Chunked {
            out.extend_from_slice(b"0\r\n");
            trailers.iter().for_each(|(name, value)| field(out, name, value, case));
            self.0 = State::Trailers;
        }
    }

    /// Writes the end.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), WrongLength> {
        match self.0 {
            State::Exact(0) | State::Raw => {}
            State::Exact(_) => return Err(WrongLength::Short),
            State::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
            State::Trailers => out.extend_from_slice(b"\r\n"),
        }
        self.0 = State::Exact(0);
        Ok(())
    }
}
