//! What checks of databases have in common.

use super::login;
use crate::{
    config::{
        acl::Known,
        error::Diagnostic,
        file::CheckKeys,
        read::{Knob, OneOrMany},
        source::Span,
        text::Text,
    },
    model::check::{Login, Query, SqlLogin},
};

/// The keys that both have.
pub(super) struct SqlKeys<'k> {
    pub(super) all: &'k CheckKeys,
    pub(super) user: &'k Knob<Text>,
    pub(super) password_file: &'k Knob<Text>,
    pub(super) database: &'k Knob<Text>,
    pub(super) clear_password: &'k Knob<bool>,
    pub(super) query: &'k Knob<Text>,
    pub(super) expect: &'k Knob<OneOrMany<Text>>,
}

/// The [`SqlKeys`] among those of a type of checks, and those of `all` checks.
macro_rules! sql_keys {
    ($all:expr, $typed:expr) => {
        $crate::config::validate::check::sql::SqlKeys {
            all: $all,
            user: &$typed.user,
            password_file: &$typed.password_file,
            database: &$typed.database,
            clear_password: &$typed.clear_password,
            query: &$typed.query,
            expect: &$typed.expect,
        }
    };
}
pub(super) use sql_keys;

impl SqlKeys<'_> {
    /// What a login has.
    pub(super) fn full(&self, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> SqlLogin {
        let user = self.user(out);
        if let Some(clear) = self.clear_password.given().filter(|clear| clear.value) {
            if self.password_file.is_absent() {
                out.push(Diagnostic::error(clear.span, "`clear_password` needs a `password_file`"));
            } else if self.all.tls.is_absent() {
                let warning = Diagnostic::warning(clear.span, "whoever listens may learn the password");
                out.push(warning.help("tls = { … } hides it: it begins where the protocol goes over to it"));
            }
        }
        let password = login(&Knob::Absent, self.password_file, known, out).and_then(|login| login.password);
        SqlLogin {
            login: Login { user, password },
            database: name(self.database, "database", out),
            clear_password: self.clear_password.or(false),
            query: self.query(out),
        }
    }

    /// The name of the login, without which there is none.
    pub(super) fn user(&self, out: &mut Vec<Diagnostic>) -> String {
        if self.user.is_absent() {
            let span = self.all.r#type.given().map(|given| given.span);
            out.extend(span.map(|span| Diagnostic::error(span, "a check that logs in needs a `user`")));
        }
        name(self.user, "user", out).unwrap_or_default()
    }

    /// Reports the keys that only a full login has; `why` there is none is said at `span`.
    pub(super) fn refuse_full(&self, why: &str, span: Option<Span>, out: &mut Vec<Diagnostic>) {
        let given = [
            ("password_file", self.password_file.given().map(|given| given.span)),
            ("database", self.database.given().map(|given| given.span)),
            ("clear_password", self.clear_password.given().map(|given| given.span)),
            ("query", self.query.given().map(|given| given.span)),
            ("expect", self.expect.given().map(|given| given.span)),
            ("tls", self.all.tls.given().map(|given| given.span)),
        ];
        for (key, at) in given.into_iter().filter_map(|(key, at)| Some((key, at?))) {
            let error = Diagnostic::error(at, format!("`{key}` needs login = \"full\": {why}"));
            out.push(match span {
                Some(span) => error.related(span, "this one"),
                None => error,
            });
        }
    }

    fn query(&self, out: &mut Vec<Diagnostic>) -> Option<Query> {
        if let (Some(expect), true) = (self.expect.given(), self.query.is_absent()) {
            out.push(Diagnostic::error(expect.span, "`expect` needs a `query`, which it is the answer to"));
        }
        let values = self.expect.value().map_or(&[][..], |OneOrMany(values)| values);
        if let Some(empty) = self.expect.given().filter(|_| values.is_empty()) {
            out.push(Diagnostic::error(empty.span, "`expect` has no value: the check could never pass"));
        }
        let query = self.query.value()?;
        if query.value.trim().is_empty() || query.value.len() > LONGEST_QUERY || query.value.contains('\0') {
            let message = format!("`query` must be a statement of up to {LONGEST_QUERY} bytes");
            out.push(Diagnostic::error(query.span, message));
        }
        let expect = values.iter().map(|value| value.value.value.clone()).collect();
        Some(Query { statement: query.value.clone(), expect })
    }
}

/// A name as both protocols send it: with a zero at its end.
fn name(knob: &Knob<Text>, key: &str, out: &mut Vec<Diagnostic>) -> Option<String> {
    let text = knob.value()?;
    if text.value.is_empty() || text.value.len() > LONGEST_NAME || text.value.contains('\0') {
        let message = format!("`{key}` must have 1 to {LONGEST_NAME} bytes, and none of them zero");
        out.push(Diagnostic::error(text.span, message));
    }
    Some(text.value.clone())
}

/// Far above what the databases allow.
const LONGEST_NAME: usize = 255;
const LONGEST_QUERY: usize = 4096;
