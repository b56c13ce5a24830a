//! Checks of type `grpc`.

use super::http::{host, text};
use crate::{
    config::{error::Diagnostic, file::GrpcKeys},
    model::check::GrpcCheck,
};

pub(super) fn check(typed: &GrpcKeys, out: &mut Vec<Diagnostic>) -> GrpcCheck {
    // Far below a window of HTTP/2, and longer than any name.
    let fits = |text: &str| text.len() <= 1 << 10;
    GrpcCheck { service: text(&typed.service, "service", fits, out).unwrap_or_default(), host: host(&typed.host, out) }
}
