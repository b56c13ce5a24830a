//! Lists: the files that ACLs and maps look things up in, line by line, and what becomes of them when somebody changes them while
//! the daemon runs. Pure. A line that is taken out leaves an empty one, so that the numbers of the others stay.

use super::patterns::{How, Pattern, from_hexadecimal, lookup};
use crate::{config::source::Span, model::acl::list::Use};

/// A line that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entry<'a> {
    /// Of its line, from 1.
    pub(crate) number: usize,
    /// What is compared.
    pub(crate) key: &'a str,
    /// What a map says to it; empty in an ACL.
    pub(crate) value: &'a str,
}

/// Which entries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    /// The one on that line.
    Number(usize),
    /// All that have this key.
    Key(&'a str),
}

/// The lines that count, with their numbers: not those that begin with `#`, nor empty ones; without the blanks around them.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
    lines.map(|(number, line)| (number, line.trim())).filter(|(_, line)| !line.is_empty())
}

/// The line of a map.
pub(super) fn key_and_value(line: &str) -> (&str, &str) {
    line.split_once([' ', '\t']).map_or((line, ""), |(key, value)| (key, value.trim()))
}

/// What is in a list.
pub(crate) fn entries(text: &str, is_map: bool) -> impl Iterator<Item = Entry<'_>> {
    lines(text).map(move |(number, line)| {
        let (key, value) = if is_map { key_and_value(line) } else { (line, "") };
        Entry { number, key, value }
    })
}

/// The line of an entry; `None`: such a key, or such a value, cannot stand in a list.
pub(crate) fn line(key: &str, value: Option<&str>) -> Option<String> {
    let is_line = |text: &str| !text.is_empty() && text.trim() == text && !text.contains(['\r', '\n', '\0']);
    if key.starts_with('#') || !is_line(key) {
        return None;
    }
    match value {
        None => Some(key.to_owned()),
        Some(value) => (is_line(value) && !key.contains([' ', '\t'])).then(|| format!("{key} {value}")),
    }
}

/// The list with these lines behind the others.
pub(crate) fn added(text: &str, lines: &[String]) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let more = lines.iter().map(String::as_str).flat_map(|line| [line, "\n"]);
    [text, end].into_iter().chain(more).collect()
}

/// The list with another value for an entry, or without it. `None`: there is none.
pub(crate) fn changed(text: &str, is_map: bool, which: Which<'_>, value: Option<&str>) -> Option<String> {
    let is_meant = |entry: &Entry<'_>| match which {
        Which::Number(number) => entry.number == number,
        Which::Key(key) => entry.key == key,
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut found = false;
    for entry in entries(text, is_map).filter(is_meant) {
        found = true;
        let new = value.map_or_else(String::new, |value| format!("{} {value}", entry.key));
        if let Some(line) = lines.get_mut(entry.number - 1) {
            *line = new;
        }
    }
    // What has gone from the end leaves nothing.
    while lines.pop_if(|line| line.is_empty()).is_some() {}
    found.then(|| added("", &lines))
}

/// What is found for a value that is looked up in that way.
pub(crate) fn find<'a>(text: &'a str, used: &Use, value: &str) -> Option<Entry<'a>> {
    let entries: Vec<_> = entries(text, used.is_map).collect();
    let how = How::named(used.method)?;
    let pattern = |entry: &Entry<'_>| Pattern {
        value: entry.key.to_owned(),
        ignore_case: used.ignore_case,
        span: Span::default(),
    };
    let table = lookup(how, &entries.iter().map(pattern).collect::<Vec<_>>()).ok()?;
    let index = match how {
        How::Int => table.find_int(value.parse().ok()?),
        How::Ip => table.find_ip(value.parse().ok()?),
        How::Binary => table.find_bytes(&from_hexadecimal(value)?),
        How::Length | How::Text(_) => table.find_bytes(value.as_bytes()),
        How::Found | How::Bool => None,
    };
    entries.get(usize::try_from(index?).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# hosts\na.test one\n\n  b.test\ttwo words \na.test three";

    fn shown(text: &str, is_map: bool) -> Vec<(usize, &str, &str)> {
        entries(text, is_map).map(|entry| (entry.number, entry.key, entry.value)).collect()
    }

    #[test]
    fn comments_and_empty_lines_are_no_entries_but_count_as_lines() {
        assert_eq!(shown(MAP, true), [(2, "a.test", "one"), (4, "b.test", "two words"), (5, "a.test", "three")]);
        assert_eq!(shown(MAP, false)[1], (4, "b.test\ttwo words", ""));
    }

    #[test]
    fn what_is_taken_out_leaves_the_numbers_of_the_others() {
        let without = changed(MAP, true, Which::Key("a.test"), None).unwrap();
        assert_eq!(shown(&without, true), [(4, "b.test", "two words")]);
        let without = changed(MAP, true, Which::Number(4), None).unwrap();
        assert_eq!(shown(&without, true), [(2, "a.test", "one"), (5, "a.test", "three")]);
        for none in [Which::Key("c.test"), Which::Number(1), Which::Number(0), Which::Number(99)] {
            assert_eq!(changed(MAP, true, none, None), None, "{none:?}");
        }
    }

    #[test]
    fn entries_are_added_behind_and_get_other_values_in_their_place() {
        let more = added(MAP, &[line("c.test", Some("four")).unwrap()]);
        let more = changed(&more, true, Which::Key("a.test"), Some("x y")).unwrap();
        assert_eq!(
            shown(&more, true),
            [(2, "a.test", "x y"), (4, "b.test", "two words"), (5, "a.test", "x y"), (6, "c.test", "four")]
        );
        assert_eq!(added("", &["a".to_owned()]), "a\n");
    }

    #[test]
    fn what_would_be_read_as_something_else_is_no_line() {
        assert_eq!(line("a b", None).as_deref(), Some("a b"));
        assert_eq!(line("a", Some("b c")).as_deref(), Some("a b c"));
        for (key, value) in
            [("#a", None), ("", None), (" a", None), ("a\nb", None), ("a b", Some("c")), ("a", Some(""))]
        {
            assert_eq!(line(key, value), None, "{key:?} {value:?}");
        }
    }

    #[test]
    fn a_value_finds_what_rules_would_find() {
        let used = |method, is_map, ignore_case| Use { is_map, method, ignore_case };
        let key = |text, used: Use, value: &str| find(text, &used, value).map(|entry| entry.number);
        assert_eq!(key(MAP, used("str", true, false), "a.test"), Some(2));
        assert_eq!(key("A.test\n", used("str", false, true), "a.TEST"), Some(1));
        assert_eq!(key("/a\n/a/b\n", used("beg", false, false), "/a/b/c"), Some(2));
        assert_eq!(key("10.0.0.0/8\n10.1.0.0/16\n", used("ip", false, false), "10.1.2.3"), Some(2));
        assert_eq!(key("1:5\n", used("int", false, false), "5"), Some(1));
        assert_eq!(key("x\n", used("ip", false, false), "10.1.2.3"), None);
    }
}
