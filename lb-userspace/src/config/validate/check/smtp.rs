//! Checks of type `smtp`.

use super::{one_line, starttls};
use crate::{
    config::{
        error::Diagnostic,
        file::{CheckKeys, SmtpKeys},
    },
    model::check::{Hello, SmtpCheck},
};

pub(super) fn check(typed: &SmtpKeys, keys: &CheckKeys, out: &mut Vec<Diagnostic>) -> SmtpCheck {
    let starttls = starttls(&typed.starttls, keys, out);
    if let Some(hello) = typed.hello.given().filter(|hello| starttls && hello.value == Hello::Plain) {
        out.push(Diagnostic::error(hello.span, "`starttls` is a part of what `EHLO` is for"));
    }
    SmtpCheck {
        hello: typed.hello.value().copied().unwrap_or(if starttls { Hello::Extended } else { Hello::Plain }),
        domain: one_line(&typed.domain, "domain", out).unwrap_or_else(|| "localhost".to_owned()),
        starttls,
    }
}
