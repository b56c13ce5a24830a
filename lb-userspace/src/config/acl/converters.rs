//! Converters, by name.

use super::{
    Known,
    expression::{Call, unknown},
    fetches::variable,
    lists,
    patterns::{self, Pattern as Typed},
};
use crate::{
    config::error::Diagnostic,
    model::acl::{
        Converter, Kind,
        converter::{Case, Coding, Cut, Hash, Map, Operand, Operation, Pattern, Unary},
        expression::Constant,
        list::Use,
    },
};
use regex::bytes::RegexBuilder;
use std::sync::Arc;

pub(super) fn converter(call: &Call<'_>, known: &Known<'_>) -> Result<Converter, Diagnostic> {
    if let Some(converter) = without_arguments(call.name) {
        call.at_most(0)?;
        return Ok(converter);
    }
    if let Some(hash) = hash(call)? {
        return Ok(Converter::Hash(hash));
    }
    if let Some(operation) = operation(call.name) {
        call.at_most(1)?;
        let typed = call.required(0, "a number or a variable")?;
        let operand = match typed.parse() {
            Ok(number) => Operand::Int(number),
            Err(_) => Operand::Variable(variable(call, 0)?),
        };
        return Ok(Converter::Arithmetic(operation, operand));
    }
    match call.name {
        "field" => cut(call).map(Converter::Field),
        "word" => cut(call).map(Converter::Word),
        "url_dec" => {
            call.at_most(1)?;
            Ok(Converter::UrlDecode(call.number::<u8>(0)?.unwrap_or(0) != 0))
        }
        "bytes" => {
            call.at_most(2)?;
            call.required(0, "an offset")?;
            Ok(Converter::Bytes(call.number(0)?.unwrap_or_default(), call.number(1)?))
        }
        "ipmask" => ip_mask(call),
        "regsub" => substitute(call),
        "strcmp" => {
            call.at_most(1)?;
            Ok(Converter::Compare(variable(call, 0)?))
        }
        "concat" => {
            call.at_most(3)?;
            let text = |index| call.optional(index).unwrap_or_default().into();
            let variable = call.optional(1).map(|_| variable(call, 1)).transpose()?;
            Ok(Converter::Concat { before: text(0), variable, after: text(2) })
        }
        _ => map(call, known)?.map(|map| Converter::Map(Arc::new(map))).ok_or_else(|| {
            let elsewhere = ELSEWHERE.contains(&call.name);
            let help = "supported: lower, upper, field, word, url_dec, regsub, map, add, ipmask, crc32, …";
            unknown(call, format!("no converter is called `{}`", call.name), NAMES, elsewhere, help)
        }),
    }
}

fn cut(call: &Call<'_>) -> Result<Cut, Diagnostic> {
    call.at_most(3)?;
    call.required(0, "an index and the delimiters")?;
    let index = call.number(0)?.filter(|index| *index != 0);
    let index = index.ok_or_else(|| call.error_in(0, "parts count from 1, or from -1 at the end"))?;
    let delimiters = call.required(1, "the delimiters")?.as_bytes().into();
    Ok(Cut { index, delimiters, count: call.number(2)?.unwrap_or(1) })
}

fn ip_mask(call: &Call<'_>) -> Result<Converter, Diagnostic> {
    call.at_most(2)?;
    call.required(0, "the length of a prefix")?;
    let length = |index, longest: u8| match call.number(index)? {
        Some(length) if length > longest => Err(call.error_in(index, format!("a prefix has at most {longest} bits"))),
        length => Ok(length.unwrap_or(longest)),
    };
    Ok(Converter::IpMask(length(0, 32)?, length(1, 128)?))
}

fn without_arguments(name: &str) -> Option<Converter> {
    Some(match name {
        "lower" => Converter::Case(Case::Lower),
        "upper" => Converter::Case(Case::Upper),
        "length" | "len" => Converter::Length,
        "base64" => Converter::Coding(Coding::Base64),
        "b64dec" => Converter::Coding(Coding::FromBase64),
        "hex" => Converter::Coding(Coding::Hex),
        "neg" => Converter::Unary(Unary::Neg),
        "not" => Converter::Unary(Unary::Not),
        "bool" => Converter::Unary(Unary::Bool),
        "cpl" => Converter::Unary(Unary::Complement),
        "even" => Converter::Unary(Unary::Even),
        "odd" => Converter::Unary(Unary::Odd),
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "add" => Operation::Add,
        "sub" => Operation::Sub,
        "mul" => Operation::Mul,
        "div" => Operation::Div,
        "mod" => Operation::Mod,
        "and" => Operation::And,
        "or" => Operation::Or,
        "xor" => Operation::Xor,
        _ => return None,
    })
}

fn hash(call: &Call<'_>) -> Result<Option<Hash>, Diagnostic> {
    let mixed = || call.number::<u8>(0).map(|mixed| mixed.unwrap_or(0) != 0);
    let hash = match call.name {
        "sdbm" => Hash::Sdbm(mixed()?),
        "djb2" => Hash::Djb2(mixed()?),
        "wt6" => Hash::Wt6(mixed()?),
        "crc32" => Hash::Crc32(mixed()?),
        "xxh32" => Hash::Xxh32(call.number(0)?.unwrap_or(0)),
        "xxh64" => Hash::Xxh64(call.number(0)?.unwrap_or(0)),
        _ => return Ok(None),
    };
    call.at_most(1)?;
    Ok(Some(hash))
}

fn substitute(call: &Call<'_>) -> Result<Converter, Diagnostic> {
    call.at_most(3)?;
    let typed = call.required(0, "a regular expression and what takes its place")?;
    let flags = call.optional(2).unwrap_or_default();
    if let Some(unknown) = flags.chars().find(|flag| !"gi".contains(*flag)) {
        return Err(call
            .error_in(2, format!("`{unknown}` is not a flag of `regsub`"))
            .help("`g`: everywhere, `i`: case does not count"));
    }
    let regex = RegexBuilder::new(typed).unicode(false).case_insensitive(flags.contains('i')).build();
    let regex = regex.map_err(|error| patterns::regex_error(&error, call.span(0)))?;
    let with = call.optional(1).unwrap_or_default().as_bytes().into();
    Ok(Converter::Substitute { regex: Pattern(regex), with, everywhere: flags.contains('g') })
}

/// `map`, `map_beg`, `map_str_int`, …: a method, and what kind of value it gives.
fn map(call: &Call<'_>, known: &Known<'_>) -> Result<Option<Map>, Diagnostic> {
    let Some(rest) = call.name.strip_prefix("map") else { return Ok(None) };
    let mut words = rest.split('_').filter(|word| !word.is_empty());
    let method = words.next().unwrap_or("str");
    let output = match words.next() {
        None | Some("str") => Kind::Text,
        Some("int") => Kind::Int,
        Some("ip") => Kind::Ip,
        Some(_) => return Ok(None),
    };
    let Some(how) = patterns::How::named(method) else { return Ok(None) };
    call.at_most(2)?;
    let name = call.required(0, "a file")?;
    let span = call.span(0);
    let lines: Vec<(Typed, &str)> = known
        .lines(name, span)?
        .map(|line| {
            let (key, value) = lists::key_and_value(line);
            (Typed { value: key.to_owned(), ignore_case: false, span }, value)
        })
        .collect();
    let constant = |typed: &str| match output {
        Kind::Int => typed.parse().map(Constant::Int).map_err(|_not| format!("`{typed}` is not a number")),
        Kind::Ip => typed.parse().map(Constant::Ip).map_err(|_not| format!("`{typed}` is not an address")),
        Kind::Bool | Kind::Text | Kind::Binary | Kind::Any => Ok(Constant::Text(typed.into())),
    };
    let values = lines.iter().map(|(_, value)| constant(value)).collect::<Result<_, _>>();
    let values = values.map_err(|message| Diagnostic::error(span, format!("{name}: {message}")))?;
    let default = call.optional(1).map(constant).transpose().map_err(|message| call.error_in(1, message))?;
    let keys: Vec<_> = lines.into_iter().map(|(key, _)| key).collect();
    known.uses_list(name, Use { is_map: true, method: how.name(), ignore_case: false });
    Ok(Some(Map { keys: patterns::lookup(how, &keys)?, values, output, default }))
}

const NAMES: [&str; 36] = [
    "lower", "upper", "length", "field", "word", "url_dec", "base64", "b64dec", "hex", "sdbm", "djb2", "wt6", "crc32",
    "xxh32", "xxh64", "regsub", "add", "sub", "mul", "div", "mod", "and", "or", "xor", "not", "neg", "even", "odd",
    "ipmask", "map", "map_beg", "map_end", "map_reg", "map_ip", "strcmp", "concat",
];

/// Those of HAProxy that are not here.
const ELSEWHERE: [&str; 20] = [
    "capture-req",
    "capture-res",
    "debug",
    "digest",
    "hmac",
    "http_date",
    "in_table",
    "iif",
    "json",
    "json_query",
    "language",
    "ltime",
    "utime",
    "nbsrv",
    "protobuf",
    "secure_memcmp",
    "set-var",
    "sha1",
    "sha2",
    "ub64dec",
];
