//! The HTTP check.

use crate::model::{Proto, acl::converter::Pattern};
use std::collections::BTreeSet;

/// Requests, and what their answers must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpCheck {
    /// What is spoken; `None`: as with traffic.
    pub proto: Option<Proto>,
    /// One after the other; not empty. The first that fails is the end.
    pub steps: Vec<HttpStep>,
    /// Whether a 404 is how a server says that it should get nothing new: HAProxy's `disable-on-404`. Default: false.
    pub disable_on_404: bool,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self::from(HttpStep::default())
    }
}

impl From<HttpStep> for HttpCheck {
    /// A check of one step.
    fn from(step: HttpStep) -> Self {
        Self { proto: None, steps: vec![step], disable_on_404: false }
    }
}

impl HttpCheck {
    /// The name that the first request is for, without a port.
    pub fn host(&self) -> Option<&str> {
        self.steps.first()?.host.as_deref().map(name_of)
    }
}

/// A host without its port.
pub(super) fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// A request, and what its answer must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpStep {
    /// Whether it goes on a new connection; otherwise on that of the step before. Of no meaning in the first. Default: true.
    pub connect: bool,
    /// Default: `HEAD`, as the article recommends; HAProxy's own default is `OPTIONS`.
    pub method: String,
    /// With a query, if any. Default: `/`.
    pub path: String,
    /// Sent as `Host`; default: the server's address.
    pub host: Option<String>,
    /// Of HTTP/1. Default: 1.1; HAProxy's is 1.0.
    pub version: HttpVersion,
    /// Names and values; `User-Agent` among them in place of ours. What says how long the body is comes on top.
    pub headers: Vec<(String, String)>,
    /// Default: none.
    pub body: String,
    /// All must hold. Default: a status from 200 to 399.
    pub expect: Vec<Expect>,
}

impl Default for HttpStep {
    fn default() -> Self {
        Self {
            connect: true,
            method: "HEAD".to_owned(),
            path: "/".to_owned(),
            host: None,
            version: HttpVersion::default(),
            headers: Vec::new(),
            body: String::new(),
            expect: vec![Expect::status(200..=399)],
        }
    }
}

/// A version of HTTP/1.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HttpVersion {
    /// HTTP/1.0
    V10,
    /// HTTP/1.1
    #[default]
    V11,
}

/// Something that must hold of an answer, or must not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expect {
    /// It must not: HAProxy's `!`.
    pub not: bool,
    /// What.
    pub what: Expected,
}

impl Expect {
    /// One of these statuses.
    pub fn status(statuses: impl IntoIterator<Item = u16>) -> Self {
        Self { not: false, what: Expected::Status(statuses.into_iter().collect()) }
    }
}

/// Something that an answer may have. HAProxy's words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expected {
    /// `status`: one of these.
    Status(BTreeSet<u16>),
    /// `rstatus`: three digits that match.
    StatusRegex(Pattern),
    /// `string`: a body that contains it.
    Body(String),
    /// `rstring`: a body that matches.
    BodyRegex(Pattern),
    /// `hdr`, `fhdr`: a header.
    Header(ExpectedHeader),
}

/// A header that an answer may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExpectedHeader {
    /// Its name, regardless of case.
    pub name: Matching,
    /// Its value; `None`: any.
    pub value: Option<Matching>,
    /// `fhdr`: the value of a whole line; otherwise of one of the elements of its list.
    pub whole: bool,
}

/// How bytes are compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Matching {
    /// `str`: equal.
    Exact(String),
    /// `beg`: they begin with it.
    Prefix(String),
    /// `end`: they end with it.
    Suffix(String),
    /// `sub`: they contain it.
    Contains(String),
    /// `reg`: they match it.
    Regex(Pattern),
}
