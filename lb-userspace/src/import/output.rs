//! The TOML that is made: tables of entries in order, with comments, written so that what is wrong in a line can be put down to
//! what it was made of.

use super::{difference::Place, statement::Statement, words::with_variables};
use std::{collections::BTreeMap, ops::Range};
use toml_writer::{ToTomlKey as _, ToTomlValue as _, TomlStringBuilder};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
    List(Vec<Self>),
    Map(Vec<(&'static str, Self)>),
    /// Names and values of header fields.
    Fields(Vec<(String, String)>),
    /// An array with a line for each.
    Rows(Vec<Item>),
}

/// A value, or nothing but comments, and what it was made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Item {
    pub(super) before: Vec<String>,
    pub(super) value: Option<Value>,
    pub(super) after: Option<String>,
    pub(super) place: Place,
    pub(super) words: String,
    /// Whether the environment says some of it, which nobody can check here.
    pub(super) varies: bool,
}

/// `key = value`; without a value there are only comments.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) item: Item,
}

/// `[name]` and what belongs to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) head: Item,
    pub(super) entries: Vec<Entry>,
    /// Written as comments: it cannot be used.
    pub(super) refused: bool,
}

/// Where a line of the text comes from.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) table: usize,
    pub(super) entry: Option<usize>,
    pub(super) row: Option<usize>,
    /// The columns, from 1, that the keys of an inline table and their values have.
    pub(super) keys: Vec<Range<usize>>,
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn texts<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// The text that it is.
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn varies(&self) -> bool {
        match self {
            Self::Text(text) => super::words::has_variable(text),
            Self::Int(_) | Self::Bool(_) => false,
            Self::List(values) => values.iter().any(Self::varies),
            Self::Map(pairs) => pairs.iter().any(|(_, value)| value.varies()),
            Self::Fields(fields) => fields.iter().any(|(_, value)| super::words::has_variable(value)),
            Self::Rows(items) => items.iter().any(|item| item.varies),
        }
    }

    /// In one line.
    fn write(&self) -> String {
        self.keyed().0
    }

    /// The same, and the columns of each key.
    fn keyed(&self) -> (String, Vec<Range<usize>>) {
        let text = match self {
            Self::Text(text) => string(text),
            Self::Int(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::List(values) => bracketed(values.iter()),
            Self::Fields(fields) => {
                let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
                for (name, value) in fields {
                    by_name.entry(name).or_default().push(string(value));
                }
                let field = |(name, values): (&str, Vec<String>)| match values.as_slice() {
                    [value] => format!("{} = {value}", key_text(name)),
                    several => format!("{} = [{}]", key_text(name), several.join(", ")),
                };
                format!("{{ {} }}", by_name.into_iter().map(field).collect::<Vec<_>>().join(", "))
            }
            Self::Rows(items) => bracketed(items.iter().filter_map(|item| item.value.as_ref())),
            Self::Map(pairs) => {
                let (mut text, mut keys) = ("{ ".to_owned(), Vec::new());
                for (index, (key, value)) in pairs.iter().enumerate() {
                    text += if index > 0 { ", " } else { "" };
                    let start = text.chars().count();
                    text.extend([&key_text(key), " = ", &value.write()]);
                    keys.push(start..text.chars().count());
                }
                return (text + " }", keys);
            }
        };
        (text, Vec::new())
    }
}

fn bracketed<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    let values: Vec<_> = values.map(Value::write).collect();
    format!("[{}]", values.join(", "))
}

/// A string in one line.
fn string(text: &str) -> String {
    let text = with_variables(text);
    let string = TomlStringBuilder::new(&text);
    string.as_basic_pretty().or_else(|| string.as_literal()).unwrap_or_else(|| string.as_basic()).to_toml_value()
}

/// A key.
pub(super) fn key_text(key: &str) -> String {
    key.to_toml_key()
}

impl Item {
    /// What a statement becomes.
    pub(super) fn of(statement: &Statement, value: Value) -> Self {
        let varies = value.varies();
        Self { value: Some(value), varies, ..Self::comment(statement) }
    }

    /// What is left of one that becomes nothing.
    pub(super) fn comment(statement: &Statement) -> Self {
        Self {
            before: statement.before.clone(),
            value: None,
            after: statement.after.clone(),
            place: statement.place,
            words: statement.shown(),
            varies: false,
        }
    }

    /// Becomes a comment that says so.
    pub(super) fn refuse(&mut self, why: &str) {
        self.value = None;
        self.before.push(format!("# not carried over: {}", self.words));
        self.before.push(format!("#   {why}"));
        self.before.extend(self.after.take());
    }
}

impl Table {
    pub(super) fn new(path: &[&str], head: &Statement) -> Self {
        let name: Vec<_> = path.iter().map(|part| key_text(part)).collect();
        Self { name: name.join("."), head: Item::comment(head), ..Self::default() }
    }

    /// Puts a value, in place of one with the same key.
    pub(super) fn put(&mut self, key: impl Into<String>, item: Item) {
        let key = key.into();
        let mut item = item;
        for old in self.entries.iter_mut().filter(|entry| entry.key == key) {
            old.key.clear();
            old.item.value = None;
            item.before.splice(..0, old.item.before.drain(..));
        }
        self.entries.push(Entry { key, item });
    }

    /// A value that no statement says as such.
    pub(super) fn imply(&mut self, key: &str, value: Value, statement: &Statement) {
        let quiet = Statement { before: Vec::new(), after: None, ..statement.clone() };
        self.put(key, Item::of(&quiet, value));
    }

    /// Adds to an array.
    pub(super) fn row(&mut self, key: &str, item: Item) {
        let known = self.entries.iter_mut().find(|entry| entry.key == key);
        if let Some(Some(Value::Rows(rows))) = known.map(|entry| &mut entry.item.value) {
            rows.push(item);
            return;
        }
        let value = Some(Value::Rows(vec![item.clone()]));
        let item = Item { before: Vec::new(), value, after: None, ..item };
        self.entries.push(Entry { key: key.to_owned(), item });
    }

    /// Adds what is only said: into the array that is being written, if it would be there.
    pub(super) fn say(&mut self, item: Item) {
        let would_be = match item.words.split(' ').next().unwrap_or_default() {
            "http-request" | "http-response" | "http-after-response" | "tcp-request" | "use_backend" => "rule",
            word => word,
        };
        match self.entries.last_mut() {
            Some(Entry { key, item: Item { value: Some(Value::Rows(rows)), .. } }) if *key == would_be => {
                rows.push(item);
            }
            Some(_) | None => self.entries.push(Entry { key: String::new(), item }),
        }
    }

    /// Keeps a place for what several statements say together, and takes the comments of each.
    pub(super) fn reserve(&mut self, key: &str, statement: &Statement) {
        let mut comments = statement.before.clone();
        comments.extend(statement.after.clone());
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.item.before.extend(comments);
            return;
        }
        let item = Item { before: comments, after: None, ..Item::comment(statement) };
        self.entries.push(Entry { key: key.to_owned(), item });
    }

    /// Fills that place, or one at the end.
    pub(super) fn fill(&mut self, key: &str, value: Value, statement: &Statement) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => {
                entry.item.varies = value.varies();
                entry.item.value = Some(value);
            }
            None => self.imply(key, value, statement),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && entry.item.value.is_some())
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.key == key)?.item.value.as_ref()
    }
}

/// The text of tables, and where each line of it comes from.
pub(super) fn write(tables: &[Table], tail: &[String]) -> (String, Vec<Option<Spot>>) {
    let mut page = Page::default();
    for (index, table) in tables.iter().enumerate() {
        page.refused = table.refused;
        page.spot = Some(Spot { table: index, entry: None, row: None, keys: Vec::new() });
        if index > 0 && !table.head.before.first().is_some_and(String::is_empty) {
            page.line("", String::new());
        }
        page.comments("", &table.head.before);
        page.line("", behind(format!("[{}]", table.name), &table.head));
        for (number, entry) in table.entries.iter().enumerate() {
            page.spot = Some(Spot { table: index, entry: Some(number), row: None, keys: Vec::new() });
            page.entry(entry);
        }
    }
    (page.refused, page.spot) = (false, None);
    page.comments("", tail);
    while page.lines.last().is_some_and(String::is_empty) {
        page.lines.pop();
    }
    (page.lines.join("\n") + "\n", page.spots)
}

#[derive(Default)]
struct Page {
    lines: Vec<String>,
    spots: Vec<Option<Spot>>,
    spot: Option<Spot>,
    refused: bool,
}

impl Page {
    fn line(&mut self, indent: &str, text: String) {
        let text = if self.refused && !text.is_empty() && !text.starts_with('#') { format!("# {text}") } else { text };
        self.lines.push(if text.is_empty() { text } else { format!("{indent}{text}") });
        self.spots.push(self.spot.clone());
    }

    fn comments(&mut self, indent: &str, comments: &[String]) {
        for comment in comments {
            // What HAProxy takes in a comment, TOML does not.
            let clean = comment.replace(|c: char| c.is_control() && c != '\t', " ");
            self.line(indent, clean);
        }
    }

    fn entry(&mut self, Entry { key, item }: &Entry) {
        self.comments("", &item.before);
        match &item.value {
            None => self.comments("", item.after.as_slice()),
            Some(Value::Rows(rows)) => self.rows(key, rows),
            Some(value) => {
                let start = format!("{key} = ");
                let (text, keys) = value.keyed();
                self.mark(start.chars().count(), &keys);
                self.line("", behind(start + &text, item));
            }
        }
    }

    fn rows(&mut self, key: &str, rows: &[Item]) {
        let spot = self.spot.clone();
        let at = |row| spot.clone().map(|spot| Spot { row: Some(row), ..spot });
        let single = rows.iter().filter(|row| row.value.is_some()).count() <= 1;
        if let ([Item { before, value: Some(value), after, .. }], true) = (rows, single) {
            self.comments("", before);
            self.spot = at(0);
            let start = format!("{key} = ");
            // Servers and rules are arrays even if there is one.
            let (open, close) = if matches!(value, Value::Map(_)) { ("[", "]") } else { ("", "") };
            let (text, keys) = value.keyed();
            self.mark(start.chars().count() + open.len(), &keys);
            self.line(
                "",
                behind(format!("{start}{open}{text}{close}"), &Item { after: after.clone(), ..Item::default() }),
            );
            return;
        }
        if rows.iter().all(|row| row.value.is_none()) {
            for row in rows {
                self.comments("", &row.before);
                self.comments("", row.after.as_slice());
            }
            return;
        }
        // An empty line stands before the array, not at its start.
        let blank = rows.first().is_some_and(|row| row.before.first().is_some_and(String::is_empty));
        if blank {
            self.line("", String::new());
        }
        self.line("", format!("{key} = ["));
        for (index, row) in rows.iter().enumerate() {
            self.spot = at(index);
            let skipped = usize::from(blank && index == 0);
            self.comments("  ", row.before.get(skipped..).unwrap_or_default());
            match &row.value {
                None => self.comments("  ", row.after.as_slice()),
                Some(value) => {
                    let (text, keys) = value.keyed();
                    self.mark(2, &keys);
                    self.line("  ", behind(format!("{text},"), row));
                }
            }
        }
        self.spot = spot;
        self.line("", "]".to_owned());
    }

    /// Remembers where the keys of an inline table stand.
    fn mark(&mut self, before: usize, keys: &[Range<usize>]) {
        if let Some(spot) = &mut self.spot {
            spot.keys = keys.iter().map(|key| key.start + before + 1..key.end + before + 1).collect();
        }
    }
}

fn behind(text: String, item: &Item) -> String {
    match &item.after {
        Some(after) => format!("{text} {}", after.replace(|c: char| c.is_control() && c != '\t', " ")),
        None => text,
    }
}
