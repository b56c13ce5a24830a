//! What a frontend logs.

use super::range;
use crate::{
    config::{
        error::Diagnostic,
        file::{
            Capture as TypedCapture, CaptureForm, Defaults, Facility, FramingWord, Frontend, Level, Log as Typed,
            LogSkip, Mode,
        },
        read::{Knob, OneOrMany},
        source::{At, Span},
        suggest::{did_you_mean, listed},
        text::Text,
    },
    model::log::{
        Capture, Dialect, Fault, Field, Format, FormatError, Framing, Item, Log, Logging, Target, UniqueId,
        parse::{CLF, HTTPLOG, TCPLOG},
    },
};
use std::{ops::RangeInclusive, path::PathBuf};

/// What it logs; nothing in mode `l4`, whose own knobs are refused elsewhere.
pub(super) fn logging(typed: &Frontend, mode: Option<Mode>, defaults: &Defaults, out: &mut Vec<Diagnostic>) -> Logging {
    if mode == Some(Mode::L4) {
        return Logging::default();
    }
    let inherited = typed.log.is_absent();
    let logs = if inherited { &defaults.log } else { &typed.log };
    let logs = logs.value().map_or(&[][..], |OneOrMany(logs)| logs);
    let mut targets: Vec<(Log, Span)> = Vec::new();
    for At { value, span } in logs {
        let mut found = Vec::new();
        if let Some(log) = one(&value.0, *span, mode, inherited, &mut found) {
            match targets.iter().find(|(other, _)| other.target == log.target) {
                Some((_, first)) => {
                    let error = Diagnostic::error(*span, format!("`{}` is logged to twice", log.target));
                    found.push(error.related(*first, "first here"));
                }
                None => targets.push((log, *span)),
            }
        }
        // What is wrong in `[defaults]` is seen by everyone who inherits it.
        found.retain(|diagnostic| !out.contains(diagnostic));
        out.extend(found);
    }
    let skip = if typed.log_skip.is_absent() { &defaults.log_skip } else { &typed.log_skip };
    let skips = |what| skip.value().is_some_and(|OneOrMany(words)| words.iter().any(|word| word.value == what));
    let logging = Logging {
        targets: targets.into_iter().map(|(log, _)| log).collect(),
        skip_null: skips(LogSkip::Null),
        skip_normal: skips(LogSkip::Normal),
        capture_request: captures(&typed.capture_request, out),
        capture_response: captures(&typed.capture_response, out),
        unique_id: unique_id(typed, out),
    };
    let useless =
        typed.capture_request.given().map(|at| at.span).or_else(|| typed.capture_response.given().map(|at| at.span));
    if let Some(span) = useless.filter(|_| logs.is_empty()) {
        out.push(Diagnostic::warning(span, "without a `log` nothing is captured"));
    }
    logging
}

fn one(typed: &Typed, span: Span, mode: Option<Mode>, inherited: bool, out: &mut Vec<Diagnostic>) -> Option<Log> {
    if typed.to.is_absent() {
        let error = Diagnostic::error(span, "a log needs `to`: where lines go");
        out.push(error.help("such as to = \"unix:/dev/log\""));
    }
    let target = typed.to.value().and_then(|to| target(to, out));
    let (is_json, format) = format(&typed.format, mode, inherited, out);
    let target = target?;
    let Typed { framing, facility, level, error_level, .. } = typed;
    let framing = Around { framing, facility, level, error_level, levels: (INFO, None) }.framing(&target, out);
    let (lengths, default) = if is_json { (JSON_LENGTHS, JSON_LENGTH) } else { (LENGTHS, LENGTH) };
    let length = range::number(&typed.length, "length", lengths, default, out).into();
    Some(Log { target, format: format?, framing, length })
}

pub(super) fn target(to: &Text, out: &mut Vec<Diagnostic>) -> Option<Target> {
    let (kind, rest) = to.value.split_once(':').unwrap_or((&to.value, ""));
    let path = || Some(PathBuf::from(rest)).filter(|_| rest.starts_with('/') && !rest.contains('\0') && rest.len() > 1);
    let (target, help) = match kind {
        "udp" => (rest.parse().ok().map(Target::Udp), "an address and a port: \"udp:192.0.2.1:514\""),
        // The kernel's bound for names of sockets (unix(7)).
        "unix" => (path().filter(|_| rest.len() < 108).map(Target::Unix), "an absolute path: \"unix:/dev/log\""),
        "file" => (path().map(Target::File), "an absolute path: \"file:/var/log/sluice.log\""),
        "stdout" => (Some(Target::Stdout).filter(|_| to.value == "stdout"), "just \"stdout\""),
        _ => (None, "one of \"udp:ADDRESS:PORT\", \"unix:PATH\", \"file:PATH\" and \"stdout\""),
    };
    if target.is_none() {
        out.push(Diagnostic::error(to.span, format!("lines cannot be logged to `{to}`")).help(help));
    }
    target
}

/// Whether it is JSON, and the format, if it is one.
fn format(knob: &Knob<Text>, mode: Option<Mode>, inherited: bool, out: &mut Vec<Diagnostic>) -> (bool, Option<Format>) {
    let items = |format: &str| Item::parse(format).ok().map(Format::Items);
    let is_tcp = mode == Some(Mode::Tcp);
    let Some(typed) = knob.value() else { return (false, items(if is_tcp { TCPLOG } else { HTTPLOG })) };
    match typed.value.as_str() {
        "json" => (true, Some(Format::Json)),
        "tcplog" => (false, items(TCPLOG)),
        "httplog" | "clf" if is_tcp && inherited => (false, items(TCPLOG)),
        word @ ("httplog" | "clf") => {
            if is_tcp {
                let error = Diagnostic::error(typed.span, format!("`{word}` has no meaning in mode `tcp`"));
                out.push(error.help("only mode `http` reads requests: `tcplog`"));
            }
            (false, items(if word == "clf" { CLF } else { HTTPLOG }))
        }
        own if own.contains('%') => (false, own_format(typed, out).map(Format::Items)),
        _ => {
            let words = ["httplog", "tcplog", "clf", "json"];
            let help = did_you_mean(&typed.value, words)
                .unwrap_or_else(|| format!("{}, or a log-format with at least one `%`", listed(words)));
            out.push(Diagnostic::error(typed.span, format!("`{typed}` is not a format of lines")).help(help));
            (false, None)
        }
    }
}

/// HAProxy's `log-format`.
fn own_format(typed: &Text, out: &mut Vec<Diagnostic>) -> Option<Vec<Item>> {
    Item::parse(&typed.value).map_err(|errors| out.extend(errors.iter().map(|error| fault(typed, error)))).ok()
}

fn fault(typed: &Text, FormatError { at, fault }: &FormatError) -> Diagnostic {
    let part = typed.value.get(at.clone()).unwrap_or_default();
    let span = typed.part(at.clone());
    match fault {
        Fault::Unknown => {
            let name = part.rsplit(['%', '}']).next().unwrap_or_default();
            let known = Field::ALL.iter().map(|(alias, _)| *alias).filter(|_| name.len() > 2);
            let help = did_you_mean(name, known).unwrap_or_else(|| "a literal `%` is written `%%`".to_owned());
            Diagnostic::error(span, format!("nothing called `%{name}` can be logged")).help(help)
        }
        Fault::Expression => Diagnostic::error(span, "expressions cannot be logged yet")
            .help("header fields can: name them in `capture_request` or `capture_response`, and log %hr or %hs"),
        Fault::Flag => Diagnostic::error(span, format!("`{}` is not a flag", part.escape_default()))
            .help("flags are `+Q` (quoted) and `+X` (hexadecimal); `-` takes them back"),
        Fault::Unclosed => Diagnostic::error(span, "`%{` without `}`"),
        Fault::Control => Diagnostic::error(span, "a control character would break the line"),
    }
}

/// What stands around lines, as typed.
pub(super) struct Around<'a> {
    pub(super) framing: &'a Knob<FramingWord>,
    pub(super) facility: &'a Knob<Facility>,
    pub(super) level: &'a Knob<Level>,
    pub(super) error_level: &'a Knob<Level>,
    /// What the two levels are where they are not typed; `None`: the second is as the first.
    pub(super) levels: (u8, Option<u8>),
}

impl Around<'_> {
    pub(super) fn framing(&self, target: &Target, out: &mut Vec<Diagnostic>) -> Framing {
        let default = if target.is_stream() { FramingWord::Raw } else { FramingWord::Syslog(Dialect::Local) };
        match self.framing.or(default) {
            FramingWord::Syslog(dialect) => {
                let level = self.level.value().map_or(self.levels.0, |level| level.0);
                let error_level = self.error_level.value().map(|level| level.0).or(self.levels.1).unwrap_or(level);
                let facility = self.facility.value().map_or(LOCAL0, |it| it.0);
                Framing::Syslog { dialect, facility, level, error_level }
            }
            FramingWord::Raw => {
                let levels = [("level", self.level), ("error_level", self.error_level)];
                let levels = levels.into_iter().filter_map(|(key, knob)| Some((key, knob.given()?.span)));
                let facility = self.facility.given().map(|given| ("facility", given.span));
                for (key, span) in facility.into_iter().chain(levels) {
                    let error = Diagnostic::error(span, format!("`{key}` has no meaning in lines that are `raw`"));
                    out.push(error.help("framing = \"rfc5424\" puts lines into messages of syslog"));
                }
                Framing::Raw
            }
        }
    }
}

fn captures(knob: &Knob<OneOrMany<CaptureForm>>, out: &mut Vec<Diagnostic>) -> Vec<Capture> {
    let mut captures: Vec<(Capture, Span)> = Vec::new();
    for At { value: CaptureForm(typed), span } in knob.value().map_or(&[][..], |OneOrMany(captures)| captures) {
        let length = range::number(&typed.length, "length", CAPTURES, CAPTURE, out).into();
        let Some(name) = field_name(&typed.name, *span, "a capture needs a `name`", out) else { continue };
        warn_of_secret(typed, name, out);
        if let Some((_, first)) = captures.iter().find(|(other, _)| other.name.eq_ignore_ascii_case(&name.value)) {
            out.push(Diagnostic::error(*span, format!("`{name}` is captured twice")).related(*first, "first here"));
        }
        captures.push((Capture { name: name.value.clone(), length }, *span));
    }
    captures.into_iter().map(|(capture, _)| capture).collect()
}

fn warn_of_secret(typed: &TypedCapture, name: &Text, out: &mut Vec<Diagnostic>) {
    let secret = SECRET.iter().any(|secret| name.value.eq_ignore_ascii_case(secret));
    if secret && !typed.secret.or(false) {
        let message = format!("whoever reads the log can act as the clients whose `{name}` is in it");
        out.push(Diagnostic::warning(name.span, message).help("if that is meant: secret = true"));
    }
}

fn unique_id(typed: &Frontend, out: &mut Vec<Diagnostic>) -> Option<UniqueId> {
    let At { value, span } = typed.unique_id.given()?;
    let header = field_name(&value.0.header, *span, "`unique_id` needs a `header`", out)?.value.clone();
    let format = value.0.format.value().and_then(|typed| {
        let items = own_format(typed, out)?;
        let late = |item: &&Item| matches!(item, Item::Field(field, _) if !field.is_known_at_first());
        if let Some(Item::Field(late, _)) = items.iter().find(late) {
            let alias = Field::ALL.iter().find(|(_, field)| field == late).map_or("", |(alias, _)| alias);
            out.push(Diagnostic::error(typed.span, format!("`%{alias}` is not known when a request begins")));
        }
        Some(items)
    });
    Some(UniqueId { header, format })
}

/// The name of a header field (RFC 9110 §5.6.2).
fn field_name<'a>(knob: &'a Knob<Text>, span: Span, missing: &str, out: &mut Vec<Diagnostic>) -> Option<&'a Text> {
    if knob.is_absent() {
        out.push(Diagnostic::error(span, missing));
    }
    let name = knob.value()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.value.is_empty() || !name.value.bytes().all(is_token) {
        out.push(Diagnostic::error(name.span, format!("`{name}` cannot be the name of a header field")));
        return None;
    }
    Some(name)
}

const SECRET: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
const LOCAL0: u8 = 16;
const INFO: u8 = 6;
/// HAProxy's default of `len`.
const LENGTH: u16 = 1_024;
const LENGTHS: RangeInclusive<u16> = 80..=u16::MAX;
const JSON_LENGTH: u16 = 4_096;
/// Room for all keys and our own names.
const JSON_LENGTHS: RangeInclusive<u16> = 2_048..=u16::MAX;
const CAPTURE: u16 = 64;
const CAPTURES: RangeInclusive<u16> = 1..=8_192;
