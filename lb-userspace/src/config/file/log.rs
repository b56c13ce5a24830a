//! Access logs of a frontend.

use crate::{
    config::{
        read::{FromToml, Knob, Reader, Word, table},
        shape::Shape,
        source::At,
        text::Text,
    },
    model::log::Dialect,
};
use toml::{Spanned, de::DeValue};

table! {
    /// One target of `log`.
    struct Log, "a log" {
        /// Where lines go: "udp:192.0.2.1:514" or "unix:/dev/log" (a datagram each; the socket must be one that the user of
        /// the worker may write to), "file:/var/log/sluice.log" (appended to; opened again by a reload or SIGUSR1, so that
        /// it can be rotated), "stdout". Required.
        to: Text,
        /// What a line says: `httplog` or `clf` (`http` only), `tcplog`, `json`, or HAProxy's `log-format`, such as
        /// "%ci %ST %{+Q}r". Default: `httplog`, in mode `tcp` `tcplog`.
        format: Text,
        /// What stands around it: `local` (syslog as daemons on the same host expect it), `rfc3164`, `rfc5424`; `raw`:
        /// nothing. HAProxy's `format` of a `log`. Default: `local`; for files and stdout `raw`.
        framing: FramingWord,
        /// Facility of syslog. Default: `local0`.
        facility: Facility,
        /// Severity of lines (syslog). Default: `info`, as HAProxy.
        level: Level,
        /// Severity of lines of what failed (syslog): cut short, retried, or answered with 500 and above. HAProxy's
        /// `option log-separate-errors` has `err`. Default: that of `level`.
        error_level: Level,
        /// Longest line in bytes, 80 to 65535, of `json` at least 2048: longer lines are cut and say so. HAProxy's `len`.
        /// Default: 1024, as HAProxy; of `json` 4096.
        length: i64,
    }
}

table! {
    /// A field that lines show.
    struct Capture, "a capture" {
        /// Its name. Required.
        name: Text,
        /// Bytes of it that are kept, 1 to 8192, HAProxy's `len`. Default: 64.
        length: i64,
        /// That it lets whoever reads the log act as the client is known. Required to be true for fields that are made for
        /// that, such as `Cookie` and `Authorization`, to be captured without a warning. Default: false.
        secret: bool,
    }
}

table! {
    /// How requests get an id.
    struct UniqueId, "`unique_id`" {
        /// Field that carries it to servers, HAProxy's `unique-id-header`; what a client sends there is replaced. Required.
        header: Text,
        /// HAProxy's `unique-id-format`, of what is known when a request begins, such as
        /// "%{+X}o %ci:%cp_%fi:%fp_%Ts_%rt:%pid". Default: 128 random bits in hexadecimal.
        format: Text,
    }
}

/// A log is a table, or its target alone.
#[derive(Clone, Debug)]
pub(crate) struct LogForm(pub(crate) Log);

/// A capture is a table, or its name alone.
#[derive(Clone, Debug)]
pub(crate) struct CaptureForm(pub(crate) Capture);

/// A unique id is a table, or its header alone.
#[derive(Clone, Debug)]
pub(crate) struct UniqueIdForm(pub(crate) UniqueId);

/// Reads a table, or the text that its most important key would have.
pub(super) fn table_or_text<T: FromToml>(
    value: &Spanned<DeValue<'_>>,
    reader: &mut Reader<'_>,
    with: impl FnOnce(Knob<Text>) -> T,
) -> Option<T> {
    if value.get_ref().is_table() {
        return T::from_toml(value, reader);
    }
    let text = Text::from_toml(value, reader)?;
    let span = text.span;
    Some(with(Knob::Given(At { value: text, span })))
}

impl FromToml for LogForm {
    fn shape() -> Shape {
        Shape::Either(vec![Text::shape(), Log::shape()])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        table_or_text(value, reader, |to| Log { to, ..Log::default() }).map(Self)
    }
}

impl FromToml for CaptureForm {
    fn shape() -> Shape {
        Shape::Either(vec![Text::shape(), Capture::shape()])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        table_or_text(value, reader, |name| Capture { name, ..Capture::default() }).map(Self)
    }
}

impl FromToml for UniqueIdForm {
    fn shape() -> Shape {
        Shape::Either(vec![Text::shape(), UniqueId::shape()])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        table_or_text(value, reader, |header| UniqueId { header, ..UniqueId::default() }).map(Self)
    }
}

/// `framing` of a log: a dialect of syslog, or none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FramingWord {
    Raw,
    Syslog(Dialect),
}

impl Word for FramingWord {
    const WHAT: &'static str = "a framing";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("raw", Self::Raw),
        ("local", Self::Syslog(Dialect::Local)),
        ("rfc3164", Self::Syslog(Dialect::Rfc3164)),
        ("rfc5424", Self::Syslog(Dialect::Rfc5424)),
    ];
}

/// A facility of syslog: its number (RFC 5424 §6.2.1), by HAProxy's names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Facility(pub(crate) u8);

impl Word for Facility {
    const WHAT: &'static str = "a facility";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("kern", Self(0)),
        ("user", Self(1)),
        ("mail", Self(2)),
        ("daemon", Self(3)),
        ("auth", Self(4)),
        ("syslog", Self(5)),
        ("lpr", Self(6)),
        ("news", Self(7)),
        ("uucp", Self(8)),
        ("cron", Self(9)),
        ("auth2", Self(10)),
        ("ftp", Self(11)),
        ("ntp", Self(12)),
        ("audit", Self(13)),
        ("alert", Self(14)),
        ("cron2", Self(15)),
        ("local0", Self(16)),
        ("local1", Self(17)),
        ("local2", Self(18)),
        ("local3", Self(19)),
        ("local4", Self(20)),
        ("local5", Self(21)),
        ("local6", Self(22)),
        ("local7", Self(23)),
    ];
}

/// A severity of syslog (RFC 5424 §6.2.1), by HAProxy's names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Level(pub(crate) u8);

impl Word for Level {
    const WHAT: &'static str = "a level";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("emerg", Self(0)),
        ("alert", Self(1)),
        ("crit", Self(2)),
        ("err", Self(3)),
        ("warning", Self(4)),
        ("notice", Self(5)),
        ("info", Self(6)),
        ("debug", Self(7)),
    ];
}

/// What `log_skip` leaves out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LogSkip {
    Null,
    Normal,
}

impl Word for LogSkip {
    const WHAT: &'static str = "something to skip";
    const WORDS: &'static [(&'static str, Self)] = &[("null", Self::Null), ("normal", Self::Normal)];
}
