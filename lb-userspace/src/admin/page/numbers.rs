//! Numbers as they are shown: short, so that columns stay narrow, and by the same units everywhere.

/// As it is up to 99,999; above with three digits and a unit.
pub(super) fn count(number: u64) -> String {
    if number < 100_000 { grouped(number) } else { scaled(number, 1_000, &["", "k", "M", "G", "T", "P", "E"]) }
}

/// Bytes, by units of 1024.
pub(super) fn bytes(number: u64) -> String {
    scaled(number, 1_024, &["", "K", "M", "G", "T", "P", "E"])
}

/// With commas.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Three digits, rounded down, and a unit. Whole numbers only: none is too large.
fn scaled(number: u64, step: u64, units: &[&str]) -> String {
    let (mut unit, mut whole, mut rest) = (0, number, 0);
    while whole >= step.min(1_000) && unit + 1 < units.len() {
        (whole, rest) = (whole / step, whole % step);
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    match whole {
        _ if unit == 0 => whole.to_string(),
        0..10 => format!("{whole}.{:02}{name}", rest * 100 / step),
        10..100 => format!("{whole}.{}{name}", rest * 10 / step),
        _ => format!("{whole}{name}"),
    }
}

/// A time, by its two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        (..) => format!("{days}d {}h", hours % 24),
    }
}

/// A part of a whole, 0 to 1, in percent.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_too_large() {
        let counts = [0, 999, 1_000, 99_999, 100_000, 1_234_567, 98_765_432_109, u64::MAX];
        assert_eq!(counts.map(count), ["0", "999", "1,000", "99,999", "100k", "1.23M", "98.7G", "18.4E"]);
        let sizes = [0, 999, 1_000, 1_024, 10_240, 1_048_575, u64::MAX];
        assert_eq!(sizes.map(bytes), ["0", "999", "0.97K", "1.00K", "10.0K", "0.99M", "15.9E"]);
    }

    #[test]
    fn times_have_two_units() {
        assert_eq!([0, 59, 61, 3_600, 90_061, u64::MAX].map(span)[..5], ["0s", "59s", "1m 1s", "1h 0m", "1d 1h"]);
    }
}
