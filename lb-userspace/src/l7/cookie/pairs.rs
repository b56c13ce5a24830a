//! The pairs of `Cookie`, and the one of each `Set-Cookie` (RFC 6265 §4).

use crate::l7::message::Fields;

/// The value of the first cookie of that name in a request.
pub(super) fn find<'a>(fields: &'a Fields, name: &[u8]) -> Option<&'a [u8]> {
    let pairs = fields.all("cookie").flat_map(|line| line.split(|byte| *byte == b';')).map(split);
    pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
}

/// Changes the values of all cookies of that name in a request; `None` takes one away, and a field with none left.
pub(super) fn change(fields: &mut Fields, name: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if find(fields, name).is_none() {
        return;
    }
    fields.map_values(|field, line| {
        let is_ours = field.eq_ignore_ascii_case(b"cookie") && has(line, name);
        is_ours.then(|| changed(line, name, &change))
    });
    fields.retain(|field, line| !field.eq_ignore_ascii_case(b"cookie") || !line.is_empty());
}

fn has(line: &[u8], name: &[u8]) -> bool {
    line.split(|byte| *byte == b';').any(|pair| split(pair).0 == name)
}

fn changed(line: &[u8], name: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let pairs = line.split(|byte| *byte == b';').filter_map(|pair| match split(pair) {
        (found, value) if found == name => change(value).map(|value| [name, b"=", &value].concat()),
        _ => Some(pair.trim_ascii().to_vec()),
    });
    pairs.collect::<Vec<_>>().join(&b"; "[..])
}

/// Whether an answer sets that cookie.
pub(super) fn is_set(fields: &Fields, name: &[u8]) -> bool {
    fields.all("set-cookie").any(|line| set(line).0 == name)
}

/// Whether a field of an answer does.
pub(super) fn sets(field: &[u8], line: &[u8], name: &[u8]) -> bool {
    field.eq_ignore_ascii_case(b"set-cookie") && set(line).0 == name
}

/// Changes the value of that cookie where an answer sets it; its attributes stay.
pub(super) fn change_set(fields: &mut Fields, name: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) {
    fields.map_values(|field, line| {
        let (_, value) = sets(field, line, name).then(|| set(line))?;
        let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
        Some([name, b"=", &change(value), line.get(end..).unwrap_or_default()].concat())
    });
}

fn set(line: &[u8]) -> (&[u8], &[u8]) {
    split(line.split(|byte| *byte == b';').next().unwrap_or_default())
}

/// Name and value of `name=value`.
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
    let (name, value) = pair.split_at(equals);
    (name.trim_ascii(), value.strip_prefix(b"=").unwrap_or_default().trim_ascii())
}
