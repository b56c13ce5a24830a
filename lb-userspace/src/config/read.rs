//! From the spanned tree of a TOML document to the structs of [`file`](super::file), collecting every error on the way.
//!
//! Not serde: a `Deserialize` stops at the first error, and the promise here is all errors of all files at once, each
//! with its place and with the word that was probably meant. So [`table!`] declares a struct once, and from that one
//! list come the reader, the refusal of unknown keys, the merging of files and the reference of all knobs.

use super::{
    error::Diagnostic,
    shape::{Shape, TableShape},
    source::{At, Span},
    suggest::{did_you_mean, listed},
    text::Text,
    units::{self, UnitError},
};
use crate::model::Secret;
use std::{collections::BTreeMap, time::Duration};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What a key of a table holds.
#[derive(Clone, Debug, Default)]
pub(crate) enum Knob<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// It is there, but its value was no `T` and has been reported: whoever asks must not report it as missing.
    Faulty,
    /// It is there.
    Given(At<T>),
}

impl<T> Knob<T> {
    pub(crate) fn given(&self) -> Option<&At<T>> {
        match self {
            Self::Given(at) => Some(at),
            Self::Absent | Self::Faulty => None,
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|at| &at.value)
    }

    /// The value, if it is there; else `default`.
    pub(crate) fn or(&self, default: T) -> T
    where
        T: Copy,
    {
        self.value().copied().unwrap_or(default)
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Takes what another file says about the same key; twice is an error.
    pub(crate) fn merge(&mut self, later: Self, key: &str, out: &mut Vec<Diagnostic>) {
        match (&*self, later) {
            (_, Self::Absent) => {}
            (Self::Given(first), Self::Given(second)) => {
                out.push(
                    Diagnostic::error(second.span, format!("`{key}` is given in two files"))
                        .related(first.span, "first here"),
                );
            }
            (_, later) => *self = later,
        }
    }
}

/// What can be read from a TOML value. `None`: it could not, and that has been reported.
pub(crate) trait FromToml: Sized {
    /// What it is read from.
    fn shape() -> Shape;

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self>;
}

/// One file being read.
pub(crate) struct Reader<'a> {
    /// The text of the file.
    pub(crate) text: &'a str,
    /// Where the text begins among all texts.
    pub(crate) base: usize,
    /// For `${NAME}`.
    pub(crate) environment: &'a BTreeMap<String, Secret>,
    /// The key being read, for messages.
    pub(crate) key: String,
    /// What was wrong so far.
    pub(crate) out: Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(crate) fn span<T>(&self, spanned: &Spanned<T>) -> Span {
        let range = spanned.span();
        Span { start: self.base + range.start, end: self.base + range.end }
    }

    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.out.push(diagnostic);
    }

    /// Reports that `value` should have been `expected`, say "a string".
    pub(crate) fn expected(&mut self, expected: &str, value: &Spanned<DeValue<'_>>) {
        let found = kind(value.get_ref());
        self.error(Diagnostic::error(self.span(value), format!("`{}`: expected {expected}, found {found}", self.key)));
    }

    pub(crate) fn string<'v>(&mut self, expected: &str, value: &'v Spanned<DeValue<'_>>) -> Option<&'v str> {
        let found = value.get_ref().as_str();
        if found.is_none() {
            self.expected(expected, value);
        }
        found
    }

    pub(crate) fn table<'t, 'v>(&mut self, expected: &str, value: &'t Spanned<DeValue<'v>>) -> Option<&'t DeTable<'v>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            self.expected(expected, value);
        }
        found
    }

    /// The value of `key`.
    pub(crate) fn knob<T: FromToml>(&mut self, table: &DeTable<'_>, key: &str) -> Knob<T> {
        match table.get(key) {
            None => Knob::Absent,
            Some(value) => match self.within(key, |reader| T::from_toml(value, reader)) {
                Some(read) => Knob::Given(At { value: read, span: self.span(value) }),
                None => Knob::Faulty,
            },
        }
    }

    /// Reads the value of `key`.
    fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.key, key.to_owned());
        let value = read(self);
        self.key = outer;
        value
    }

    /// Reports the keys of `table`, which is `what`, that are not among `known`.
    pub(crate) fn refuse_unknown<'k>(
        &mut self,
        table: &DeTable<'_>,
        what: &str,
        known: &(impl Iterator<Item = &'k KnobDoc> + Clone),
    ) {
        let names = || known.clone().map(|knob| knob.key);
        for key in table.keys().filter(|key| !names().any(|name| name == key.get_ref())) {
            let help =
                did_you_mean(key.get_ref(), names()).unwrap_or_else(|| format!("{what} has: {}", listed(names())));
            let error =
                Diagnostic::error(self.span(key), format!("unknown key `{}` in {what}", key.get_ref())).help(help);
            self.error(error);
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A key that a table may have.
#[derive(Clone, Copy, Debug)]
pub struct KnobDoc {
    /// As typed.
    pub key: &'static str,
    /// Meaning, unit, default, source.
    pub doc: &'static str,
}

/// What every struct of [`table!`] has.
pub(crate) trait Table: Sized {
    /// All its keys.
    const KNOBS: &'static [KnobDoc];

    /// The same with what each may hold.
    fn layout() -> TableShape;

    /// Takes its keys out of a table, whatever else is there.
    fn read(table: &DeTable<'_>, reader: &mut Reader<'_>) -> Self;

    /// Takes what another file says about the same table.
    fn merge(&mut self, later: Self, out: &mut Vec<Diagnostic>);
}

/// Declares a table of the configuration. Every key is optional to read, because a missing one is a question for
/// `validate`, which knows whether it matters.
macro_rules! table {
    ($(#[doc = $about:literal])* struct $name:ident, $what:literal { $($(#[doc = $doc:literal])+ $field:ident: $type:ty,)* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name {
            $($(#[doc = $doc])+ pub(crate) $field: $crate::config::read::Knob<$type>,)*
        }

        impl $crate::config::read::Table for $name {
            const KNOBS: &'static [$crate::config::read::KnobDoc] = &[
                $($crate::config::read::KnobDoc {
                    key: $crate::config::read::plain(stringify!($field)),
                    doc: concat!($($doc, "\n"),+),
                },)*
            ];

            fn layout() -> $crate::config::shape::TableShape {
                let shapes: &[fn() -> $crate::config::shape::Shape] =
                    &[$(<$type as $crate::config::read::FromToml>::shape),*];
                $crate::config::shape::TableShape::new(stringify!($name), concat!($($about, "\n"),*), Self::KNOBS, shapes)
            }

            fn read(table: &toml::de::DeTable<'_>, reader: &mut $crate::config::read::Reader<'_>) -> Self {
                Self { $($field: reader.knob(table, $crate::config::read::plain(stringify!($field))),)* }
            }

            fn merge(&mut self, later: Self, out: &mut Vec<$crate::config::error::Diagnostic>) {
                $(self.$field.merge(later.$field, $crate::config::read::plain(stringify!($field)), out);)*
            }
        }

        impl $crate::config::read::FromToml for $name {
            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Table(<Self as $crate::config::read::Table>::layout())
            }

            fn from_toml(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                reader: &mut $crate::config::read::Reader<'_>,
            ) -> Option<Self> {
                let table = reader.table(concat!("a table (", $what, ")"), value)?;
                reader.refuse_unknown(table, $what, &<Self as $crate::config::read::Table>::KNOBS.iter());
                Some(<Self as $crate::config::read::Table>::read(table, reader))
            }
        }
    };
}
pub(crate) use table;

/// The key of a field: `if` for `r#if`.
pub(crate) const fn plain(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// A word of a fixed set.
pub(crate) trait Word: Copy + 'static {
    /// What the word is, with its article: "a balance".
    const WHAT: &'static str;
    /// The words.
    const WORDS: &'static [(&'static str, Self)];
    /// Words that later versions will know: refused, but not as a slip.
    const LATER: &'static [&'static str] = &[];
}

impl<W: Word> FromToml for W {
    fn shape() -> Shape {
        Shape::Words(W::WORDS.iter().map(|(word, _)| *word).collect())
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::from_toml(value, reader)?;
        let found = Self::WORDS.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names = || Self::WORDS.iter().map(|(name, _)| *name);
            let supported = format!("supported: {}", listed(names()));
            let error = if Self::LATER.contains(&text.value.as_str()) {
                Diagnostic::error(text.span, format!("`{text}` is not supported yet")).help(supported)
            } else {
                let help = did_you_mean(&text.value, names()).unwrap_or(supported);
                Diagnostic::error(text.span, format!("`{text}` is not {}", Self::WHAT)).help(help)
            };
            reader.error(error);
        }
        found.map(|(_, word)| *word)
    }
}

impl FromToml for bool {
    fn shape() -> Shape {
        Shape::Bool
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let found = value.get_ref().as_bool();
        if found.is_none() {
            reader.expected("`true` or `false`", value);
        }
        found
    }
}

/// A whole number. Its range is a question for `validate`.
impl FromToml for i64 {
    fn shape() -> Shape {
        Shape::Integer
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(integer) = value.get_ref().as_integer() else {
            reader.expected("an integer", value);
            return None;
        };
        // Only the size can be wrong: anything too large is out of every range, so the largest number stands for it.
        Some(Self::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(Self::MAX))
    }
}

impl FromToml for Duration {
    fn shape() -> Shape {
        Shape::text("a duration", "[0-9]+(us|ms|s|m|h|d)")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let span = reader.span(value);
        if let Some(number) = value.get_ref().as_integer() {
            let error = Diagnostic::error(span, "a duration needs a unit");
            reader.error(error.help(format!("say the unit: \"{number}ms\" or \"{number}s\"")));
            return None;
        }
        let text = Text::from_toml(value, reader)?;
        let error = match units::duration(&text.value) {
            Ok(duration) => return Some(duration),
            Err(UnitError::NoUnit) => Diagnostic::error(span, "a duration needs a unit")
                .help(format!("say the unit: \"{text}ms\" or \"{text}s\"")),
            Err(error) => Diagnostic::error(span, format!("`{text}` is not a duration: {error}"))
                .help("a duration is a whole number and `us`, `ms`, `s`, `m`, `h` or `d`, such as \"250ms\""),
        };
        reader.error(error);
        None
    }
}

/// An array, or one value without brackets.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<At<T>>);

impl<T: FromToml> FromToml for OneOrMany<T> {
    fn shape() -> Shape {
        Shape::OneOrMany(Box::new(T::shape()))
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let one = std::slice::from_ref(value);
        let all = value.get_ref().as_array().map_or(one, |array| array);
        let read: Vec<_> = all.iter().filter_map(|item| item_from_toml(item, reader)).collect();
        // With a faulty item left out, "it is empty" would be a lie.
        (read.len() == all.len() || !read.is_empty()).then_some(Self(read))
    }
}

/// An array of tables.
impl<T: FromToml> FromToml for Vec<At<T>> {
    fn shape() -> Shape {
        Shape::Many(Box::new(T::shape()))
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(array) = value.get_ref().as_array() else {
            reader.expected("an array of tables, each under its own `[[…]]`", value);
            return None;
        };
        Some(array.iter().filter_map(|item| item_from_toml(item, reader)).collect())
    }
}

fn item_from_toml<T: FromToml>(item: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<At<T>> {
    let span = reader.span(item);
    T::from_toml(item, reader).map(|value| At { value, span })
}

/// Tables or values under names that the operator chose.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(At<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromToml> FromToml for Named<T> {
    fn shape() -> Shape {
        Shape::Named(Box::new(T::shape()))
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.table("a table", value)?;
        let read = table.iter().filter_map(|(key, value)| {
            let name = At { value: key.get_ref().to_string(), span: reader.span(key) };
            reader.within(key.get_ref(), |reader| T::from_toml(value, reader)).map(|value| (name, value))
        });
        Some(Self(read.collect()))
    }
}
