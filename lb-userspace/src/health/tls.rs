//! The TLS check: what the server's certificate says of its end.

use super::{Code, Finding, finding::quote};
use crate::{l7::tls::server::Validity, model::check::TlsCheck};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What a handshake found; and whether that is a reason to warn.
pub(super) fn judge(validity: Option<&Validity>, check: TlsCheck, now: Duration) -> (Finding, bool) {
    let Some(Validity { name, ends_at }) = validity else {
        return (Finding::new(Code::L6Response, "no certificate that can be read"), true);
    };
    let name = quote(name.as_bytes());
    let name = name.trim_matches('"');
    let left = ends_at.saturating_sub(now);
    let words = if left.is_zero() {
        format!("certificate of {name} expired {} ago", length(now.saturating_sub(*ends_at)))
    } else {
        format!("certificate of {name} expires in {}", length(left))
    };
    let too_late = check.fail_before.is_some_and(|least| left < least);
    let code = if too_late { Code::L6Response } else { Code::L6Ok };
    (Finding::new(code, words), left < check.warn_before)
}

/// Whole days, or hours on the last day.
fn length(time: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let (count, unit) = match time.as_secs() {
        seconds @ 0..DAY => (seconds / 3_600, "hour"),
        seconds => (seconds / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// What is said once a day at most.
#[derive(Debug, Default)]
pub(super) struct Daily(Mutex<Option<Instant>>);

impl Daily {
    /// Whether it is due; then it was said.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now - last >= Duration::from_hours(24));
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn find(days: i32, check: TlsCheck) -> (String, bool) {
        let now = 1_000 * DAY;
        let ends_at = (1_000 + days).unsigned_abs() * DAY + Duration::from_mins(90);
        let (found, warns) = judge(Some(&Validity { name: "www.test".to_owned(), ends_at }), check, now);
        (found.to_string(), warns)
    }

    #[test]
    fn the_days_that_are_left_decide() {
        let check = TlsCheck::default();
        assert_eq!(find(80, check), ("L6OK certificate of www.test expires in 80 days".to_owned(), false));
        assert_eq!(find(1, check), ("L6OK certificate of www.test expires in 1 day".to_owned(), true));
        assert_eq!(find(0, check), ("L6OK certificate of www.test expires in 1 hour".to_owned(), true));
        assert_eq!(find(-3, check), ("L6OK certificate of www.test expired 2 days ago".to_owned(), true));
        let strict = TlsCheck { fail_before: Some(3 * DAY), ..check };
        assert_eq!(find(3, strict).0, "L6OK certificate of www.test expires in 3 days");
        assert_eq!(find(2, strict).0, "L6RSP certificate of www.test expires in 2 days");
        assert_eq!(judge(None, check, DAY).0.code, Code::L6Response);
    }

    #[test]
    fn a_day_has_one_warning() {
        let (daily, start) = (Daily::default(), Instant::now());
        let due = [0, 1, 23, 24, 25, 49].map(|hours| daily.is_due(start + Duration::from_hours(hours)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
