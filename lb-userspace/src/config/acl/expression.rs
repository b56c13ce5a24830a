//! Expressions: `FETCH(arguments),CONVERTER(arguments),…`, by name from the tables in `fetches` and `converters`.

use super::{Known, converters, fetches, patterns::How, words::Word};
use crate::{
    config::{error::Diagnostic, source::Span, suggest::did_you_mean, text::Text},
    model::acl::Expression,
};
use std::ops::Range;

/// A name with its arguments, and where each stands.
pub(super) struct Call<'t> {
    pub(super) name: &'t str,
    pub(super) arguments: Arguments,
    pub(super) name_range: Range<usize>,
    word: &'t Word,
    text: &'t Text,
}

impl Call<'_> {
    pub(super) fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.text.part(self.word.part(self.name_range.clone())), message)
    }

    /// The place of an argument; of the name if there is no such one.
    pub(super) fn span(&self, index: usize) -> Span {
        let range = self.arguments.get(index).map_or(&self.name_range, |(_, range)| range);
        self.text.part(self.word.part(range.clone()))
    }

    pub(super) fn error_in(&self, index: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span(index), message)
    }

    /// An argument; an empty one is none.
    pub(super) fn optional(&self, index: usize) -> Option<&str> {
        self.arguments.get(index).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// An argument that must be there. `what`: "the name of a header".
    pub(super) fn required(&self, index: usize, what: &str) -> Result<&str, Diagnostic> {
        self.optional(index).ok_or_else(|| self.error(format!("`{}` needs {what}", self.name)))
    }

    pub(super) fn number<T: std::str::FromStr>(&self, index: usize) -> Result<Option<T>, Diagnostic> {
        let parse = |typed: &str| {
            typed.parse().map_err(|_not| self.error_in(index, format!("`{typed}` is not a number that fits here")))
        };
        self.optional(index).map(parse).transpose()
    }

    pub(super) fn at_most(&self, count: usize) -> Result<(), Diagnostic> {
        match self.arguments.get(count..) {
            None | Some([]) => Ok(()),
            Some([(value, _), ..]) if count == 0 && value.is_empty() && self.arguments.len() == 1 => Ok(()),
            Some(_) if count == 0 => Err(self.error_in(0, format!("`{}` takes no argument", self.name))),
            Some(_) => Err(self.error_in(count, format!("`{}` takes no more than {count}", self.name))),
        }
    }
}

/// The expression in a word, and the method that its suffix names.
pub(super) fn parse(word: &Word, text: &Text, known: &Known<'_>) -> Result<(Expression, Option<How>), Diagnostic> {
    let mut calls = calls(word, text)?.into_iter();
    let nothing = || Diagnostic::error(text.part(word.range.clone()), "nothing to look at");
    let first = calls.next().ok_or_else(nothing)?;
    let (fetch, method) = fetches::fetch(&first, known)?;
    let mut expression = Expression { fetch, converters: Vec::new() };
    for call in calls {
        let converter = converters::converter(&call, known)?;
        let (kind, wanted) = (expression.kind(), converter.kinds().0);
        if !kind.casts_to(wanted) {
            return Err(call.error(format!("`{}` takes {}, and here comes {}", call.name, noun(wanted), noun(kind))));
        }
        expression.converters.push(converter);
    }
    Ok((expression, method))
}

pub(crate) const fn noun(kind: crate::model::acl::Kind) -> &'static str {
    use crate::model::acl::Kind;
    match kind {
        Kind::Bool => "yes or no",
        Kind::Int => "a number",
        Kind::Ip => "an address",
        Kind::Text => "a text",
        Kind::Binary => "bytes",
        Kind::Any => "any value",
    }
}

/// Splits a word at commas outside of parentheses, and arguments at those inside.
fn calls<'t>(word: &'t Word, text: &'t Text) -> Result<Vec<Call<'t>>, Diagnostic> {
    let typed = word.value.as_str();
    let mut calls = Vec::new();
    let mut start = 0;
    loop {
        let rest = typed.get(start..).unwrap_or_default();
        let length = rest.find(['(', ',']).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        let name_range = start..start + length;
        let mut at = start + length;
        let mut arguments = Vec::new();
        if typed.as_bytes().get(at) == Some(&b'(') {
            let unclosed = || {
                let part = text.part(word.part(start..typed.len()));
                Diagnostic::error(
                    part,
                    format!("`{}` has no closing parenthesis", typed.get(start..).unwrap_or_default()),
                )
            };
            (arguments, at) = split_arguments(typed, at + 1).ok_or_else(unclosed)?;
        }
        if name.is_empty() {
            let span = text.part(word.part(start..at.max(start)));
            return Err(Diagnostic::error(span, "a name is missing here"));
        }
        calls.push(Call { name, arguments, name_range, word, text });
        match typed.as_bytes().get(at) {
            None => return Ok(calls),
            Some(b',') => start = at + 1,
            Some(_) => {
                let part = text.part(word.part(at..typed.len()));
                return Err(Diagnostic::error(part, "a comma must follow the parenthesis"));
            }
        }
    }
}

/// Arguments, and where each stands.
type Arguments = Vec<(String, Range<usize>)>;

/// The arguments from `start`, and where their parenthesis has ended. Quotes and backslashes are as in words.
fn split_arguments(typed: &str, start: usize) -> Option<(Arguments, usize)> {
    let mut arguments = Vec::new();
    let mut current = String::new();
    let mut begun = start;
    let mut quote = None;
    let mut chars = typed.get(start..)?.char_indices();
    while let Some((offset, c)) = chars.next() {
        let at = start + offset;
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ',' | ')') => {
                arguments.push((std::mem::take(&mut current), begun..at));
                begun = at + 1;
                if c == ')' {
                    return Some((arguments, at + 1));
                }
            }
            (None | Some('"'), '\\') => {
                let (_, escaped) = chars.next()?;
                // What is no escape here is left to whoever takes the argument, as a regular expression.
                if !matches!(escaped, '\\' | '"' | '\'' | ' ' | ',' | '(' | ')') {
                    current.push('\\');
                }
                current.push(escaped);
            }
            (None | Some(_), c) => current.push(c),
        }
    }
    None
}

/// What to say of a name that is not among `names`; `known_elsewhere`: HAProxy has it.
pub(super) fn unknown<'n>(
    call: &Call<'_>,
    message: String,
    names: impl IntoIterator<Item = &'n str>,
    known_elsewhere: bool,
    help: &str,
) -> Diagnostic {
    if known_elsewhere {
        return call.error(format!("`{}` is not supported", call.name)).help(help);
    }
    let help = did_you_mean(call.name, names).unwrap_or_else(|| help.to_owned());
    call.error(message).help(help)
}
