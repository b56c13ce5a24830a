//! Checks of type `exec`.

use crate::{
    config::{
        bundle::Bundle,
        error::Diagnostic,
        file::{CheckKeys, ExecKeys},
        read::OneOrMany,
        source::Span,
        text::Text,
    },
    model::check::{ExecCheck, Spoken},
};
use std::path::PathBuf;

pub(super) fn check(
    (keys, typed): (&CheckKeys, &ExecKeys),
    spoken: Spoken,
    (span, bundle): (Span, &Bundle),
    out: &mut Vec<Diagnostic>,
) -> ExecCheck {
    refuse_of_connections(keys, out);
    let args: Vec<&Text> =
        typed.args.value().into_iter().flat_map(|OneOrMany(args)| args).map(|at| &at.value).collect();
    let texts = typed.command.value().into_iter().chain(args.iter().copied()).chain(typed.path.value());
    for text in texts.clone().filter(|text| text.value.contains('\0')) {
        out.push(Diagnostic::error(text.span, "no program can be given a zero byte"));
    }
    if texts.map(|text| text.value.len()).sum::<usize>() > LONGEST {
        out.push(Diagnostic::error(
            span,
            format!("`command`, `args` and `path` have more than {LONGEST} bytes together"),
        ));
    }
    match typed.command.value() {
        Some(command) if !command.value.starts_with('/') => {
            let error = Diagnostic::error(command.span, "`command` must be an absolute path");
            out.push(error.help("it is run in `/`, whatever directory the daemon was started in"));
        }
        Some(command) => {
            if let Some(Err(why)) = bundle.commands.get(&command.value) {
                out.push(Diagnostic::error(command.span, format!("`{command}` cannot be run: {why}")));
            }
        }
        None if typed.command.is_absent() => {
            let error = Diagnostic::error(span, "a check of type `exec` needs a `command`");
            out.push(error.help("the absolute path of a program, which ends with status 0 if the server works"));
        }
        None => {}
    }
    ExecCheck {
        command: typed.command.value().map(|command| PathBuf::from(&command.value)).unwrap_or_default(),
        args: args.into_iter().map(|arg| arg.value.clone()).collect(),
        path: typed.path.value().map(|path| path.value.clone()).unwrap_or_default(),
        spoken,
    }
}

/// The program is told of the server, and nothing else.
fn refuse_of_connections(keys: &CheckKeys, out: &mut Vec<Diagnostic>) {
    let given = [
        ("port", keys.port.given().map(|port| port.span)),
        ("address", keys.address.given().map(|address| address.span)),
        ("tls", keys.tls.given().map(|tls| tls.span)),
        ("send_proxy", keys.send_proxy.given().map(|version| version.span)),
    ];
    for (key, span) in given.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let error = Diagnostic::error(span, format!("`{key}` has no meaning in a check by a program"));
        out.push(error.help("as with HAProxy, it is told where the server is that takes the traffic"));
    }
}

/// Most bytes of a program with its arguments: what is asked for it fits a message, whatever is in them.
const LONGEST: usize = 8_192;
