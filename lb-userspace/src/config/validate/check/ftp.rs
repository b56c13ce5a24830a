//! Checks of type `ftp`.

use super::{login, one_line, starttls};
use crate::{
    config::{
        acl::Known,
        error::Diagnostic,
        file::{CheckKeys, FtpKeys},
    },
    model::check::FtpCheck,
};

pub(super) fn check(typed: &FtpKeys, keys: &CheckKeys, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> FtpCheck {
    one_line(&typed.user, "user", out);
    if let (Some(file), true) = (typed.password_file.given(), typed.user.is_absent()) {
        out.push(Diagnostic::error(file.span, "`password_file` needs a `user`"));
    }
    FtpCheck {
        login: login(&typed.user, &typed.password_file, known, out),
        starttls: starttls(&typed.starttls, keys, out),
    }
}
