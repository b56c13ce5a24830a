//! Checks of type `redis`.

use super::login;
use crate::{
    config::{acl::Known, error::Diagnostic, file::RedisKeys},
    model::check::RedisCheck,
};

pub(super) fn check(typed: &RedisKeys, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> RedisCheck {
    if let (Some(user), true) = (typed.user.given(), typed.password_file.is_absent()) {
        out.push(Diagnostic::error(user.span, "`user` needs a `password_file`"));
    }
    RedisCheck {
        login: login(&typed.user, &typed.password_file, known, out).filter(|login| login.password.is_some()),
        role: typed.role.value().copied().unwrap_or_default(),
    }
}
