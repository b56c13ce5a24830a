//! Rows: what is counted and known of frontends, backends and servers, in HAProxy's columns. Gathered once, by the worker, as a
//! plain value; whoever shows it (`show stat`, CSV, JSON, a page) only looks.
//!
//! A column that nothing is known for is empty, as with HAProxy those are that do not apply.

mod columns;
mod print;

pub use columns::Column;
pub use print::{Form, csv, json, typed, typed_fields};

use std::collections::BTreeMap;

/// What a row is about. HAProxy's numbers; it has listeners as 3, which are not counted here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A frontend.
    Frontend = 0,
    /// A backend.
    Backend = 1,
    /// A server of it.
    Server = 2,
}

impl Kind {
    /// As `json` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "Frontend",
            Self::Backend => "Backend",
            Self::Server => "Server",
        }
    }

    /// As `typed` has it.
    pub const fn letter(self) -> char {
        match self {
            Self::Frontend => 'F',
            Self::Backend => 'B',
            Self::Server => 'S',
        }
    }
}

/// What stands in a column.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A number.
    U32(u32),
    /// A number that may be -1: never.
    S32(i32),
    /// A large number.
    U64(u64),
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::S32(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::U64(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// One row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// What it is about.
    pub kind: Kind,
    /// HAProxy's number of the frontend or backend, from 2: its own runtime API has 1.
    pub iid: u32,
    /// The number of the server in its backend, from 1; else 0.
    pub sid: u32,
    /// Of a backend: its servers that are up, and all.
    pub servers: (usize, usize),
    values: BTreeMap<Column, Value>,
}

impl Row {
    /// One that says who it is.
    pub fn new(kind: Kind, (proxy, iid): (&str, u32), (service, sid): (&str, u32)) -> Self {
        let mut row = Self { kind, iid, sid, servers: (0, 0), values: BTreeMap::new() };
        row.set(Column::Pxname, proxy);
        row.set(Column::Svname, service);
        row.set(Column::Pid, 1_u32);
        row.set(Column::Iid, iid);
        row.set(Column::Sid, sid);
        row.set(Column::Type, kind as u32);
        row
    }

    /// What stands in a column; `None`: nothing.
    pub fn get(&self, column: Column) -> Option<&Value> {
        self.values.get(&column)
    }

    /// The words in a column; empty if there are none.
    pub fn text(&self, column: Column) -> &str {
        match self.get(column) {
            Some(Value::Text(text)) => text,
            Some(Value::U32(_) | Value::S32(_) | Value::U64(_)) | None => "",
        }
    }

    /// Writes into a column.
    pub fn set(&mut self, column: Column, value: impl Into<Value>) {
        self.values.insert(column, value.into());
    }

    /// The same, if there is something to write.
    pub fn set_known(&mut self, column: Column, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(column, value);
        }
    }

    /// All that it knows, in the order of the columns.
    pub fn iter(&self) -> impl Iterator<Item = (Column, &Value)> {
        self.values.iter().map(|(column, value)| (*column, value))
    }

    /// What it is about: numbers change when a configuration does, names do not.
    fn about(&self) -> (u32, String, String) {
        (self.kind as u32, self.text(Column::Pxname).to_owned(), self.text(Column::Svname).to_owned())
    }

    /// Counts from `then` on.
    fn count_from(&mut self, then: &Self) {
        for (column, value) in &mut self.values {
            if let (true, Value::U64(now), Some(Value::U64(then))) = (column.counts(), value, then.values.get(column)) {
                *now = now.saturating_sub(*then);
            }
        }
    }
}

/// All rows, in HAProxy's order: frontends; then of each backend its servers and itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rows(pub Vec<Row>);

impl Rows {
    /// Counts from `then` on, where that was known: `clear counters all`.
    pub fn count_from(&mut self, then: &Self) {
        let known: BTreeMap<_, _> = then.0.iter().map(|then| (then.about(), then)).collect();
        for row in self.0.iter_mut().filter(|_| !known.is_empty()) {
            if let Some(then) = known.get(&row.about()) {
                row.count_from(then);
            }
        }
    }

    /// Only those that are asked for.
    pub fn retain(&mut self, filter: &Filter) {
        if filter.hide_down || filter.hide_maint {
            for row in self.0.iter_mut().filter(|row| row.kind == Kind::Backend) {
                let (up, all) = row.servers;
                let status = format!("{} ({up}/{all})", row.text(Column::Status));
                row.set(Column::Status, status);
            }
        }
        self.0.retain(|row| filter.takes(row));
    }
}

/// Which rows are asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// Of the frontend or backend of that name, or of that number; `None`: of all.
    pub proxy: Option<String>,
    /// HAProxy's sum of 1 (frontends), 2 (backends), 4 (servers); `None`: of all kinds.
    pub kinds: Option<u32>,
    /// Of that server; `None`: of all.
    pub sid: Option<u32>,
    /// No servers that are down.
    pub hide_down: bool,
    /// No servers in maintenance.
    pub hide_maint: bool,
}

impl Filter {
    fn takes(&self, row: &Row) -> bool {
        let status = row.text(Column::Status);
        let is_hidden = row.kind == Kind::Server
            && ((self.hide_maint && status.starts_with("MAINT"))
                || (self.hide_down && (status.starts_with("MAINT") || status.starts_with("DOWN"))));
        let is_proxy = |proxy: &String| row.text(Column::Pxname) == proxy || proxy.parse() == Ok(row.iid);
        self.proxy.as_ref().is_none_or(is_proxy)
            && self.kinds.is_none_or(|kinds| kinds & (1 << row.kind as u32) != 0)
            && self.sid.is_none_or(|sid| sid == row.sid)
            && !is_hidden
    }
}

#[cfg(test)]
mod tests;
