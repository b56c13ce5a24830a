//! Formats: HAProxy's log-format strings, as far as they hold values: text, `%[expression]` and `%%`.

use super::{
    Known,
    condition::check_fetch,
    expression,
    words::{Word, words},
};
use crate::{
    config::{error::Diagnostic, source::Span, text::Text},
    model::{
        acl::{Expression, expression::Moment},
        rule::{Format, Part},
    },
};
use std::ops::Range;

/// Whether a text holds values, so that only requests and connections tell what it says.
pub(crate) fn has_values(text: &Text) -> bool {
    text.value.contains("%[")
}

/// The expression that a whole text is.
pub(crate) fn value(text: &Text, known: &Known<'_>, when: Moment) -> Result<Expression, Diagnostic> {
    part(text, 0..text.value.len(), known, when)
}

/// The expression that follows the first word of a text, and where it stands. Whoever calls asks when it is there.
pub(crate) fn argument(text: &Text, known: &Known<'_>) -> Result<(Expression, Span), Diagnostic> {
    let all = words(text)?;
    let Some(word) = all.get(1) else { return Err(Diagnostic::error(text.span, "nothing to look at")) };
    if let Some(more) = all.get(2) {
        let message = format!("`{}` means nothing after the expression", more.value);
        let error = Diagnostic::error(text.part(more.range.clone()), message);
        return Err(error.help("converters follow a comma: path,lower"));
    }
    uncompared(word, text, known)
}

fn part(text: &Text, range: Range<usize>, known: &Known<'_>, when: Moment) -> Result<Expression, Diagnostic> {
    let value = text.value.get(range.clone()).unwrap_or_default().trim().to_owned();
    let (expression, span) = uncompared(&Word { range, value, quoted: false }, text, known)?;
    check_fetch(expression.fetch.moment(), when, span)?;
    Ok(expression)
}

/// An expression that is no test.
fn uncompared(word: &Word, text: &Text, known: &Known<'_>) -> Result<(Expression, Span), Diagnostic> {
    let (expression, suffix) = expression::parse(word, text, known)?;
    let span = text.part(word.range.clone());
    if suffix.is_some() {
        return Err(Diagnostic::error(span, "a value is not compared").help("leave out the suffix of the fetch"));
    }
    Ok((expression, span))
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
