//! `stats_socket` of `[global]`.

use crate::{
    config::{
        error::Diagnostic,
        file::{Global as Typed, StatsSocket as TypedSocket},
        read::{Knob, OneOrMany},
        source::{At, Span},
        text::Text,
    },
    model::StatsSocket,
};
use std::path::{Path, PathBuf};

pub(super) fn stats_sockets(typed: &Typed, control: &Path, out: &mut Vec<Diagnostic>) -> Vec<StatsSocket> {
    let typed = typed.stats_socket.value().map_or(&[][..], |OneOrMany(sockets)| sockets);
    let mut found: Vec<(StatsSocket, Span)> = Vec::new();
    for At { value, span } in typed {
        let Some(socket) = one(&value.0, *span, out) else { continue };
        if socket.path == control {
            out.push(Diagnostic::error(*span, "the control socket is there: a stats socket needs a path of its own"));
        } else if let Some((_, first)) = found.iter().find(|(other, _)| other.path == socket.path) {
            let error = Diagnostic::error(*span, "two stats sockets have the same path");
            out.push(error.related(*first, "first here"));
        }
        found.push((socket, *span));
    }
    found.into_iter().map(|(socket, _)| socket).collect()
}

fn one(typed: &TypedSocket, span: Span, out: &mut Vec<Diagnostic>) -> Option<StatsSocket> {
    let Some(path) = typed.path.given() else {
        if typed.path.is_absent() {
            out.push(Diagnostic::error(span, "a stats socket needs a `path`"));
        }
        return None;
    };
    let text = &path.value.value;
    if !text.starts_with('/') || text.contains('\0') {
        out.push(Diagnostic::error(path.span, "`path` must be an absolute path"));
    } else if text.len() > LONGEST {
        out.push(Diagnostic::error(path.span, format!("`path` has {} bytes, {LONGEST} at most", text.len())));
    }
    Some(StatsSocket {
        path: PathBuf::from(text),
        mode: typed.mode.value().map_or(MODE, |text| mode(text, out)),
        group: group(&typed.group, out),
        level: typed.level.value().copied().unwrap_or_default(),
    })
}

fn mode(text: &Text, out: &mut Vec<Diagnostic>) -> u32 {
    let digits = text.value.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(&text.value);
    if digits.len() == 3
        && let Ok(mode) = u32::from_str_radix(digits, 8)
        && digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return mode;
    }
    let error = Diagnostic::error(text.span, format!("`{text}` is no mode of a socket"));
    out.push(error.help("three octal digits, as in chmod(1): \"600\", \"660\""));
    MODE
}

fn group(knob: &Knob<Text>, out: &mut Vec<Diagnostic>) -> Option<String> {
    let text = knob.value()?;
    if text.value.is_empty() || text.value.contains([':', '\0', '\n', '/']) {
        out.push(Diagnostic::error(text.span, format!("`{text}` cannot be the name of a group")));
    }
    Some(text.value.clone())
}

const MODE: u32 = 0o600;
/// In bytes: sun_path of unix(7), with the name that it has for a moment until it is as it should be.
const LONGEST: usize = 90;
