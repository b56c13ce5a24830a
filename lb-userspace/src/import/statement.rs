//! A file of HAProxy's as its sections, with the comments where they stand.

use super::{
    difference::{Place, shown},
    words,
};

/// A line that says something.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) place: Place,
    pub(super) words: Vec<String>,
    /// The comments, each with its `#`, and empty lines above it.
    pub(super) before: Vec<String>,
    /// The comment behind it.
    pub(super) after: Option<String>,
    /// Why it cannot be understood.
    pub(super) fault: Option<&'static str>,
}

impl Statement {
    pub(super) fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    pub(super) fn shown(&self) -> String {
        shown(&self.words)
    }
}

/// A section.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    pub(super) head: Statement,
    pub(super) body: Vec<Statement>,
}

impl Section {
    pub(super) fn kind(&self) -> &str {
        self.head.words.first().map_or("", String::as_str)
    }

    pub(super) fn name(&self) -> &str {
        self.head.words.get(1).map_or("", String::as_str)
    }
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) sections: Vec<Section>,
    /// What stands in no section, or under a condition.
    pub(super) stray: Vec<(Statement, &'static str, &'static str)>,
    /// Comments at the end.
    pub(super) tail: Vec<String>,
}

/// What begins a section.
const SECTIONS: [&str; 16] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "mailers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-store",
];

/// The sections of several texts, one after the other.
pub(super) fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Parsed {
    let mut parsed = Parsed::default();
    for (file, text) in texts.enumerate() {
        let mut depth = 0_usize;
        for (index, line) in text.lines().enumerate() {
            let line_words = words::split(line);
            let Some(first) = line_words.words.first() else {
                let comment = line_words.comment.unwrap_or_default();
                // One empty line is as good as several.
                if !(comment.is_empty() && parsed.tail.last().is_some_and(String::is_empty)) {
                    parsed.tail.push(comment);
                }
                continue;
            };
            let statement = Statement {
                place: Place { file, line: index + 1 },
                before: std::mem::take(&mut parsed.tail),
                after: line_words.comment,
                fault: line_words.fault,
                words: line_words.words.clone(),
            };
            match first.as_str() {
                ".if" => depth += 1,
                ".endif" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > 0 || first.starts_with('.') {
                parsed.stray.push((statement, "there are no conditions here", CONDITIONS));
            } else if SECTIONS.contains(&first.as_str()) {
                parsed.sections.push(Section { head: statement, body: Vec::new() });
            } else if let Some(section) = parsed.sections.last_mut() {
                section.body.push(statement);
            } else {
                parsed.stray.push((statement, "it stands before the first section", "put it below a section's line"));
            }
        }
    }
    parsed
}

const CONDITIONS: &str = "write what holds on this machine; `${NAME}` takes values from the environment";
