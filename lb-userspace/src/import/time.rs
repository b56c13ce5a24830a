//! HAProxy's times.

use crate::config::units::show_duration;
use std::time::Duration;

/// What a number without a unit means.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
}

/// A time as HAProxy reads it (configuration.txt, section 2.5).
pub(super) fn duration(text: &str, unit: Unit) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, said) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let micros = match (said, unit) {
        ("us", _) => 1,
        ("ms", _) | ("", Unit::Milliseconds) => 1_000,
        ("s", _) | ("", Unit::Seconds) => 1_000_000,
        ("m", _) => 60_000_000,
        ("h", _) => 3_600_000_000,
        ("d", _) => 86_400_000_000,
        _ => return None,
    };
    number.checked_mul(micros).map(Duration::from_micros)
}

/// The same, as we write it.
pub(super) fn time(text: &str) -> Option<String> {
    duration(text, Unit::Milliseconds).map(show_duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_unit() {
        for (theirs, ours) in [("5000", "5s"), ("1500", "1500ms"), ("10s", "10s"), ("60000ms", "1m"), ("0", "0s")] {
            assert_eq!(time(theirs).as_deref(), Some(ours));
        }
        assert_eq!(time("5 s").or_else(|| time("s")).or_else(|| time("99999999999999999999")), None);
        assert_eq!(duration("30", Unit::Seconds), Some(Duration::from_secs(30)));
    }
}
