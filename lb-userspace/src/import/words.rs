//! A line of a HAProxy configuration split into words, as HAProxy does it (configuration.txt, sections 2.2 to 2.4), and words
//! put back together for strings of ours.

/// Around the name of a variable inside of a word. They are no characters (Unicode calls them noncharacters), so that no text
/// has them.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';

/// A line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Line {
    /// Without quotes and escapes.
    pub(super) words: Vec<String>,
    /// What follows `#`, with it.
    pub(super) comment: Option<String>,
    /// Why the words are not what was meant.
    pub(super) fault: Option<&'static str>,
}

/// Splits a line.
pub(super) fn split(text: &str) -> Line {
    let mut line = Line::default();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match (quote, next) {
            (None, '#') => {
                line.comment = Some(format!("#{}", rest.as_str().trim_end()));
                break;
            }
            (None, ' ' | '\t' | '\r' | '\n') => line.words.extend(current.take()),
            (None, '"' | '\'') => {
                quote = Some(next);
                current.get_or_insert_default();
            }
            (Some(open), _) if open == next => quote = None,
            (None | Some('"'), '\\') => {
                let word = current.get_or_insert_default();
                let known = escape(rest.as_str(), quote.is_some(), &mut line.fault);
                match known {
                    Some((value, length)) => {
                        word.push(value);
                        rest.by_ref().take(length).for_each(drop);
                    }
                    None => word.push('\\'),
                }
            }
            (Some('"'), '$') => {
                let word = current.get_or_insert_default();
                let length = variable(rest.as_str(), word, &mut line.fault);
                rest.by_ref().take(length).for_each(drop);
            }
            (_, OPEN | CLOSE) => line.fault = Some("it has characters that no text has"),
            (_, _) => current.get_or_insert_default().push(next),
        }
    }
    if quote.is_some() {
        line.fault = Some("a quotation does not end");
    }
    line.words.extend(current);
    line
}

/// What a backslash before `rest` stands for, and how many characters belong to it; `None`: it stays as it is, as in `\.`.
fn escape(rest: &str, weak: bool, fault: &mut Option<&'static str>) -> Option<(char, usize)> {
    Some(match rest.chars().next()? {
        same @ (' ' | '\\' | '#' | '"' | '\'') => (same, 1),
        '$' if weak => ('$', 1),
        'n' => ('\n', 1),
        'r' => ('\r', 1),
        't' => ('\t', 1),
        'x' => {
            let Some(byte) = rest.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                *fault = Some("two hexadecimal digits must follow `\\x`");
                return None;
            };
            if !byte.is_ascii() {
                *fault = Some("it has bytes that are no text");
            }
            (char::from(byte), 3)
        }
        _ => return None,
    })
}

/// Takes the name that follows `$` into `word`; how many characters that were.
fn variable(rest: &str, word: &mut String, fault: &mut Option<&'static str>) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (inside, around) = match rest.strip_prefix('{') {
        Some(inside) => (inside, 2),
        None => (rest, 0),
    };
    let length = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
    let (name, after) = inside.split_at(length);
    if name.is_empty() {
        word.push('$');
        return 0;
    }
    if around > 0 && !after.starts_with('}') {
        *fault = Some("a variable of the environment has no default here: write `${NAME}`");
    }
    word.extend([OPEN].into_iter().chain(name.chars()).chain([CLOSE]));
    length + around
}

/// Whether the environment says some of it.
pub(super) fn has_variable(word: &str) -> bool {
    word.contains(OPEN)
}

/// As a string of our configuration has it, `${NAME}` and all.
pub(super) fn with_variables(word: &str) -> String {
    word.replace("${", "$${").replace(OPEN, "${").replace(CLOSE, "}")
}

/// Words as one text that is split into the same ones where ours are: in ACLs and conditions.
pub(super) fn joined<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word.as_ref())).collect();
    words.join(" ")
}

/// One of them, quoted if it has to be.
fn quoted(word: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let escapes = word.split('\\').skip(1).any(|after| after.is_empty() || after.starts_with(['#', '$']));
    if word.is_empty() || word.contains(special) || escapes {
        if !word.contains('\'') {
            return format!("'{word}'");
        }
        let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{escaped}\"");
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<String> {
        let line = split(line);
        assert_eq!(line.fault, None, "{line:?}");
        line.words.iter().map(|word| with_variables(word)).collect()
    }

    #[test]
    fn a_line_is_split_as_haproxy_splits_it() {
        assert_eq!(words("  server\ts1  10.0.0.1:80 check"), ["server", "s1", "10.0.0.1:80", "check"]);
        assert_eq!(words(r"realm HAProxy\ Statistics"), ["realm", "HAProxy Statistics"]);
        assert_eq!(words(r#"a "b c"d 'e "f" \n' "" g"#), ["a", "b cd", "e \"f\" \\n", "", "g"]);
        assert_eq!(words(r"send PING\r\n \x41 ^a\.b\1$"), ["send", "PING\r\n", "A", "^a\\.b\\1$"]);
        assert_eq!(words(r#"x "a\"b\$c'" \#no"#), ["x", "a\"b$c'", "#no"]);
        assert_eq!(words("a#b c"), ["a"]);
        assert_eq!(split("bind :80 # clear ").comment.as_deref(), Some("# clear"));
    }

    #[test]
    fn variables_are_replaced_in_weak_quotes_alone() {
        assert_eq!(
            words(r#""${A}:80" "$B/c" '$A' $A ${A} "$$" "100$""#),
            ["${A}:80", "${B}/c", "$A", "$A", "$${A}", "$$", "100$"]
        );
        assert!(split(r#""${A-1}""#).fault.is_some());
        assert!(split("'a").fault.is_some());
        assert!(split(r"\xzz").fault.is_some());
        assert!(split(r"\xff").fault.is_some());
    }

    proptest! {
        /// What is joined here and split there is the same.
        #[test]
        fn joined_words_are_the_words(words in proptest::collection::vec("[a-z\\\\'\"#$ é{}]{0,6}", 1..4)) {
            let text = joined(&words);
            prop_assert_eq!(crate::config::words_of(&text), Some(words));
        }

        #[test]
        fn any_line_is_split(line in ".{0,60}") {
            split(&line);
        }
    }
}
