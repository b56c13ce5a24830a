//! Numbers and durations within their bounds.

use crate::config::{error::Diagnostic, read::Knob, units::show_duration};
use std::{ops::RangeInclusive, time::Duration};

/// A whole number in `range`; `default` where it is missing or wrong.
pub(super) fn number<T>(
    knob: &Knob<i64>,
    key: &str,
    range: RangeInclusive<T>,
    default: T,
    out: &mut Vec<Diagnostic>,
) -> T
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy,
{
    let Some(typed) = knob.given() else { return default };
    match T::try_from(typed.value) {
        Ok(value) if range.contains(&value) => value,
        Ok(_) | Err(_) => {
            let message = format!("`{key}` must be from {} to {}", range.start(), range.end());
            out.push(Diagnostic::error(typed.span, message));
            default
        }
    }
}

/// The first of `knobs` that is given: a duration in `range`. `default` where all are missing or it is wrong.
pub(super) fn duration(
    knobs: [&Knob<Duration>; 2],
    key: &str,
    range: RangeInclusive<Duration>,
    default: Duration,
    out: &mut Vec<Diagnostic>,
) -> Duration {
    let Some(typed) = knobs.into_iter().find_map(Knob::given) else { return default };
    if range.contains(&typed.value) {
        return typed.value;
    }
    let (least, longest) = (show_duration(*range.start()), show_duration(*range.end()));
    let error = Diagnostic::error(typed.span, format!("`{key}` must be from {least} to {longest}"));
    // A value of `[defaults]` is seen by everyone who inherits it.
    if !out.contains(&error) {
        out.push(error);
    }
    default
}

/// The same where a duration has no default.
pub(super) fn optional(
    knobs: [&Knob<Duration>; 2],
    key: &str,
    range: RangeInclusive<Duration>,
    out: &mut Vec<Diagnostic>,
) -> Option<Duration> {
    let default = *range.start();
    knobs.iter().any(|knob| knob.given().is_some()).then(|| duration(knobs, key, range, default, out))
}

/// How long what is removed may drain.
pub(super) const DRAIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);

/// The same where nothing is said: as long as an idle flow is remembered.
pub(super) const DRAIN_DEFAULT: Duration = Duration::from_hours(1);

/// More than any host has descriptors for.
pub(super) const MOST_CONNECTIONS: u32 = 10_000_000;

/// A timeout of zero would end everything at once; HAProxy takes it for "never", which nobody should want.
pub(super) const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=LONGEST;
/// A year: added to the time of day, it never overflows.
pub(super) const LONGEST: Duration = Duration::from_hours(24 * 365);
