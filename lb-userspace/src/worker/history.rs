//! History: since when servers are as they are. Pure: others look and tell.

use lb_common::ServerState;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// How long something has been as it is.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    state: ServerState,
    since: Instant,
    down: Duration,
}

impl Spell {
    fn begin(state: ServerState, now: Instant) -> Self {
        Self { state, since: now, down: Duration::ZERO }
    }

    fn note(&mut self, state: ServerState, now: Instant) {
        if state == self.state {
            return;
        }
        self.down = self.downtime(now);
        (self.state, self.since) = (state, now);
    }

    /// For how long it has been as it is, in seconds: HAProxy's `lastchg`.
    pub(super) fn age(&self, now: Instant) -> u32 {
        seconds(now.saturating_duration_since(self.since))
    }

    /// For how long it was down in all.
    fn downtime(&self, now: Instant) -> Duration {
        let current = now.saturating_duration_since(self.since);
        self.down + if self.state == ServerState::Down { current } else { Duration::ZERO }
    }

    /// The same in seconds: HAProxy's `downtime`.
    pub(super) fn down_seconds(&self, now: Instant) -> u32 {
        seconds(self.downtime(now))
    }
}

/// All that is known of the past.
#[derive(Debug, Default)]
pub(super) struct History {
    servers: BTreeMap<u64, Spell>,
}

impl History {
    /// Servers that are not among these are not there any more.
    pub(super) fn keep(&mut self, servers: &BTreeSet<u64>) {
        self.servers.retain(|identity, _| servers.contains(identity));
    }

    /// A server stands so now.
    pub(super) fn note_server(&mut self, identity: u64, state: ServerState, now: Instant) {
        self.servers.entry(identity).or_insert_with(|| Spell::begin(state, now)).note(state, now);
    }

    pub(super) fn server(&self, identity: u64) -> Option<&Spell> {
        self.servers.get(&identity)
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_something_was_down_adds_up() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut history = History::default();
        for (state, when) in
            [(ServerState::Up, 0), (ServerState::Down, 10), (ServerState::Down, 12), (ServerState::Drain, 15)]
        {
            history.note_server(1, state, after(when));
        }
        history.note_server(1, ServerState::Down, after(20));
        let spell = history.server(1).unwrap();
        assert_eq!((spell.age(after(24)), spell.down_seconds(after(24))), (4, 9));
        history.keep(&BTreeSet::new());
        assert!(history.server(1).is_none());
    }
}
