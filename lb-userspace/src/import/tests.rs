//! Whole files, and statements of all kinds: what comes of them, that our own reader takes it, and that nothing is lost in
//! silence.

mod article;
mod generated;
mod statements;

use super::*;
use crate::config;

/// What comes of a file, which our own reader must take.
fn imported(text: &str) -> Imported {
    let imported = import(&[Source { path: "haproxy.cfg".to_owned(), text: text.to_owned() }]);
    let mut refused = config::refusals(&imported.text);
    // What the environment says is not there yet.
    let varies =
        |line: usize| imported.text.lines().nth(line - 1).is_some_and(|line| line.replace("$${", "").contains("${"));
    refused.retain(|(position, ..)| !varies(position.line));
    assert!(refused.is_empty(), "{refused:?}\n{}\n{:#?}", imported.text, imported.differences);
    imported
}

/// The same of one that means the same here.
fn whole(text: &str) -> String {
    let imported = imported(text);
    let differences: Vec<_> = imported.differences.iter().map(ToString::to_string).collect();
    assert!(imported.is_whole(), "{differences:#?}\n{}", imported.text);
    imported.text
}

/// Lines of what is lost and changed.
fn differing(text: &str) -> Vec<(usize, Effect)> {
    let all = imported(text).differences.into_iter();
    all.filter(|found| found.effect != Effect::Note).map(|found| (found.line, found.effect)).collect()
}
