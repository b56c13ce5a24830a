//! Checks of type `http`.

use crate::{
    config::{
        error::Diagnostic,
        file::{HttpKeys, Statuses},
        read::{Knob, OneOrMany},
        source::At,
        text::Text,
    },
    model::check::HttpCheck,
};
use std::collections::BTreeSet;

pub(super) fn check(typed: &HttpKeys, out: &mut Vec<Diagnostic>) -> HttpCheck {
    // RFC 9110 §5.6.2, token; and nothing anywhere that could end the request line or a field.
    let token = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
    };
    let visible = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    let expected = typed.expect.value().map_or(&[][..], |OneOrMany(expected)| expected);
    if let Some(empty) = typed.expect.given().filter(|_| expected.is_empty()) {
        out.push(Diagnostic::error(empty.span, "`expect` names no status: the check could never pass"));
    }
    let default = HttpCheck::default();
    HttpCheck {
        method: text(&typed.method, "method", token, out).unwrap_or(default.method),
        path: text(&typed.path, "path", |text| text.starts_with('/') && visible(text), out).unwrap_or(default.path),
        host: text(&typed.host, "host", |text| !text.is_empty() && visible(text), out),
        expect: if expected.is_empty() { default.expect } else { statuses(expected) },
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
