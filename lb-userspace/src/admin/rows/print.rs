//! Print: rows and other fields in HAProxy's forms.

use super::{Column, Kind, Row, Rows, Value};
use serde_json::json;
use std::fmt::Write as _;

/// How something is shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Form {
    /// Rows: CSV; else a line a field.
    #[default]
    Plain,
    /// A line a field, which says all about it.
    Typed,
    /// The same for programs.
    Json,
}

impl Value {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "str",
            Self::U32(_) => "u32",
            Self::S32(_) => "s32",
            Self::U64(_) => "u64",
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::U32(number) => (*number).into(),
            Self::S32(number) => (*number).into(),
            Self::U64(number) => (*number).into(),
        }
    }

    /// As one part of a line: whatever servers and configurations have called things stays in it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.replace(['\n', '\r'], " "),
            Self::U32(number) => number.to_string(),
            Self::S32(number) => number.to_string(),
            Self::U64(number) => number.to_string(),
        }
    }
}

/// A field of a line of CSV (RFC 4180).
fn quoted(text: String) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// HAProxy's CSV: the first line has the names; a `-` ends the columns that HAProxy has as well.
pub fn csv(rows: &Rows) -> String {
    let names: Vec<_> = Column::ALL.iter().map(|column| column.name()).collect();
    let mut text = format!("# {},-,\n", names.join(","));
    for row in &rows.0 {
        for column in Column::ALL {
            text += &row.get(*column).map_or_else(String::new, |value| quoted(value.shown()));
            text.push(',');
        }
        text += "-,\n";
    }
    text
}

/// HAProxy's `show stat typed`.
pub fn typed(rows: &Rows) -> String {
    let mut text = String::new();
    for Row { kind, iid, sid, values, .. } in &rows.0 {
        for (column, value) in values {
            let (position, name, tags) = (column.position(), column.name(), column.tags(*kind));
            let (letter, shape, value) = (kind.letter(), value.kind(), value.shown());
            // Writing to a string does not fail.
            _ = writeln!(text, "{letter}.{iid}.{sid}.{position}.{name}.1:{tags}:{shape}:{value}");
        }
    }
    text
}

/// HAProxy's `show stat json`.
pub fn json(rows: &Rows) -> String {
    let row = |Row { kind, iid, sid, values, .. }: &Row| -> serde_json::Value {
        let field = |(column, value): (&Column, &Value)| {
            let mut field = field_json((column.position(), column.name()), column.tags(*kind), value);
            if let Some(field) = field.as_object_mut() {
                field.insert("objType".to_owned(), kind.name().into());
                field.insert("proxyId".to_owned(), (*iid).into());
                field.insert("id".to_owned(), (*sid).into());
            }
            field
        };
        values.iter().map(field).collect()
    };
    format!("{}\n", rows.0.iter().map(row).collect::<serde_json::Value>())
}

/// Fields that are no row: place, name, tags, value.
pub fn typed_fields(fields: &[(usize, &str, &str, Value)], form: Form) -> String {
    let line = |(position, name, tags, value): &(usize, &str, &str, Value)| match form {
        Form::Typed => format!("{position}.{name}.1:{tags}:{}:{}\n", value.kind(), value.shown()),
        Form::Plain | Form::Json => format!("{name}: {}\n", value.shown()),
    };
    if form == Form::Json {
        let all = fields.iter().map(|(position, name, tags, value)| field_json((*position, name), tags, value));
        return format!("{}\n", all.collect::<serde_json::Value>());
    }
    fields.iter().map(line).collect()
}

fn field_json((position, name): (usize, &str), tags: &str, value: &Value) -> serde_json::Value {
    let mut letters = tags.chars();
    let (origin, nature, scope) = (letters.next(), letters.next(), letters.next());
    json!({
        "field": { "pos": position, "name": name },
        "processNum": 1,
        "tags": { "origin": origin_of(origin), "nature": nature_of(nature), "scope": scope_of(scope) },
        "value": { "type": value.kind(), "value": value.json() },
    })
}

const fn origin_of(letter: Option<char>) -> &'static str {
    match letter {
        Some('M') => "Metric",
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        Some('P') => "Product",
        _ => "Unknown",
    }
}

const fn nature_of(letter: Option<char>) -> &'static str {
    match letter {
        Some('A') => "Age",
        Some('a') => "Avg",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('G') => "Gauge",
        Some('L') => "Limit",
        Some('M') => "Max",
        Some('m') => "Min",
        Some('N') => "Name",
        Some('O') => "Output",
        Some('R') => "Rate",
        Some('T') => "Time",
        _ => "Unknown",
    }
}

const fn scope_of(letter: Option<char>) -> &'static str {
    match letter {
        Some('C') => "Cluster",
        Some('P') => "Process",
        Some('S') => "Service",
        Some('s') => "System",
        _ => "Unknown",
    }
}

impl Form {
    /// What words ask for; others are ignored, as HAProxy does.
    pub fn of(words: &[String]) -> Self {
        let one = |word: &String| match word.as_str() {
            "typed" => Some(Self::Typed),
            "json" => Some(Self::Json),
            _ => None,
        };
        words.iter().filter_map(one).next_back().unwrap_or_default()
    }
}

impl Rows {
    /// In that form.
    pub fn shown(&self, form: Form) -> String {
        match form {
            Form::Plain => csv(self),
            Form::Typed => typed(self),
            Form::Json => json(self),
        }
    }

    /// Whether there is a frontend or backend of that name.
    pub fn has_proxy(&self, name: &str) -> bool {
        self.0.iter().any(|row| row.kind != Kind::Server && row.text(Column::Pxname) == name)
    }
}
