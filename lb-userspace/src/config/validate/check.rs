//! Checks of servers.

use super::range;
use crate::{
    config::{
        error::Diagnostic,
        file::{Check as Typed, CheckType, Statuses},
        read::{Knob, OneOrMany},
        source::{At, Span},
        text::Text,
        units::show_duration,
    },
    model::{Check, CheckKind},
};
use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

pub(super) fn check(At { value: typed, span }: &At<Typed>, out: &mut Vec<Diagnostic>) -> Check {
    if typed.r#type.is_absent() {
        out.push(Diagnostic::error(*span, "a check needs a `type`").help("supported: `tcp`, `http`"));
    }
    let interval = range::duration([&typed.interval, &Knob::Absent], "interval", INTERVALS, INTERVAL, out);
    let timeout = range::duration([&typed.timeout, &Knob::Absent], "timeout", range::TIMEOUT, interval, out);
    if let Some(longer) = typed.timeout.given().filter(|_| timeout > interval) {
        let message = format!(
            "a probe may take {}, but the next is due after {}",
            show_duration(timeout),
            show_duration(interval)
        );
        let warning = Diagnostic::warning(longer.span, message);
        out.push(warning.help("a dead server is found later than `interval` and `fall` suggest"));
    }
    Check {
        kind: kind(typed, out),
        interval,
        timeout,
        rise: range::number(&typed.rise, "rise", 1_u32..=1000, 2, out),
        fall: range::number(&typed.fall, "fall", 1_u32..=1000, 3, out),
        port: typed.port.given().map(|_| range::number(&typed.port, "port", 1_u16..=u16::MAX, 1, out)),
    }
}

fn kind(typed: &Typed, out: &mut Vec<Diagnostic>) -> CheckKind {
    match typed.r#type.value() {
        Some(CheckType::Http) => http(typed, out),
        Some(CheckType::Tcp) => {
            let span = |knob: &Knob<Text>| knob.given().map(|at| at.span);
            let expect = typed.expect.given().map(|at| at.span);
            let knobs = [
                ("method", span(&typed.method)),
                ("path", span(&typed.path)),
                ("host", span(&typed.host)),
                ("expect", expect),
            ];
            for (key, at) in knobs.into_iter().filter_map(|(key, at)| Some((key, at?))) {
                out.push(only_http(key, at));
            }
            CheckKind::Tcp
        }
        None => CheckKind::Tcp,
    }
}

fn only_http(key: &str, span: Span) -> Diagnostic {
    let error = Diagnostic::error(span, format!("`{key}` has no meaning in a check of type `tcp`"));
    error.help("a `tcp` check opens a connection and sends nothing: use type = \"http\"")
}

fn http(typed: &Typed, out: &mut Vec<Diagnostic>) -> CheckKind {
    // RFC 9110 §5.6.2, token; and nothing anywhere that could end the request line or a field.
    let token = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
    };
    let visible = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    let expected = typed.expect.value().map_or(&[][..], |OneOrMany(expected)| expected);
    if let Some(empty) = typed.expect.given().filter(|_| expected.is_empty()) {
        out.push(Diagnostic::error(empty.span, "`expect` names no status: the check could never pass"));
    }
    CheckKind::Http {
        method: text(&typed.method, "method", token, out).unwrap_or_else(|| "HEAD".to_owned()),
        path: text(&typed.path, "path", |text| text.starts_with('/') && visible(text), out)
            .unwrap_or_else(|| "/".to_owned()),
        host: text(&typed.host, "host", |text| !text.is_empty() && visible(text), out),
        expect: if expected.is_empty() { (200..=399).collect() } else { statuses(expected) },
    }
}

fn text(knob: &Knob<Text>, key: &str, fits: impl Fn(&str) -> bool, out: &mut Vec<Diagnostic>) -> Option<String> {
    let text = knob.value()?;
    if !fits(&text.value) {
        let error = Diagnostic::error(
            text.span,
            format!("`{}` cannot be the {key} of a request", text.to_string().escape_default()),
        );
        out.push(error.maybe_help((key == "path").then(|| "a path begins with a slash and has no spaces".to_owned())));
    }
    Some(text.value.clone())
}

fn statuses(expected: &[At<Statuses>]) -> BTreeSet<u16> {
    expected.iter().flat_map(|At { value: Statuses { first, last }, .. }| *first..=*last).collect()
}

const INTERVAL: Duration = Duration::from_secs(2);
/// Below this a check is a load test.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=range::LONGEST;
