//! Slow start: a server that came up takes its share step by step, as its caches are cold. Pure.

mod rising;

pub use rising::Rising;

use crate::model::Limits;
use std::time::Duration;

/// Steps from nothing to all.
const STEPS: u8 = 100;
/// Weights of servers that rise are counted in units so small that they sum up to this much at most, because tables have as
/// many entries; unless what is configured sums up to more.
const MOST: u32 = 16_384;

/// What part of its full share a server takes, in percent: 1 to 100. HAProxy's word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Throttle(u8);

impl Throttle {
    /// That of a server that came up `since` ago and takes `slowstart` to its full share. HAProxy counts whole seconds, and
    /// weights in sixteenths; here it is continuous.
    pub fn at(since: Duration, slowstart: Duration) -> Self {
        let part = since.as_micros().saturating_mul(STEPS.into()).checked_div(slowstart.as_micros());
        Self(part.and_then(|part| u8::try_from(part).ok()).unwrap_or(STEPS).clamp(1, STEPS))
    }

    /// In percent.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// A number of at least 1, if there was any.
    fn of(self, whole: u32) -> u32 {
        let part = u64::from(whole) * u64::from(self.0) / u64::from(STEPS);
        u32::try_from(part).unwrap_or(whole).max(whole.min(1))
    }

    /// `maxconn` and `minconn` rise; at least one is taken.
    pub fn limits(self, limits: Limits) -> Limits {
        Limits { maxconn: self.of(limits.maxconn), minconn: self.of(limits.minconn), ..limits }
    }

    /// Of points on a circle.
    pub(super) fn points(self, points: u32) -> u32 {
        self.of(points)
    }
}

/// The weights of servers of which some rise, in other units: only their ratio counts.
pub(super) fn weights(servers: &[(usize, u16)], throttle: impl Fn(usize) -> Option<Throttle>) -> Vec<(usize, u16)> {
    let total: u32 = servers.iter().map(|(_, weight)| u32::from(*weight)).sum();
    let units = MOST.checked_div(total).unwrap_or(1).clamp(1, STEPS.into());
    let weight = |&(server, weight): &(usize, u16)| {
        let whole = u32::from(weight) * units;
        let part = throttle(server).map_or(whole, |throttle| throttle.of(whole));
        (server, u16::try_from(part).unwrap_or(u16::MAX))
    };
    servers.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Throttle {
        Throttle::at(Duration::from_secs(seconds), Duration::from_secs(20))
    }

    #[test]
    fn it_rises_from_a_hundredth_to_all() {
        assert_eq!([0, 1, 10, 19, 20, 99].map(|since| at(since).percent()), [1, 5, 50, 95, 100, 100]);
        assert_eq!(Throttle::at(Duration::from_secs(9), Duration::ZERO).percent(), 100);
        assert_eq!(Throttle::at(Duration::MAX, Duration::from_secs(1)).percent(), 100);
    }

    #[test]
    fn limits_rise_and_never_close_a_server() {
        let full = Limits { maxconn: 200, minconn: 10, maxqueue: 7 };
        assert_eq!(at(0).limits(full), Limits { maxconn: 2, minconn: 1, maxqueue: 7 });
        assert_eq!(at(5).limits(full), Limits { maxconn: 50, minconn: 2, maxqueue: 7 });
        assert_eq!(at(20).limits(full), full);
        assert_eq!(at(5).limits(Limits::default()), Limits::default());
    }

    #[test]
    fn weights_rise_smoothly_however_small_they_are() {
        let rising = |servers: &[u16], since| {
            let servers: Vec<_> = servers.iter().copied().enumerate().collect();
            let weights = weights(&servers, |server| (server == 0).then(|| at(since)));
            weights.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>()
        };
        assert_eq!(rising(&[1, 1, 2], 0), [1, 100, 200]);
        assert_eq!(rising(&[1, 1, 2], 5), [25, 100, 200]);
        assert_eq!(rising(&[256, 256], 10), [4_096, 8_192], "no more units than tables should have entries");
        let many = rising(&[256; 100], 1);
        assert_eq!((many[0], many[1]), (12, 256));
        assert!(rising(&[], 1).is_empty());
    }
}
