//! `check` of a backend.

use super::CheckType;
use crate::config::{
    error::Diagnostic,
    read::{FromToml, OneOrMany, Reader, table},
    text::Text,
};
use std::time::Duration;
use toml::{Spanned, de::DeValue};

table! {
    /// `check` of a backend.
    struct Check, "a check" {
        /// `tcp` (a connection opens) or `http` (a request is answered with an expected status). Required.
        r#type: CheckType,
        /// Method of the request (`http`). Default: "HEAD"; HAProxy's is OPTIONS.
        method: Text,
        /// Path of the request (`http`). Default: "/".
        path: Text,
        /// Sent as `Host` (`http`). Default: the server's address.
        host: Text,
        /// Status codes that pass (`http`): 200, "200-399", or an array of these. Default: "200-399", as HAProxy.
        expect: OneOrMany<Statuses>,
        /// From the start of one probe to the start of the next, at least 10ms, HAProxy's `inter`. Default: 2s.
        interval: Duration,
        /// Longest time of one probe. Default: the interval.
        timeout: Duration,
        /// Successes in a row that bring a server up. Default: 2, as HAProxy.
        rise: i64,
        /// Failures in a row that take a server down. Default: 3, as HAProxy.
        fall: i64,
        /// Port to probe. Default: the server's; for a server without one the lowest port of its frontends.
        port: i64,
    }
}

/// A range of status codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Statuses {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

impl FromToml for Statuses {
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
