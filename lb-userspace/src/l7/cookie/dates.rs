//! When a cookie was used last, and first: behind its value, in HAProxy's form.

use std::fmt;

/// The digits of 30 bits.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Seconds in a unit.
const UNIT: u64 = 4;

/// In seconds of the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Dates {
    pub(super) last: Option<u64>,
    pub(super) first: Option<u64>,
}

/// As it is written: never before now.
pub(super) fn rounded(now: u64) -> u64 {
    now.div_ceil(UNIT) * UNIT
}

impl Dates {
    /// From `|last` or `|last|first`. What is none is left out.
    pub(super) fn read(text: Option<&[u8]>) -> Self {
        let mut dates = text.unwrap_or_default().split(|byte| *byte == b'|').skip(1).map(date);
        let last = dates.next().flatten();
        Self { last, first: last.and_then(|_| dates.next().flatten()) }
    }
}

/// Five digits, most significant first.
fn date(text: &[u8]) -> Option<u64> {
    let digits: &[u8; 5] = text.try_into().ok()?;
    let value = |digit: &u8| DIGITS.iter().position(|it| it == digit).map(|value| value as u64);
    let units = digits.iter().try_fold(0, |units, digit| Some(units * 64 + value(digit)?))?;
    (units > 0).then_some(units * UNIT)
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for date in [self.last, self.first].into_iter().flatten() {
            f.write_str("|")?;
            for place in (0..5).rev() {
                let digit = (date / UNIT) >> (6 * place) & 63;
                let digit = usize::try_from(digit).ok().and_then(|digit| DIGITS.get(digit));
                write!(f, "{}", char::from(*digit.unwrap_or(&b'A')))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dates_read_back_as_they_were_written(last in 1..1_u64 << 30, first in proptest::option::of(1..1_u64 << 30)) {
            let dates = Dates { last: Some(last * UNIT), first: first.map(|first| first * UNIT) };
            prop_assert_eq!(Dates::read(Some(dates.to_string().as_bytes())), dates);
        }

        #[test]
        fn nothing_else_is_a_date(text: Vec<u8>) {
            let _ = Dates::read(Some(&text));
        }
    }

    #[test]
    fn the_form_is_haproxys() {
        let dates = Dates { last: Some(rounded(1_700_000_001)), first: None };
        assert_eq!(dates.to_string(), "|ZVPxB");
        assert_eq!(Dates::read(Some(b"|ZVPxB")), dates);
        assert_eq!(Dates::read(Some(b"|ZVPx|AAAAB")), Dates::default());
    }
}
