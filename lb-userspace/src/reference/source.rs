//! Source: what is said by macros and calls of the daemon's own source, so that a page can list it.

use std::{fs, path::Path};

/// A file of the source without its tests.
pub(super) struct Source {
    /// From `src` on.
    pub(super) path: String,
    pub(super) text: String,
}

/// All files below a directory of `src`, in the order of their paths.
pub(super) fn files(below: &str) -> Vec<Source> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let (mut found, mut left) = (Vec::new(), vec![root.join(below)]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && !["/tests", "reference"].iter().any(|part| name.contains(part))
            {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                found.push(Source { path: name, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// A literal of a string: what it says, and where it begins and ends.
pub(super) struct Literal {
    pub(super) says: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The first literal of a string from there on; comments and characters are no strings.
pub(super) fn literal(text: &str, from: usize) -> Option<Literal> {
    let mut at = from;
    loop {
        let rest = text.get(at..)?;
        let next = at + rest.find(['"', '/', '\''])?;
        let rest = text.get(next..)?;
        if rest.starts_with("//") {
            at = next + rest.find('\n')?;
        } else if rest.starts_with('"') {
            return Some(read(text, next));
        } else if let Some(end) = rest.strip_prefix('\'').and_then(character) {
            at = next + end;
        } else {
            at = next + 1;
        }
    }
}

/// Where a character ends that begins after its quote, seen from that; `None`: it is the name of a lifetime.
fn character(rest: &str) -> Option<usize> {
    let (letters, is_escape) = rest.strip_prefix('\\').map_or((rest, 0), |rest| (rest, 1));
    let first = letters.chars().next()?.len_utf8();
    letters.get(first..)?.starts_with('\'').then_some(first + is_escape + 2)
}

fn read(text: &str, start: usize) -> Literal {
    let (mut says, mut letters) = (String::new(), text.get(start + 1..).unwrap().char_indices().peekable());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Literal { says, start, end: start + at + 2 },
            '\\' => match letters.next() {
                // A line that goes on begins with its first word.
                Some((_, '\n')) => while letters.next_if(|(_, letter)| letter.is_whitespace()).is_some() {},
                Some((_, 'n' | 'r' | 't')) => says.push(' '),
                Some((_, other)) => says.push(other),
                None => {}
            },
            other => says.push(other),
        }
    }
    Literal { says, start, end: text.len() }
}

/// What is between the parenthesis that ends just before `from` and the one that closes it, in its parts between commas.
pub(super) fn arguments(text: &str, from: usize) -> Vec<String> {
    let (mut parts, mut depth, mut at, mut start) = (Vec::new(), 0, from, from);
    let skipped = |at: usize| literal(text, at).filter(|literal| literal.start == at).map(|literal| literal.end);
    while let Some(letter) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let ends = depth == 0 && matches!(letter, ')' | ',');
        if ends {
            parts.push(text.get(start..at).unwrap().trim().to_owned());
            start = at + 1;
        }
        match letter {
            ')' if depth == 0 => break,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        let quoted = match letter {
            '"' => skipped(at),
            '\'' => text.get(at + 1..).and_then(character).map(|length| at + length),
            _ => None,
        };
        at = quoted.unwrap_or_else(|| at + letter.len_utf8());
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn literals_and_arguments_are_found_whatever_is_in_them() {
    let text = "call('\"', a, /* no */ f(b, \"c, \\\"d\\\" \\\n   e\"), [1, 2])";
    let found = literal(text, 0).unwrap();
    assert_eq!(found.says, "c, \"d\" e");
    assert_eq!(text.get(found.end..), Some("), [1, 2])"));
    assert_eq!(arguments("f(a, g(b, ')'), \"d, )\") e", 2), ["a", "g(b, ')')", "\"d, )\""]);
}
