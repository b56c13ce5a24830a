//! HAProxy's ACL expressions, as strings of the configuration: `hdr(host) -i api.example.com`.
//!
//! Grammar (configuration.txt, section 7): `FETCH [-i] [-m METHOD] [--] PATTERN…`, where a fetch may carry the method as
//! a suffix (`path_beg`). Errors point inside the string.

pub(crate) mod condition;
mod words;

use super::{
    error::Diagnostic,
    suggest::{did_you_mean, listed},
    text::Text,
};
use crate::model::rule::{Acl, Fetch, Matching};
use words::{Word, words};

/// The expression in `text`; its error, if it has one. Warnings go to `out`.
pub(crate) fn parse(text: &Text, out: &mut Vec<Diagnostic>) -> Result<Acl, Diagnostic> {
    let words = words(text)?;
    let Some((first, mut rest)) = words.split_first() else {
        return Err(Diagnostic::error(text.span, "an ACL needs something to look at").help(FETCHES));
    };
    let (fetch, suffix) = parse_fetch(first, text)?;
    let mut flags = Flags::default();
    while let Some((word, after)) = rest.split_first()
        && word.is_flag()
        && !flags.ended
    {
        rest = flags.take(word, after, text)?;
    }
    let matching = match (suffix, flags.matching) {
        (Some(_), Some((_, second))) => {
            let message = format!("`{}` already says how to compare", first.value);
            return Err(Diagnostic::error(text.part(second), message).help("leave out the suffix or `-m`"));
        }
        (Some(matching), None) | (None, Some((matching, _))) => matching,
        (None, None) => Matching::Exact,
    };
    check_patterns(first, &fetch, matching, rest, text)?;
    warn_of_patterns(&fetch, matching, rest, text, out);
    let patterns =
        rest.iter().map(|word| if flags.ignore_case { word.value.to_ascii_lowercase() } else { word.value.clone() });
    Ok(Acl { fetch, matching, ignore_case: flags.ignore_case, patterns: patterns.collect() })
}

/// `hdr(name)`, `path_beg`, …: what to look at, and how to compare if the word says so.
fn parse_fetch(word: &Word, text: &Text) -> Result<(Fetch, Option<Matching>), Diagnostic> {
    let typed = word.value.as_str();
    let error = |range, message: String| Diagnostic::error(text.part(range), message);
    let (name, after) = typed.split_at(typed.find(['(', ',']).unwrap_or(typed.len()));
    let end_of_name = word.range.start + name.len();
    let (argument, converters) = match after.strip_prefix('(') {
        None => (None, after),
        Some(inside) => {
            let unclosed = || error(word.range.clone(), format!("`{typed}` has no closing parenthesis"));
            let (argument, after) = inside.split_once(')').ok_or_else(unclosed)?;
            (Some(argument), after)
        }
    };
    if !converters.is_empty() {
        let at = word.range.end.saturating_sub(converters.len())..word.range.end;
        return Err(
            error(at, "converters are not supported yet".to_owned()).help("`-i` compares without regard to case")
        );
    }
    let (base, matching) = split_suffix(name).ok_or_else(|| unknown_fetch(name, word, text))?;
    let fetch = match (base, argument) {
        ("hdr" | "req.hdr", Some(header)) => {
            let at = end_of_name + 1..end_of_name + 1 + header.len();
            Fetch::Header(header_name(header).map_err(|message| error(at, message))?)
        }
        ("hdr" | "req.hdr", None) => {
            let message = format!("`{name}` needs the name of a header");
            return Err(error(word.range.clone(), message).help(format!("such as {name}(host)")));
        }
        ("path" | "method", Some(argument)) if !argument.is_empty() => {
            return Err(error(end_of_name..word.range.end, format!("`{base}` takes no argument")));
        }
        ("path", _) => Fetch::Path,
        _ => Fetch::Method,
    };
    Ok((fetch, matching))
}

/// `path_beg` → `path`, beg. `None`: no fetch of that name.
fn split_suffix(name: &str) -> Option<(&str, Option<Matching>)> {
    if SUPPORTED.contains(&name) {
        return Some((name, None));
    }
    let (base, suffix) = name.rsplit_once('_')?;
    let (_, matching) = METHODS.iter().find(|(word, matching)| *word == suffix && *matching != Matching::Found)?;
    matches!(base, "hdr" | "req.hdr" | "path").then_some((base, Some(*matching)))
}

fn unknown_fetch(name: &str, word: &Word, text: &Text) -> Diagnostic {
    let range = word.range.start..word.range.start + name.len();
    let base = name.rsplit_once('_').map_or(name, |(base, _)| base);
    let later_suffix = || name.rsplit_once('_').is_some_and(|(_, suffix)| LATER_METHODS.contains(&suffix));
    if LATER_FETCHES.contains(&name) || LATER_FETCHES.contains(&base) || (SUPPORTED.contains(&base) && later_suffix()) {
        return Diagnostic::error(text.part(range), format!("`{name}` is not supported yet")).help(FETCHES);
    }
    let suffixed = |base: &'static str| METHODS.iter().map(move |(method, _)| format!("{base}_{method}"));
    let known: Vec<_> =
        SUPPORTED.iter().map(|&name| name.to_owned()).chain(suffixed("hdr")).chain(suffixed("path")).collect();
    let help = did_you_mean(name, known.iter().map(String::as_str)).unwrap_or_else(|| FETCHES.to_owned());
    Diagnostic::error(text.part(range), format!("nothing called `{name}` can be looked at")).help(help)
}

/// A field name, in lower case.
fn header_name(typed: &str) -> Result<String, String> {
    if let Some((_, occurrence)) = typed.split_once(',') {
        return Err(format!("the occurrence `{}` of a header is not supported yet", occurrence.trim()));
    }
    // RFC 9110 §5.6.2, token.
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if typed.is_empty() || !typed.chars().all(token) {
        return Err(format!("`{typed}` is not the name of a header"));
    }
    Ok(typed.to_ascii_lowercase())
}

/// What stands between the fetch and the patterns.
#[derive(Default)]
struct Flags {
    ignore_case: bool,
    matching: Option<(Matching, std::ops::Range<usize>)>,
    ended: bool,
}

impl Flags {
    /// Takes one flag, and gives what is left after it and its argument.
    fn take<'w>(&mut self, flag: &Word, after: &'w [Word], text: &Text) -> Result<&'w [Word], Diagnostic> {
        match flag.value.as_str() {
            "--" => self.ended = true,
            "-i" => self.ignore_case = true,
            "-m" => {
                let methods = format!("supported: {}", listed(METHODS.iter().map(|(word, _)| *word)));
                let Some((method, after)) = after.split_first() else {
                    return Err(Diagnostic::error(text.part(flag.range.clone()), "`-m` needs a method").help(methods));
                };
                let typed = method.value.as_str();
                let Some((_, matching)) = METHODS.iter().find(|(word, _)| *word == typed) else {
                    let later = LATER_METHODS.contains(&typed);
                    let message = if later {
                        format!("`{typed}` is not supported yet")
                    } else {
                        format!("`{typed}` is not a method")
                    };
                    return Err(Diagnostic::error(text.part(method.range.clone()), message).help(methods));
                };
                self.matching = Some((*matching, flag.range.start..method.range.end));
                return Ok(after);
            }
            "-f" | "-M" | "-n" | "-u" => {
                let message = format!("the flag `{}` is not supported yet", flag.value);
                return Err(Diagnostic::error(text.part(flag.range.clone()), message).help(FLAGS));
            }
            _ => {
                let message = format!("unknown flag `{}`", flag.value);
                return Err(Diagnostic::error(text.part(flag.range.clone()), message).help(FLAGS));
            }
        }
        Ok(after)
    }
}

/// HAProxy takes an ACL without patterns, which then never matches: a trap.
fn check_patterns(
    first: &Word,
    fetch: &Fetch,
    matching: Matching,
    patterns: &[Word],
    text: &Text,
) -> Result<(), Diagnostic> {
    match (matching, patterns.first()) {
        (Matching::Found, Some(pattern)) => {
            let range = pattern.range.start..patterns.last().unwrap_or(pattern).range.end;
            let error = Diagnostic::error(text.part(range), "`-m found` compares with nothing");
            Err(error.help("leave out the patterns"))
        }
        (Matching::Found, None) | (_, Some(_)) => Ok(()),
        (_, None) => {
            let message = "this ACL has nothing to compare with and would never match";
            let present = match fetch {
                Fetch::Header(name) => format!("hdr({name}) -m found"),
                Fetch::Path => "path -m found".to_owned(),
                Fetch::Method => "method -m found".to_owned(),
            };
            let error = Diagnostic::error(text.part(first.range.clone()), message);
            Err(error.help(format!("add a pattern, or test that it is there at all: {present}")))
        }
    }
}

/// Warns of patterns that are taken as typed and yet can hardly be meant.
fn warn_of_patterns(fetch: &Fetch, matching: Matching, patterns: &[Word], text: &Text, out: &mut Vec<Diagnostic>) {
    let mut warn = |word: &Word, message: String, help: &str| {
        out.push(Diagnostic::warning(text.part(word.range.clone()), message).help(help));
    };
    for word in patterns.iter().skip(1).filter(|word| word.is_flag()) {
        warn(word, format!("`{}` is compared literally here", word.value), "flags come before the first pattern");
    }
    let from_start = matches!(matching, Matching::Exact | Matching::Prefix);
    for word in
        patterns.iter().filter(|word| *fetch == Fetch::Path && from_start && !word.value.starts_with(['/', '*']))
    {
        warn(word, format!("no path begins with `{}`", word.value), "a path begins with a slash");
    }
}

const SUPPORTED: [&str; 4] = ["hdr", "req.hdr", "path", "method"];
const FETCHES: &str = "supported: hdr(name), req.hdr(name), path, method, and with a suffix hdr_beg(name), path_end, …";
const FLAGS: &str = "supported: `-i`, `-m METHOD`, `--`";

/// Known to HAProxy, and to later versions.
const LATER_FETCHES: [&str; 28] = [
    "src",
    "src_port",
    "dst",
    "dst_port",
    "base",
    "url",
    "url_param",
    "urlp",
    "query",
    "cook",
    "req.cook",
    "shdr",
    "fhdr",
    "req.fhdr",
    "ssl_fc",
    "ssl_fc_sni",
    "req.ssl_sni",
    "req.ssl_hello_type",
    "req.len",
    "req.ver",
    "http_auth",
    "rand",
    "nbsrv",
    "be_conn",
    "fe_conn",
    "queue",
    "connslots",
    "srv_is_up",
];

const METHODS: [(&str, Matching); 7] = [
    ("str", Matching::Exact),
    ("beg", Matching::Prefix),
    ("end", Matching::Suffix),
    ("sub", Matching::Contains),
    ("dir", Matching::Directory),
    ("dom", Matching::Domain),
    ("found", Matching::Found),
];

/// Known to HAProxy, and to later versions.
const LATER_METHODS: [&str; 8] = ["reg", "len", "int", "ip", "bool", "bin", "cnt", "val"];
