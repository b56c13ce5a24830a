//! A Rust file with its code, its comments and its strings taken apart, as far as the rules need it.

use std::iter::Peekable;
use std::str::Chars;

/// One file. Lines keep their numbers in every part.
pub(crate) struct Source {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Without comments and without what is between quotes.
    pub(crate) code: String,
    /// Only the comments.
    pub(crate) comments: String,
}

impl Source {
    /// Takes a file apart.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        Self { path: path.to_owned(), text: text.to_owned(), code, comments }
    }

    /// The words of the code with the line each is on and what stands directly before and after it.
    pub(crate) fn words(&self) -> Vec<Word<'_>> {
        let mut words = Vec::new();
        for (number, line) in self.code.lines().enumerate() {
            let mut rest = 0;
            while let Some(start) = line.get(rest..).and_then(|tail| tail.find(is_word)).map(|at| at + rest) {
                let tail = line.get(start..).unwrap_or_default();
                let end = start + tail.find(|character| !is_word(character)).unwrap_or(tail.len());
                let part = |range: std::ops::Range<usize>| line.get(range).unwrap_or_default();
                words.push(Word {
                    line: number + 1,
                    before: part(0..start),
                    text: part(start..end),
                    after: part(end..line.len()),
                });
                rest = end;
            }
        }
        words
    }

    /// The line of the first unit tests, from 1; behind the end where there are none.
    pub(crate) fn tests_from(&self) -> usize {
        let found = self.code.lines().position(|line| line.trim() == "#[cfg(test)]");
        found.map_or(usize::MAX, |index| index + 1)
    }
}

/// An identifier or keyword in its line.
pub(crate) struct Word<'a> {
    pub(crate) line: usize,
    pub(crate) before: &'a str,
    pub(crate) text: &'a str,
    pub(crate) after: &'a str,
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where the reader is.
#[derive(Clone, Copy)]
enum Place {
    Code,
    LineComment,
    /// How many are open: they nest.
    BlockComment(usize),
    Text,
    /// How many `#` end it.
    RawText(usize),
}

/// Sorts every character into code or comments; line ends go into both.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut place = Place::Code;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\n' {
            code.push('\n');
            comments.push('\n');
            if matches!(place, Place::LineComment) {
                place = Place::Code;
            }
            continue;
        }
        place = match place {
            Place::Code => in_code(character, &mut characters, &mut code),
            Place::LineComment => {
                comments.push(character);
                place
            }
            Place::BlockComment(depth) => {
                comments.push(character);
                in_block_comment(character, depth, &mut characters)
            }
            Place::Text => in_text(character, &mut characters),
            Place::RawText(hashes) => in_raw_text(character, hashes, &mut characters),
        };
    }
    (code, comments)
}

fn in_code(character: char, characters: &mut Peekable<Chars<'_>>, code: &mut String) -> Place {
    match (character, characters.peek()) {
        ('/', Some('/')) => Place::LineComment,
        ('/', Some('*')) => Place::BlockComment(0),
        ('"', _) => {
            code.push('"');
            // `r"…"`, `br##"…"##`: the marks before the quote are in the code already.
            let marks = code.trim_end_matches('"');
            let letters = marks.trim_end_matches('#');
            let last = letters.rsplit(|letter| !is_word(letter)).next().unwrap_or_default();
            let raw = matches!(last, "r" | "br" | "cr");
            if raw { Place::RawText(marks.len() - letters.len()) } else { Place::Text }
        }
        ('\'', _) => {
            code.push('\'');
            skip_character(characters);
            Place::Code
        }
        _ => {
            code.push(character);
            Place::Code
        }
    }
}

/// Behind a `'`: skips a character literal, and leaves a lifetime alone.
fn skip_character(characters: &mut Peekable<Chars<'_>>) {
    let mut ahead = characters.clone();
    let first = ahead.next();
    if first == Some('\\') {
        ahead.next();
        while ahead.next_if(|character| *character != '\'').is_some() {}
    }
    if ahead.next() == Some('\'') {
        *characters = ahead;
    }
}

fn in_block_comment(character: char, depth: usize, characters: &mut Peekable<Chars<'_>>) -> Place {
    // The first `*` belongs to the opening `/` that brought us here.
    match (character, characters.peek()) {
        ('/', Some('*')) => {
            characters.next();
            Place::BlockComment(depth + 1)
        }
        ('*', Some('/')) => {
            characters.next();
            depth.checked_sub(1).map_or(Place::Code, Place::BlockComment)
        }
        _ => Place::BlockComment(depth),
    }
}

fn in_text(character: char, characters: &mut Peekable<Chars<'_>>) -> Place {
    match character {
        '"' => Place::Code,
        '\\' => {
            // A line that goes on: its end still counts.
            characters.next_if(|escaped| *escaped != '\n');
            Place::Text
        }
        _ => Place::Text,
    }
}

fn in_raw_text(character: char, hashes: usize, characters: &mut Peekable<Chars<'_>>) -> Place {
    let closing = characters.clone().take(hashes).filter(|next| *next == '#').count();
    if character == '"' && closing == hashes { Place::Code } else { Place::RawText(hashes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Source::new("a.rs", text).words().iter().map(|word| format!("{}{}", word.line, word.text)).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(words("one // no\n/* no /* no */ no */ two \"no \\\" no\" three"), ["1one", "2two", "2three"]);
        assert_eq!(words("r#\"no \" no\"# one b\"no\"")[1..], ["1one", "1b"]);
    }

    #[test]
    fn lifetimes_are_not_quotes() {
        assert_eq!(words("<'a>(b: &'a str) 'x' '\\n' '\"' c"), ["1a", "1b", "1a", "1str", "1c"]);
    }

    #[test]
    fn line_numbers_survive_strings_over_lines() {
        assert_eq!(words("\"no\nno \\\n no\" one"), ["3one"]);
    }

    #[test]
    fn comments_are_kept_apart() {
        assert_eq!(Source::new("a.rs", "one // two\nthree").comments.trim_end(), "/ two");
    }
}
