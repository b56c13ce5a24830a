//! HTTP/1: heads and bodies from bytes and to bytes, towards clients and towards servers. Pure: connections are elsewhere.
//!
//! [`request`](request::request) and [`response`](response::response) read a head, [`Decoder`](body::Decoder) the body after it;
//! [`encode`] writes both; [`hop`] takes out what belonged to the hop that a message came by. Lines are read by httparse
//! (RFC 9112), and what it leaves to its caller is decided here, mostly as HAProxy does: whatever two readers could
//! understand differently is refused, for that is what request smuggling is made of.
//!
//! # What differs from HAProxy
//!
//! Stricter, because no client or server of today needs it and RFC 9112 forbids it:
//! - a request of HTTP/1.1 without `Host` gets 400 (§3.2), unless [`Limits::hostless`] allows it;
//! - `Transfer-Encoding` in a request of HTTP/1.0 (§6.1) and folded lines in a request (§5.2) get 400;
//! - control characters in values, a tab in the request line and minor versions that do not exist get 400;
//! - another major version in a request line gets 505 (RFC 9110 §15.6.6), in a status line it makes the response invalid;
//! - a status of two digits makes a response invalid: §4 has three (`099` passes);
//! - content of CONNECT gets 400: what follows its head is the tunnel;
//! - too many fields get 431 (RFC 6585 §5), which says more than 400;
//! - fields that `Connection` nominates are removed (RFC 9110 §7.6.1), save those that servers trust or need.
//!
//! Both read `Content-Length` beside `Transfer-Encoding: chunked` as chunked, and close the connection after that message
//! (§6.3). [`Limits::ambiguous`] refuses it from clients.

pub(crate) mod head;
pub(crate) mod request;
pub(crate) mod target;
pub(crate) mod response;
pub(crate) mod body;
pub(crate) mod encode;
pub(crate) mod hop;
#[cfg(test)]
mod holds;
#[cfg(test)]
mod tests;

/// What a head may be. The default is HAProxy's, save that `Host` is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// Bytes of a head (HAProxy: `tune.bufsize`). Default: 16384.
    pub(crate) head: usize,
    /// Fields of a head (HAProxy: `tune.http.maxhdr`). Default: 101.
    pub(crate) fields: usize,
    /// Whether a request of HTTP/1.1 may have no `Host`. Default: no.
    pub(crate) hostless: bool,
    /// Whether CONNECT is understood, else it gets 405. Default: no.
    pub(crate) connect: bool,
    /// Whether a request may have `Content-Length` beside `Transfer-Encoding`, else it gets 400. Default: yes.
    pub(crate) ambiguous: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 16_384, fields: 101, hostless: false, connect: false, ambiguous: true }
    }
}

/// Whether a head is worth parsing again: the end of one has come since `seen` bytes of `input` did not suffice, or it is
/// too long. So that a head that comes byte by byte is not parsed for each of them.
pub(crate) fn has_end(input: &[u8], seen: usize, limits: &Limits) -> bool {
    // The line feed of the line before the empty one may have been the last byte then.
    let new = input.get(seen.saturating_sub(3)..).unwrap_or_default();
    input.len() >= limits.head
        || new.windows(2).any(|two| two == b"\n\n")
        || new.windows(3).any(|three| three == b"\n\r\n")
}
