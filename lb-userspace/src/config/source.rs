//! Where something stands in the configuration, over all its files at once.

use super::bundle::ConfigFile;
use std::ops::Range;

/// A range of bytes in the files of one configuration, laid end to end: so a span needs no file beside it, spans sort
/// in the order of the files, and tables of several files can be merged without losing where each line came from.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// A line and a column, both counted from 1; a column counts characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// The texts that spans point into.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    files: Vec<Source>,
}

/// One text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    /// As it may be shown: secrets are masked, byte by byte, so that every span still fits.
    pub(crate) text: String,
    /// Where the text begins among all texts.
    pub(crate) base: usize,
    /// Where its lines begin, but for the first.
    lines: Vec<usize>,
}

/// Where the lines of a text begin, but for the first.
pub(crate) fn line_starts(text: &str) -> Vec<usize> {
    text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect()
}

/// The number of the line, from 0, that has the byte `at`.
pub(crate) fn line_of(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at)
}

impl Sources {
    pub(crate) fn new(files: &[ConfigFile]) -> Self {
        let mut base = 0;
        let files = files.iter().map(|file| {
            let text = mask_secrets(&file.text);
            let source = Source { path: file.path.clone(), lines: line_starts(&text), text, base };
            // One byte between two texts: an error at the very end of one is not at the start of the next.
            base += file.text.len() + 1;
            source
        });
        Self { files: files.collect() }
    }

    pub(crate) fn bases(&self) -> impl Iterator<Item = usize> + '_ {
        self.files.iter().map(|source| source.base)
    }

    /// The file that `span` begins in.
    pub(crate) fn of(&self, span: Span) -> Option<&Source> {
        self.files.iter().rev().find(|source| source.base <= span.start)
    }
}

impl Source {
    /// `span` as a range of this text, never outside it.
    pub(crate) fn range(&self, span: Span) -> Range<usize> {
        let inside = |at: usize| self.text.floor_char_boundary(at.saturating_sub(self.base).min(self.text.len()));
        inside(span.start)..inside(span.end).max(inside(span.start))
    }

    /// Where `span` begins, for people.
    pub(crate) fn position(&self, span: Span) -> Position {
        let at = self.range(span).start;
        let line = line_of(&self.lines, at);
        let column = self.text.get(self.line_start(line)..at).unwrap_or_default().chars().count() + 1;
        Position { line: line + 1, column }
    }

    /// The lines that have something of these ranges, where they begin, and the number of the first, from 1.
    pub(crate) fn lines_of(&self, ranges: &[Range<usize>]) -> (&str, usize, usize) {
        let first = ranges.iter().map(|range| range.start).min().unwrap_or_default();
        let last = ranges.iter().map(|range| range.end).max().unwrap_or_default();
        let first = line_of(&self.lines, first);
        let (start, end) = (self.line_start(first), self.lines.get(line_of(&self.lines, last)));
        let text = self.text.get(start..end.copied().unwrap_or(self.text.len()));
        (text.unwrap_or_default(), start, first + 1)
    }

    fn line_start(&self, line: usize) -> usize {
        line.checked_sub(1).and_then(|before| self.lines.get(before).copied()).unwrap_or(0)
    }
}

/// Replaces what follows a secret's key on its line, and in a string of several lines up to its end: whoever reads an error
/// message, in a log say, must not learn it. By text and not by the parsed tree, so that it holds for files that do
/// not parse.
fn mask_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut open: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let secret = match open {
            Some(_) => Some(0),
            None => SECRET_KEYS
                .iter()
                .filter_map(|secret| line.find(secret))
                .min()
                .and_then(|key| Some(key + line.get(key..)?.find('=')? + 1)),
        };
        let (clear, hidden) = line.split_at(secret.unwrap_or(line.len()));
        open = match open {
            Some(quotes) => (!hidden.contains(quotes)).then_some(quotes),
            None => MULTI_LINE.into_iter().find(|quotes| hidden.matches(quotes).count() == 1),
        };
        shown.push_str(clear);
        // An equal number of bytes in ASCII, so that spans stay on the boundaries of characters.
        let mask = |byte: u8| {
            if byte.is_ascii_alphanumeric() || !byte.is_ascii() { '*' } else { char::from(byte) }
        };
        shown.extend(hidden.bytes().map(mask));
    }
    shown
}

const SECRET_KEYS: [&str; 2] = ["hash_key", "insecure_password"];
const MULTI_LINE: [&str; 2] = ["\"\"\"", "'''"];

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: [&str; 2]) -> Sources {
        Sources::new(&texts.map(|text| ConfigFile { path: format!("{}.toml", text.len()), text: text.to_owned() }))
    }

    #[test]
    fn a_span_finds_its_file_line_and_column() {
        let sources = sources(["a = 1\n", "é = 2\nbc = 3\n"]);
        let span = Span { start: 7 + 7 + 3, end: 7 + 7 + 4 };
        let source = sources.of(span).expect("a file");
        assert_eq!(source.position(span), Position { line: 2, column: 4 });
        assert_eq!(source.path, "14.toml");
        assert_eq!(sources.of(Span { start: 6, end: 6 }).expect("a file").path, "6.toml");
    }

    #[test]
    fn the_hash_key_is_never_part_of_a_shown_text() {
        let sources = sources(["hash_key = \"00ff é\"\nuser = \"00ff\"\n", ""]);
        let text = &sources.of(Span::default()).expect("a file").text;
        assert_eq!(text, "hash_key = \"**** **\"\nuser = \"00ff\"\n");
        let several = mask_secrets("hash_key = '''\nab\ncd'''\nuser = 'ab'\n");
        assert_eq!(several, "hash_key = '''\n**\n**'''\nuser = 'ab'\n");
    }
}
