//! Counters of the serving threads. Each thread has its own cache line; reading adds them up.

use super::{Room, live::Over, refused::LastRefused, times::Times};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// On a cache line of its own, so that two counters never fight for one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Padded<T>(pub T);

/// A `T` for each thread.
#[derive(Debug)]
pub struct Sharded<T> {
    first: Padded<T>,
    others: Box<[Padded<T>]>,
}

impl<T: Default> Sharded<T> {
    /// For that many threads, counted from 0.
    pub fn new(threads: usize) -> Self {
        let others = (1..threads).map(|_| Padded::default()).collect();
        Self { first: Padded::default(), others }
    }
}

impl<T> Sharded<T> {
    /// The `T` of that thread. A thread that was not foreseen shares the one of thread 0.
    pub fn of(&self, thread: usize) -> &T {
        let other = thread.checked_sub(1).and_then(|index| self.others.get(index));
        &other.unwrap_or(&self.first).0
    }

    /// One counter, over all threads.
    pub fn sum(&self, counter: impl Fn(&T) -> &Counter) -> u64 {
        self.shards().map(|shard| counter(shard).value()).fold(0, u64::wrapping_add)
    }

    /// What each thread has.
    pub(super) fn shards(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.others).map(|shard| &shard.0)
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts that many more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// How many so far.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one thread counts of one server.
#[derive(Debug, Default)]
pub struct ServerCounts {
    /// Connections opened to it.
    pub opened: Counter,
    /// Connections to it that have ended.
    pub closed: Counter,
    /// Connections (`tcp`) or requests (`http`) sent there.
    pub total: Counter,
    /// Those of them that have ended.
    pub done: Counter,
    /// Connections that could not be opened.
    pub connect_errors: Counter,
    /// Attempts that failed and were followed by another elsewhere: HAProxy's `wredis`.
    pub redispatches: Counter,
    /// Answers that were invalid, cut off or late: 502 and 504.
    pub response_errors: Counter,
    /// Its responses that rules have refused (`deny`): HAProxy's `dresp`.
    pub denied_responses: Counter,
    /// Its responses as they went to clients, by status.
    pub responses: Responses,
    /// Exchanges or connections that clients have broken off: HAProxy's `cli_abrt`.
    pub client_aborts: Counter,
    /// Those that it has broken off after it had begun to answer: HAProxy's `srv_abrt`.
    pub server_aborts: Counter,
    /// Bytes to it, without those of TLS itself.
    pub bytes_in: Counter,
    /// Bytes from it, without those of TLS itself.
    pub bytes_out: Counter,
    /// How long it took lately.
    pub times: Times,
}

/// What one thread counts of one backend beside its servers.
#[derive(Debug, Default)]
pub struct BackendCounts {
    /// Connections (`tcp`) or requests (`http`) that came to it.
    pub total: Counter,
    /// Those for which no server was there, or none in time: HAProxy's `econ`.
    pub unserved: Counter,
    /// Requests that its rules have refused: HAProxy's `dreq`.
    pub denied_requests: Counter,
    /// Responses of our own to requests that had come to it, by status.
    pub responses: Responses,
    /// How long its servers took lately.
    pub times: Times,
}

/// Responses by status.
#[derive(Debug, Default)]
pub struct Responses {
    /// Of 100 to 199.
    pub of_1xx: Counter,
    /// Of 200 to 299.
    pub of_2xx: Counter,
    /// Of 300 to 399.
    pub of_3xx: Counter,
    /// Of 400 to 499.
    pub of_4xx: Counter,
    /// Of 500 to 599.
    pub of_5xx: Counter,
    /// Of any other status.
    pub of_others: Counter,
}

impl Responses {
    /// The counter of responses with such a status.
    pub fn of(&self, status: u16) -> &Counter {
        match status / 100 {
            1 => &self.of_1xx,
            2 => &self.of_2xx,
            3 => &self.of_3xx,
            4 => &self.of_4xx,
            5 => &self.of_5xx,
            _ => &self.of_others,
        }
    }
}

/// What the serving threads count of one frontend. Lives as long as the frontend, across reloads.
#[derive(Debug)]
pub struct FrontendLive {
    /// A line for each thread.
    pub counts: Sharded<FrontendCounts>,
    /// Its `maxconn`.
    pub room: Arc<Room>,
    /// Whether a reload has removed it, and its time is over.
    pub over: Over,
    /// What came to it last that was no request.
    pub refused: LastRefused,
}

impl FrontendLive {
    /// For that many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            counts: Sharded::new(threads),
            room: Arc::default(),
            over: Over::default(),
            refused: LastRefused::default(),
        }
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        // Closed first: a connection that ends in between must not make the difference negative.
        let closed = self.counts.sum(|counts| &counts.closed);
        self.counts.sum(|counts| &counts.opened).saturating_sub(closed)
    }
}

/// What one thread counts of one frontend.
#[derive(Debug, Default)]
pub struct FrontendCounts {
    /// Connections accepted.
    pub opened: Counter,
    /// Connections that have ended.
    pub closed: Counter,
    /// TLS handshakes that failed.
    pub tls_errors: Counter,
    /// Requests whose headers were complete.
    pub requests: Counter,
    /// Requests refused as malformed or late, whatever the status: HAProxy's `ereq`.
    pub request_errors: Counter,
    /// Connections that rules have closed: HAProxy's `dcon`.
    pub denied_connections: Counter,
    /// Requests that rules have refused (`deny`, `tarpit`, `reject`): HAProxy's `dreq`.
    pub denied_requests: Counter,
    /// Servers' responses that rules have refused (`deny`): HAProxy's `dresp`.
    pub denied_responses: Counter,
    /// Bytes from clients, without those of TLS itself.
    pub bytes_in: Counter,
    /// Bytes to clients, without those of TLS itself.
    pub bytes_out: Counter,
    /// Responses, by status.
    pub responses: Responses,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_and_do_not_share_a_cache_line() {
        let counts = Sharded::<ServerCounts>::new(2);
        counts.of(0).total.add(5);
        counts.of(1).total.increment();
        counts.of(7).total.increment();
        assert_eq!(counts.sum(|counts| &counts.total), 7);
        assert_eq!((counts.of(0).total.value(), counts.of(1).total.value()), (6, 1));
        assert!(std::ptr::from_ref(counts.of(0)).addr().abs_diff(std::ptr::from_ref(counts.of(1)).addr()) >= 64);
    }
}
