//! Conditions of rules: `host_api !path_admin or { src 10.0.0.0/8 }`. AND binds closer than `or`, as in HAProxy.

use super::{
    Known,
    words::{Word, words},
};
use crate::{
    config::{error::Diagnostic, source::Span, suggest::did_you_mean, text::Text},
    model::acl::{Acl, Condition, Term, expression::Moment},
};
use std::{collections::BTreeMap, sync::Arc};

/// The ACLs of a frontend or backend by name.
#[derive(Default)]
pub(crate) struct Acls<'a>(BTreeMap<&'a str, Entry>);

struct Entry {
    span: Span,
    acl: Arc<[Acl]>,
    used: bool,
}

impl<'a> Acls<'a> {
    /// Adds an ACL. One with errors belongs here too, so that its uses are not reported as unknown names.
    pub(crate) fn insert(&mut self, name: &'a str, span: Span, acl: Vec<Acl>) {
        self.0.insert(name, Entry { span, acl: acl.into(), used: false });
    }

    /// Those that no condition has named.
    pub(crate) fn unused(&self) -> impl Iterator<Item = (&str, Span)> {
        self.0.iter().filter(|(_, entry)| !entry.used).map(|(name, entry)| (*name, entry.span))
    }

    fn named(&mut self, name: &str, span: Span, known: &Known<'_>) -> Result<Arc<[Acl]>, Diagnostic> {
        if let Some(entry) = self.0.get_mut(name) {
            entry.used = true;
            return Ok(Arc::clone(&entry.acl));
        }
        if let Some((_, expression)) = PREDEFINED.iter().find(|(known, _)| *known == name) {
            return super::parse(&Text::fixed(expression, span), known, &mut Vec::new()).map(|acl| [acl].into());
        }
        let error = Diagnostic::error(span, format!("no ACL is called `{name}`"));
        Err(match name {
            "and" | "&&" | "AND" => error.help("terms side by side must all hold: leave it out"),
            "OR" | "|" => error.help("alternatives are joined by `or` or `||`"),
            _ if name.starts_with(['{', '}']) => {
                error.help("the braces of an anonymous ACL are words of their own: { path /a }")
            }
            _ => {
                let names = self.0.keys().copied().chain(PREDEFINED.iter().map(|(name, _)| *name));
                error.maybe_help(did_you_mean(name, names))
            }
        })
    }
}

/// When a condition is looked at: what is not there at that moment is an error in it.
pub(crate) fn check_moment(acl: &[Acl], when: Moment, span: Span) -> Result<(), Diagnostic> {
    acl.iter().try_for_each(|acl| check_fetch(acl.expression.fetch.moment(), when, span))
}

/// The same of one fetch.
pub(crate) fn check_fetch(there: Moment, when: Moment, span: Span) -> Result<(), Diagnostic> {
    let (message, help) = match (there, when) {
        (Moment::Response, Moment::Connection | Moment::Content | Moment::Request) => {
            ("the response is not there yet", "`on = \"response\"` waits for it")
        }
        (Moment::Request, Moment::Connection) => ("the request is not there yet", "connections have addresses and TLS"),
        (Moment::Request, Moment::Content) => {
            ("a `tcp` frontend reads no requests", "its rules may look at req.ssl_sni, req.payload(offset,length), …")
        }
        (Moment::Content, Moment::Connection) => {
            ("nothing has been read of the connection yet", "`on = \"content\"` waits for it, in `tcp` frontends")
        }
        (Moment::Content, Moment::Request | Moment::Response) => (
            "only `tcp` frontends look at what they relay",
            "requests have fields, and ssl_fc_sni where TLS is terminated",
        ),
        (Moment::Request, Moment::Response) => (
            "the request is gone when its response comes",
            "keep what is needed: set_var in a rule of the request, var(txn.…) here",
        ),
        (Moment::Connection, _)
        | (Moment::Content, Moment::Content)
        | (Moment::Request, Moment::Request)
        | (Moment::Response, Moment::Response) => return Ok(()),
    };
    Err(Diagnostic::error(span, message).help(help))
}

/// A condition being read.
struct Reading<'r, 'a, 'k> {
    text: &'r Text,
    acls: &'r mut Acls<'a>,
    known: &'r Known<'k>,
    when: Moment,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// The condition in `text`; all its errors. Warnings go to `out`.
pub(crate) fn parse(
    text: &Text,
    acls: &mut Acls<'_>,
    known: &Known<'_>,
    when: Moment,
    out: &mut Vec<Diagnostic>,
) -> Result<Condition, Vec<Diagnostic>> {
    let words = words(text).map_err(|error| vec![error])?;
    let mut reading = Reading { text, acls, known, when, errors: Vec::new(), warnings: Vec::new() };
    let any = reading.alternatives(&words);
    out.append(&mut reading.warnings);
    if reading.errors.is_empty() { Ok(Condition { negated: false, any }) } else { Err(reading.errors) }
}

impl Reading<'_, '_, '_> {
    fn alternatives(&mut self, words: &[Word]) -> Vec<Vec<Term>> {
        let mut any = vec![Vec::new()];
        let mut negated = false;
        // What to say if nothing follows: at the start, after `or` and after `!`.
        let mut open = Some((self.text.span, "an empty condition"));
        let mut rest = words;
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            let span = self.text.part(word.range.clone());
            if matches!(word.value.as_str(), "or" | "||") && !word.quoted {
                if open.is_some() {
                    self.errors.push(Diagnostic::error(span, format!("nothing before `{}`", word.value)));
                }
                any.push(Vec::new());
                open = Some((span, "a name of an ACL must follow"));
                continue;
            }
            let name = word.value.trim_start_matches('!');
            let bangs = word.value.len() - name.len();
            negated ^= bangs % 2 == 1;
            if name.is_empty() {
                open = Some((span, "a name of an ACL must follow"));
                continue;
            }
            let name_span = self.text.part(word.part(bangs..word.value.len()));
            let found = if name == "{" {
                self.anonymous(&mut rest, name_span)
            } else {
                self.acls.named(name, name_span, self.known)
            };
            match found.and_then(|acl| check_moment(&acl, self.when, name_span).map(|()| acl)) {
                Ok(acl) => {
                    let anonymous = || acl.first().map_or_else(|| "{ }".into(), |acl| format!("{{ {} }}", acl.text));
                    let name: Arc<str> = if name == "{" { anonymous().into() } else { name.into() };
                    any.last_mut().into_iter().for_each(|terms| {
                        terms.push(Term { negated, name: Arc::clone(&name), acl: Arc::clone(&acl) });
                    });
                }
                Err(error) => self.errors.push(error),
            }
            negated = false;
            open = None;
        }
        self.errors.extend(open.map(|(span, message)| Diagnostic::error(span, message)));
        any
    }

    /// What stands between braces; takes it away from `rest`.
    fn anonymous(&mut self, rest: &mut &[Word], brace: Span) -> Result<Arc<[Acl]>, Diagnostic> {
        let Some(end) = rest.iter().position(|word| word.value == "}" && !word.quoted) else {
            *rest = &[];
            return Err(
                Diagnostic::error(brace, "this `{` has no `}`").help("braces are words of their own: { path /a }")
            );
        };
        let (inside, after) = rest.split_at(end);
        *rest = after.get(1..).unwrap_or_default();
        super::parse_words(inside, self.text, self.known, &mut self.warnings).map(|acl| [acl].into())
    }
}

/// What HAProxy defines by itself (configuration.txt, section 7.4).
const PREDEFINED: [(&str, &str); 22] = [
    ("FALSE", "always_false"),
    ("HTTP", "req.proto_http"),
    ("HTTP_1.0", "req.ver 1.0"),
    ("HTTP_1.1", "req.ver 1.1"),
    ("HTTP_2.0", "req.ver 2.0"),
    ("HTTP_CONTENT", "req.hdr_val(content-length) gt 0"),
    ("HTTP_URL_ABS", "url_reg ^[^/:]*://"),
    ("HTTP_URL_SLASH", "url_beg /"),
    ("HTTP_URL_STAR", "url *"),
    ("LOCALHOST", "src 127.0.0.1/8 ::1"),
    ("METH_CONNECT", "method CONNECT"),
    ("METH_DELETE", "method DELETE"),
    ("METH_GET", "method GET HEAD"),
    ("METH_HEAD", "method HEAD"),
    ("METH_OPTIONS", "method OPTIONS"),
    ("METH_POST", "method POST"),
    ("METH_PUT", "method PUT"),
    ("METH_TRACE", "method TRACE"),
    ("METH_PATCH", "method PATCH"),
    ("REQ_CONTENT", "req.len gt 0"),
    ("TRUE", "always_true"),
    ("WAIT_END", "wait_end"),
];
