//! Checks of type `pgsql`.

use super::sql::sql_keys;
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
    let keys = sql_keys!(all, typed);
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
