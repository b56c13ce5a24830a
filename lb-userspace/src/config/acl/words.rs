//! A string split into words, as HAProxy splits a line (configuration.txt, section 2.2): by white space, with `"…"`,
//! `'…'` and backslashes.

use crate::config::{error::Diagnostic, text::Text};
use std::ops::Range;

/// One word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Word {
    /// Without quotes and backslashes.
    pub(super) value: String,
    /// Where it stands in the string, quotes included.
    pub(super) range: Range<usize>,
    /// Whether some of it was quoted: then it is no flag.
    pub(super) quoted: bool,
}

impl Word {
    /// Whether it has the look of a flag.
    pub(super) fn is_flag(&self) -> bool {
        !self.quoted && self.value.len() > 1 && self.value.starts_with('-')
    }
}

/// The words of `text`; an error if a quotation does not end.
pub(super) fn words(text: &Text) -> Result<Vec<Word>, Diagnostic> {
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
                word.value.extend(chars.next().map(|(_, escaped)| escaped));
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
