//! Servers that track others: each becomes what the checked server at the end of its chain is.

use super::Entry;
use crate::{
    config::{
        error::Diagnostic,
        file::{Backend as Typed, Server as TypedServer},
        source::At,
        text::Text,
    },
    model::{Backend, ServerName},
};

/// Says in `model`, the backends as typed in the same order, which server each one tracks.
pub(super) fn resolve(typed: &[&Entry<Typed>], model: &mut [Backend], out: &mut Vec<Diagnostic>) {
    for ((name, typed_backend), backend) in typed.iter().zip(model) {
        let servers = typed_backend.server.value().into_iter().flatten();
        for (At { value: server, .. }, resolved) in servers.zip(&mut backend.servers) {
            let Some(text) = server.track.value() else { continue };
            match end(&name.value, text, typed) {
                Ok(tracked) => resolved.track = Some(tracked),
                Err(error) => out.push(error),
            }
        }
    }
}

/// The checked server that tracking begins to lead to with `text` of a server of that backend.
fn end(backend: &str, text: &Text, all: &[&Entry<Typed>]) -> Result<ServerName, Diagnostic> {
    let mut name = split(backend, text);
    // A longer chain than there are servers goes round in circles.
    let servers = all.iter().map(|(_, backend)| backend.server.value().map_or(0, Vec::len)).sum();
    for _ in 0..servers {
        let Some((of, server)) = find(&name, all) else {
            let error = format!("there is no server `{}/{}` that could be tracked", name.backend, name.server);
            return Err(Diagnostic::error(text.span, error));
        };
        match server.track.value() {
            Some(next) => name = split(&name.backend, next),
            None if !of.check.is_absent() => return Ok(name),
            None => {
                let error =
                    format!("server `{}/{}` is not checked: it has nothing to track", name.backend, name.server);
                let help = format!("give backend `{}` a `check`", name.backend);
                return Err(Diagnostic::error(text.span, error).help(help));
            }
        }
    }
    Err(Diagnostic::error(text.span, format!("tracking `{text}` leads round in circles, to no server that is checked")))
}

/// `BACKEND/SERVER`, or `SERVER` of that backend.
fn split(backend: &str, text: &Text) -> ServerName {
    let (backend, server) = text.value.split_once('/').unwrap_or((backend, &text.value));
    ServerName { backend: backend.to_owned(), server: server.to_owned() }
}

fn find<'a>(name: &ServerName, all: &'a [&Entry<Typed>]) -> Option<(&'a Typed, &'a TypedServer)> {
    let (_, backend) = all.iter().find(|(known, _)| known.value == name.backend)?;
    let mut servers = backend.server.value().into_iter().flatten().map(|server| &server.value);
    let server = servers.find(|server| server.name.value().is_some_and(|known| known.value == name.server))?;
    Some((backend, server))
}
