//! The keys of a check of type `http`.

use crate::{
    config::{
        error::Diagnostic,
        read::{FromToml, Named, OneOrMany, Reader, Word, table},
        shape::Shape,
        source::At,
        text::Text,
    },
    model::{Proto, check::HttpVersion},
};
use toml::{Spanned, de::DeValue};

/// The keys of a request, which stand in the check itself and in each of its steps.
macro_rules! tables {
    ({ $($request:tt)* } $(#[doc = $of_check:literal])* $check:ident { $($check_keys:tt)* } $(#[doc = $of_step:literal])* $step:ident { $($step_keys:tt)* }) => {
        table! { $(#[doc = $of_check])* struct $check, "a check of type `http`" { $($request)* $($check_keys)* } }
        table! { $(#[doc = $of_step])* struct $step, "a step of a check" { $($request)* $($step_keys)* } }
    };
}

tables! {
    {
        /// Method of the request. Default: "HEAD"; HAProxy's is OPTIONS.
        method: Text,
        /// Path of the request, with a query if any. Default: "/".
        path: Text,
        /// Sent as `Host`. Default: the server's address.
        host: Text,
        /// Version of the request, "1.0" or "1.1"; HTTP/2 has none. Default: "1.1"; HAProxy's is 1.0.
        version: HttpVersion,
        /// Headers of the request: names, each with a value or an array of them. Default: none but `Host`, `User-Agent`, and what
        /// says how long the body and the connection last.
        headers: Named<OneOrMany<Text>>,
        /// Body of the request, at most 16384 bytes; `Content-Length` comes by itself. Default: none.
        body: Text,
        /// What an answer must have, HAProxy's `http-check expect`: statuses (200, "200-399"), of which one must be met, tables
        /// of more, or an array of these; all of them must hold, in order. Default: "200-399", as HAProxy.
        expect: OneOrMany<Expectation>,
    }
    /// The keys of a check of type `http`.
    HttpKeys {
        /// Requests one after the other, all of which must be answered as expected; HAProxy's sequences of `http-check connect`,
        /// `send` and `expect`. What a step does not say is as it stands beside `steps`. Default: one, of what stands there.
        steps: Vec<At<HttpStepKeys>>,
        /// What the probe speaks, `h1` or `h2`, HAProxy's `check-proto`; in TLS it is what is offered. Default: as traffic; with
        /// `port` or `address` of the check `h1`, or what the server chooses of `alpn` of its `tls`.
        proto: Proto,
        /// A server that answers 404 gets nothing new, but is not down; HAProxy's `disable-on-404`. Default: false.
        disable_on_404: bool,
    }
    /// The keys of a step of a check.
    HttpStepKeys {
        /// The request goes on a new connection; otherwise on that of the step before. Default: true.
        connect: bool,
    }
}

table! {
    /// What an answer must have: one thing.
    struct ExpectKeys, "what is expected of an answer" {
        /// It must not be so, HAProxy's `!`. Default: false.
        not: bool,
        /// Status codes: 200, "200-399", or an array of these.
        status: OneOrMany<Statuses>,
        /// A regular expression that the status matches.
        rstatus: Text,
        /// What the first 16384 bytes of the body contain.
        string: Text,
        /// A regular expression that they match.
        rstring: Text,
        /// A header, of whose elements between commas one has the value.
        hdr: ExpectHeader,
        /// A header whose whole value is so.
        fhdr: ExpectHeader,
    }
}

table! {
    /// A header that an answer must have.
    struct ExpectHeader, "a header of an answer" {
        /// Its name, regardless of case. Required.
        name: Text,
        /// How the name is compared: `str` (all of it), `beg`, `end`, `sub`, or `reg`. Default: "str".
        name_match: HeaderMatch,
        /// Its value. Default: any.
        value: Text,
        /// How the value is compared, by the same words. Default: "str".
        value_match: HeaderMatch,
    }
}

/// HAProxy's methods to match a header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum HeaderMatch {
    #[default]
    Str,
    Beg,
    End,
    Sub,
    Reg,
}

impl Word for HeaderMatch {
    const WHAT: &'static str = "a way to compare";
    const WORDS: &'static [(&'static str, Self)] =
        &[("str", Self::Str), ("beg", Self::Beg), ("end", Self::End), ("sub", Self::Sub), ("reg", Self::Reg)];
}

impl Word for HttpVersion {
    const WHAT: &'static str = "a version of HTTP/1";
    const WORDS: &'static [(&'static str, Self)] = &[("1.0", Self::V10), ("1.1", Self::V11)];
}

/// One thing of `expect`.
#[derive(Clone, Debug)]
pub(crate) enum Expectation {
    Statuses(Statuses),
    Keys(Box<ExpectKeys>),
}

impl FromToml for Expectation {
    fn shape() -> Shape {
        Shape::Either(vec![Statuses::shape(), ExpectKeys::shape()])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if value.get_ref().as_table().is_some() {
            return ExpectKeys::from_toml(value, reader).map(|keys| Self::Keys(Box::new(keys)));
        }
        Statuses::from_toml(value, reader).map(Self::Statuses)
    }
}

/// A range of status codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Statuses {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl FromToml for Statuses {
    fn shape() -> Shape {
        let range = Shape::text("a range of statuses", "[1-5][0-9][0-9](-[1-5][0-9][0-9])?");
        Shape::Either(vec![Shape::Integer, range])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let span = reader.span(value);
        let typed = match value.get_ref().as_integer() {
            Some(integer) => integer.as_str().to_owned(),
            None => Text::from_toml(value, reader)?.value,
        };
        let status = |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
        let (first, last) = typed.split_once('-').unwrap_or((&typed, &typed));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Some(Self { first, last }),
            (Some(_) | None, Some(_) | None) => {
                let error = Diagnostic::error(span, "this is no status code from 100 to 599, nor a range of them");
                reader.error(error.help("such as 200, \"200-399\" or [200, 204]"));
                None
            }
        }
    }
}
