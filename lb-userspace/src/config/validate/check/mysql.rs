//! Checks of type `mysql`.

use super::sql::{SqlKeys, sql_keys};
use crate::{
    config::{
        acl::Known,
        error::Diagnostic,
        file::{CheckKeys, MysqlDepth, MysqlKeys},
    },
    model::check::{MysqlCheck, MysqlForm},
};

pub(super) fn check(
    (all, typed): (&CheckKeys, &MysqlKeys),
    known: &Known<'_>,
    out: &mut Vec<Diagnostic>,
) -> MysqlCheck {
    let keys = sql_keys!(all, typed);
    let span = typed.login.given().map(|login| login.span);
    let default = if typed.user.is_absent() { MysqlDepth::Greeting } else { MysqlDepth::Full };
    let form = match typed.login.or(default) {
        MysqlDepth::Full => return MysqlCheck::Full(keys.full(known, out)),
        MysqlDepth::Greeting => {
            greeting(&keys, typed, out);
            return MysqlCheck::Greeting;
        }
        MysqlDepth::Post41 => MysqlForm::Post41,
        MysqlDepth::Pre41 => MysqlForm::Pre41,
        MysqlDepth::Post80 => MysqlForm::Post80,
    };
    keys.refuse_full("HAProxy's form has no password, and asks nothing", span, out);
    MysqlCheck::Blind { user: keys.user(out), form }
}

fn greeting(keys: &SqlKeys<'_>, typed: &MysqlKeys, out: &mut Vec<Diagnostic>) {
    let Some(span) = typed.login.given().map(|login| login.span).or_else(|| keys.all.r#type.given().map(|of| of.span))
    else {
        return;
    };
    if let Some(user) = typed.user.given() {
        let error = Diagnostic::error(user.span, "`user` has no meaning without a login");
        out.push(error.related(span, "waits for the greeting alone"));
    }
    keys.refuse_full("without a login there is only the greeting", typed.login.given().map(|login| login.span), out);
    let warning = Diagnostic::warning(span, "the server counts every probe as an aborted connection");
    out.push(warning.help("after `max_connect_errors` of them MySQL refuses this machine: give a `user`"));
}
