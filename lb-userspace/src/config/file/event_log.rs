//! `event_log` of `[global]`.

use super::log::{Facility, FramingWord, Level, table_or_text};
use crate::{
    config::{
        read::{FromToml, Reader, Word, table},
        shape::Shape,
        text::Text,
    },
    model::log::EventFormat,
};
use toml::{Spanned, de::DeValue};

table! {
    /// Where events go. A text stands for a table of `to` alone.
    struct EventLog, "an event log" {
        /// Where to: "udp:ADDRESS:PORT" or "unix:PATH" (a datagram a line), "file:PATH" (appended to), or "stdout". What an access log
        /// names as well gets both. Required.
        to: Text,
        /// `json` (one object a line) or `text` (words). Default: `json`.
        format: EventFormat,
        /// What stands around a line: `raw` (nothing), or a syslog header: `rfc3164`, `rfc5424`, or `local`. Default: `local` for "udp:" and
        /// "unix:", else `raw`.
        framing: FramingWord,
        /// Facility of syslog. Default: `local0`.
        facility: Facility,
        /// Severity of events that are as they should be (syslog). Default: `notice`.
        level: Level,
        /// Severity of warnings and errors (syslog). Default: `warning`.
        error_level: Level,
        /// Longest line in bytes, 512 to 65535: longer ones are cut and say so. Default: 4096.
        length: i64,
    }
}

/// One of `event_log`.
#[derive(Clone, Debug)]
pub(crate) struct EventLogForm(pub(crate) EventLog);

impl FromToml for EventLogForm {
    fn shape() -> Shape {
        Shape::Either(vec![Text::shape(), EventLog::shape()])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        table_or_text(value, reader, |to| EventLog { to, ..EventLog::default() }).map(Self)
    }
}

impl Word for EventFormat {
    const WHAT: &'static str = "a format of events";
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("text", Self::Text)];
}
