//! Connections to servers that are open and unused, a thread. Pure: takes `now`, and any kind of connection.

use super::timer::after;
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// As what connections are kept: those of one key are as good as each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The identity of the server, and what else tells them apart.
    pub(super) key: u64,
    /// Most of them.
    pub(super) most: usize,
    /// How long each.
    pub(super) delay: Duration,
}

/// The idle connections of one thread, by their key, each with the time that it is kept until.
pub(super) struct Idle<T> {
    kept: HashMap<u64, VecDeque<(Instant, T)>>,
}

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self { kept: HashMap::new() }
    }
}

impl<T> Idle<T> {
    /// Keeps a connection; the oldest goes where there are too many.
    pub(super) fn put(&mut self, kept: Kept, connection: T, now: Instant) {
        if kept.most == 0 {
            return;
        }
        let connections = self.kept.entry(kept.key).or_default();
        while connections.len() >= kept.most {
            connections.pop_front();
        }
        connections.push_back((after(now, kept.delay), connection));
    }

    /// The connection that was used last: the others may thus grow old and go.
    pub(super) fn take(&mut self, key: u64, now: Instant) -> Option<T> {
        let (until, connection) = self.kept.get_mut(&key)?.pop_back()?;
        (now < until).then_some(connection)
    }

    /// The same, if it will do.
    pub(super) fn take_if(&mut self, key: u64, now: Instant, will_do: impl FnOnce(&T) -> bool) -> Option<T> {
        self.kept.get(&key)?.back().filter(|(_, last)| will_do(last))?;
        self.take(key, now)
    }

    /// Closes all of a key.
    pub(super) fn forget(&mut self, key: u64) {
        self.kept.remove(&key);
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

    const DELAY: Duration = Duration::from_secs(5);

    const fn kept(key: u64) -> Kept {
        Kept { key, most: 3, delay: DELAY }
    }

    #[test]
    fn the_last_used_is_taken_first_and_none_is_given_twice() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        for (key, name) in [(1, "a"), (1, "b"), (2, "c")] {
            idle.put(kept(key), name, now);
        }
        let taken: Vec<_> = [1, 1, 1, 2, 3].into_iter().map(|key| idle.take(key, now)).collect();
        assert_eq!(taken, [Some("b"), Some("a"), None, Some("c"), None]);
    }

    #[test]
    fn old_ones_are_not_given_and_are_swept() {
        let (mut idle, start) = (Idle::default(), Instant::now());
        idle.put(kept(1), "old", start);
        idle.put(kept(2), "old", start);
        idle.put(kept(1), "new", start + DELAY);
        idle.sweep(start + DELAY);
        assert_eq!(idle.kept.len(), 1);
        assert_eq!(idle.take(1, start + DELAY), Some("new"));
        idle.put(kept(1), "late", start);
        assert_eq!(idle.take(1, start + DELAY), None);
    }

    #[test]
    fn no_more_than_the_cap_are_kept() {
        let (mut idle, now) = (Idle::default(), Instant::now());
        (0..5).for_each(|number| idle.put(kept(1), number, now));
        assert_eq!(idle.kept[&1].iter().map(|(_, number)| *number).collect::<Vec<_>>(), [2, 3, 4]);
        idle.put(Kept { most: 0, ..kept(2) }, 0, now);
        idle.forget(1);
        assert!(idle.kept.values().all(VecDeque::is_empty));
    }
}
