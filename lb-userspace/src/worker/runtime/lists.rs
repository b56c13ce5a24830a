//! `show`, `get`, `add`, `del`, `set` and `clear` of `acl` and `map`: the lists that rules look things up in. What is changed
//! lasts until the configuration is read again. Patterns that stand in the configuration itself are no list, and have no number.

use super::{Running, Said, Worker, word};
use crate::{
    admin::runtime::Verb,
    config::lists::{self, Which},
    model::{List, Secret},
};
use std::fmt::Write as _;
use tracing::info;

const NOT_FOUND: &str = "Key not found.";

/// What becomes of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Edit {
    /// Something more.
    Add,
    /// Something less.
    Del,
    /// Something has another value.
    Set,
    /// Nothing is left.
    Clear,
}

/// What a command makes of lists, and whether of those that are maps; `None`: it is about something else.
pub(super) fn edit(verb: Verb) -> Option<(Edit, bool)> {
    const EDITS: [(Verb, (Edit, bool)); 7] = [
        (Verb::AddAcl, (Edit::Add, false)),
        (Verb::AddMap, (Edit::Add, true)),
        (Verb::DelAcl, (Edit::Del, false)),
        (Verb::DelMap, (Edit::Del, true)),
        (Verb::SetMap, (Edit::Set, true)),
        (Verb::ClearAcl, (Edit::Clear, false)),
        (Verb::ClearMap, (Edit::Clear, true)),
    ];
    EDITS.into_iter().find(|(known, _)| *known == verb).map(|(_, edit)| edit)
}

impl Running {
    /// `show acl` and `show map`, of one or of all.
    pub(super) fn show_lists(&self, rest: &[String], is_map: bool) -> Said {
        let mut text = String::new();
        let named = word(rest, 0);
        if !named.is_empty() {
            let list = self.list(named, is_map)?;
            for entry in self.entries(list, is_map) {
                let space = if entry.value.is_empty() { "" } else { " " };
                // Writing to a string does not fail.
                _ = writeln!(text, "{:#x} {}{space}{}", entry.number, entry.key, entry.value);
            }
            return Ok(text);
        }
        text.push_str("# id (file) description\n");
        let lists = (0_usize..).zip(&self.configured.lists).filter(|(_, list)| list.is_used_as(is_map));
        for (id, list) in lists {
            let (file, by, count) = (&list.file, noun(is_map), self.entries(list, is_map).count());
            _ = writeln!(
                text,
                "{id} ({file}) pattern loaded from file '{file}' used by {by}. curr_ver=0 next_ver=0 entry_cnt={count}"
            );
        }
        Ok(text)
    }

    /// `get acl` and `get map`: what rules find for a value.
    pub(super) fn get_from_list(&self, rest: &[String], is_map: bool) -> Said {
        let (named, value) = (word(rest, 0), word(rest, 1));
        if named.is_empty() || value.is_empty() {
            let by = if is_map { "Map" } else { "ACL" };
            return Err(format!("Missing {by} identifier and/or key."));
        }
        let list = self.list(named, is_map)?;
        let text = self.edits.list(&list.file).unwrap_or_default();
        let found = if is_map { "found" } else { "match" };
        let lines = list.uses.iter().filter(|used| used.is_map == is_map).map(|used| {
            let case = if used.ignore_case { "insensitive" } else { "sensitive" };
            let head = format!("type={}, case={case}, {found}=", used.method);
            let Some(entry) = lists::find(text, used, value) else { return format!("{head}no\n") };
            let index = if matches!(used.method, "str" | "beg" | "ip") { "tree" } else { "list" };
            let (key, value) = (entry.key, entry.value);
            if is_map {
                format!("{head}yes, idx={index}, key=\"{key}\", value=\"{value}\", type=\"str\"\n")
            } else {
                format!("{head}yes, idx={index}, pattern=\"{key}\"\n")
            }
        });
        Ok(lines.collect())
    }

    fn entries(&self, list: &List, is_map: bool) -> impl Iterator<Item = lists::Entry<'_>> {
        lists::entries(self.edits.list(&list.file).unwrap_or_default(), is_map)
    }

    /// The list that is called so: by its file, or by `#` and its number.
    fn list(&self, named: &str, is_map: bool) -> Result<&List, String> {
        let known = &self.configured.lists;
        let list = match named.strip_prefix('#') {
            Some(id) => id.parse().ok().and_then(|id: usize| known.get(id)),
            None => known.iter().find(|list| list.file == named),
        };
        list.filter(|list| list.is_used_as(is_map)).ok_or_else(|| {
            let by = if is_map { "map" } else { "ACL" };
            format!("Unknown {by} identifier. Please use #<id> or <file>.")
        })
    }

    /// What a list is to become.
    fn edited(
        &self,
        (edit, is_map): (Edit, bool),
        rest: &[String],
        payload: Option<&Secret>,
    ) -> Result<Edited, String> {
        let named = word(rest, 0);
        if named.is_empty() {
            return Err(usage(edit, is_map).to_owned());
        }
        let values = rest.get(1..).unwrap_or_default();
        // Before the list is looked for, as HAProxy does.
        let is_whole = match edit {
            Edit::Clear => true,
            Edit::Del => !values.is_empty(),
            Edit::Set => values.len() > 1,
            Edit::Add if is_map && payload.is_some() => values.is_empty(),
            Edit::Add => values.len() > usize::from(is_map),
        };
        if !is_whole {
            return Err(usage(edit, is_map).to_owned());
        }
        let list = self.list(named, is_map)?;
        let before = self.edits.list(&list.file).unwrap_or_default();
        let changed = |value| match which(word(values, 0)) {
            Some(which) => lists::changed(before, is_map, which, value),
            None => None,
        };
        let after = match edit {
            Edit::Clear => String::new(),
            Edit::Del => changed(None).ok_or(NOT_FOUND)?,
            Edit::Set => {
                let value = values.get(1..).unwrap_or_default().join(" ");
                if lists::line("key", Some(&value)).is_none() {
                    return Err(format!("'{value}' cannot be a value."));
                }
                changed(Some(&value)).ok_or("entry not found.")?
            }
            Edit::Add => lists::added(before, &lines(values, is_map, payload)?),
        };
        Ok(Edited { file: list.file.clone(), text: after })
    }
}

/// A list as it is to be.
struct Edited {
    file: String,
    text: String,
}

impl Worker {
    /// `add`, `del`, `set` and `clear`: whole or not at all.
    pub(super) async fn edit_list(
        &mut self,
        edit: (Edit, bool),
        rest: &[String],
        payload: Option<&Secret>,
    ) -> anyhow::Result<Said> {
        let Some(running) = &self.running else { return Ok(Ok(String::new())) };
        let edited = running.edited(edit, rest, payload).and_then(|Edited { file, text }| {
            let edits = running.edits.with_list(&file, text).map_err(|wrong| format!("{wrong}."))?;
            Ok((file, edits))
        });
        let (file, edits) = match edited {
            Ok(edited) => edited,
            Err(error) => return Ok(Err(error)),
        };
        let done = self.take_up_edits(edits, Running::edit).await?;
        if done.is_ok() {
            info!(file, "a list was changed");
        }
        Ok(done.map(|()| String::new()))
    }
}

/// The lines that are added.
fn lines(values: &[String], is_map: bool, payload: Option<&Secret>) -> Result<Vec<String>, String> {
    let line = |key: &str, value: Option<&str>| {
        let impossible =
            || format!("'{}' cannot stand in a list.", [key, value.unwrap_or_default()].join(" ").trim_end());
        lists::line(key, value).ok_or_else(impossible)
    };
    match payload {
        Some(payload) => {
            let given = payload.reveal().lines().map(str::trim).filter(|line| !line.is_empty());
            let each = given.map(|text| match text.split_once([' ', '\t']) {
                Some((key, value)) => line(key, Some(value.trim())),
                None => Err(format!("Missing value for key '{text}'.")),
            });
            each.collect()
        }
        None if is_map => Ok(vec![line(word(values, 0), Some(&values.get(1..).unwrap_or_default().join(" ")))?]),
        None => Ok(vec![line(&values.join(" "), None)?]),
    }
}

/// `#0x1f` is an entry by its number, and everything else a key. `None`: no number.
fn which(text: &str) -> Option<Which<'_>> {
    match text.strip_prefix('#') {
        Some(number) => {
            let digits = number.strip_prefix("0x").unwrap_or(number);
            usize::from_str_radix(digits, 16).ok().map(Which::Number)
        }
        None => Some(Which::Key(text)),
    }
}

const fn noun(is_map: bool) -> &'static str {
    if is_map { "map" } else { "acl" }
}

/// What HAProxy answers to too few words.
const fn usage(edit: Edit, is_map: bool) -> &'static str {
    match (edit, is_map) {
        (Edit::Add, false) => "'add acl' expects two parameters: ACL identifier and pattern.",
        (Edit::Add, true) => {
            "'add map' expects three parameters (map identifier, key and value) or one parameter (map identifier) and a \
             payload"
        }
        (Edit::Set, _) => "'set map' expects three parameters: map identifier, key and value.",
        (Edit::Del, false) => "This command expects two parameters: ACL identifier and key.",
        (Edit::Del, true) => "This command expects two parameters: map identifier and key.",
        (Edit::Clear, false) => "Missing ACL identifier.",
        (Edit::Clear, true) => "Missing map identifier.",
    }
}
