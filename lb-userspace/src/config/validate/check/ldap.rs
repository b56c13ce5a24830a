//! Checks of type `ldap`.

use super::{login, starttls};
use crate::{
    config::{
        acl::Known,
        error::Diagnostic,
        file::{CheckKeys, LdapKeys},
    },
    model::check::LdapCheck,
};

pub(super) fn check(typed: &LdapKeys, keys: &CheckKeys, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> LdapCheck {
    if let (Some(name), true) = (typed.bind_dn.given(), typed.password_file.is_absent()) {
        // A bind with a name and without a password succeeds, as anonymous (RFC 4513 §5.1.2).
        out.push(Diagnostic::error(name.span, "`bind_dn` needs a `password_file`"));
    }
    if let (Some(file), true) = (typed.password_file.given(), typed.bind_dn.is_absent()) {
        out.push(Diagnostic::error(file.span, "`password_file` needs a `bind_dn`"));
    }
    LdapCheck {
        login: login(&typed.bind_dn, &typed.password_file, known, out),
        starttls: starttls(&typed.starttls, keys, out),
    }
}
