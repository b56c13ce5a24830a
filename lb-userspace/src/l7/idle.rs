//! Connections to servers that are open and unused, a thread. Pure: takes `now`, and any kind of connection.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Most connections kept, a server and thread. More are closed: servers pay for idle ones too.
const PER_SERVER: usize = 64;

/// How long one is kept. Below the keep-alive time of common servers (5 s Apache and Node.js, 75 s nginx) a request
/// rarely meets a connection that is just being closed.
const EXPIRY: Duration = Duration::from_millis(4_500);

/// The idle connections of one thread, by what they are kept as: the identity of the server, and what else tells them apart.
pub(super) struct Idle<T> {
    servers: HashMap<u64, VecDeque<(Instant, T)>>,
}

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self { servers: HashMap::new() }
    }
}

impl<T> Idle<T> {
    /// Keeps a connection; the oldest goes where there are too many.
    pub(super) fn put(&mut self, server: u64, connection: T, now: Instant) {
        let connections = self.servers.entry(server).or_default();
        if connections.len() == PER_SERVER {
            connections.pop_front();
        }
        connections.push_back((now, connection));
    }

    /// The connection that was used last: the others may thus grow old and go.
    pub(super) fn take(&mut self, server: u64, now: Instant) -> Option<T> {
        let (since, connection) = self.servers.get_mut(&server)?.pop_back()?;
        (now.duration_since(since) < EXPIRY).then_some(connection)
    }

    /// Closes what is too old.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.servers.retain(|_, connections| {
            let fresh = connections.partition_point(|(since, _)| now.duration_since(*since) >= EXPIRY);
            connections.drain(..fresh);
            !connections.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_used_is_taken_first_and_none_is_given_twice() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        idle.put(1, "a", now);
        idle.put(1, "b", now);
        idle.put(2, "c", now);
        let taken: Vec<_> = [1, 1, 1, 2, 3].into_iter().map(|server| idle.take(server, now)).collect();
        assert_eq!(taken, [Some("b"), Some("a"), None, Some("c"), None]);
    }

    #[test]
    fn old_ones_are_not_given_and_are_swept() {
        let (mut idle, start) = (Idle::default(), Instant::now());
        idle.put(1, "old", start);
        idle.put(2, "old", start);
        idle.put(1, "new", start + EXPIRY);
        idle.sweep(start + EXPIRY);
        assert_eq!(idle.servers.len(), 1);
        assert_eq!(idle.take(1, start + EXPIRY), Some("new"));
        idle.put(1, "late", start);
        assert_eq!(idle.take(1, start + EXPIRY), None);
    }

    #[test]
    fn no_more_than_the_cap_are_kept() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        (0..=PER_SERVER).for_each(|number| idle.put(1, number, now));
        assert_eq!(idle.servers[&1].len(), PER_SERVER);
        assert_eq!(idle.servers[&1].front().map(|(_, number)| *number), Some(1));
    }
}
