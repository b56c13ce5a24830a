//! A string split into words, as HAProxy splits a line (configuration.txt, section 2.2): by white space, with `"…"`,
//! `'…'` and backslashes, which escape white space, quotes, `#`, `$` and themselves.

use crate::config::{error::Diagnostic, text::Text};
use std::ops::Range;

/// One word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Word {
    /// Without quotes and backslashes.
    pub(crate) value: String,
    /// Where it stands in the string, quotes included.
    pub(crate) range: Range<usize>,
    /// Whether some of it was quoted: then it is no flag.
    pub(crate) quoted: bool,
}

impl Word {
    /// The place of a part of its value; the whole word where quotes or backslashes moved it.
    pub(crate) fn part(&self, part: Range<usize>) -> Range<usize> {
        if self.range.len() == self.value.len() {
            self.range.start + part.start..self.range.start + part.end
        } else {
            self.range.clone()
        }
    }

    /// Whether it has the look of a flag: not quoted, and no negative number.
    pub(crate) fn is_flag(&self) -> bool {
        !self.quoted && matches!(self.value.as_bytes(), [b'-', second, ..] if !second.is_ascii_digit())
    }
}

/// The words of `text`; an error if a quotation does not end.
pub(crate) fn words(text: &Text) -> Result<Vec<Word>, Diagnostic> {
    let mut words = Vec::new();
    let mut current: Option<Word> = None;
    let mut quote: Option<(usize, char)> = None;
    let mut chars = text.value.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(current.take());
            continue;
        }
        let word = current.get_or_insert_with(|| Word { value: String::new(), range: at..at, quoted: false });
        match (quote, c) {
            (Some((_, open)), _) if open == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some((at, c));
                word.quoted = true;
            }
            (None | Some((_, '"')), '\\') => {
                let escaped = chars.next().map(|(_, escaped)| escaped);
                // Others stay as they are, as `\.` and `\1` of regular expressions.
                if escaped.is_none_or(|escaped| !(escaped.is_whitespace() || "\\\"'#$".contains(escaped))) {
                    word.value.push('\\');
                }
                word.value.extend(escaped);
            }
            (None | Some(_), _) => word.value.push(c),
        }
        word.range.end = text.value.len() - chars.as_str().len();
    }
    if let Some((at, open)) = quote {
        return Err(Diagnostic::error(text.part(at..text.value.len()), format!("the quotation {open} does not end")));
    }
    words.extend(current);
    Ok(words)
}
