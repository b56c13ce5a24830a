//! Slow start: a server that came up takes its share step by step, as its caches are cold. Pure.

use crate::model::Limits;
use std::time::Duration;

/// How far a server is that came up `since` ago and takes `slowstart` to its full share: 1 to 100, in percent. HAProxy counts
/// whole seconds; here it is continuous.
fn percent(since: Duration, slowstart: Duration) -> u32 {
    let part = since.as_micros().saturating_mul(100).checked_div(slowstart.as_micros()).unwrap_or(100);
    u32::try_from(part.clamp(1, 100)).unwrap_or(100)
}

/// The weight of a server that came up `since` ago: never 0, so that it takes something.
pub fn weight(weight: u16, since: Duration, slowstart: Duration) -> u16 {
    let part = u32::from(weight) * percent(since, slowstart) / 100;
    u16::try_from(part).unwrap_or(weight).max(weight.min(1))
}

/// Its limits: `maxconn` and `minconn` rise, but at least one is taken.
pub fn limits(limits: Limits, since: Duration, slowstart: Duration) -> Limits {
    let percent = u64::from(percent(since, slowstart));
    let part = |most: u32| u32::try_from(u64::from(most) * percent / 100).unwrap_or(most).max(most.min(1));
    Limits { maxconn: part(limits.maxconn), minconn: part(limits.minconn), ..limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_and_limit_rise_from_a_hundredth_to_all() {
        let slow = Duration::from_secs(20);
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!([0, 1, 10, 20, 99].map(|since| weight(200, at(since), slow)), [2, 10, 100, 200, 200]);
        assert_eq!([0, 10, 20].map(|since| weight(1, at(since), slow)), [1, 1, 1]);
        let full = Limits { maxconn: 100, minconn: 10, maxqueue: 7 };
        assert_eq!(limits(full, at(0), slow), Limits { maxconn: 1, minconn: 1, maxqueue: 7 });
        assert_eq!(limits(full, at(5), slow), Limits { maxconn: 25, minconn: 2, maxqueue: 7 });
        assert_eq!(limits(Limits::default(), at(5), slow), Limits::default());
        assert_eq!(weight(9, at(0), Duration::ZERO), 9);
    }
}
