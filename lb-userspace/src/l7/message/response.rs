//! The head of a response.

use super::Fields;

/// The head of a response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Its status. HAProxy passes on what is no status of any RFC, and so do we.
    pub(crate) status: u16,
    /// The text after the status; empty: the usual one, or none in HTTP/2.
    pub(crate) reason: Vec<u8>,
    /// Its fields.
    pub(crate) fields: Fields,
    /// It is one of our pages, in whose place the configuration may have a file.
    pub(crate) is_page: bool,
}

impl Response {
    /// One of ours.
    pub(crate) fn new(status: u16) -> Self {
        Self { status, reason: Vec::new(), fields: Fields::default(), is_page: false }
    }

    /// Whether another one follows, which is the answer.
    pub(crate) const fn is_interim(&self) -> bool {
        matches!(self.status, 100..=199) && self.status != 101
    }

    /// Whether a response of that status never has a body (RFC 9110 §6.4.1).
    pub(crate) const fn is_bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }
}
