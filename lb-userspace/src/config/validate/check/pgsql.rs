//! Checks of type `pgsql`.

use super::sql::SqlKeys;
use crate::{
    config::{
        acl::Known,
        error::Diagnostic,
        file::{CheckKeys, PgsqlDepth, PgsqlKeys},
    },
    model::check::PgsqlCheck,
};

pub(super) fn check(
    (all, typed): (&CheckKeys, &PgsqlKeys),
    known: &Known<'_>,
    out: &mut Vec<Diagnostic>,
) -> PgsqlCheck {
    let keys = SqlKeys {
        all,
        user: &typed.user,
        password_file: &typed.password_file,
        database: &typed.database,
        clear_password: &typed.clear_password,
        query: &typed.query,
        expect: &typed.expect,
    };
    match typed.login.or(PgsqlDepth::Full) {
        PgsqlDepth::Full => {
            PgsqlCheck::Full { login: keys.full(known, out), role: typed.role.value().copied().unwrap_or_default() }
        }
        PgsqlDepth::Startup => {
            let why = "HAProxy's form ends before the login";
            keys.refuse_full(why, typed.login.given().map(|login| login.span), out);
            if let Some(role) = typed.role.given() {
                out.push(Diagnostic::error(role.span, format!("`role` needs login = \"full\": {why}")));
            }
            PgsqlCheck::Startup { user: keys.user(out) }
        }
    }
}
