//! Every event that there is: its kind, how bad it is, its words, and the fields that it has.

use super::{
    markdown::{code, codes, table},
    source::{Source, arguments, files, literal},
};
use crate::events::KINDS;
use std::{collections::BTreeMap, fmt::Write as _};

const HEAD: &str = "\
# Events

What `[global] event_log`, `sluice events` and the daemon's own log say: changes of servers, what operators ask for, reloads, upgrades,
the kernel half. As JSON each is one object a line, with `number` (in the journal, from 1), `at_us` (microseconds of the Unix epoch), `level`
(`info`, `warning`, `error`), `event` (the kind below), `message`, `process` (`supervisor` or `worker`), `pid`, and `fields`: pairs of a
name and a value. The last 1,000 are kept.

";

/// One event.
struct Said {
    level: &'static str,
    message: String,
    fields: Vec<String>,
}

/// The page.
pub(super) fn page() -> String {
    let mut said = BTreeMap::<String, Vec<Said>>::new();
    for source in files("") {
        collect(&source, &mut said);
    }
    let mut text = HEAD.to_owned();
    for kind in KINDS {
        let rows = said.get(kind).into_iter().flatten();
        let rows = rows.map(|Said { level, message, fields }| {
            [(*level).to_owned(), message.clone(), codes(fields.iter().map(String::as_str))]
        });
        _ = write!(text, "## {}\n\n{}", code(kind), table(["Level", "Message", "Fields"], rows));
    }
    text.trim_end().to_owned() + "\n"
}

fn collect(source: &Source, said: &mut BTreeMap<String, Vec<Said>>) {
    for (at, _) in source.text.match_indices("event = \"") {
        let before = source.text.get(..at).unwrap();
        let Some(call) = before.rfind("!(") else { continue };
        let level = match before.get(..call).unwrap().rsplit(|letter: char| !letter.is_alphanumeric()).next() {
            Some("info") => "info",
            Some("warn") => "warning",
            Some("error") => "error",
            // The name of a macro that stands for either.
            Some(_) | None => "info, warning",
        };
        let arguments = arguments(&source.text, call + 2);
        let Some(kind) = arguments.iter().find_map(|argument| argument.strip_prefix("event = ")) else { continue };
        let mut texts = arguments.iter().filter(|argument| argument.starts_with('"'));
        let message = texts.find_map(|text| Some(literal(text, 0)?.says)).unwrap_or_default();
        let fields = arguments.iter().filter_map(|argument| field(argument)).collect();
        said.entry(kind.trim_matches('"').to_owned()).or_default().push(Said { level, message, fields });
    }
}

/// The name of a field: `name = value`, `?name`, `%name` or `name`.
fn field(argument: &str) -> Option<String> {
    let name = argument.split_once(" = ").map_or(argument, |(name, _)| name).trim_start_matches(['?', '%']);
    let is_name = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter == '.');
    (is_name && !name.is_empty() && name != "event").then(|| name.to_owned())
}

#[test]
fn every_kind_has_an_event_with_its_words() {
    let page = page();
    for kind in KINDS {
        let (_, rest) = page.split_once(&format!("## `{kind}`\n")).expect(kind);
        let mut rows = rest.lines().skip_while(|line| !line.starts_with("| --- ")).skip(1);
        assert!(rows.next().is_some_and(|row| row.starts_with("| ") && !row.contains("|  |")), "{kind}");
    }
}
