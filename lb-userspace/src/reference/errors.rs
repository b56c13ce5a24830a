//! What is said of a configuration that is wrong, or could be better: every message that the source has, by where it is found.

use super::{
    markdown::table,
    source::{Source, arguments, files, literal},
};
use std::{collections::BTreeMap, fmt::Write as _};

const HEAD: &str = "\
# Errors of the configuration

Three kinds: an *error* keeps the configuration from being used, all of it; a *warning* does not, but traffic or operators may suffer; a
*note* says what could be better, and only `sluice check` shows it. Each comes with file, line and column, the line itself, and mostly a
way out; all are shown at once. Here are the messages as the source has them: what stands in braces is filled in. Messages of libraries
(TOML, regular expressions, certificates) come through in their own words.

";

/// Calls that make a message, and of what kind.
const CALLS: [(&str, &str); 6] = [
    ("Diagnostic::error(", "error"),
    ("Diagnostic::warning(", "warning"),
    ("Diagnostic::note(", "note"),
    (".error(", "error"),
    (".error_in(", "error"),
    ("let message = ", ""),
];

/// The page.
pub(super) fn page() -> String {
    let mut text = HEAD.to_owned();
    for source in files("config") {
        let found = messages(&source);
        if !found.is_empty() {
            let heading =
                source.text.lines().next().unwrap_or_default().trim_start_matches("//! ").trim_end_matches('.');
            _ = write!(text, "## {heading}\n\n{}", table(["Kind", "Message"], found));
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// The kind and the words of each message, in their order.
fn messages(source: &Source) -> Vec<[String; 2]> {
    let text = &source.text;
    let mut found = BTreeMap::new();
    for (call, kind) in CALLS {
        for (at, _) in text.match_indices(call) {
            let from = at + call.len();
            let Some(first) = literal(text, from) else { continue };
            // What comes first must be the message: of this call, and no advice.
            let before = text.get(from..first.start).unwrap_or_default();
            let is_own = match call {
                "let message = " => {
                    matches!(before, "" | "format!(") || before.starts_with("if ") || before.starts_with("match ")
                }
                _ => arguments(text, from).iter().any(|argument| argument.contains(&text[first.start..first.end])),
            };
            if is_own && !before.contains("help(") && !before.contains(';') && first.says.contains(' ') {
                let kind = if kind.is_empty() { kind_after(text, first.end) } else { kind };
                found.entry(first.start).or_insert_with(|| [kind.to_owned(), shown(&first.says)]);
            }
        }
    }
    found.into_values().collect()
}

/// Of a message that has a name first: the kind that it gets.
fn kind_after(text: &str, from: usize) -> &'static str {
    let rest = text.get(from..).unwrap_or_default();
    let calls = CALLS.iter().filter(|(call, _)| call.starts_with("Diagnostic::"));
    let next = calls.filter_map(|(call, kind)| Some((rest.find(call)?, *kind))).min();
    next.map_or("error", |(_, kind)| kind)
}

/// As it is read; what is filled in stands in braces.
fn shown(says: &str) -> String {
    says.replace("{}", "{…}").replace("{{", "{").replace("}}", "}")
}

#[test]
fn messages_of_each_kind_are_found_once() {
    let page = page();
    for row in [
        "| error | unknown key `{…}` in {what} |",
        "| error | `{key}` must be from {least} to {longest} |",
        "| error | a duration needs a unit |",
    ] {
        assert!(page.contains(row), "{row} is not in:\n{page}");
    }
    assert!(page.matches("\n| error |").count() > 150, "{page}");
    assert!(page.contains("\n| warning |") && page.contains("\n| note |"), "{page}");
}
