//! Checks of type `tls`.

use super::super::range;
use crate::{
    config::{error::Diagnostic, file::TlsKeys, read::Knob},
    model::check::TlsCheck,
};
use std::{ops::RangeInclusive, time::Duration};

pub(super) fn check(typed: &TlsKeys, out: &mut Vec<Diagnostic>) -> TlsCheck {
    let default = TlsCheck::default();
    let warn = [&typed.warn_before, &Knob::Absent];
    TlsCheck {
        warn_before: range::duration(warn, "warn_before", TIMES, default.warn_before, out),
        fail_before: range::optional([&typed.fail_before, &Knob::Absent], "fail_before", TIMES, out),
    }
}

/// Longer than any certificate that browsers believe.
const TIMES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24_000);
