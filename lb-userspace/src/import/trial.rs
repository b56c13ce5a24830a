//! The result is read by our own reader. What that refuses becomes a comment and a difference, until nothing is refused.

use super::{
    Effect, Import,
    output::{Item, Spot, Table, Value, write},
};
use crate::config;
use std::collections::BTreeSet;

/// Keys without which what they stand in is nothing: a fault in another one costs that one alone.
const NEEDED: [&str; 5] = ["name", "address", "type", "steps", "certificates"];
/// Tables of keys that do without each other.
const SEPARATE: [&str; 3] = ["server", "check", "cookie"];
/// More rounds than a name that is missed can go round.
const ROUNDS: usize = 200;

impl Import {
    /// The text, and in the differences what had to be left out.
    pub(super) fn trial(&mut self, tail: &[String]) -> String {
        self.have_frontend();
        let (mut text, mut spots) = write(&self.tables, tail);
        for _ in 0..ROUNDS {
            let refused = config::refusals(&text);
            let (mut changed, mut done) = (false, BTreeSet::new());
            // One of a line, the last: the places of the others are not what they were then.
            for (position, message, help) in refused.iter().rev().filter(|(at, ..)| done.insert(at.line)) {
                let spot = position.line.checked_sub(1).and_then(|line| spots.get(line)).cloned().flatten();
                changed |= spot.is_some_and(|spot| self.refuse(&spot, position.column, message, help.clone()));
            }
            if !changed {
                break;
            }
            self.have_frontend();
            (text, spots) = write(&self.tables, tail);
        }
        text
    }

    /// Without one nothing would be served; an empty one says that it is meant.
    fn have_frontend(&mut self) {
        let serves = |table: &Table| (table.is("frontend.") || table.is("stats_page.")) && !table.refused;
        if self.tables.iter().any(|table| table.name == "frontend" || serves(table)) {
            return;
        }
        let head = Item { before: vec![String::new(), "# There is no frontend yet.".to_owned()], ..Item::default() };
        self.tables.push(Table { name: "frontend".to_owned(), head, ..Table::default() });
    }

    /// Whether that changed something.
    fn refuse(&mut self, spot: &Spot, column: usize, message: &str, help: Option<String>) -> bool {
        let Some(table) = self.tables.get_mut(spot.table).filter(|table| !table.refused) else { return false };
        let Some(entry) = spot.entry else { return self.refuse_table(spot.table, message, help) };
        let Some(entry) = table.entries.get_mut(entry) else { return false };
        let key = entry.key.clone();
        let item = match (spot.row, &mut entry.item.value) {
            (Some(row), Some(Value::Rows(rows))) => match rows.get_mut(row) {
                Some(item) => item,
                None => return false,
            },
            // What is wrong with an array as a whole is wrong with its table.
            (None, Some(Value::Rows(_))) => return self.refuse_table(spot.table, message, help),
            _ => &mut entry.item,
        };
        if item.varies || item.value.is_none() {
            return false;
        }
        let part = spot.keys.iter().position(|columns| columns.contains(&column));
        let (place, words) = (item.place, item.words.clone());
        let why = if let Some(left_out) = part.and_then(|part| without(item, &key, part)) {
            item.before.push(format!("# not carried over: {left_out}: {message}"));
            format!("{left_out}: {message}")
        } else {
            item.refuse(message);
            message.to_owned()
        };
        let difference = self.difference(Effect::Lost, place, words, why, help);
        self.found.push((place, difference));
        true
    }

    fn refuse_table(&mut self, index: usize, message: &str, help: Option<String>) -> bool {
        let Some(table) = self.tables.get_mut(index).filter(|table| !table.refused) else { return false };
        table.refused = true;
        table.head.before.push(format!("# not carried over: {message}"));
        let (place, words) = (table.head.place, table.head.words.clone());
        let difference = self.difference(Effect::Lost, place, words, message.to_owned(), help);
        self.found.push((place, difference));
        true
    }
}

/// Leaves out one key of an inline table, if the others can do without it; which.
fn without(item: &mut Item, key: &str, part: usize) -> Option<&'static str> {
    let Some(Value::Map(pairs)) = &mut item.value else { return None };
    let (name, _) = pairs.get(part).filter(|(name, _)| !NEEDED.contains(name) && SEPARATE.contains(&key))?;
    let name = *name;
    pairs.remove(part);
    Some(name)
}

impl Table {
    /// Whether it is one of that kind: `frontend.`, `backend.`.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.name.starts_with(kind)
    }
}
