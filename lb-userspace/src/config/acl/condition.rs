//! Conditions of rules: `host_api !path_admin or other`. AND binds closer than `or`, as in HAProxy.

use crate::{
    config::{error::Diagnostic, source::Span, suggest::did_you_mean, text::Text},
    model::rule::{Acl, Condition, Term},
};
use std::collections::BTreeMap;

/// The ACLs of a frontend by name.
#[derive(Default)]
pub(crate) struct Acls<'a>(BTreeMap<&'a str, Entry>);

struct Entry {
    span: Span,
    acl: Vec<Acl>,
    used: bool,
}

impl<'a> Acls<'a> {
    /// Adds an ACL. One with errors belongs here too, so that its uses are not reported as unknown names.
    pub(crate) fn insert(&mut self, name: &'a str, span: Span, acl: Vec<Acl>) {
        self.0.insert(name, Entry { span, acl, used: false });
    }

    /// Those that no condition has named.
    pub(crate) fn unused(&self) -> impl Iterator<Item = (&str, Span)> {
        self.0.iter().filter(|(_, entry)| !entry.used).map(|(name, entry)| (*name, entry.span))
    }

    fn term(&mut self, negated: bool, name: &str, span: Span) -> Result<Term, Diagnostic> {
        if let Some(entry) = self.0.get_mut(name) {
            entry.used = true;
            return Ok(Term { negated, acl: entry.acl.clone() });
        }
        let error = Diagnostic::error(span, format!("no ACL is called `{name}`"));
        Err(match name {
            "and" | "&&" | "AND" => error.help("terms side by side must all hold: leave it out"),
            "OR" | "|" => error.help("alternatives are joined by `or` or `||`"),
            _ if name.starts_with(['{', '}']) => error.help("anonymous ACLs are not supported yet: give it a name"),
            _ if PREDEFINED.contains(&name) => error.help("predefined ACLs are not supported yet: define one"),
            _ => error.maybe_help(did_you_mean(name, self.0.keys().copied())),
        })
    }
}

/// The condition in `text`; all its errors.
pub(crate) fn parse(text: &Text, acls: &mut Acls<'_>) -> Result<Condition, Vec<Diagnostic>> {
    let mut any = vec![Vec::new()];
    let mut errors = Vec::new();
    let mut negated = false;
    // What to say if nothing follows: at the start, after `or` and after `!`.
    let mut open = Some((text.span, "an empty condition"));
    let mut words = text.value.split_whitespace();
    while let Some(word) = words.next() {
        // A word of `split_whitespace` is a part of the text it splits.
        let start = word.as_ptr().addr() - text.value.as_ptr().addr();
        let span = text.part(start..start + word.len());
        if matches!(word, "or" | "||") {
            if open.is_some() {
                errors.push(Diagnostic::error(span, format!("nothing before `{word}`")));
            }
            any.push(Vec::new());
            open = Some((span, "a name of an ACL must follow"));
            continue;
        }
        let name = word.trim_start_matches('!');
        negated ^= (word.len() - name.len()) % 2 == 1;
        if name.is_empty() {
            open = Some((span, "a name of an ACL must follow"));
            continue;
        }
        let name_span = text.part(start + word.len() - name.len()..start + word.len());
        match (acls.term(negated, name, name_span), any.last_mut()) {
            (Ok(term), Some(terms)) => terms.push(term),
            (Ok(_), None) => {}
            (Err(error), _) => errors.push(error),
        }
        if name.starts_with('{') && !word.ends_with('}') {
            // The rest of an anonymous ACL: its words are no names.
            words.by_ref().find(|word| word.ends_with('}'));
        }
        negated = false;
        open = None;
    }
    errors.extend(open.map(|(span, message)| Diagnostic::error(span, message)));
    if errors.is_empty() { Ok(Condition { any }) } else { Err(errors) }
}

/// The opposite, for `unless`: `!(a b or c)` is `!a !c or !b !c` (De Morgan). `None`: more than [`MAX_ALTERNATIVES`].
pub(crate) fn opposite(condition: &Condition) -> Option<Condition> {
    let mut any = vec![Vec::new()];
    for terms in &condition.any {
        if any.len() * terms.len() > MAX_ALTERNATIVES {
            return None;
        }
        let extended = any.iter().flat_map(|chosen: &Vec<Term>| {
            terms.iter().map(move |term| {
                let mut chosen = chosen.clone();
                chosen.push(Term { negated: !term.negated, acl: term.acl.clone() });
                chosen
            })
        });
        any = extended.collect();
    }
    Some(Condition { any })
}

/// Beyond this an `unless` is unreadable anyway, and its expansion would grow exponentially.
const MAX_ALTERNATIVES: usize = 256;

/// What HAProxy defines by itself (configuration.txt, section 7.4).
const PREDEFINED: [&str; 22] = [
    "FALSE",
    "HTTP",
    "HTTP_1.0",
    "HTTP_1.1",
    "HTTP_2.0",
    "HTTP_3.0",
    "HTTP_CONTENT",
    "HTTP_URL_ABS",
    "HTTP_URL_SLASH",
    "HTTP_URL_STAR",
    "LOCALHOST",
    "METH_CONNECT",
    "METH_DELETE",
    "METH_GET",
    "METH_HEAD",
    "METH_OPTIONS",
    "METH_POST",
    "METH_PUT",
    "METH_TRACE",
    "RDP_COOKIE",
    "REQ_CONTENT",
    "TRUE",
];
