//! The head of a request, read.

use super::{
    super::message::{Length, Method, Request, Version},
    Limits,
    head::{Flaw, Head, Room, elements},
    target,
};
use httparse::{Error, ParserConfig, Status};

/// The head of a request, and what it says of what follows.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Of several equal `Host`s or `Content-Length`s one is left, of `Content-Length` beside `Transfer-Encoding` none.
    pub(crate) request: Request,
    /// Of its body.
    pub(crate) length: Length,
    /// Bytes of the input that are the head.
    pub(crate) consumed: usize,
    /// Whether the client may send another request on the connection.
    pub(crate) persistent: bool,
    /// What the client would like to go on with: the value of `Upgrade` where `Connection` lists it, without `h2c`
    /// (RFC 9113 §3.1).
    pub(crate) upgrade: Option<Vec<u8>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The request line is none.
    #[error("the request line is malformed")]
    Line,
    /// Another major version than 1.
    #[error("the version of HTTP is not supported")]
    Version,
    /// The target is of no form that the method may have, or has characters that it must not.
    #[error("the request target is malformed")]
    Target,
    /// The request line alone is longer than a head may be.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is too long.
    #[error("the header is too large")]
    TooLarge,
    /// `Host` is missing, malformed, or there are several places named.
    #[error("Host is missing, malformed or contradicts the request")]
    Host,
    /// CONNECT, which is not enabled.
    #[error("CONNECT is not enabled")]
    Connect,
    /// Content where there must be none: CONNECT.
    #[error("CONNECT has content")]
    Content,
    /// `Content-Length` beside `Transfer-Encoding`, which is not allowed.
    #[error("there are both Content-Length and Transfer-Encoding")]
    Ambiguous,
    /// The fields.
    #[error(transparent)]
    Fields(#[from] Flaw),
}

impl Refusal {
    /// What the client gets.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Connect => 405,
            Self::TargetTooLong => 414,
            Self::Fields(Flaw::UnknownCoding) => 422,
            Self::TooLarge | Self::Fields(Flaw::TooMany) => 431,
            Self::Version => 505,
            Self::Line
            | Self::Target
            | Self::Host
            | Self::Content
            | Self::Ambiguous
            | Self::Fields(Flaw::Malformed | Flaw::Length | Flaw::Coding) => 400,
        }
    }
}

/// Reads the head of a request from the front of `input`, where one begins; empty lines before it count to it. `None`: it is
/// not complete.
pub(crate) fn request(input: &[u8], limits: &Limits) -> Result<Option<RequestHead>, Refusal> {
    let window = input.get(..limits.head).unwrap_or(input);
    let mut room = Room::new();
    let mut parsed = httparse::Request::new(&mut []);
    let status = ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, window, room.of(limits.fields));
    match status {
        Ok(Status::Complete(consumed)) => accept(&parsed, window.get(..consumed).unwrap_or_default(), limits).map(Some),
        Ok(Status::Partial) => incomplete(window, limits),
        Err(Error::Version) => version(window, limits),
        Err(Error::TooManyHeaders) => Err(Flaw::TooMany.into()),
        // What is wrong is in the request line, unless that was read.
        Err(_) if parsed.version.is_none() => Err(Refusal::Line),
        Err(_) => Err(Flaw::Malformed.into()),
    }
}

fn accept(parsed: &httparse::Request<'_, '_>, text: &[u8], limits: &Limits) -> Result<RequestHead, Refusal> {
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Refusal::Line);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let mut head = Head::new(text, parsed.headers)?;
    if head.hosts_differ {
        return Err(Refusal::Host);
    }
    if head.coding.is_some() && version == Version::Http10 {
        return Err(Flaw::Coding.into());
    }
    if head.is_ambiguous() && !limits.ambiguous {
        return Err(Refusal::Ambiguous);
    }
    let length = head.framing()?.unwrap_or(Length::EMPTY);
    let mut request = Request {
        method: Method::new(method.as_bytes()),
        target: target.as_bytes().to_vec(),
        version,
        fields: std::mem::take(&mut head.fields),
    };
    target::check(&mut request, limits)?;
    if request.method == Method::Connect && !length.is_empty() {
        return Err(Refusal::Content);
    }
    Ok(RequestHead {
        // HTTP/1.0 does not know it (RFC 9110 §7.8).
        upgrade: if version > Version::Http10 && head.upgrade { upgrade(&request) } else { None },
        persistent: head.is_persistent(version),
        request,
        length,
        consumed: text.len(),
    })
}

/// What is left of `Upgrade` without `h2c`.
fn upgrade(request: &Request) -> Option<Vec<u8>> {
    let protocols = request.fields.all("upgrade").flat_map(elements);
    let wanted: Vec<&[u8]> =
        protocols.filter(|protocol| !protocol.is_empty() && !protocol.eq_ignore_ascii_case(b"h2c")).collect();
    (!wanted.is_empty()).then(|| wanted.join(&b", "[..]))
}

/// Whether what came so far is already too long.
fn incomplete(window: &[u8], limits: &Limits) -> Result<Option<RequestHead>, Refusal> {
    if window.len() < limits.head {
        return Ok(None);
    }
    Err(if line(window).1 { Refusal::TooLarge } else { Refusal::TargetTooLong })
}

/// The version is none that we know. It may not be there in full.
fn version(window: &[u8], limits: &Limits) -> Result<Option<RequestHead>, Refusal> {
    const FORM: &[u8] = b"HTTP/#.#";
    let (line, complete) = line(window);
    let version = line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
    let of_form = |byte: &u8, form: &u8| if *form == b'#' { byte.is_ascii_digit() } else { byte == form };
    if version.len() > FORM.len() || !version.iter().zip(FORM).all(|(byte, form)| of_form(byte, form)) {
        return Err(Refusal::Line);
    }
    match version.get(5) {
        // Whatever comes next decides, so that it does not matter how much came at once.
        _ if !complete => incomplete(window, limits),
        Some(major) if *major != b'1' && version.len() == FORM.len() => Err(Refusal::Version),
        Some(_) | None => Err(Refusal::Line),
    }
}

/// The first line that is not empty, without its end, and whether that has come.
fn line(input: &[u8]) -> (&[u8], bool) {
    let start = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(input.len());
    let rest = input.get(start..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    (line.strip_suffix(b"\r").unwrap_or(line), end.is_some())
}
