//! Flags and patterns of an ACL: `[-i] [-m METHOD] [-f FILE] [-n] [-M] [--] PATTERN…`.

use super::{Known, expression::noun, words::Word};
use crate::{
    config::{error::Diagnostic, source::Span, suggest::listed, text::Text},
    model::acl::{
        Expression, Fetch, Kind, Test,
        list::Use,
        patterns::{Lookup, Method, PatternError, Segments, Texts, number, v4, v6},
    },
};
use std::{net::IpAddr, ops::Range, ops::RangeInclusive};

/// How an ACL compares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    Found,
    Bool,
    Int,
    Ip,
    Binary,
    Length,
    Text(Method),
}

impl How {
    pub(super) fn named(word: &str) -> Option<Self> {
        methods().find(|(name, _)| *name == word).map(|(_, how)| how)
    }

    pub(super) fn name(self) -> &'static str {
        methods().find(|(_, how)| *how == self).map_or("", |(name, _)| name)
    }

    /// What is meant if nothing is said.
    const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Bool => Some(Self::Bool),
            Kind::Int => Some(Self::Int),
            Kind::Ip => Some(Self::Ip),
            Kind::Text => Some(Self::Text(Method::Exact)),
            Kind::Binary | Kind::Any => None,
        }
    }
}

/// Methods that are suffixes of fetches too.
pub(super) const SUFFIXES: [(&str, How); 8] = [
    ("str", How::Text(Method::Exact)),
    ("beg", How::Text(Method::Prefix)),
    ("end", How::Text(Method::Suffix)),
    ("sub", How::Text(Method::Contains)),
    ("dir", How::Text(Method::Directory)),
    ("dom", How::Text(Method::Domain)),
    ("reg", How::Text(Method::Regex)),
    ("len", How::Length),
];

/// The others.
const METHODS: [(&str, How); 5] =
    [("found", How::Found), ("bool", How::Bool), ("int", How::Int), ("ip", How::Ip), ("bin", How::Binary)];

fn methods() -> impl Iterator<Item = (&'static str, How)> {
    SUFFIXES.into_iter().chain(METHODS)
}

const FLAGS: &str = "supported: `-i`, `-m METHOD`, `-f FILE`, `-n`, `-M`, `--`";

/// One pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) value: String,
    pub(super) ignore_case: bool,
    pub(super) span: Span,
}

/// What stands after the fetch.
#[derive(Default)]
struct Rest {
    how: Option<(How, Range<usize>)>,
    ignore_case: bool,
    maps: bool,
    patterns: Vec<Pattern>,
    /// Perhaps empty ones.
    files: Vec<String>,
}

/// What of the words after the fetch makes a value match. `suffix`: what the fetch says itself.
pub(super) fn parse(
    first: &Word,
    expression: &Expression,
    suffix: Option<How>,
    words: &[Word],
    text: &Text,
    known: &Known<'_>,
    out: &mut Vec<Diagnostic>,
) -> Result<Test, Diagnostic> {
    let mut rest = Rest::default();
    let mut words = words;
    while let Some((flag, after)) = words.split_first()
        && flag.is_flag()
    {
        words = after;
        if flag.value == "--" {
            break;
        }
        words = rest.take(flag, after, text, known)?;
    }
    warn_of_flags(words, text, out);
    let patterns = words.iter().map(|word| typed(word, text, rest.ignore_case));
    rest.patterns.extend(patterns.collect::<Vec<_>>());
    let how = match (suffix, &rest.how) {
        (Some(_), Some((_, range))) => {
            let message = format!("`{}` already says how to compare", first.value);
            return Err(Diagnostic::error(text.part(range.clone()), message).help("leave out the suffix or `-m`"));
        }
        (Some(how), None) => how,
        (None, Some((how, _))) => *how,
        (None, None) => How::of(expression.kind()).ok_or_else(|| {
            let message = format!("how is {} to be compared?", noun(expression.kind()));
            Diagnostic::error(text.part(first.range.clone()), message).help("say it by `-m`, such as `-m str`")
        })?,
    };
    check(first, expression, how, &rest, text)?;
    warn_of_paths(expression, how, &rest.patterns, out);
    let used = Use { is_map: false, method: how.name(), ignore_case: rest.ignore_case };
    rest.files.iter().for_each(|file| known.uses_list(file, used));
    let test = match how {
        How::Found => Test::Found,
        How::Bool => Test::Bool,
        How::Int | How::Ip | How::Binary | How::Length | How::Text(_) => Test::Any(lookup(how, &rest.patterns)?),
    };
    if !expression.kind().casts_to(test.kind()) {
        let message = format!("{} cannot be compared as {}", noun(expression.kind()), noun(test.kind()));
        return Err(Diagnostic::error(text.part(first.range.clone()), message));
    }
    Ok(test)
}

fn typed(word: &Word, text: &Text, ignore_case: bool) -> Pattern {
    Pattern { value: word.value.clone(), ignore_case, span: text.part(word.range.clone()) }
}

impl Rest {
    /// Takes one flag, and gives what is left after it and its argument.
    fn take<'w>(
        &mut self,
        flag: &Word,
        after: &'w [Word],
        text: &Text,
        known: &Known<'_>,
    ) -> Result<&'w [Word], Diagnostic> {
        let at = text.part(flag.range.clone());
        match flag.value.as_str() {
            "-i" => self.ignore_case = true,
            // Names are never resolved, as `-n` asks for.
            "-n" => {}
            "-M" => self.maps = true,
            "-m" => {
                let methods = format!("supported: {}", listed(methods().map(|(word, _)| word)));
                let Some((method, after)) = after.split_first() else {
                    return Err(Diagnostic::error(at, "`-m` needs a method").help(methods));
                };
                let how = How::named(&method.value).ok_or_else(|| {
                    let message = format!("`{}` is not a method", method.value);
                    Diagnostic::error(text.part(method.range.clone()), message).help(methods)
                })?;
                self.how = Some((how, flag.range.start..method.range.end));
                return Ok(after);
            }
            "-f" => {
                let Some((file, after)) = after.split_first() else {
                    return Err(Diagnostic::error(at, "`-f` needs a file"));
                };
                let span = text.part(file.range.clone());
                for line in known.lines(&file.value, span)? {
                    let key = if self.maps { line.split([' ', '\t']).next().unwrap_or(line) } else { line };
                    self.patterns.push(Pattern { value: key.to_owned(), ignore_case: self.ignore_case, span });
                }
                self.files.push(file.value.clone());
                return Ok(after);
            }
            "-u" => {
                let error = Diagnostic::error(at, "the flag `-u` is not supported");
                return Err(error.help("ACLs have no numbers here: leave it out"));
            }
            _ => return Err(Diagnostic::error(at, format!("unknown flag `{}`", flag.value)).help(FLAGS)),
        }
        Ok(after)
    }
}

/// HAProxy takes an ACL without patterns, which then never matches: a trap.
fn check(first: &Word, expression: &Expression, how: How, rest: &Rest, text: &Text) -> Result<(), Diagnostic> {
    match (how, rest.patterns.first(), rest.patterns.last()) {
        (How::Found | How::Bool, Some(pattern), Some(last)) => {
            let span = Span { start: pattern.span.start, end: last.span.end };
            let error = if how == How::Found {
                Diagnostic::error(span, "`-m found` compares with nothing")
            } else {
                Diagnostic::error(span, format!("`{}` is true or not: it is compared with nothing", first.value))
            };
            Err(error.help("leave out the patterns"))
        }
        (How::Found | How::Bool, ..) | (_, Some(_), _) => Ok(()),
        (..) if !rest.files.is_empty() => Ok(()),
        (..) => {
            let message = "this ACL has nothing to compare with and would never match";
            let span = text.part(first.range.clone());
            let (name, arguments) = first.value.split_at(first.value.find('(').unwrap_or(first.value.len()));
            let base = name.rsplit_once('_').filter(|(_, suffix)| SUFFIXES.iter().any(|(word, _)| word == suffix));
            let base = base.filter(|_| expression.kind() == Kind::Text).map_or(name, |(base, _)| base);
            let help = format!("add a pattern, or test that it is there at all: {base}{arguments} -m found");
            Err(Diagnostic::error(span, message).help(help))
        }
    }
}

/// Warns of what looks like a flag after the first pattern.
fn warn_of_flags(patterns: &[Word], text: &Text, out: &mut Vec<Diagnostic>) {
    for word in patterns.iter().skip(1).filter(|word| word.is_flag()) {
        let message = format!("`{}` is compared literally here", word.value);
        out.push(
            Diagnostic::warning(text.part(word.range.clone()), message).help("flags come before the first pattern"),
        );
    }
}

/// Warns of paths that no request can have.
fn warn_of_paths(expression: &Expression, how: How, patterns: &[Pattern], out: &mut Vec<Diagnostic>) {
    let from_start = matches!(how, How::Text(Method::Exact | Method::Prefix));
    if expression.fetch != Fetch::Path || !expression.converters.is_empty() || !from_start {
        return;
    }
    for pattern in patterns.iter().filter(|pattern| !pattern.value.starts_with(['/', '*'])) {
        let message = format!("no path begins with `{}`", pattern.value);
        out.push(Diagnostic::warning(pattern.span, message).help("a path begins with a slash"));
    }
}

/// The table of patterns.
pub(super) fn lookup(how: How, patterns: &[Pattern]) -> Result<Lookup, Diagnostic> {
    Ok(match how {
        How::Int => Lookup::Int(ranges(patterns)?),
        How::Length => Lookup::Length(ranges(patterns)?),
        How::Ip => prefixes(patterns)?,
        How::Binary => {
            let bytes = patterns.iter().zip(0..).map(|(pattern, index)| match from_hexadecimal(&pattern.value) {
                Some(bytes) => Ok((bytes, index)),
                None => Err(Diagnostic::error(
                    pattern.span,
                    format!("`{}` is not hexadecimal, two digits for each byte", pattern.value),
                )),
            });
            Lookup::Binary(bytes.collect::<Result<_, _>>()?)
        }
        How::Text(method) => Lookup::Text(texts(method, patterns)?),
        How::Found | How::Bool => Lookup::Int(Segments::default()),
    })
}

fn texts(method: Method, patterns: &[Pattern]) -> Result<Texts, Diagnostic> {
    let plain: Vec<_> = patterns.iter().map(|pattern| (pattern.value.as_str().into(), pattern.ignore_case)).collect();
    Texts::new(method, &plain).map_err(|error| {
        // Which of them it is, only one by one tells.
        let faulty = patterns.iter().find_map(|pattern| {
            let error = Texts::new(method, &[(pattern.value.as_str().into(), pattern.ignore_case)]).err()?;
            Some((pattern.span, error))
        });
        let first = patterns.first().map(|pattern| pattern.span).unwrap_or_default();
        let (span, error) = faulty.unwrap_or((first, error));
        match error {
            PatternError::Regex(error) => regex_error(&error, span),
            PatternError::Automaton(error) => Diagnostic::error(span, format!("these patterns are too many: {error}")),
        }
    })
}

/// What is wrong with a regular expression.
pub(crate) fn regex_error(error: &regex::Error, span: Span) -> Diagnostic {
    let message = match error {
        regex::Error::Syntax(text) => {
            let last = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", last.trim_start_matches("error: "))
        }
        regex::Error::CompiledTooBig(limit) => format!("this regular expression takes more than {limit} bytes"),
        other => format!("not a regular expression: {other}"),
    };
    Diagnostic::error(span, message)
        .help("matched in time linear to the value: without look-around and back-references")
}

/// Numbers, `lo:hi`, `lo:`, `:hi`, and `eq`, `gt`, `ge`, `lt`, `le` for the numbers that follow.
fn ranges(patterns: &[Pattern]) -> Result<Segments, Diagnostic> {
    let mut operator = "eq";
    let mut ranges = Vec::new();
    for (pattern, index) in patterns.iter().zip(0..) {
        let typed = pattern.value.as_str();
        if let Some(known) = ["eq", "gt", "ge", "lt", "le"].into_iter().find(|known| *known == typed) {
            operator = known;
            continue;
        }
        let parse = |typed: &str| typed.parse::<i64>().ok();
        let range = match (typed.split_once(':'), operator) {
            (Some((low, high)), "eq") => {
                let low = if low.is_empty() { Some(i64::MIN) } else { parse(low) };
                let high = if high.is_empty() { Some(i64::MAX) } else { parse(high) };
                low.zip(high).filter(|(low, high)| low <= high).map(|(low, high)| low..=high)
            }
            (Some(_), _) => None,
            (None, operator) => parse(typed).and_then(|value| compared(operator, value)),
        };
        let Some(range) = range else {
            let error = Diagnostic::error(pattern.span, format!("`{typed}` is not a number, nor a range of them"));
            return Err(error.help("such as 5, 1:10 or gt 5"));
        };
        ranges.push((number(*range.start())..=number(*range.end()), 0, index));
    }
    if ranges.is_empty()
        && let Some(last) = patterns.last()
    {
        return Err(Diagnostic::error(last.span, format!("a number must follow `{}`", last.value)));
    }
    Ok(Segments::new(ranges))
}

fn compared(operator: &str, value: i64) -> Option<RangeInclusive<i64>> {
    Some(match operator {
        "gt" => value.checked_add(1)?..=i64::MAX,
        "ge" => value..=i64::MAX,
        "lt" => i64::MIN..=value.checked_sub(1)?,
        "le" => i64::MIN..=value,
        _ => value..=value,
    })
}

/// Addresses and prefixes. The longest prefix is found first.
fn prefixes(patterns: &[Pattern]) -> Result<Lookup, Diagnostic> {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for (pattern, index) in patterns.iter().zip(0..) {
        let typed = pattern.value.as_str();
        let (address, length) =
            typed.split_once('/').map_or((typed, None), |(address, length)| (address, Some(length)));
        let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
            let longest = if address.is_ipv4() { 32_u8 } else { 128 };
            let length =
                length.map_or(Some(longest), |length| length.parse().ok().filter(|length| *length <= longest))?;
            Some((address, length))
        });
        let Some((address, length)) = parsed else {
            let error = Diagnostic::error(pattern.span, format!("`{typed}` is not an address, nor a prefix of one"));
            return Err(error.help("in full, such as 192.0.2.0/24 or 2001:db8::/32"));
        };
        let rank = 128 - length;
        match address {
            IpAddr::V4(address) => {
                let rest = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                let first = address.to_bits() & !rest;
                four.push((v4(first.into())..=v4((first | rest).into()), rank, index));
            }
            IpAddr::V6(address) => {
                let rest = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                let first = address.to_bits() & !rest;
                six.push((v6(first.into())..=v6((first | rest).into()), rank, index));
            }
        }
    }
    Ok(Lookup::Ip { v4: Segments::new(four), v6: Segments::new(six) })
}

/// Bytes of pairs of digits.
pub(super) fn from_hexadecimal(text: &str) -> Option<Box<[u8]>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let &[high, low] = pair else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some(digit(high)? << 4 | digit(low)?)
        })
        .collect()
}
