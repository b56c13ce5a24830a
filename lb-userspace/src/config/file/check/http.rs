//! The keys of a check of type `http`.

use crate::config::{
    error::Diagnostic,
    read::{FromToml, OneOrMany, Reader, table},
    text::Text,
};
use toml::{Spanned, de::DeValue};

table! {
    /// The keys of a check of type `http`.
    struct HttpKeys, "a check of type `http`" {
        /// Method of the request. Default: "HEAD"; HAProxy's is OPTIONS.
        method: Text,
        /// Path of the request. Default: "/".
        path: Text,
        /// Sent as `Host`. Default: the server's address.
        host: Text,
        /// Status codes that pass: 200, "200-399", or an array of these. Default: "200-399", as HAProxy.
        expect: OneOrMany<Statuses>,
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
