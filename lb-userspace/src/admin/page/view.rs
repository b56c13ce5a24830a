//! View: what is asked for behind the URI of a page, in HAProxy's words: `;csv`, `;json`, `;typed`, `;norefresh`, `;up`,
//! `;no-maint`, `;st=…`, `scope=…`, wherever they stand.

use super::act::Outcome;
use crate::admin::rows::{Column, Filter, Form, Rows};

/// Longest part of a name that is looked for: HAProxy's `STAT_SCOPE_TXT_MAXLEN`.
const SCOPE: usize = 20;

/// What is asked for.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct View {
    /// Rows for programs.
    pub(super) rows: Option<Rowed>,
    /// No servers that are down.
    pub(super) hide_down: bool,
    /// No servers in maintenance.
    pub(super) hide_maint: bool,
    /// Not to be loaded again by itself.
    pub(super) no_refresh: bool,
    /// Only frontends and backends with that in their names; empty: all.
    pub(super) scope: String,
    /// What became of the action before.
    pub(super) outcome: Option<Outcome>,
}

/// The forms that programs read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rowed {
    Csv,
    Typed,
    Json,
}

impl Rowed {
    pub(super) const fn form(self) -> Form {
        match self {
            Self::Csv => Form::Plain,
            Self::Typed => Form::Typed,
            Self::Json => Form::Json,
        }
    }

    /// As HAProxy says it.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Csv | Self::Typed => "text/plain",
            Self::Json => "application/json",
        }
    }
}

impl View {
    /// What a request for `target` wants; `None`: it is not for the page at `uri`.
    pub(super) fn of(uri: &str, target: &str) -> Option<Self> {
        let rest = target.strip_prefix(uri)?;
        let has = |word: &str| rest.contains(word);
        let after =
            |word: &str| rest.split_once(word).map(|(_, value)| value.split(['&', ';', '?']).next().unwrap_or(""));
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        let rows = if has(";csv") {
            Some(Rowed::Csv)
        } else if has(";typed") {
            Some(Rowed::Typed)
        } else if has(";json") && !has(";json-schema") {
            Some(Rowed::Json)
        } else {
            None
        };
        // What no name has is in none, and is not shown again.
        let scope = after("scope=").filter(|scope| scope.len() <= SCOPE && scope.chars().all(is_part));
        Some(Self {
            rows,
            hide_down: has(";up"),
            hide_maint: has(";no-maint"),
            no_refresh: has(";norefresh"),
            scope: scope.unwrap_or_default().to_owned(),
            outcome: after(";st=").and_then(Outcome::of),
        })
    }

    /// Where this is.
    pub(super) fn link(&self, uri: &str) -> String {
        let mut link = uri.to_owned();
        match self.rows {
            Some(Rowed::Csv) => link += ";csv",
            Some(Rowed::Typed) => link += ";typed",
            Some(Rowed::Json) => link += ";json",
            None => {}
        }
        for (wanted, word) in [(self.hide_down, ";up"), (self.hide_maint, ";no-maint"), (self.no_refresh, ";norefresh")]
        {
            link += if wanted { word } else { "" };
        }
        if !self.scope.is_empty() {
            link += ";scope=";
            link += &self.scope;
        }
        if let Some(outcome) = self.outcome {
            link += ";st=";
            link += outcome.code();
        }
        link
    }

    /// The same, but for what `change` changes; what became of an action is not said again.
    pub(super) fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut view = Self { outcome: None, ..self.clone() };
        change(&mut view);
        view
    }

    /// The rows that are asked for.
    pub(super) fn rows(&self, mut rows: Rows) -> Rows {
        let filter = Filter { hide_down: self.hide_down, hide_maint: self.hide_maint, ..Filter::default() };
        rows.retain(&filter);
        let scope = self.scope.to_ascii_lowercase();
        rows.0.retain(|row| row.text(Column::Pxname).to_ascii_lowercase().contains(&scope));
        rows
    }
}
