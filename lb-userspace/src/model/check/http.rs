//! The HTTP check.

use std::collections::BTreeSet;

/// A request, and what its answer must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpCheck {
    /// Default: `HEAD`, as the article recommends; HAProxy's own default is `OPTIONS`.
    pub method: String,
    /// Default: `/`.
    pub path: String,
    /// Sent as `Host`; default: the server's address.
    pub host: Option<String>,
    /// Default: 200 to 399.
    pub expect: BTreeSet<u16>,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self { method: "HEAD".to_owned(), path: "/".to_owned(), host: None, expect: (200..=399).collect() }
    }
}
