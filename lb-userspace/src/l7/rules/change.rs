//! Rules that change a request or a response.

use super::formatted;
use crate::{
    l7::{
        acl::{Facts, Scene, Value, Variables, expanded, value},
        answer::Answer,
        message::{Fields, Method, Request, Response, fields::elements},
    },
    model::{acl::converter::Pattern, rule::Action},
};
use std::{borrow::Cow, sync::Arc};

/// Does to a request what an action says; those that answer change nothing.
pub(super) fn apply(action: &Action, scene: &Scene<'_>, request: &mut Request, variables: &mut Variables) {
    let facts = Facts { scene, request: Some(request), response: None, variables };
    if let Some(change) = Change::of(action, &request.fields, &facts) {
        return change.apply(&mut request.fields, variables);
    }
    match action {
        Action::SetPath(format) => set_path(request, &formatted(format, &facts)),
        Action::ReplacePath(regex, with) => {
            let with = formatted(with, &facts);
            let path = regex.0.captures(request.path()).map(|captures| expanded(&with, &captures));
            if let Some(path) = path {
                set_path(request, &path);
            }
        }
        // What has no path has no query (`*`, an authority).
        Action::SetQuery(_) if request.path_and_query().is_empty() && request.authority().is_none() => {}
        Action::SetQuery(format) => {
            let query = formatted(format, &facts);
            let mut target = before_path(request);
            target.extend_from_slice(request.path());
            if !query.is_empty() {
                target.push(b'?');
                target.extend_from_slice(&query);
            }
            request.target = visible(&target);
        }
        Action::SetUri(format) => request.target = visible(&formatted(format, &facts)),
        Action::SetMethod(format) => {
            let name = formatted(format, &facts);
            // RFC 9110 §5.6.2, token: anything else would end the method early.
            let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
            if !name.is_empty() && name.iter().all(token) {
                request.method = Method::new(&name);
            }
        }
        // What changes messages of both kinds is done already; the others change no request.
        Action::SetHeader(..)
        | Action::AddHeader(..)
        | Action::DelHeader(_)
        | Action::ReplaceHeader { .. }
        | Action::SetVariable(..)
        | Action::SetStatus(_)
        | Action::Deny(_)
        | Action::Tarpit(_)
        | Action::Return(_)
        | Action::Redirect(_)
        | Action::Auth { .. } => {}
    }
}

/// The same to a response.
pub(super) fn apply_to_response(
    action: &Action,
    scene: &Scene<'_>,
    response: &mut Response,
    variables: &mut Variables,
) {
    let facts = Facts { scene, request: None, response: Some(response), variables };
    if let Some(change) = Change::of(action, &response.fields, &facts) {
        change.apply(&mut response.fields, variables);
    } else if let Action::SetStatus(status) = action
        // After "switching protocols" there is no message any more.
        && response.status != 101
    {
        response.status = *status;
        response.reason = Answer(*status).reason().into();
    }
}

/// What an action makes of a message of either kind, worked out while the message is still looked at.
enum Change<'a> {
    Set(&'a str, Vec<u8>),
    Add(&'a str, Vec<u8>),
    Delete(&'a str),
    Replace(Fields),
    Keep(&'a Arc<str>, Option<Value<'static>>),
}

impl<'a> Change<'a> {
    /// `None`: it is not about these.
    fn of(action: &'a Action, fields: &Fields, facts: &Facts<'_>) -> Option<Self> {
        Some(match action {
            Action::SetHeader(name, format) => Self::Set(name, formatted(format, facts)),
            Action::AddHeader(name, format) => Self::Add(name, formatted(format, facts)),
            Action::DelHeader(name) => Self::Delete(name),
            Action::ReplaceHeader { name, regex, with, elements } => {
                let with = formatted(with, facts);
                Self::Replace(replaced_fields(fields, name, regex, &with, *elements))
            }
            Action::SetVariable(name, expression) => Self::Keep(name, value(expression, facts).map(Value::into_owned)),
            Action::SetPath(_)
            | Action::ReplacePath(..)
            | Action::SetQuery(_)
            | Action::SetUri(_)
            | Action::SetMethod(_)
            | Action::SetStatus(_)
            | Action::Deny(_)
            | Action::Tarpit(_)
            | Action::Return(_)
            | Action::Redirect(_)
            | Action::Auth { .. } => return None,
        })
    }

    fn apply(self, fields: &mut Fields, variables: &mut Variables) {
        match self {
            Self::Set(name, value) => fields.set(name, value),
            Self::Add(name, value) => fields.push(name, value),
            Self::Delete(name) => {
                fields.remove(name);
            }
            Self::Replace(new) => *fields = new,
            Self::Keep(name, Some(value)) => variables.set(name, value),
            Self::Keep(name, None) => variables.unset(name),
        }
    }
}

/// All fields, with those of that name replaced where they match as a whole.
fn replaced_fields(fields: &Fields, name: &str, regex: &Pattern, with: &[u8], by_element: bool) -> Fields {
    let replaced = |value: &[u8]| match regex.0.captures(value) {
        Some(captures) => clean(expanded(with, &captures)),
        None => value.to_vec(),
    };
    let new = |(found, value): (&[u8], &[u8])| {
        let value = if !found.eq_ignore_ascii_case(name.as_bytes()) {
            Cow::Borrowed(value)
        } else if by_element {
            let parts: Vec<_> = elements(value).map(replaced).collect();
            Cow::Owned(parts.join(&b", "[..]))
        } else {
            Cow::Owned(replaced(value))
        };
        (found.to_vec(), value.into_owned())
    };
    fields.iter().map(new).collect()
}

/// Without what would end a line.
fn clean(mut value: Vec<u8>) -> Vec<u8> {
    value.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    value
}

/// An empty path is the one of the root.
fn set_path(request: &mut Request, path: &[u8]) {
    let mut target = before_path(request);
    target.extend_from_slice(if path.is_empty() { b"/" } else { path });
    let query = request.path_and_query().get(request.path().len()..).unwrap_or_default();
    target.extend_from_slice(query);
    request.target = visible(&target);
}

/// Scheme and authority of the target, if it has them.
fn before_path(request: &Request) -> Vec<u8> {
    let rest = request.path_and_query().len();
    if rest == 0 && request.authority().is_none() {
        return Vec::new();
    }
    request.target.get(..request.target.len().saturating_sub(rest)).unwrap_or_default().to_vec()
}

/// A target without spaces and control characters, which would end it: they become `%20` and so on. An empty one, which would
/// leave nothing between the spaces of the request line, is the root.
fn visible(target: &[u8]) -> Vec<u8> {
    if target.is_empty() {
        return b"/".to_vec();
    }
    let mut safe = Vec::with_capacity(target.len());
    for byte in target {
        if byte.is_ascii_graphic() || !byte.is_ascii() {
            safe.push(*byte);
        } else {
            safe.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    safe
}
