//! What is right and could be better: names of ACLs that say what follows from them, backends that nobody looks after.

use super::{Entry, Use};
use crate::config::{
    error::Diagnostic,
    file::{Backend, Frontend},
    read::{Knob, Named, OneOrMany},
    source::At,
    text::Text,
};

/// First words of names that say what is done.
const DEEDS: [&str; 19] = [
    "allow", "backend", "be", "block", "deny", "drop", "forward", "go", "goto", "redirect", "reject", "return",
    "route", "send", "switch", "tarpit", "to", "use", "serve",
];

type Acls = Knob<Named<OneOrMany<Text>>>;

pub(super) fn lint(
    frontends: &[&Entry<Frontend>],
    backends: &[&Entry<Backend>],
    uses: &[Use<'_>],
    out: &mut Vec<Diagnostic>,
) {
    let names: Vec<&str> = backends.iter().map(|(name, _)| name.value.as_str()).collect();
    let acls = frontends.iter().map(|(_, of)| &of.acl).chain(backends.iter().map(|(_, of)| &of.acl));
    for (name, OneOrMany(expressions)) in acls.filter_map(|acls: &Acls| acls.value()).flat_map(|Named(acls)| acls) {
        let first = name.value.split(['_', '-', '.']).next().unwrap_or_default().to_ascii_lowercase();
        if DEEDS.contains(&first.as_str()) || names.contains(&name.value.as_str()) {
            let message = format!("ACL `{}` is named after what it triggers, not after what it matches", name.value);
            let better = expressions.iter().find_map(better);
            let help = better.map(|better| format!("a reader wants to know what holds then: `{better}`"));
            out.push(Diagnostic::note(name.span, message).maybe_help(help));
        }
    }
    for (index, (name, backend)) in backends.iter().enumerate() {
        let servers = || backend.server.value().into_iter().flatten().map(|server| &server.value);
        let is_used = uses.iter().any(|used| used.backend == index);
        let is_seen = |server: &crate::config::file::Server| !server.track.is_absent() || !server.agent.is_absent();
        if is_used && backend.check.is_absent() && !servers().all(is_seen) {
            let message =
                format!("backend `{}` has no `check`: a server that is dead gets traffic all the same", name.value);
            out.push(
                Diagnostic::note(name.span, message)
                    .help("check = { type = \"tcp\" }, or better one that speaks the protocol"),
            );
        }
    }
}

/// A name that says what an expression looks at: `host_api` for `hdr(host) -i api.example.com`.
fn better(expression: &At<Text>) -> Option<String> {
    let text = &expression.value.value;
    let fetch = text.split([',', ' ', '\t']).next()?;
    let about = match fetch.split('(').next()?.trim_start_matches("req.") {
        of if of.starts_with("hdr") && fetch.contains("host") => "host",
        of if of.starts_with("hdr") => "header",
        of if of.starts_with("path") => "path",
        of if of.starts_with("url") => "url",
        of if of.starts_with("src") => "from",
        of if of.starts_with("method") => "method",
        of if of.contains("sni") => "name",
        _ => return None,
    };
    let pattern = text.split_whitespace().skip(1).find(|word| !word.starts_with('-'))?;
    let word = pattern.split(|letter: char| !letter.is_ascii_alphanumeric()).find(|part| !part.is_empty())?;
    Some(format!("{about}_{}", word.to_ascii_lowercase()))
}
