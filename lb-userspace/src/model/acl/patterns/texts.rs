//! Texts: patterns of the methods that compare bytes, by method a hash table, a sorted list, an automaton or a set of
//! regular expressions. Those after `-i` are a table of their own, in lower case.

use aho_corasick::AhoCorasick;
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::{borrow::Cow, cmp::Ordering, collections::HashMap, iter};
use thiserror::Error;

/// How bytes are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// `str`: equal.
    Exact,
    /// `beg`: starts with.
    Prefix,
    /// `end`: ends with.
    Suffix,
    /// `sub`: contains.
    Contains,
    /// `dir`: contains as whole path segments.
    Directory,
    /// `dom`: contains as whole domain labels.
    Domain,
    /// `reg`: matches a regular expression.
    Regex,
}

/// Why patterns cannot be looked for.
#[derive(Debug, Error)]
pub enum PatternError {
    /// A regular expression is none, or too large a one.
    #[error("{0}")]
    Regex(#[from] regex::Error),
    /// Too many, or too long.
    #[error("{0}")]
    Automaton(#[from] aho_corasick::BuildError),
}

/// Patterns of one method.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Texts {
    exact: Option<Table>,
    /// Compared without regard to case (ASCII).
    folded: Option<Table>,
}

impl Texts {
    /// From the patterns in order, and whether case does not count in each.
    pub fn new(method: Method, patterns: &[(Box<str>, bool)]) -> Result<Self, PatternError> {
        let table = |folds: bool| {
            let numbered = patterns.iter().zip(0..).filter(|((_, ignore), _)| *ignore == folds);
            let chosen: Vec<(&str, u32)> = numbered.map(|((text, _), index)| (&**text, index)).collect();
            if chosen.is_empty() { Ok(None) } else { Table::new(method, folds, &chosen).map(Some) }
        };
        Ok(Self { exact: table(false)?, folded: table(true)? })
    }

    /// Which pattern: the longest of `beg`, else the first.
    pub(super) fn find(&self, value: &[u8]) -> Option<u32> {
        let exact = self.exact.as_ref().and_then(|table| table.find(value));
        let folded = self.folded.as_ref().and_then(|table| table.find(&lower(value)));
        match (exact, folded) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        self.exact.as_ref().is_some_and(|table| table.matches(value))
            || self.folded.as_ref().is_some_and(|table| table.matches(&lower(value)))
    }
}

/// Without a copy where nothing is in upper case.
fn lower(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(u8::is_ascii_uppercase) { value.to_ascii_lowercase().into() } else { value.into() }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Table {
    Exact(HashMap<Box<[u8]>, u32>),
    Prefix(Affixes),
    Suffix(Affixes),
    Inside(Automaton),
    Words(Automaton, &'static [u8]),
    Regex(Expressions),
}

impl Table {
    fn new(method: Method, folds: bool, patterns: &[(&str, u32)]) -> Result<Self, PatternError> {
        let bytes = patterns.iter().map(|(text, index)| {
            let bytes = if folds { text.to_ascii_lowercase() } else { (*text).to_owned() };
            (bytes.into_bytes(), *index)
        });
        let words = |delimiters: &'static [u8]| {
            let trimmed = bytes.clone().map(|(text, index)| (trim(&text, delimiters).to_vec(), index));
            Automaton::new(trimmed.filter(|(text, _)| !text.is_empty()))
                .map(|automaton| Self::Words(automaton, delimiters))
        };
        Ok(match method {
            Method::Exact => Self::Exact(first_of_each(bytes)),
            Method::Prefix => Self::Prefix(Affixes::new(bytes, false)),
            Method::Suffix => Self::Suffix(Affixes::new(bytes, true)),
            Method::Contains => Self::Inside(Automaton::new(bytes)?),
            Method::Directory => words(b"/?")?,
            Method::Domain => words(b"/?.:")?,
            Method::Regex => Self::Regex(Expressions::new(folds, patterns)?),
        })
    }

    fn find(&self, value: &[u8]) -> Option<u32> {
        match self {
            Self::Exact(known) => known.get(value).copied(),
            Self::Prefix(prefixes) => prefixes.all(value).next(),
            Self::Suffix(suffixes) => suffixes.all(value).min(),
            Self::Inside(automaton) => automaton.all(value, b"").min(),
            Self::Words(automaton, delimiters) => automaton.all(value, delimiters).min(),
            Self::Regex(expressions) => expressions.find(value),
        }
    }

    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Inside(automaton) => automaton.automaton.is_match(value),
            Self::Words(automaton, delimiters) => automaton.all(value, delimiters).next().is_some(),
            Self::Suffix(suffixes) => suffixes.all(value).next().is_some(),
            Self::Regex(expressions) => expressions.set.is_match(value),
            Self::Exact(_) | Self::Prefix(_) => self.find(value).is_some(),
        }
    }
}

fn first_of_each(patterns: impl Iterator<Item = (Vec<u8>, u32)>) -> HashMap<Box<[u8]>, u32> {
    let mut first = HashMap::new();
    for (text, index) in patterns {
        first.entry(text.into()).or_insert(index);
    }
    first
}

/// Beginnings, or endings, in the order of their bytes (from the end, of endings). All that fit a value are beginnings of
/// the last one that is not after the value in that order: a chain from it finds them.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Affixes {
    from_end: bool,
    sorted: Vec<Affix>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Affix {
    text: Box<[u8]>,
    index: u32,
    /// The place of the longest other one that this begins with.
    shorter: Option<usize>,
}

impl Affixes {
    fn new(patterns: impl Iterator<Item = (Vec<u8>, u32)>, from_end: bool) -> Self {
        let distinct = first_of_each(patterns).into_iter();
        let sorted = distinct.map(|(text, index)| Affix { text, index, shorter: None }).collect();
        let mut new = Self { from_end, sorted };
        new.sorted.sort_unstable_by(|one, other| order(from_end, &one.text, &other.text));
        let mut chain: Vec<usize> = Vec::new();
        for place in 0..new.sorted.len() {
            let text = new.sorted.get(place).map(|affix| affix.text.clone()).unwrap_or_default();
            while chain.pop_if(|top| !new.fits(*top, &text)).is_some() {}
            if let Some(affix) = new.sorted.get_mut(place) {
                affix.shorter = chain.last().copied();
            }
            chain.push(place);
        }
        new
    }

    fn fits(&self, place: usize, value: &[u8]) -> bool {
        self.sorted.get(place).is_some_and(|affix| {
            if self.from_end { value.ends_with(&affix.text) } else { value.starts_with(&affix.text) }
        })
    }

    /// All that fit, the longest first.
    fn all(&self, value: &[u8]) -> impl Iterator<Item = u32> {
        let after = self.sorted.partition_point(|affix| order(self.from_end, &affix.text, value).is_le());
        let chain = iter::successors(after.checked_sub(1), |place| self.sorted.get(*place)?.shorter);
        chain.filter(move |place| self.fits(*place, value)).filter_map(|place| Some(self.sorted.get(place)?.index))
    }
}

fn order(from_end: bool, one: &[u8], other: &[u8]) -> Ordering {
    if from_end { one.iter().rev().cmp(other.iter().rev()) } else { one.cmp(other) }
}

/// Texts that are looked for inside others, all in one pass.
#[derive(Clone, Debug)]
struct Automaton {
    automaton: AhoCorasick,
    patterns: Vec<(Vec<u8>, u32)>,
}

impl Automaton {
    fn new(patterns: impl Iterator<Item = (Vec<u8>, u32)>) -> Result<Self, PatternError> {
        let patterns: Vec<_> = patterns.collect();
        Ok(Self { automaton: AhoCorasick::new(patterns.iter().map(|(text, _)| text))?, patterns })
    }

    /// All that occur from a delimiter or end to another; without delimiters, anywhere.
    fn all(&self, value: &[u8], delimiters: &[u8]) -> impl Iterator<Item = u32> {
        let is_border =
            move |byte: Option<&u8>| delimiters.is_empty() || byte.is_none_or(|byte| delimiters.contains(byte));
        let found = self.automaton.find_overlapping_iter(value);
        let whole = found.filter(move |found| {
            is_border(found.start().checked_sub(1).and_then(|before| value.get(before)))
                && is_border(value.get(found.end()))
        });
        whole.filter_map(|found| self.patterns.get(found.pattern().as_usize()).map(|(_, index)| *index))
    }
}

impl PartialEq for Automaton {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Automaton {}

/// A pattern without the delimiters round it, as HAProxy's `match_word` takes it.
fn trim<'a>(text: &'a [u8], delimiters: &[u8]) -> &'a [u8] {
    let inside = |byte: &u8| !delimiters.contains(byte);
    match (text.iter().position(inside), text.iter().rposition(inside)) {
        (Some(first), Some(last)) => text.get(first..=last).unwrap_or_default(),
        (_, _) => b"",
    }
}

/// Regular expressions, all matched in one pass whose time is linear in the value.
#[derive(Clone, Debug)]
struct Expressions {
    set: RegexSet,
    indices: Vec<u32>,
}

impl Expressions {
    fn new(folds: bool, patterns: &[(&str, u32)]) -> Result<Self, PatternError> {
        let mut builder = RegexSetBuilder::new(patterns.iter().map(|(text, _)| text));
        let set = builder.unicode(false).case_insensitive(folds).size_limit(SIZE_LIMIT).build()?;
        Ok(Self { set, indices: patterns.iter().map(|(_, index)| *index).collect() })
    }

    fn find(&self, value: &[u8]) -> Option<u32> {
        let found = self.set.matches(value).into_iter().next()?;
        self.indices.get(found).copied()
    }
}

impl PartialEq for Expressions {
    fn eq(&self, other: &Self) -> bool {
        self.set.patterns() == other.set.patterns() && self.indices == other.indices
    }
}

impl Eq for Expressions {}

/// Bytes that all regular expressions of an ACL may take once they are compiled.
const SIZE_LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(method: Method, patterns: &[&str]) -> Texts {
        let patterns: Vec<_> = patterns.iter().map(|text| (Box::from(*text), false)).collect();
        Texts::new(method, &patterns).expect("patterns")
    }

    #[test]
    fn each_method_compares_as_haproxy_does() {
        use Method::*;
        let cases = [
            (Exact, "/admin", "/admin", true),
            (Exact, "/admin/", "/admin", false),
            (Prefix, "/admin/x", "/admin/", true),
            (Prefix, "/Admin/x", "/admin/", false),
            (Suffix, "/a/x.png", ".png", true),
            (Contains, "/a/secret/b", "secret", true),
            (Contains, "/a/b", "secret", false),
            (Contains, "/a/b", "", true),
            (Directory, "/a/static/b", "static", true),
            (Directory, "/a/static/b", "/a/static/", true),
            (Directory, "/a/statics/b", "static", false),
            (Directory, "//static", "static", true),
            (Directory, "/a", "/", false),
            (Domain, "www.example.com:80", "example", true),
            (Domain, "www.example.com:80", "example.com", true),
            (Domain, "www.badexample.com", "example.com", false),
            (Regex, "/a/17", "^/a/[0-9]+$", true),
            (Regex, "/a/x", "^/a/[0-9]+$", false),
        ];
        for (method, value, pattern, expected) in cases {
            assert_eq!(texts(method, &[pattern]).matches(value.as_bytes()), expected, "{method:?} {value} {pattern}");
        }
    }

    #[test]
    fn case_counts_but_in_patterns_that_say_otherwise() {
        let patterns = [(Box::from("Ab"), false), (Box::from("Cd"), true)];
        let texts = Texts::new(Method::Exact, &patterns).expect("patterns");
        assert_eq!(
            ["Ab", "ab", "Cd", "cD"].map(|value| texts.find(value.as_bytes())),
            [Some(0), None, Some(1), Some(1)]
        );
    }

    proptest! {
        #[test]
        fn many_at_once_are_what_one_after_the_other_is(
            patterns in prop::collection::vec("[ab/.]{0,4}", 1..9),
            value in "[ab/.]{0,9}",
        ) {
            let all: Vec<&str> = patterns.iter().map(String::as_str).collect();
            for method in [Method::Exact, Method::Prefix, Method::Suffix, Method::Contains, Method::Directory, Method::Domain] {
                let one = |text: &str| texts(method, &[text]).matches(value.as_bytes());
                let matching = all.iter().zip(0..).filter(|(text, _)| one(text));
                let expected = if method == Method::Prefix {
                    matching.max_by_key(|(text, index)| (text.len(), std::cmp::Reverse(*index))).map(|(_, index)| index)
                } else {
                    matching.map(|(_, index)| index).min()
                };
                let table = texts(method, &all);
                prop_assert_eq!(table.find(value.as_bytes()), expected, "{:?}", method);
                prop_assert_eq!(table.matches(value.as_bytes()), expected.is_some());
            }
        }
    }
}
