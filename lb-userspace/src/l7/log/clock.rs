//! Clock: dates as logs write them. What stays the same for a second is written once a second.
#![expect(unsafe_code, reason = "the time zone of the host is known to the C library alone")]

use super::write::padded;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The offset of a time zone changes at most where a quarter of an hour begins.
const QUARTER: i64 = 900;

/// A date in parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Date {
    year: u64,
    /// From 0.
    month: usize,
    day: u64,
    /// Of the day.
    seconds: u64,
}

/// Writes dates; each thread has its own.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// A second and its date as in `%t`, without the milliseconds.
    second: Option<(i64, Vec<u8>)>,
    /// A quarter of an hour and the offset of local time in it, in seconds.
    offset: Option<(i64, i64)>,
}

impl Clock {
    /// `06/Feb/2009:12:14:14.655`, in local time.
    pub(super) fn precise(&mut self, line: &mut Vec<u8>, at: SystemTime) {
        let since = since_1970(at);
        let second = seconds(since);
        match &self.second {
            Some((known, text)) if *known == second => line.extend_from_slice(text),
            _ => {
                let mut text = Vec::with_capacity(20);
                Date::of(second + self.offset(second)).clf(&mut text);
                line.extend_from_slice(&text);
                self.second = Some((second, text));
            }
        }
        line.push(b'.');
        padded(line, since.subsec_millis().into(), 3);
    }

    /// `06/Feb/2009:12:14:14 +0100`, in local time or UTC.
    pub(super) fn zoned(&mut self, line: &mut Vec<u8>, at: SystemTime, local: bool) {
        let second = seconds(since_1970(at));
        let offset = if local { self.offset(second) } else { 0 };
        Date::of(second + offset).clf(line);
        line.push(b' ');
        zone(line, offset, false);
    }

    /// `Feb  6 12:14:14`, in local time (RFC 3164 §4.1.2).
    pub(super) fn syslog(&mut self, line: &mut Vec<u8>, at: SystemTime) {
        let second = seconds(since_1970(at));
        let date = Date::of(second + self.offset(second));
        date.month(line);
        line.push(b' ');
        if date.day < 10 {
            line.push(b' ');
        }
        padded(line, date.day, 1);
        line.push(b' ');
        date.time(line);
    }

    /// `2009-02-06T12:14:14.655+01:00` (RFC 5424 §6.2.3), in local time.
    pub(super) fn rfc3339(&mut self, line: &mut Vec<u8>, at: SystemTime) {
        let since = since_1970(at);
        let second = seconds(since);
        let offset = self.offset(second);
        let date = Date::of(second + offset);
        padded(line, date.year, 4);
        line.push(b'-');
        padded(line, date.month as u64 + 1, 2);
        line.push(b'-');
        padded(line, date.day, 2);
        line.push(b'T');
        date.time(line);
        line.push(b'.');
        padded(line, since.subsec_millis().into(), 3);
        zone(line, offset, true);
    }

    fn offset(&mut self, second: i64) -> i64 {
        let quarter = second.div_euclid(QUARTER);
        match self.offset {
            Some((known, offset)) if known == quarter => offset,
            _ => {
                let offset = local_offset(second);
                self.offset = Some((quarter, offset));
                offset
            }
        }
    }
}

/// A moment as access logs have it, by the clock of the place.
pub(crate) fn date(at: SystemTime) -> String {
    let mut text = Vec::new();
    Clock::default().precise(&mut text, at);
    String::from_utf8_lossy(&text).into_owned()
}

impl Date {
    /// Of so many seconds since 1970. Howard Hinnant's `civil_from_days`, for years from 1970 on.
    fn of(second: i64) -> Self {
        let second = u64::try_from(second).unwrap_or(0);
        let (days, seconds) = (second / 86_400 + 719_468, second % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = (from_march + 2) % 12;
        Self {
            year: year_of_era + era * 400 + u64::from(month < 2),
            month: usize::try_from(month).unwrap_or(0),
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            seconds,
        }
    }

    fn month(self, line: &mut Vec<u8>) {
        line.extend_from_slice(MONTHS.get(self.month).unwrap_or(&"").as_bytes());
    }

    /// `06/Feb/2009:12:14:14`.
    fn clf(self, line: &mut Vec<u8>) {
        padded(line, self.day, 2);
        line.push(b'/');
        self.month(line);
        line.push(b'/');
        padded(line, self.year, 4);
        line.push(b':');
        self.time(line);
    }

    /// `12:14:14`.
    fn time(self, line: &mut Vec<u8>) {
        padded(line, self.seconds / 3_600, 2);
        line.push(b':');
        padded(line, self.seconds / 60 % 60, 2);
        line.push(b':');
        padded(line, self.seconds % 60, 2);
    }
}

/// Nothing is logged from before 1970.
pub(super) fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn seconds(since: Duration) -> i64 {
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn zone(line: &mut Vec<u8>, offset: i64, colon: bool) {
    line.push(if offset < 0 { b'-' } else { b'+' });
    let minutes = offset.unsigned_abs() / 60;
    padded(line, minutes / 60, 2);
    if colon {
        line.push(b':');
    }
    padded(line, minutes % 60, 2);
}

/// Reads the time zone of the host, which the C library does once: before it may no longer open files.
pub(crate) fn read_zone() {
    local_offset(0);
}

/// Seconds that local time is ahead of UTC at that second.
fn local_offset(second: i64) -> i64 {
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both point to values of the right type that live through the call; `tm` may be all zeros.
    let known = unsafe { libc::localtime_r(&raw const second, parts.as_mut_ptr()) };
    if known.is_null() {
        return 0;
    }
    // SAFETY: zeroed, which is a valid `tm`, and then filled by the call that succeeded.
    unsafe { parts.assume_init() }.tm_gmtoff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// Written by a clock that knows the zone.
    fn written(offset: i64, millis: u64, write: impl FnOnce(&mut Clock, &mut Vec<u8>, SystemTime)) -> String {
        let second = i64::try_from(millis / 1_000).expect("small");
        let mut clock = Clock { offset: Some((second.div_euclid(QUARTER), offset)), ..Clock::default() };
        let mut line = Vec::new();
        write(&mut clock, &mut line, at(millis));
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn dates_are_written_in_every_form() {
        let moment = 1_233_918_854_655; // 2009-02-06 11:14:14.655 UTC
        let precise = |clock: &mut Clock, line: &mut Vec<u8>, at| clock.precise(line, at);
        assert_eq!(written(3_600, moment, precise), "06/Feb/2009:12:14:14.655");
        let local = |clock: &mut Clock, line: &mut Vec<u8>, at| clock.zoned(line, at, true);
        assert_eq!(written(-12_600, moment, local), "06/Feb/2009:07:44:14 -0330");
        let utc = |clock: &mut Clock, line: &mut Vec<u8>, at| clock.zoned(line, at, false);
        assert_eq!(written(-12_600, moment, utc), "06/Feb/2009:11:14:14 +0000");
        let syslog = |clock: &mut Clock, line: &mut Vec<u8>, at| clock.syslog(line, at);
        assert_eq!(written(0, moment, syslog), "Feb  6 11:14:14");
        let rfc3339 = |clock: &mut Clock, line: &mut Vec<u8>, at| clock.rfc3339(line, at);
        assert_eq!(written(19_800, moment, rfc3339), "2009-02-06T16:44:14.655+05:30");
    }

    #[test]
    fn the_calendar_has_leap_years() {
        for (second, expected) in [
            (0, "01/Jan/1970:00:00:00"),
            (951_782_399, "28/Feb/2000:23:59:59"),
            (951_782_400, "29/Feb/2000:00:00:00"),
            (1_709_251_199, "29/Feb/2024:23:59:59"),
            (1_767_225_599, "31/Dec/2025:23:59:59"),
            (1_767_225_600, "01/Jan/2026:00:00:00"),
            (4_107_542_400, "01/Mar/2100:00:00:00"),
        ] {
            let mut text = Vec::new();
            Date::of(second).clf(&mut text);
            assert_eq!(String::from_utf8(text).expect("text"), expected);
        }
    }

    #[test]
    fn a_second_that_is_known_is_written_again_and_another_one_anew() {
        let mut clock = Clock::default();
        let mut lines = [const { Vec::new() }; 3];
        for (line, millis) in lines.iter_mut().zip([1_000, 1_999, 2_000]) {
            clock.precise(line, at(millis));
        }
        let [first, second, third] = lines.map(|line| String::from_utf8(line).expect("text"));
        assert!(first.ends_with(":01.000") && second.ends_with(":01.999") && third.ends_with(":02.000"));
    }
}
