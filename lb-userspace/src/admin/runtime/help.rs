//! Help: what can be said, for those who ask and for those who said something else.

use super::command::{Entry, TABLE, Verb};

const ALL: &str = "The following commands are valid at this level:\n";
const UNKNOWN: &str = "Unknown command. Please enter one of the following commands only:\n";
const NEAR: &str = "Unknown command, but maybe one of the following ones is a better match:\n";

/// What `help` answers, with the words behind it.
pub(super) fn help(words: &[String]) -> String {
    let near = near(words);
    lines(ALL, if near.is_empty() { None } else { Some(near) })
}

/// What is answered to words that ask for nothing that is known.
pub(super) fn unknown(words: &[String]) -> String {
    match near(words) {
        near if near.is_empty() => lines(UNKNOWN, None),
        near => lines(NEAR, Some(near)),
    }
}

fn is_always(entry: &Entry) -> bool {
    matches!(entry.verb, Verb::Help | Verb::Prompt | Verb::Quit)
}

/// The commands that have as many of these words as any.
fn near(words: &[String]) -> Vec<&'static Entry> {
    let common = |entry: &Entry| {
        let pairs = words.iter().zip(entry.words);
        // The last word may be the beginning of one.
        let is_like = |(index, (word, of)): (usize, (&String, &&str))| {
            *word == **of || (index + 1 == words.len() && of.starts_with(word.as_str()))
        };
        pairs.enumerate().take_while(|pair| is_like(*pair)).count()
    };
    let most = TABLE.iter().map(common).max().unwrap_or(0);
    let is_near = |entry: &&Entry| most > 0 && common(entry) == most && !is_always(entry);
    TABLE.iter().filter(is_near).collect()
}

/// These commands, and those that are always there; all without any.
fn lines(title: &str, some: Option<Vec<&Entry>>) -> String {
    let mut text = title.to_owned();
    match some {
        None => TABLE.iter().for_each(|entry| text += &entry.line()),
        Some(some) => some
            .into_iter()
            .chain(TABLE.iter().filter(|entry| is_always(entry)))
            .for_each(|entry| text += &entry.line()),
    }
    text
}

/// Each command: its usage, what it does, and who may say it.
#[cfg(test)]
pub(crate) fn commands() -> Vec<(String, String, super::Level)> {
    let row = |entry: &Entry| {
        let line = entry.line();
        let (usage, about) = line.split_once(": ").unwrap();
        (usage.trim().to_owned(), about.trim().to_owned(), entry.verb.level(&[]))
    };
    TABLE.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn who_says_something_else_is_told_what_comes_near() {
        let text = unknown(&words("get"));
        assert!(
            text.starts_with(NEAR) && text.contains("  get weight <bk>/<srv> ") && text.contains("  quit "),
            "{text}"
        );
        assert!(!text.contains("show stat"), "{text}");
        let text = unknown(&words("show inf"));
        assert!(text.contains("  show info ") && !text.contains("show stat"), "{text}");
        for nothing in ["", "xyz"] {
            let text = unknown(&words(nothing));
            assert!(text.starts_with(UNKNOWN) && text.contains("show stat"), "{text}");
        }
    }

    #[test]
    fn help_lists_all_or_what_is_asked_for() {
        assert!(help(&[]).starts_with(ALL) && help(&[]).lines().count() == TABLE.len() + 1);
        let text = help(&words("show s"));
        assert!(text.contains("show stat") && text.contains("show sess") && !text.contains("show info"), "{text}");
    }
}
