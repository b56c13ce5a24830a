//! What there is nothing for, why, and what to do instead: `advice.txt`, by its sections.

use super::Effect;

const ROWS: &str = include_str!("advice.txt");

/// What becomes of it, why, and what helps; the last may be empty.
pub(super) type Advice = (Effect, &'static str, &'static str);

/// The rows of a section: the words, and what is said of them.
fn rows(section: &str) -> impl Iterator<Item = (&'static str, Advice)> {
    let head = format!("[{section}]");
    let lines = ROWS.lines().skip_while(move |line| *line != head).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter_map(|line| {
        let mut parts = line.split(" | ");
        let (words, effect, why) = (parts.next()?, parts.next()?, parts.next()?);
        let effect = if effect == "note" { Effect::Note } else { Effect::Lost };
        Some((words, (effect, why, parts.next().unwrap_or_default())))
    })
}

/// What is said of a statement that begins with these words.
fn find(section: &str, words: &[&str]) -> Option<Advice> {
    let fits = |known: &str| {
        let mut said = words.iter();
        known.split(' ').all(|word| said.next() == Some(&word))
    };
    rows(section).filter(|(known, _)| fits(known)).max_by_key(|(known, _)| known.len()).map(|(_, advice)| advice)
}

/// Of a kind of section.
pub(super) fn section(kind: &str) -> (&'static str, &'static str) {
    find("section", &[kind]).map_or(("there is no such section here", ""), |(_, why, help)| (why, help))
}

/// Of what stands in `global`.
pub(super) fn global(words: &[&str]) -> Option<Advice> {
    find("global", words)
}

/// Of what proxies say.
pub(super) fn proxy(words: &[&str]) -> Option<Advice> {
    find("proxy", words)
}

/// Of what comes behind `bind`.
pub(super) fn bind(word: &str) -> Option<Advice> {
    find("bind", &[word])
}

/// Of what comes behind `server`.
pub(super) fn server(word: &str) -> Option<Advice> {
    find("server", &[word])
}

/// Of actions of rules.
pub(super) fn action(word: &str) -> (&'static str, &'static str) {
    let name = word.split(['(', '.']).next().unwrap_or(word);
    find("actions", &[name]).map_or(("there is no such action", ""), |(_, why, help)| (why, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_one() {
        let sections = ["section", "global", "proxy", "bind", "server", "actions"];
        let found: usize = sections.iter().map(|section| rows(section).count()).sum();
        let written = ROWS.lines().filter(|line| line.contains(" | ")).count();
        assert_eq!(found, written);
        assert!(ROWS.lines().filter(|line| line.contains('|')).all(|line| matches!(line.split(" | ").count(), 3 | 4)));
    }

    #[test]
    fn the_longest_row_counts() {
        assert_eq!(global(&["nbproc", "1"]).map(|(effect, ..)| effect), Some(Effect::Note));
        assert_eq!(global(&["nbproc", "4"]).map(|(effect, ..)| effect), Some(Effect::Lost));
        assert_eq!(global(&["nbprocs"]), None);
    }
}
