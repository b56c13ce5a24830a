//! The rules, each a function from text to problems.

use super::Problem;
use super::source::{Source, Word};

/// Lines of a file before it is named as long.
const LONG: usize = 400;

/// File names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = ["mod", "util", "utils", "helper", "helpers", "misc", "manager", "types", "globals"];

/// Words that mean two things in this field, and the word of ours.
const NEVER_WRITE: [(&str, &str); 4] =
    [("upstream", "backend or server"), ("cluster", "backend"), ("session", "flow or connection"), ("real", "server")];

/// Where a word of the list is the protocol's own.
const FOREIGN: [(&str, &str); 2] =
    [("lb-userspace/src/l7/tls", "session"), ("lb-userspace/src/admin/runtime", "session")];

const DATAPLANE: &[&str] = &["lb-userspace/src/dataplane"];
const CONFIG: &[&str] = &["lb-userspace/src/config"];
const TLS: &[&str] = &["lb-userspace/src/l7/tls", "lb-userspace/src/health"];

/// A crate, and the only places of the daemon that may name it.
const NAMED_ONLY_IN: [(&str, &[&str]); 4] =
    [("aya", DATAPLANE), ("toml", CONFIG), ("rustls", TLS), ("tokio_rustls", TLS)];

/// A place, what it never names, and why.
const NEVER_NAMES: [(&str, &[&str], &str); 2] = [
    ("lb-userspace/src/l7", &["dataplane"], "the proxy never touches the kernel's maps"),
    (
        "lb-userspace/src/plan",
        &["fs", "io", "process", "tokio", "rustix", "socket2", "SystemTime", "TcpStream", "UdpSocket", "now"],
        "the plan does no input or output and reads no clock",
    ),
];

/// Every rule that one file can break.
pub(crate) fn of_file(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(without_heading(source));
    problems.extend(empty_name(source));
    problems.extend(unfinished(source));
    problems.extend(source.words().iter().filter_map(|word| word_problem(source, word)));
    problems
}

/// A file that may want to be two.
pub(crate) fn long(source: &Source) -> Option<Problem> {
    let lines = source.text.lines().count();
    (lines > LONG).then(|| problem(source, lines, format!("{lines} lines; above {LONG}, look for a second subject")))
}

/// Each way out of the packet path has a row in `tests/cases`.
pub(crate) fn stops_without_a_case(sources: &[Source]) -> Vec<Problem> {
    let Some(stop) = sources.iter().find(|source| source.path == "lb-common/src/stop.rs") else {
        return Vec::new();
    };
    let cases: Vec<Word<'_>> = sources
        .iter()
        .filter(|source| source.path.starts_with("tests/cases"))
        .flat_map(Source::words)
        .filter(|word| word.before.ends_with("Stop::"))
        .collect();
    variants(stop)
        .into_iter()
        .filter(|(_, name)| !cases.iter().any(|word| word.text == name))
        .map(|(line, name)| problem(stop, line, format!("Stop::{name} has no row in tests/cases")))
        .collect()
}

/// The variants of `enum Stop`: the lines `Name = number,`.
fn variants(stop: &Source) -> Vec<(usize, String)> {
    let numbered = stop.code.lines().enumerate().filter_map(|(index, line)| {
        let (name, number) = line.trim().strip_suffix(',')?.split_once(" = ")?;
        number.parse::<u32>().ok()?;
        Some((index + 1, name.to_owned()))
    });
    numbered.collect()
}

fn without_heading(source: &Source) -> Option<Problem> {
    let heading = source.text.starts_with("//! ");
    (!heading).then(|| problem(source, 1, "the first line is `//!` and says what the file is".to_owned()))
}

fn empty_name(source: &Source) -> Option<Problem> {
    let name = source.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
    let empty = EMPTY_NAMES.contains(&name) || (name == "common" && !source.path.starts_with("tests/"));
    empty.then(|| problem(source, 1, format!("`{name}` says nothing; name the file after what is in it")))
}

fn unfinished(source: &Source) -> Option<Problem> {
    let marks = ["TODO", "FIXME", "XXX"];
    let line = source.comments.lines().position(|line| marks.iter().any(|mark| line.contains(mark)))?;
    Some(problem(source, line + 1, "do it, or leave it out of the code".to_owned()))
}

fn word_problem(source: &Source, word: &Word<'_>) -> Option<Problem> {
    let message = vocabulary(source, word).or_else(|| import(source, word))?;
    Some(problem(source, word.line, message))
}

/// A name of ours with a word in it that we do not use. What another crate has named is told by the `.` or `::` before
/// it, or by the `use`.
fn vocabulary(source: &Source, word: &Word<'_>) -> Option<String> {
    let before = word.before.trim_start();
    let foreign = before.ends_with('.') || before.ends_with("::") || before.starts_with("use ");
    if foreign {
        return None;
    }
    let parts = parts(word.text);
    let (never, ours) = NEVER_WRITE.into_iter().find(|(never, _)| parts.iter().any(|part| part == never))?;
    let allowed = FOREIGN.iter().any(|(place, foreign)| *foreign == never && source.path.starts_with(place));
    (!allowed).then(|| format!("`{}`: we say {ours}, not {never}", word.text))
}

/// A name that does not belong here. Unit tests may name anything.
fn import(source: &Source, word: &Word<'_>) -> Option<String> {
    let is_test = source.path.ends_with("/tests.rs") || source.path.contains("/tests/");
    if !source.path.starts_with("lb-userspace/src/") || is_test || word.line >= source.tests_from() {
        return None;
    }
    let is_crate = word.after.starts_with("::") || word.before.trim() == "use";
    let is_crate = is_crate && !word.before.ends_with("::") && !word.before.ends_with('.');
    if let Some((name, places)) = NAMED_ONLY_IN.into_iter().find(|(name, _)| is_crate && *name == word.text)
        && !places.iter().any(|place| source.path.starts_with(place))
    {
        return Some(format!("only {} names {name}", places.join(" and ")));
    }
    let in_path = word.before.ends_with("::") || word.after.starts_with("::");
    let in_path = in_path || word.before.trim_start().starts_with("use ");
    let (_, _, why) = NEVER_NAMES
        .into_iter()
        .find(|(place, names, _)| in_path && source.path.starts_with(place) && names.contains(&word.text))?;
    Some(format!("`{}`: {why}", word.text))
}

/// The words of an identifier, small: `NextHop`, `next_hop` and `NEXT_HOP` are `next`, `hop`. A plural counts as its
/// singular.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut previous_small = false;
    for character in identifier.chars() {
        if character == '_' || (character.is_uppercase() && previous_small) {
            parts.push(String::new());
        }
        previous_small = character.is_lowercase();
        if let Some(last) = parts.last_mut().filter(|_| character != '_') {
            last.extend(character.to_lowercase());
        }
    }
    parts.into_iter().map(|part| part.strip_suffix('s').unwrap_or(&part).to_owned()).collect()
}

fn problem(source: &Source, line: usize, message: String) -> Problem {
    Problem { path: source.path.clone(), line, message }
}

#[cfg(test)]
mod tests;
