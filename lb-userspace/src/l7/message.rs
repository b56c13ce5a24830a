//! Message: the head of a request or a response, whichever version it came in and whichever it leaves in.
//!
//! The codec of HTTP/1 and the two sides of HTTP/2 make these and write these; everything between them (rules, balancing,
//! headers, logs) knows nothing else. Values are bytes as they were received: HTTP has no character set. Pure.

pub(crate) mod fields;
pub(crate) mod request;
pub(crate) mod response;

pub(crate) use fields::Fields;
pub(crate) use request::{Method, Request};
pub(crate) use response::Response;

/// The version of HTTP that a message came in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As HAProxy logs it.
    pub(crate) const fn shown(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// How long the body of a message is, and how its end is found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Length {
    /// So many bytes; 0: there is no body.
    Exact(u64),
    /// It comes in pieces that say when they end, and may have trailers: chunks of HTTP/1.1, frames of HTTP/2.
    Chunked,
    /// Until the connection is closed (responses of HTTP/1 only).
    UntilClose,
}

impl Length {
    /// No body.
    pub(crate) const EMPTY: Self = Self::Exact(0);

    /// Whether nothing follows the head.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::EMPTY
    }
}
