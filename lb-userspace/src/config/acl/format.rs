//! Formats: HAProxy's log-format strings, as far as they hold values: text, `%[expression]` and `%%`.

use super::{Known, condition::check_fetch, expression, words::Word};
use crate::{
    config::{error::Diagnostic, text::Text},
    model::{
        acl::{Expression, expression::Moment},
        rule::{Format, Part},
    },
};
use std::ops::Range;

/// The expression that a whole text is.
pub(crate) fn value(text: &Text, known: &Known<'_>, when: Moment) -> Result<Expression, Diagnostic> {
    part(text, 0..text.value.len(), known, when)
}

fn part(text: &Text, range: Range<usize>, known: &Known<'_>, when: Moment) -> Result<Expression, Diagnostic> {
    let value = text.value.get(range.clone()).unwrap_or_default().trim().to_owned();
    let word = Word { range, value, quoted: false };
    let (expression, suffix) = expression::parse(&word, text, known)?;
    let span = text.part(word.range);
    if suffix.is_some() {
        return Err(Diagnostic::error(span, "a value is not compared").help("leave out the suffix of the fetch"));
    }
    check_fetch(expression.fetch.moment(), when, span)?;
    Ok(expression)
}

/// The format in `text`.
pub(crate) fn parse(text: &Text, known: &Known<'_>, when: Moment) -> Result<Format, Diagnostic> {
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut at = 0;
    while let Some(rest) = text.value.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(percent) = rest.find('%') else {
            plain.push_str(rest);
            break;
        };
        plain.push_str(rest.get(..percent).unwrap_or_default());
        let start = at + percent;
        match text.value.as_bytes().get(start + 1) {
            Some(b'%') => {
                plain.push('%');
                at = start + 2;
            }
            Some(b'[') => {
                let inside = start + 2;
                let length = end_of(text.value.get(inside..).unwrap_or_default())
                    .ok_or_else(|| Diagnostic::error(text.part(start..text.value.len()), "this `%[` has no `]`"))?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(Part::Value(part(text, inside..inside + length, known, when)?));
                at = inside + length + 1;
            }
            Some(_) | None => {
                let error = Diagnostic::error(text.part(start..start + 1), "`%` must be followed by `[` or `%`");
                return Err(error.help("a value is `%[src]`, the sign itself `%%`"));
            }
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain.into()));
    }
    Ok(Format(parts))
}

/// Where the bracket closes: outside of quotes and parentheses, which may have brackets of regular expressions.
fn end_of(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ']') if depth == 0 => return Some(at),
            (Some(_) | None, _) => {}
        }
    }
    None
}
