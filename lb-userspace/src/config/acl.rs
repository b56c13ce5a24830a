//! HAProxy's ACL expressions, as strings of the configuration: `hdr(host) -i api.example.com`.
//!
//! Grammar (configuration.txt, section 7): `FETCH[,CONVERTER…] [-i] [-m METHOD] [-f FILE] [-n] [-M] [--] PATTERN…`, where a
//! fetch may carry the method as a suffix (`path_beg`). Errors point inside the string.

pub(crate) mod condition;
pub(crate) mod expression;
pub(crate) mod fetches;
pub(crate) mod format;
pub(crate) mod lists;
mod converters;
pub(crate) mod patterns;
mod words;

use super::{error::Diagnostic, source::Span, suggest::did_you_mean, text::Text};
use crate::model::{
    BackendIndex, Secret,
    acl::{Acl, List, list::Use},
    userlist::Userlist,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use words::{Word, words};

/// What expressions may name.
pub(crate) struct Known<'a> {
    /// Backends with their servers, in the order of the model.
    pub(crate) backends: Vec<(&'a str, Vec<&'a str>)>,
    pub(crate) frontends: Vec<&'a str>,
    pub(crate) userlists: BTreeMap<&'a str, Arc<Userlist>>,
    /// Files as they are named, and what is in them, or why it cannot be read.
    pub(crate) files: &'a BTreeMap<String, Result<Secret, String>>,
    /// The files that were asked for, and are not among these: whoever may read files reads them.
    pub(crate) wanted: RefCell<BTreeSet<String>>,
    /// The backends that were asked what they have in hand; `None`: whichever a request goes to.
    pub(crate) asked_for_load: RefCell<BTreeSet<Option<BackendIndex>>>,
    /// The files that things are looked up in, and how.
    pub(crate) lists: RefCell<BTreeMap<String, Vec<Use>>>,
}

impl Known<'_> {
    fn backend(&self, name: &str) -> Option<BackendIndex> {
        self.backends.iter().position(|(known, _)| *known == name)
    }

    fn server(&self, backend: BackendIndex, name: &str) -> Option<usize> {
        self.backends.get(backend)?.1.iter().position(|known| *known == name)
    }

    fn unknown_backend(&self, name: &str, span: Span) -> Diagnostic {
        let help = did_you_mean(name, self.backends.iter().map(|(name, _)| *name));
        Diagnostic::error(span, format!("there is no backend `{name}`")).maybe_help(help)
    }

    fn asks_for_load(&self, backend: Option<BackendIndex>) {
        self.asked_for_load.borrow_mut().insert(backend);
    }

    /// Whether any expression that was read asks what that backend has in hand.
    pub(crate) fn is_asked_for_load(&self, backend: BackendIndex) -> bool {
        let asked = self.asked_for_load.borrow();
        asked.contains(&None) || asked.contains(&Some(backend))
    }

    fn userlist(&self, name: &str) -> Option<Arc<Userlist>> {
        self.userlists.get(name).map(Arc::clone)
    }

    /// What a file has.
    pub(crate) fn file(&self, name: &str, span: Span) -> Result<&str, Diagnostic> {
        match self.files.get(name) {
            Some(Ok(text)) => Ok(text.reveal()),
            Some(Err(why)) => Err(Diagnostic::error(span, format!("cannot read `{name}`: {why}"))),
            None => {
                self.wanted.borrow_mut().insert(name.to_owned());
                Err(Diagnostic::error(span, format!("the file `{name}` was not read")))
            }
        }
    }

    /// The lines of a file of patterns.
    fn lines(&self, name: &str, span: Span) -> Result<impl Iterator<Item = &str>, Diagnostic> {
        Ok(lists::lines(self.file(name, span)?).map(|(_, line)| line))
    }

    /// Things are looked up in that file, in that way.
    fn uses_list(&self, file: &str, used: Use) {
        let mut lists = self.lists.borrow_mut();
        let uses = lists.entry(file.to_owned()).or_default();
        if !uses.contains(&used) {
            uses.push(used);
        }
    }

    /// The files that things are looked up in, by name.
    pub(crate) fn lists(&self) -> Vec<List> {
        let lists = self.lists.borrow();
        lists.iter().map(|(file, uses)| List { file: file.clone(), uses: uses.clone() }).collect()
    }
}

/// The expression in `text`; its error, if it has one. Warnings go to `out`.
pub(crate) fn parse(text: &Text, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> Result<Acl, Diagnostic> {
    parse_words(&words(text)?, text, known, out)
}

/// The same, of some of the words of a text.
fn parse_words(all: &[Word], text: &Text, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> Result<Acl, Diagnostic> {
    let Some((first, rest)) = all.split_first() else {
        let error = Diagnostic::error(text.span, "an ACL needs something to look at");
        return Err(error.help("such as: hdr(host) -i www.example.com"));
    };
    let (expression, suffix) = expression::parse(first, text, known)?;
    // A method says how the last value is compared, not what converters take.
    let test = patterns::parse(first, &expression, suffix, rest, text, known, out)?;
    let text = all.iter().map(|word| word.value.as_str()).collect::<Vec<_>>().join(" ");
    Ok(Acl { text: text.into(), expression, test })
}

/// The words of a text, without their places.
#[cfg(test)]
pub(crate) fn words_of(text: &str) -> Option<Vec<String>> {
    let words = words(&Text::fixed(text, Span::default())).ok()?;
    Some(words.into_iter().map(|word| word.value).collect())
}
