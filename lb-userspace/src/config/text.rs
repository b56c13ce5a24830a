//! A string of the configuration, with `${NAME}` replaced.

use super::{
    error::Diagnostic,
    read::{FromToml, Reader},
    shape::Shape,
    source::Span,
};
use crate::model::Secret;
use std::{collections::BTreeMap, fmt, ops::Range};
use toml::{Spanned, de::DeValue};

/// A string value. `Display` gives it as typed: what the environment put in may be a secret and is not for messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Text {
    /// With `${NAME}` replaced.
    pub(crate) value: String,
    /// The whole string, quotes included.
    pub(crate) span: Span,
    /// As typed.
    typed: String,
    /// The first byte between the quotes, if what follows is `value` byte by byte: no escapes, nothing replaced.
    verbatim: Option<usize>,
}

impl Text {
    /// One that no file has as such; errors in it are shown at `span`.
    pub(crate) fn fixed(value: &str, span: Span) -> Self {
        Self { value: value.to_owned(), span, typed: value.to_owned(), verbatim: None }
    }

    /// The place of a part of `value`; the whole string where the file does not have it byte by byte.
    pub(crate) fn part(&self, range: Range<usize>) -> Span {
        self.verbatim.map_or(self.span, |start| Span { start: start + range.start, end: start + range.end })
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl FromToml for Text {
    fn shape() -> Shape {
        Shape::Text { what: "text", form: None }
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let typed = reader.string("a string", value)?;
        let span = reader.span(value);
        let source = reader.text.get(value.span()).unwrap_or_default();
        // Multi-line strings have three quotes and may drop their first newline: found, or not, by comparison.
        let quotes = if source.starts_with("\"\"\"") || source.starts_with("'''") { 3 } else { 1 };
        let inside = source.get(quotes..source.len().saturating_sub(quotes)).unwrap_or_default();
        let replaced = match replace(typed, reader.environment) {
            Ok(replaced) => replaced,
            Err(error) => {
                let (at, message) = match error {
                    EnvironmentError::Unset(at) => {
                        let name = typed.get(at.clone()).unwrap_or_default();
                        (at, format!("the environment has no `{name}`"))
                    }
                    EnvironmentError::Unclosed(at) => (at, "`${` without `}`".to_owned()),
                };
                let text = Self { value: typed.to_owned(), span, typed: typed.to_owned(), verbatim: None };
                let text = Self { verbatim: (inside == typed).then_some(span.start + quotes), ..text };
                reader.error(Diagnostic::error(text.part(at), message).help("a literal `${` is written `$${`"));
                return None;
            }
        };
        let verbatim = (inside == replaced).then_some(span.start + quotes);
        Some(Self { value: replaced, span, typed: typed.to_owned(), verbatim })
    }
}

/// The names in every `${NAME}` of `text`.
pub(crate) fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// Why `${…}` could not be replaced; with the place in the string.
enum EnvironmentError {
    Unset(Range<usize>),
    Unclosed(Range<usize>),
}

fn replace(text: &str, environment: &BTreeMap<String, Secret>) -> Result<String, EnvironmentError> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            replaced.push_str(before);
            replaced.push_str("${");
            rest = after;
            continue;
        }
        replaced.push_str(before);
        let start = text.len() - after.len();
        let (name, after) = after.split_once('}').ok_or(EnvironmentError::Unclosed(start - 2..text.len()))?;
        let value = environment.get(name).ok_or(EnvironmentError::Unset(start..start + name.len()))?;
        replaced.push_str(value.reveal());
        rest = after;
    }
    Ok(replaced + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_escapes_are_not() {
        let environment = BTreeMap::from([("A".to_owned(), Secret::new("1")), ("B".to_owned(), Secret::new("${A}"))]);
        let replaced = |text| replace(text, &environment).ok();
        assert_eq!(replaced("x${A}y${A}").as_deref(), Some("x1y1"));
        assert_eq!(replaced("$${A}${B}$").as_deref(), Some("${A}${A}$"), "what was put in is not looked at again");
        assert_eq!(replaced("${C}"), None);
        assert_eq!(replaced("${A"), None);
    }
}
