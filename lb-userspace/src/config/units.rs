//! Durations and sizes with their unit, exactly: nothing is rounded, nothing is guessed.

use std::time::Duration;
use thiserror::Error;

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum UnitError {
    /// There is no number in front.
    #[error("no number")]
    NoNumber,
    /// The number stands alone.
    #[error("no unit")]
    NoUnit,
    /// What follows the number is none of the units.
    #[error("unknown unit")]
    UnknownUnit,
    /// The product does not fit 64 bits.
    #[error("too large")]
    TooLarge,
}

/// A duration: a whole number and `us`, `ms`, `s`, `m`, `h` or `d`, as in HAProxy, but never without the unit.
///
/// ```
/// use lb_userspace::config::units::{UnitError, duration};
/// use std::time::Duration;
/// assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
/// assert_eq!(duration("250"), Err(UnitError::NoUnit));
/// ```
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = number_and_unit(text)?;
    let (_, micros) = DURATIONS.iter().find(|(name, _)| *name == unit).ok_or(UnitError::UnknownUnit)?;
    number.checked_mul(*micros).map(Duration::from_micros).ok_or(UnitError::TooLarge)
}

/// A size in bytes: a whole number and `B`, `k`, `M`, `G` (1024 each, as in HAProxy), `KiB`, `MiB`, `GiB` (the same), or
/// `kB`, `MB`, `GB` (1000 each, as in the SI).
pub fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = number_and_unit(text)?;
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or(UnitError::UnknownUnit)?;
    number.checked_mul(*bytes).ok_or(UnitError::TooLarge)
}

/// A duration as it is typed: the largest unit that divides it.
pub fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let divides = |(_, unit): &&(&str, u64)| micros.is_multiple_of(u128::from(*unit)) && micros > 0;
    let (name, unit) = DURATIONS.iter().rev().find(divides).unwrap_or(&("s", 1_000_000));
    format!("{}{name}", micros / u128::from(*unit))
}

fn number_and_unit(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text.split_at(digits) {
        ("", _) => Err(UnitError::NoNumber),
        (_, "") => Err(UnitError::NoUnit),
        // Only digits are left, so that nothing but the size of the number can be wrong.
        (number, unit) => number.parse().map(|number| (number, unit)).or(Err(UnitError::TooLarge)),
    }
}

/// Rising, so that [`show_duration`] finds the largest from the end.
const DURATIONS: &[(&str, u64)] =
    &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("k", 1 << 10),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_exact_and_need_a_unit() {
        for (text, seconds) in [("2s", 2), ("1m", 60), ("1h", 3600), ("1d", 86_400), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("15us"), Ok(Duration::from_micros(15)));
        for (text, error) in [
            ("", UnitError::NoNumber),
            ("s", UnitError::NoNumber),
            ("-1s", UnitError::NoNumber),
            ("5", UnitError::NoUnit),
            ("1.5s", UnitError::UnknownUnit),
            ("5 s", UnitError::UnknownUnit),
            ("5S", UnitError::UnknownUnit),
            ("99999999999999999999s", UnitError::TooLarge),
            ("999999999999999d", UnitError::TooLarge),
        ] {
            assert_eq!(duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sizes_tell_binary_from_decimal_units() {
        for (text, bytes) in [("64KiB", 65_536), ("10k", 10_240), ("10kB", 10_000), ("1G", 1 << 30), ("7B", 7)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("10kb"), Err(UnitError::UnknownUnit));
    }

    proptest! {
        #[test]
        fn a_shown_duration_reads_back_as_itself(micros in 0..u64::MAX) {
            let value = Duration::from_micros(micros);
            prop_assert_eq!(duration(&show_duration(value)), Ok(value));
        }
    }
}
