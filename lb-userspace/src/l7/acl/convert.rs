//! Converters: one value made of another.

use super::{Value, facts::Facts, value::hexadecimal};
use crate::{
    hashing,
    model::acl::converter::{Case, Coding, Converter, Cut, Hash, Map, Operand, Operation, Unary},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::bytes::{Captures, Regex};
use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What `converter` makes of `value`; `None`: nothing can be made of it.
pub(super) fn apply<'a>(converter: &'a Converter, value: Value<'a>, facts: &Facts<'a>) -> Option<Value<'a>> {
    let value = value.cast(converter.kinds().0)?;
    Some(match (converter, value) {
        (Converter::Case(case), Value::Text(text)) => Value::Text(with_case(*case, text)),
        (Converter::Length, Value::Text(text)) => int(text.len()),
        (Converter::Field(cut), Value::Text(text)) => Value::Text(part(cut, text, false)?),
        (Converter::Word(cut), Value::Text(text)) => Value::Text(part(cut, text, true)?),
        (Converter::UrlDecode(query), Value::Text(text)) => Value::made(url_decoded(&text, *query)?),
        (Converter::Coding(Coding::FromBase64), Value::Text(text)) => {
            Value::Binary(STANDARD.decode(&*text).ok()?.into())
        }
        (Converter::Coding(Coding::Base64), Value::Binary(bytes)) => Value::made(STANDARD.encode(&*bytes)),
        (Converter::Coding(Coding::Hex), Value::Binary(bytes)) => Value::made(hexadecimal(&bytes)),
        (Converter::Hash(hash), Value::Binary(bytes)) => Value::Int(hashed(*hash, &bytes)),
        (Converter::Bytes(offset, length), Value::Binary(bytes)) => Value::Binary(slice(*offset, *length, bytes)),
        (Converter::Substitute { regex, with, everywhere }, Value::Text(text)) => {
            Value::Text(substituted(&regex.0, with, *everywhere, text))
        }
        (Converter::Concat { before, variable, after }, Value::Text(text)) => {
            let mut text = text.into_owned();
            text.extend_from_slice(before.as_bytes());
            let kept = variable.as_ref().and_then(|name| facts.variables.get(name));
            text.extend_from_slice(&kept.map(|value| value.borrowed().into_text()).unwrap_or_default());
            text.extend_from_slice(after.as_bytes());
            Value::made(text)
        }
        (Converter::Compare(name), Value::Text(text)) => {
            let other = facts.variables.get(name)?.borrowed().into_text();
            Value::Int((*text).cmp(&*other) as i64)
        }
        (Converter::Arithmetic(operation, operand), Value::Int(value)) => {
            let other = match operand {
                Operand::Int(other) => *other,
                Operand::Variable(name) => facts.variables.get(name)?.borrowed().into_int()?,
            };
            Value::Int(calculated(*operation, value, other))
        }
        (Converter::Unary(unary), Value::Int(value)) => match unary {
            Unary::Neg => Value::Int(value.wrapping_neg()),
            Unary::Complement => Value::Int(!value),
            Unary::Not => Value::Bool(value == 0),
            Unary::Bool => Value::Bool(value != 0),
            Unary::Even => Value::Bool(value & 1 == 0),
            Unary::Odd => Value::Bool(value & 1 == 1),
        },
        (Converter::IpMask(four, six), Value::Ip(address)) => Value::Ip(masked(address, *four, *six)),
        (Converter::Map(map), value) => return mapped(map, value),
        (_, _) => return None,
    })
}

fn int(length: usize) -> Value<'static> {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

fn with_case(case: Case, text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let differs = match case {
        Case::Lower => text.iter().any(u8::is_ascii_uppercase),
        Case::Upper => text.iter().any(u8::is_ascii_lowercase),
    };
    if !differs {
        return text;
    }
    let mut text = text.into_owned();
    match case {
        Case::Lower => text.make_ascii_lowercase(),
        Case::Upper => text.make_ascii_uppercase(),
    }
    text.into()
}

/// Parts of a text between delimiters, with the delimiters between them. `skips`: empty parts do not count.
fn part<'a>(cut: &Cut, text: Cow<'a, [u8]>, skips: bool) -> Option<Cow<'a, [u8]>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for piece in text.split(|byte| cut.delimiters.contains(byte)) {
        if !(skips && piece.is_empty()) {
            parts.push(start..start + piece.len());
        }
        start += piece.len() + 1;
    }
    let nth = usize::try_from(cut.index.unsigned_abs()).ok()?.checked_sub(1)?;
    let more = usize::try_from(cut.count).ok()?.checked_sub(1);
    // From the end, more parts are those before.
    let (first, last) = if cut.index > 0 {
        (nth, more.map_or(usize::MAX, |more| nth.saturating_add(more)).min(parts.len().checked_sub(1)?))
    } else {
        let last = parts.len().checked_sub(nth + 1)?;
        (more.map_or(0, |more| last.saturating_sub(more)), last)
    };
    let mut range = parts.get(first)?.start..parts.get(last)?.end;
    // "All that are left" takes delimiters with it.
    match (more, cut.index > 0) {
        (None, true) => range.end = text.len(),
        (None, false) => range.start = 0,
        (Some(_), _) => {}
    }
    if range.is_empty() && skips {
        return None;
    }
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(range)?),
        Cow::Owned(mut text) => {
            text.truncate(range.end);
            text.drain(..range.start);
            Cow::Owned(text)
        }
    })
}

/// `%41` → `A`; `None`: it ends inside of one, or has one that is none. `+` is a space in a query.
fn url_decoded(text: &[u8], whole_is_query: bool) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut in_query = whole_is_query;
    let mut bytes = text.iter();
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if in_query => decoded.push(b' '),
            b'%' => decoded.push(digit(bytes.next())? << 4 | digit(bytes.next())?),
            byte => {
                in_query |= *byte == b'?';
                decoded.push(*byte);
            }
        }
    }
    Some(decoded)
}

fn hashed(hash: Hash, bytes: &[u8]) -> i64 {
    let mixed = |hash, mix| i64::from(if mix { hashing::avalanche(hash) } else { hash });
    match hash {
        Hash::Sdbm(mix) => mixed(hashing::sdbm(bytes), mix),
        Hash::Djb2(mix) => mixed(hashing::djb2(bytes), mix),
        Hash::Wt6(mix) => mixed(hashing::wt6(bytes), mix),
        Hash::Crc32(mix) => mixed(hashing::crc32(bytes), mix),
        Hash::Xxh32(seed) => xxhash_rust::xxh32::xxh32(bytes, seed).into(),
        Hash::Xxh64(seed) => xxhash_rust::xxh64::xxh64(bytes, seed).cast_signed(),
    }
}

/// What lies beyond the end is left out.
fn slice(offset: usize, length: Option<usize>, bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let start = offset.min(bytes.len());
    let end = length.map_or(bytes.len(), |length| start.saturating_add(length).min(bytes.len()));
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..end).unwrap_or_default()),
        Cow::Owned(bytes) => Cow::Owned(bytes.get(start..end).unwrap_or_default().to_vec()),
    }
}

/// Replaces what matches, once or everywhere; `\0` to `\9` stand for the match and its groups.
pub(in crate::l7) fn substituted<'a>(
    regex: &Regex,
    with: &[u8],
    everywhere: bool,
    text: Cow<'a, [u8]>,
) -> Cow<'a, [u8]> {
    let limit = usize::from(!everywhere);
    let replaced = match regex.replacen(&text, limit, |captures: &Captures<'_>| expanded(with, captures)) {
        Cow::Borrowed(_) => return text,
        Cow::Owned(replaced) => replaced,
    };
    replaced.into()
}

/// A replacement with the groups in it.
pub(in crate::l7) fn expanded(with: &[u8], captures: &Captures<'_>) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(with.len());
    let mut bytes = with.iter();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.as_slice().first()) {
            (b'\\', Some(digit @ b'0'..=b'9')) => {
                let group = captures.get(usize::from(digit - b'0'));
                expanded.extend_from_slice(group.map_or(b"", |group| group.as_bytes()));
                bytes.next();
            }
            (b'\\', Some(escaped)) => {
                expanded.push(*escaped);
                bytes.next();
            }
            (byte, _) => expanded.push(*byte),
        }
    }
    expanded
}

fn calculated(operation: Operation, value: i64, other: i64) -> i64 {
    match operation {
        Operation::Add => value.saturating_add(other),
        Operation::Sub => value.saturating_sub(other),
        Operation::Mul => value.saturating_mul(other),
        Operation::Div => match other {
            0 => i64::MAX,
            other => value.saturating_div(other),
        },
        Operation::Mod => value.checked_rem(other).unwrap_or(0),
        Operation::And => value & other,
        Operation::Or => value | other,
        Operation::Xor => value ^ other,
    }
}

/// An address with all bits but those of a prefix gone.
fn masked(address: IpAddr, four: u8, six: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(four.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(six.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

fn mapped<'a>(map: &'a Map, value: Value<'a>) -> Option<Value<'a>> {
    let found = match value {
        Value::Int(value) => map.keys.find_int(value),
        Value::Bool(value) => map.keys.find_int(value.into()),
        Value::Ip(address) => map.keys.find_ip(address),
        Value::Text(bytes) | Value::Binary(bytes) => map.keys.find_bytes(&bytes),
    };
    let value = found.and_then(|index| map.values.get(usize::try_from(index).ok()?));
    value.or(map.default.as_ref()).map(Value::from)
}
