//! The head of a response, read.

use super::{
    super::message::{Length, Response, Version},
    Limits,
    head::{Flaw, Head, Room},
};
use httparse::{Error, ParserConfig, Status};

/// What the request was: it decides how the response is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Asked {
    /// HEAD: no body follows, whatever the head says.
    pub(crate) head: bool,
    /// CONNECT: a tunnel follows, if the status is 2xx.
    pub(crate) connect: bool,
    /// `Upgrade` was sent along: a 101 may come.
    pub(crate) upgrade: bool,
}

/// The head of a response, and what it says of what follows.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    /// Of several equal `Content-Length`s one is left, of `Content-Length` beside `Transfer-Encoding` none. Where there is
    /// no body, as in the answer to HEAD, it is kept.
    pub(crate) response: Response,
    /// Of its body. Empty also before a tunnel: after 101, and after 2xx to CONNECT.
    pub(crate) length: Length,
    /// Bytes of the input that are the head.
    pub(crate) consumed: usize,
    /// Whether another request may be sent on the connection after this response. Never after a tunnel.
    pub(crate) persistent: bool,
}

/// Why a response cannot be handed on. The client gets 502.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Invalid {
    /// The status line is none, or of another version.
    #[error("the status line is malformed")]
    Line,
    /// The head is too long.
    #[error("the header is too large")]
    TooLarge,
    /// Another protocol that nobody asked for.
    #[error("the protocol is switched unasked")]
    Switched,
    /// The fields.
    #[error(transparent)]
    Fields(#[from] Flaw),
}

/// Reads the head of a response from the front of `input`, where one begins. `None`: it is not complete. Interim responses
/// (1xx) come out as others do; after them the next head follows.
pub(crate) fn response(input: &[u8], asked: Asked, limits: &Limits) -> Result<Option<ResponseHead>, Invalid> {
    let window = input.get(..limits.head).unwrap_or(input);
    let mut room = Room::new();
    let mut parsed = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    match config.parse_response_with_uninit_headers(&mut parsed, window, room.of(limits.fields)) {
        Ok(Status::Complete(consumed)) => accept(&parsed, window.get(..consumed).unwrap_or_default(), asked).map(Some),
        Ok(Status::Partial) if window.len() < limits.head => Ok(None),
        Ok(Status::Partial) => Err(Invalid::TooLarge),
        Err(Error::TooManyHeaders) => Err(Flaw::TooMany.into()),
        // What is wrong is in the status line, unless that was read.
        Err(_) if parsed.reason.is_none() => Err(Invalid::Line),
        Err(_) => Err(Flaw::Malformed.into()),
    }
}

fn accept(parsed: &httparse::Response<'_, '_>, text: &[u8], asked: Asked) -> Result<ResponseHead, Invalid> {
    let (Some(minor), Some(status)) = (parsed.version, parsed.code) else {
        return Err(Invalid::Line);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let head = Head::new(text, parsed.headers)?;
    let framing = head.framing();
    // RFC 9112 §6.1: HTTP/1.0 has no chunks. A server that sends them means them, but who knows what it does next.
    let mut persistent = head.is_persistent(version) && !(version == Version::Http10 && head.coding.is_some());
    let reason = parsed.reason.unwrap_or_default().as_bytes().to_vec();
    let response = Response { reason, fields: head.fields, ..Response::new(status) };
    let tunnel = status == 101 || asked.connect && matches!(status, 200..=299);
    if status == 101 && !asked.upgrade {
        return Err(Invalid::Switched);
    }
    let length = if tunnel || asked.head || response.is_bodiless() {
        Length::EMPTY
    } else {
        framing?.unwrap_or(Length::UntilClose)
    };
    persistent &= !tunnel && length != Length::UntilClose;
    Ok(ResponseHead { response, length, consumed: text.len(), persistent })
}
