//! `balance` and `hash_type`: HAProxy's lines of several words, as strings. Errors point at the word.

use super::{
    error::Diagnostic,
    read::{FromToml, Reader},
    shape::Shape,
    suggest::{did_you_mean, listed},
    text::Text,
};
use crate::model::{
    Affinity, Balance,
    balance::{Function, HashType, Keyed, Uri},
};
use std::{ops::Range, str::FromStr};
use toml::{Spanned, de::DeValue};

/// `balance` as typed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Balancing {
    /// Without a key of its own.
    Plain(Balance),
    /// By a key.
    Keyed(Keyed),
    /// By the value of an expression: all of the text, which begins with `hash`.
    Expression(Text),
}

impl Balancing {
    /// Whether the kernel half can do it.
    pub(crate) fn is_of_l4(&self) -> bool {
        matches!(self, Self::Plain(Balance::Maglev) | Self::Keyed(Keyed::Source))
    }

    /// The way to balance. `source` is a `maglev` unless it is said how it hashes.
    pub(crate) fn with(&self, hash_type: Option<HashType>) -> (Balance, Affinity) {
        match (self, hash_type) {
            (Self::Plain(balance), _) => (balance.clone(), Affinity::None),
            // What it looks at is compiled by whoever knows what it may name.
            (Self::Expression(_), _) => (Balance::default(), Affinity::None),
            (Self::Keyed(Keyed::Source), None) => (Balance::Maglev, Affinity::Source),
            (Self::Keyed(by), kind) => {
                let affinity = if *by == Keyed::Source { Affinity::Source } else { Affinity::None };
                (Balance::Hash { by: by.clone(), kind: kind.unwrap_or_default() }, affinity)
            }
        }
    }
}

/// One word, and where it stands in its string.
#[derive(Clone)]
struct Word<'a> {
    value: &'a str,
    range: Range<usize>,
}

/// The words of a line, front to back; errors point at one of them.
struct Line<'a> {
    text: &'a Text,
    at: usize,
}

impl<'a> Line<'a> {
    fn new(text: &'a Text) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.value.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<Word<'a>> {
        let rest = self.rest();
        let start = self.at + rest.len() - rest.trim_start().len();
        let word = rest.split_whitespace().next()?;
        self.at = start + word.len();
        Some(Word { value: word, range: start..self.at })
    }

    fn error(&self, range: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.text.part(range), message)
    }

    /// Refuses a word that is none of `known`.
    fn unknown<'k>(&self, word: &Word<'_>, what: &str, known: impl Iterator<Item = &'k str> + Clone) -> Diagnostic {
        let help = did_you_mean(word.value, known.clone()).unwrap_or_else(|| format!("supported: {}", listed(known)));
        self.error(word.range.clone(), format!("`{}` is not {what}", word.value)).help(help)
    }

    /// Refuses what follows the last word.
    fn end(&mut self, after: &str) -> Result<(), Diagnostic> {
        let Some(word) = self.next() else { return Ok(()) };
        Err(self.error(word.range, format!("`{}` means nothing after `{after}`", word.value)))
    }

    /// The number that a word needs after it.
    fn number<N: FromStr>(&mut self, word: &Word<'_>, fits: impl Fn(&N) -> bool, help: &str) -> Result<N, Diagnostic> {
        let Some(number) = self.next() else {
            return Err(self.error(word.range.clone(), format!("`{}` needs a number", word.value)).help(help));
        };
        let parsed = number.value.parse().ok().filter(fits);
        parsed.ok_or_else(|| self.error(number.range, format!("`{}` is no such number", number.value)).help(help))
    }
}

impl FromToml for Balancing {
    fn shape() -> Shape {
        Shape::text("a way to balance", &format!("({})([( ].*)?", WAYS.join("|")))
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::from_toml(value, reader)?;
        parse(&mut Line::new(&text)).map_err(|error| reader.error(error)).ok()
    }
}

fn parse(line: &mut Line<'_>) -> Result<Balancing, Diagnostic> {
    let Some(word) = line.next() else {
        let known = format!("supported: {}", listed(WAYS));
        return Err(Diagnostic::error(line.text.span, "`balance` names no way to balance").help(known));
    };
    let (name, argument) = call(&word, line)?;
    let parsed = match (name, argument) {
        ("random", argument) => Balancing::Plain(Balance::Random { draws: draws(argument, line)? }),
        ("url_param", Some(name)) => Balancing::Keyed(Keyed::UrlParam(named(name, "a parameter", line)?)),
        ("hdr", Some(name)) => {
            let name = named(name, "a header", line)?.to_ascii_lowercase();
            Balancing::Keyed(Keyed::Header { name, domain_only: domain_only(line)? })
        }
        ("url_param", None) => {
            // HAProxy's own way: `balance url_param NAME`.
            let name = line.next().ok_or_else(|| needs_name(&word, line))?;
            Balancing::Keyed(Keyed::UrlParam(name.value.to_owned()))
        }
        ("hdr", None) => return Err(needs_name(&word, line)),
        (name, Some(argument)) if WAYS.contains(&name) => {
            return Err(line.error(argument.range, format!("`{name}` takes no argument")));
        }
        ("roundrobin", _) => Balancing::Plain(Balance::RoundRobin),
        ("static-rr", _) => Balancing::Plain(Balance::StaticRoundRobin),
        ("leastconn", _) => Balancing::Plain(Balance::LeastConn),
        ("first", _) => Balancing::Plain(Balance::First),
        ("maglev", _) => Balancing::Plain(Balance::Maglev),
        ("source", _) => Balancing::Keyed(Keyed::Source),
        ("uri", _) => Balancing::Keyed(Keyed::Uri(uri(line)?)),
        ("hash", _) => {
            if line.rest().trim().is_empty() {
                return Err(line.error(word.range, "`hash` needs an expression").help("such as hash path"));
            }
            line.at = line.text.value.len();
            Balancing::Expression(line.text.clone())
        }
        ("rdp-cookie", _) => {
            return Err(line
                .error(word.range, "`rdp-cookie` is not supported")
                .help("balance = \"source\" brings a client back to its server too"));
        }
        _ => return Err(line.unknown(&Word { value: name, ..word }, "a way to balance", WAYS.into_iter())),
    };
    line.end(word.value)?;
    Ok(parsed)
}

/// `name(argument)` in its parts.
fn call<'a>(word: &Word<'a>, line: &Line<'_>) -> Result<(&'a str, Option<Word<'a>>), Diagnostic> {
    let Some((name, rest)) = word.value.split_once('(') else { return Ok((word.value, None)) };
    let Some(argument) = rest.strip_suffix(')') else {
        let message = format!("`{}` has no closing parenthesis", word.value);
        return Err(line.error(word.range.clone(), message));
    };
    let start = word.range.start + name.len() + 1;
    Ok((name, Some(Word { value: argument, range: start..start + argument.len() })))
}

fn draws(argument: Option<Word<'_>>, line: &Line<'_>) -> Result<u8, Diagnostic> {
    let Some(argument) = argument else { return Ok(2) };
    let draws = argument.value.parse().ok().filter(|draws| (1..=16).contains(draws));
    draws.ok_or_else(|| line.error(argument.range, "the number of draws must be from 1 to 16"))
}

fn named(name: Word<'_>, what: &str, line: &Line<'_>) -> Result<String, Diagnostic> {
    // RFC 9110 §5.6.2, token; parameters are compared as they are, so that theirs may be anything that is no delimiter.
    let fits = |c: char| c.is_ascii_graphic() && !"&=?#(),".contains(c);
    if name.value.is_empty() || !name.value.chars().all(fits) {
        return Err(line.error(name.range, format!("`{}` is not the name of {what}", name.value)));
    }
    Ok(name.value.to_owned())
}

fn needs_name(word: &Word<'_>, line: &Line<'_>) -> Diagnostic {
    line.error(word.range.clone(), format!("`{}` needs a name", word.value))
        .help(format!("such as {}(host)", word.value))
}

fn domain_only(line: &mut Line<'_>) -> Result<bool, Diagnostic> {
    match line.next() {
        None => Ok(false),
        Some(word) if word.value == "use_domain_only" => Ok(true),
        Some(word) => Err(line.unknown(&word, "an option of `hdr`", ["use_domain_only"].into_iter())),
    }
}

fn uri(line: &mut Line<'_>) -> Result<Uri, Diagnostic> {
    let mut uri = Uri::default();
    while let Some(word) = line.next() {
        match word.value {
            "whole" => uri.whole = true,
            "path_only" | "path-only" => uri.path_only = true,
            "len" => uri.len = Some(line.number(&word, |len| *len > 0, "`len` is at least 1, in bytes")?),
            "depth" => uri.depth = Some(line.number(&word, |depth| *depth > 0, "`depth` is at least 1")?),
            _ => {
                return Err(line.unknown(
                    &word,
                    "an option of `uri`",
                    ["whole", "path_only", "len", "depth"].into_iter(),
                ));
            }
        }
    }
    Ok(uri)
}

impl FromToml for HashType {
    fn shape() -> Shape {
        let functions = FUNCTIONS.map(|(name, _)| name).join("|");
        Shape::text("a hash type", &format!("(map-based|consistent)( +({functions})( +avalanche)?)?"))
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = Text::from_toml(value, reader)?;
        hash_type(&mut Line::new(&text)).map_err(|error| reader.error(error)).ok()
    }
}

fn hash_type(line: &mut Line<'_>) -> Result<HashType, Diagnostic> {
    let methods = ["map-based", "consistent"];
    let consistent = match line.next() {
        Some(word) if word.value == "map-based" => false,
        Some(word) if word.value == "consistent" => true,
        Some(word) => return Err(line.unknown(&word, "a hash type", methods.into_iter())),
        None => {
            let error = Diagnostic::error(line.text.span, "`hash_type` names no type");
            return Err(error.help(format!("supported: {}", listed(methods))));
        }
    };
    let Some(word) = line.next() else {
        // Without a function, `consistent` means the one that spreads.
        return Ok(HashType { consistent, function: Function::Sdbm, avalanche: consistent });
    };
    let Some((_, function)) = FUNCTIONS.iter().find(|(name, _)| *name == word.value) else {
        return Err(line.unknown(&word, "a hash function", FUNCTIONS.iter().map(|(name, _)| *name)));
    };
    let avalanche = match line.next() {
        None => false,
        Some(word) if word.value == "avalanche" => true,
        Some(word) => return Err(line.unknown(&word, "a hash modifier", ["avalanche"].into_iter())),
    };
    line.end("avalanche")?;
    Ok(HashType { consistent, function: *function, avalanche })
}

const WAYS: [&str; 11] =
    ["roundrobin", "static-rr", "leastconn", "first", "random", "maglev", "source", "uri", "url_param", "hdr", "hash"];

const FUNCTIONS: [(&str, Function); 5] = [
    ("sdbm", Function::Sdbm),
    ("djb2", Function::Djb2),
    ("wt6", Function::Wt6),
    ("crc32", Function::Crc32),
    ("none", Function::None),
];
