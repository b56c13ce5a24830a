//! Times: how long requests, or connections, took lately, as mean values. Each thread has its own; reading takes them together.

use super::counts::Sharded;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// So many of each thread the means are over. HAProxy's are over 1,024 of all threads.
const SAMPLES: u64 = 512;

/// What one thread knows of how long things took that succeeded: those of a request from the end of its head on.
#[derive(Debug, Default)]
pub struct Times {
    /// Until there was a place at the server: HAProxy's `qtime`.
    pub queue: Mean,
    /// Then, until there was a connection, which may have been there: `ctime`.
    pub connect: Mean,
    /// Then, until the head of the answer: `rtime`. Not of relayed connections.
    pub response: Mean,
    /// From the beginning until all was over: `ttime`.
    pub total: Mean,
}

/// Times in microseconds: the sum of the last ones, about. Once there are 512, each takes the place of the mean of them.
#[derive(Debug, Default)]
pub struct Mean {
    sum: AtomicU64,
    count: AtomicU64,
}

impl Mean {
    /// One more. By one thread at a time; where two do it at once, one of them may be lost.
    pub fn note(&self, time: Duration) {
        let (sum, count) = (self.sum.load(Relaxed), self.count.load(Relaxed));
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if count < SAMPLES {
            self.count.store(count + 1, Relaxed);
            self.sum.store(sum.saturating_add(micros), Relaxed);
        } else {
            // Rounded up, so that the sum of many zeros comes down to zero.
            self.sum.store((sum - sum.div_ceil(SAMPLES)).saturating_add(micros), Relaxed);
        }
    }
}

impl<T> Sharded<T> {
    /// The mean over all threads. `None`: there is none yet.
    pub fn mean(&self, of: impl Fn(&T) -> &Mean) -> Option<Duration> {
        let (sum, count) = self.shards().map(&of).fold((0_u64, 0_u64), |(sum, count), mean| {
            (sum.saturating_add(mean.sum.load(Relaxed)), count + mean.count.load(Relaxed))
        });
        Some(Duration::from_micros(sum.checked_div(count)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_follows_the_last_ones_over_all_threads() {
        let means = Sharded::<Mean>::new(2);
        let mean = || means.mean(|mean| mean);
        assert_eq!(mean(), None);
        means.of(0).note(Duration::from_millis(10));
        means.of(1).note(Duration::from_millis(20));
        assert_eq!(mean(), Some(Duration::from_millis(15)));
        for _ in 0..10 * SAMPLES {
            means.of(0).note(Duration::from_millis(40));
            means.of(1).note(Duration::from_millis(40));
        }
        let now = mean().unwrap();
        assert!(now.abs_diff(Duration::from_millis(40)) < Duration::from_micros(100), "{now:?}");
        for _ in 0..20 * SAMPLES {
            means.of(0).note(Duration::ZERO);
            means.of(1).note(Duration::ZERO);
        }
        assert_eq!(mean(), Some(Duration::ZERO));
        means.of(0).note(Duration::MAX);
        assert!(mean() > Some(Duration::from_secs(1)), "and nothing overflows");
        means.of(0).note(Duration::MAX);
    }
}
