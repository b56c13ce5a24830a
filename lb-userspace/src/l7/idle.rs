//! Connections to servers that are open and unused, a thread. Pure: takes `now`, and any kind of connection.

use super::timer::after;
use crate::model::Keeping;
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// Where a connection leads, and how: those of one key are as good as each other.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    /// Identity of the server.
    pub(super) server: u64,
    /// How it is spoken to: with other settings it is asked on other connections.
    pub(super) dialect: u64,
    /// The port, where clients choose it; else 0.
    pub(super) port: u16,
    /// The name that it was asked for, where requests choose it.
    pub(super) host: Option<Box<str>>,
}

/// The idle connections of one thread, by their key, each with the time that it is kept until.
pub(super) struct Idle<T> {
    kept: HashMap<Key, VecDeque<(Instant, T)>>,
}

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self { kept: HashMap::new() }
    }
}

impl<T> Idle<T> {
    /// Keeps a connection; the oldest goes where there are too many.
    pub(super) fn put(&mut self, key: Key, keeping: Keeping, connection: T, now: Instant) {
        let most = keeping.most as usize;
        if most == 0 {
            return;
        }
        let connections = self.kept.entry(key).or_default();
        while connections.len() >= most {
            connections.pop_front();
        }
        connections.push_back((after(now, keeping.delay), connection));
    }

    /// The connection that was used last, if it will do: the others may thus grow old and go.
    pub(super) fn take(&mut self, key: &Key, now: Instant, will_do: impl FnOnce(&T) -> bool) -> Option<T> {
        let connections = self.kept.get_mut(key)?;
        connections.back().filter(|(_, last)| will_do(last))?;
        let (until, connection) = connections.pop_back()?;
        (now < until).then_some(connection)
    }

    /// Closes all of them.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Closes what is too old.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.kept.retain(|_, connections| {
            let fresh = connections.partition_point(|(until, _)| *until <= now);
            connections.drain(..fresh);
            !connections.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const KEEPING: Keeping = Keeping { most: 3, delay: Duration::from_secs(5) };

    fn key(server: u64) -> Key {
        Key { server, dialect: 0, port: 0, host: None }
    }

    #[test]
    fn the_last_used_is_taken_first_and_none_is_given_twice() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        for (server, name) in [(1, "a"), (1, "b"), (2, "c")] {
            idle.put(key(server), KEEPING, name, now);
        }
        let other = Key { dialect: 1, ..key(1) };
        assert_eq!(idle.take(&other, now, |_| true), None);
        assert_eq!(idle.take(&key(1), now, |last| *last == "a"), None);
        let taken: Vec<_> = [1, 1, 1, 2, 3].map(|server| idle.take(&key(server), now, |_| true)).into();
        assert_eq!(taken, [Some("b"), Some("a"), None, Some("c"), None]);
    }

    #[test]
    fn old_ones_are_not_given_and_are_swept() {
        let (mut idle, start) = (Idle::default(), Instant::now());
        let later = start + KEEPING.delay;
        idle.put(key(1), KEEPING, "old", start);
        idle.put(key(2), KEEPING, "old", start);
        idle.put(key(1), KEEPING, "new", later);
        idle.sweep(later);
        assert_eq!(idle.kept.len(), 1);
        assert_eq!(idle.take(&key(1), later, |_| true), Some("new"));
        idle.put(key(1), KEEPING, "late", start);
        assert_eq!(idle.take(&key(1), later, |_| true), None);
    }

    #[test]
    fn no_more_than_the_cap_are_kept() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        (0..5).for_each(|number| idle.put(key(1), KEEPING, number, now));
        assert_eq!(idle.kept[&key(1)].iter().map(|(_, number)| *number).collect::<Vec<_>>(), [2, 3, 4]);
        idle.put(key(2), Keeping { most: 0, ..KEEPING }, 0, now);
        assert_eq!(idle.kept.len(), 1);
    }
}
