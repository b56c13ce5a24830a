//! Names: what they may be made of, that each is given once, and which backend one means.

use super::Entry;
use crate::config::{error::Diagnostic, file::Backend, read::Named, source::Span, suggest::did_you_mean, text::Text};

/// The tables sorted by name, each name once: equal configurations give equal models. `noun` is for messages.
pub(super) fn sorted<'a, T>(noun: &str, named: Option<&'a Named<T>>, out: &mut Vec<Diagnostic>) -> Vec<&'a Entry<T>> {
    let mut entries: Vec<_> = named.into_iter().flat_map(|Named(entries)| entries).collect();
    for (name, _) in &entries {
        check(noun, &name.value, name.span, out);
    }
    entries.sort_by(|(a, _), (b, _)| (&a.value, a.span).cmp(&(&b.value, b.span)));
    entries.dedup_by(|(later, _), (first, _)| {
        let twice = later.value == first.value;
        if twice {
            let error = Diagnostic::error(later.span, format!("{noun} `{}` is defined in two files", later.value));
            out.push(error.related(first.span, "first here"));
        }
        twice
    });
    entries
}

/// Reports a name that HAProxy would not take: names go into metrics, logs and commands.
pub(super) fn check(noun: &str, name: &str, span: Span, out: &mut Vec<Diagnostic>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        let message = format!("{noun} name `{}` is not allowed", name.escape_default());
        out.push(Diagnostic::error(span, message).help("a name is made of letters, digits, `_`, `.`, `:` and `-`"));
    }
}

/// The backends by name.
pub(super) struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    /// Of backends sorted by name.
    pub(super) fn new(backends: &[&'a Entry<Backend>]) -> Self {
        Self(backends.iter().map(|(name, _)| name.value.as_str()).collect())
    }

    /// The index of a backend.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.binary_search(&name).ok()
    }

    /// The error for a backend that names another which does not exist.
    pub(super) fn unknown_here(&self, text: &Text) -> Diagnostic {
        let help = did_you_mean(&text.value, self.0.iter().copied());
        Diagnostic::error(text.span, format!("there is no backend `{text}`")).maybe_help(help)
    }

    pub(super) fn unknown(&self, frontend: &str, text: &Text) -> Diagnostic {
        let error =
            Diagnostic::error(text.span, format!("frontend `{frontend}` uses backend `{text}`, which does not exist"));
        let help = did_you_mean(&text.value, self.0.iter().copied());
        error.label("no `[backend.…]` has this name").maybe_help(help)
    }
}
