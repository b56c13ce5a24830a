//! Shape: what the value of a key may be. The tables of [`file`](super::file) say it themselves; editors get a
//! [schema](super::schema) of it, and readers the reference of all options.

use super::read::KnobDoc;

/// What a value may be.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// A string; `${NAME}` may stand anywhere in it.
    Text {
        /// What it is, in words.
        what: &'static str,
        /// A regular expression (of ECMA 262) that all of it matches, where one is known.
        form: Option<String>,
    },
    /// One of some words.
    Words(Vec<&'static str>),
    /// One of several shapes.
    Either(Vec<Self>),
    /// One, or an array of them.
    OneOrMany(Box<Self>),
    /// An array of tables.
    Many(Box<Self>),
    /// A table of them, under names that the operator chooses.
    Named(Box<Self>),
    /// A table with keys that are known.
    Table(TableShape),
}

/// A table whose keys are known.
#[derive(Clone, Debug)]
pub struct TableShape {
    /// Its type: unique, but no word of the configuration.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its keys, in their order.
    pub keys: Vec<Key>,
    /// What its key `type` may be, and the keys that it has beside the others then. Mostly none.
    pub kinds: Vec<(&'static str, Vec<Key>)>,
}

/// A key of a table.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name, and what it means.
    pub knob: KnobDoc,
    /// What it may hold.
    pub shape: Shape,
}

impl Shape {
    /// A string of that form.
    pub(super) fn text(what: &'static str, form: &str) -> Self {
        Self::Text { what, form: Some(form.to_owned()) }
    }
}

impl TableShape {
    /// Of the table that [`table!`](super::read) declares: `shapes` are those of `knobs`.
    pub(super) fn new(name: &'static str, about: &'static str, knobs: &[KnobDoc], shapes: &[fn() -> Shape]) -> Self {
        let keys = knobs.iter().zip(shapes).map(|(knob, shape)| Key { knob: *knob, shape: shape() }).collect();
        Self { name, about, keys, kinds: Vec::new() }
    }

    /// All tables within this one, with the path of keys that leads to each: `backend.NAME.server`. The keys of a kind are a
    /// table of their own there, `backend.NAME.check` and the kind.
    pub fn all(&self) -> Vec<Place<'_>> {
        let mut found = Vec::new();
        within(&self.keys, "", &mut found);
        found
    }
}

/// A table, and where it is.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The keys that lead to it.
    pub path: String,
    /// The kind of it that has these keys; `None`: all have them.
    pub kind: Option<&'static str>,
    /// What it is for; of a kind nothing.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'a [Key],
}

fn within<'a>(keys: &'a [Key], path: &str, found: &mut Vec<Place<'a>>) {
    for key in keys {
        let name = key.knob.key;
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        collect(&key.shape, path, found);
    }
}

fn collect<'a>(shape: &'a Shape, path: String, found: &mut Vec<Place<'a>>) {
    match shape {
        Shape::Bool | Shape::Integer | Shape::Text { .. } | Shape::Words(_) => {}
        Shape::Either(shapes) => shapes.iter().for_each(|shape| collect(shape, path.clone(), found)),
        Shape::OneOrMany(shape) | Shape::Many(shape) => collect(shape, path, found),
        Shape::Named(shape) => collect(shape, format!("{path}.NAME"), found),
        Shape::Table(table) => {
            found.push(Place { path: path.clone(), kind: None, about: table.about, keys: &table.keys });
            within(&table.keys, &path, found);
            for (kind, keys) in table.kinds.iter().filter(|(_, keys)| !keys.is_empty()) {
                found.push(Place { path: path.clone(), kind: Some(kind), about: "", keys });
                within(keys, &path, found);
            }
        }
    }
}
