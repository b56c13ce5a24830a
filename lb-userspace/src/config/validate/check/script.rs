//! Checks of type `script`.

use super::super::{range, tls};
use crate::{
    config::{
        acl::patterns::regex_error,
        bundle::Bundle,
        error::Diagnostic,
        file::{ConnectKeys, ScriptKeys, StepKeys},
        read::{Knob, OneOrMany},
        source::{At, Span},
        suggest::listed,
        text::Text,
    },
    model::{
        acl::converter::Pattern,
        check::script::{Action, Connect, Connection, Content, Expect, ScriptCheck, Step},
    },
};
use regex::bytes::RegexBuilder;

/// HAProxy's `tune.bufsize`.
const BUFFER: usize = 16 << 10;

pub(super) fn check(typed: &ScriptKeys, span: Span, bundle: &Bundle, out: &mut Vec<Diagnostic>) -> ScriptCheck {
    let steps = typed.steps.value().map_or(&[][..], |OneOrMany(steps)| steps);
    if steps.is_empty() && !matches!(typed.steps, Knob::Faulty) {
        let at = typed.steps.given().map_or(span, |steps| steps.span);
        let error = Diagnostic::error(at, "a script needs `steps`");
        out.push(error.help("such as steps = [{ send = \"PING\\r\\n\" }, { expect = \"+PONG\" }]"));
    }
    let mut connections = Vec::new();
    let begins = steps.first().is_some_and(|first| first.value.connect.given().is_some());
    if !begins {
        connections.push(Connection { connect: Connect::implicit(), steps: Vec::new() });
        if let Some(later) = steps.iter().find_map(|step| step.value.connect.given()) {
            out.push(Diagnostic::error(later.span, "with a `connect` among them, the first step must be one"));
        }
    }
    for (number, At { value: typed, span }) in (1..).zip(steps) {
        let given = kinds(typed);
        if given.len() != 1 {
            let error = Diagnostic::error(*span, "a step does one thing");
            let names = typed_kinds(typed).into_iter().map(|(key, _)| key);
            out.push(error.help(format!("one of: {}", listed(names))));
        }
        refuse_without_meaning(typed, given.first().copied().unwrap_or_default(), out);
        let comment = typed.comment.value().map(|text| text.value.clone());
        if let Some(at) = typed.connect.given() {
            connections
                .push(Connection { connect: connect(number, comment, &at.value, bundle, out), steps: Vec::new() });
        } else if let (Some(connection), Some(action)) = (connections.last_mut(), action(typed, out)) {
            connection.steps.push(Step { number, comment, action });
        }
    }
    ScriptCheck { connections }
}

/// What a step may be, and whether that is typed, were it wrongly.
fn typed_kinds(typed: &StepKeys) -> [(&'static str, bool); 7] {
    [
        ("connect", !typed.connect.is_absent()),
        ("send", !typed.send.is_absent()),
        ("send_binary", !typed.send_binary.is_absent()),
        ("expect", !typed.expect.is_absent()),
        ("expect_regex", !typed.expect_regex.is_absent()),
        ("expect_binary", !typed.expect_binary.is_absent()),
        ("expect_binary_regex", !typed.expect_binary_regex.is_absent()),
    ]
}

fn kinds(typed: &StepKeys) -> Vec<&'static str> {
    typed_kinds(typed).into_iter().filter(|(_, is_typed)| *is_typed).map(|(key, _)| key).collect()
}

/// What only `expect…` has.
fn refuse_without_meaning(typed: &StepKeys, kind: &str, out: &mut Vec<Diagnostic>) {
    fn span<T>(knob: &Knob<T>) -> Option<Span> {
        knob.given().map(|at| at.span)
    }
    let of_expect = [
        ("not", span(&typed.not)),
        ("min_recv", span(&typed.min_recv)),
        ("on_success", span(&typed.on_success)),
        ("on_error", span(&typed.on_error)),
        ("ok_status", span(&typed.ok_status)),
        ("error_status", span(&typed.error_status)),
        ("timeout_status", span(&typed.timeout_status)),
    ];
    if kind.starts_with("expect") {
        return;
    }
    for (key, span) in of_expect.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        out.push(Diagnostic::error(span, format!("`{key}` has no meaning without `expect`")));
    }
}

fn connect(
    number: usize,
    comment: Option<String>,
    typed: &ConnectKeys,
    bundle: &Bundle,
    out: &mut Vec<Diagnostic>,
) -> Connect {
    Connect {
        number,
        comment,
        address: typed.address.value().copied(),
        port: typed.port.given().map(|_| range::number(&typed.port, "port", 1_u16..=u16::MAX, 1, out)),
        default: typed.default.or(false),
        tls: tls::of_server(&typed.tls, bundle, out),
        send_proxy: typed.send_proxy.value().copied(),
        linger: typed.linger.or(false),
    }
}

/// `None`: the step is none, or not of a connection.
fn action(typed: &StepKeys, out: &mut Vec<Diagnostic>) -> Option<Action> {
    if let Some(text) = typed.send.value() {
        return Some(Action::Send(bytes(text, out)));
    }
    if let Some(digits) = typed.send_binary.value() {
        return Some(Action::Send(binary(digits, out)));
    }
    let content = content([&typed.expect, &typed.expect_regex, &typed.expect_binary, &typed.expect_binary_regex], out)?;
    let min_recv = typed.min_recv.given().map(|_| range::number(&typed.min_recv, "min_recv", 0..=BUFFER, 0, out));
    let text = |knob: &Knob<Text>| knob.value().map(|text| text.value.clone());
    Some(Action::Expect(Box::new(Expect {
        content,
        not: typed.not.or(false),
        min_recv,
        on_success: text(&typed.on_success),
        on_error: text(&typed.on_error),
        ok_status: typed.ok_status.value().copied().unwrap_or_default(),
        error_status: typed.error_status.value().copied().unwrap_or_default(),
        timeout_status: typed.timeout_status.value().copied().unwrap_or_default(),
    })))
}

/// The first that is given of text, expression, bytes, and expression over digits.
pub(super) fn content(
    [text, regex, digits, binary_regex]: [&Knob<Text>; 4],
    out: &mut Vec<Diagnostic>,
) -> Option<Content> {
    if let Some(text) = text.value() {
        Some(Content::Text(bytes(text, out)))
    } else if let Some(digits) = digits.value() {
        Some(Content::Binary(binary(digits, out)))
    } else if let Some(typed) = regex.value() {
        expression(typed, out).map(Content::Regex)
    } else {
        expression(binary_regex.value()?, out).map(Content::BinaryRegex)
    }
}

fn expression(typed: &Text, out: &mut Vec<Diagnostic>) -> Option<Pattern> {
    let regex = RegexBuilder::new(&typed.value).unicode(false).build();
    regex.map(Pattern).map_err(|error| out.push(regex_error(&error, typed.span))).ok()
}

/// What is sent or looked for, not empty.
pub(super) fn bytes(text: &Text, out: &mut Vec<Diagnostic>) -> Vec<u8> {
    if text.value.is_empty() {
        out.push(Diagnostic::error(text.span, "nothing at all cannot be sent or expected"));
    }
    limited(text.value.as_bytes().to_vec(), text, out)
}

/// The same of hexadecimal digits.
pub(super) fn binary(digits: &Text, out: &mut Vec<Diagnostic>) -> Vec<u8> {
    if let Some((at, found)) = digits.value.char_indices().find(|(_, c)| !c.is_ascii_hexdigit()) {
        let error = Diagnostic::error(digits.part(at..at + found.len_utf8()), "this is no hexadecimal digit");
        out.push(error.help("two a byte, such as \"0d0a\""));
        return Vec::new();
    }
    if digits.value.is_empty() || !digits.value.len().is_multiple_of(2) {
        let error = Diagnostic::error(digits.span, "a byte is two hexadecimal digits");
        out.push(error.help("such as \"0d0a\""));
        return Vec::new();
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0);
    let (pairs, _) = digits.value.as_bytes().as_chunks::<2>();
    limited(pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect(), digits, out)
}

fn limited(bytes: Vec<u8>, text: &Text, out: &mut Vec<Diagnostic>) -> Vec<u8> {
    if bytes.len() >= BUFFER {
        out.push(Diagnostic::error(text.span, format!("these are {} bytes, but {BUFFER} are too many", bytes.len())));
    }
    bytes
}
