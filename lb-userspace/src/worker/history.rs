//! History: how fast things come, how many there were at once, and since when servers are as they are. Pure: others look and tell.
//!
//! Rates and highest numbers need somebody who looks each second. That is done while somebody asks for them, and for a while after;
//! so rates are those of the second before the last look, and a peak between two looks is not seen.

use crate::admin::rows::Rows;
use lb_common::ServerState;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Looks keep this distance.
const DISTANCE: Duration = Duration::from_secs(1);
/// Rates of so many looks are remembered.
const TRAIL: usize = 60;
/// After nobody has asked for so long nobody looks any more, unless they are always wanted.
const WANTED: Duration = Duration::from_mins(10);

/// What is counted of.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    /// All frontends of the proxy.
    Process,
    /// A frontend, by name.
    Frontend(String),
    /// A backend, by name.
    Backend(String),
    /// A server, by identity.
    Server(u64),
}

/// What was read of one of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// Connections, or requests to a backend or server, so far.
    pub(super) total: u64,
    /// Requests so far.
    pub(super) requests: u64,
    /// Connections or requests now.
    pub(super) open: u64,
    /// Those that wait now.
    pub(super) queued: u64,
}

/// What is known of one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    last: Reading,
    /// Of the last second; `None` before the second look.
    pub(super) rate: Option<u32>,
    /// The same.
    pub(super) request_rate: Option<u32>,
    /// The highest that were seen.
    pub(super) most: Most,
    /// Of the last looks, the newest last: requests or connections, whichever came faster.
    trail: VecDeque<u32>,
    /// When anything was seen to come last.
    came: Option<Instant>,
}

/// The highest numbers that were seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Most {
    pub(super) rate: u32,
    pub(super) request_rate: u32,
    pub(super) open: u32,
    pub(super) queued: u32,
}

/// How long something has been as it is.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    state: ServerState,
    since: Instant,
    down: Duration,
    downs: u64,
}

impl Spell {
    fn begin(state: ServerState, now: Instant) -> Self {
        Self { state, since: now, down: Duration::ZERO, downs: 0 }
    }

    fn note(&mut self, state: ServerState, now: Instant) {
        if state == self.state {
            return;
        }
        self.down = self.downtime(now);
        self.downs += u64::from(state == ServerState::Down);
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

    /// How often it went down.
    pub(super) fn downs(&self) -> u64 {
        self.downs
    }
}

/// All that is known of the past.
#[derive(Debug)]
pub(super) struct History {
    begun: Instant,
    looked: Option<Instant>,
    asked: Option<Instant>,
    /// Somebody may want to see how it was before they asked.
    pub(super) is_always_wanted: bool,
    courses: BTreeMap<Key, Course>,
    servers: BTreeMap<u64, Spell>,
    backends: BTreeMap<String, Spell>,
    /// From what on is counted, since somebody has said that counting begins anew.
    pub(super) cleared: Rows,
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begun: now,
            looked: None,
            asked: None,
            is_always_wanted: false,
            courses: BTreeMap::new(),
            servers: BTreeMap::new(),
            backends: BTreeMap::new(),
            cleared: Rows::default(),
        }
    }

    /// For how long the worker has been there.
    pub(super) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// Somebody asks: whether it is time to look again.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        self.asked = Some(now);
        self.due().is_none_or(|due| due <= now)
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        let Some(looked) = self.looked else { return self.is_always_wanted.then_some(self.begun) };
        let is_wanted = self.is_always_wanted || self.asked.is_some_and(|asked| looked < asked + WANTED);
        is_wanted.then_some(looked + DISTANCE)
    }

    /// All that there is was read. What is not among it is gone.
    pub(super) fn look(&mut self, readings: impl IntoIterator<Item = (Key, Reading)>, now: Instant) {
        let since = self.looked.map(|looked| now.saturating_duration_since(looked));
        // Of a pause nothing is known.
        let since = since.filter(|since| *since < WANTED);
        let mut before = std::mem::take(&mut self.courses);
        let course = |(key, reading): (Key, Reading)| {
            let known = before.remove(&key);
            let course = match (known, since) {
                (Some(known), Some(since)) => known.go_on(reading, since, now),
                (Some(known), None) => {
                    Course { last: reading, rate: None, request_rate: None, trail: VecDeque::new(), ..known }
                }
                (None, _) => Course { last: reading, ..Course::default() },
            };
            (key, course.with_peaks())
        };
        self.courses = readings.into_iter().map(course).collect();
        self.looked = Some(now);
    }

    /// What is known of one of them.
    pub(super) fn course(&self, key: &Key) -> Option<&Course> {
        self.courses.get(key)
    }

    /// The highest numbers begin anew.
    pub(super) fn clear_most(&mut self) {
        self.courses.values_mut().for_each(|course| course.most = Most::default());
    }

    /// Servers stand so now; the others are not there any more.
    pub(super) fn keep(&mut self, servers: &BTreeSet<u64>, backends: &BTreeSet<String>) {
        self.servers.retain(|identity, _| servers.contains(identity));
        self.backends.retain(|name, _| backends.contains(name));
    }

    /// A server stands so now.
    pub(super) fn note_server(&mut self, identity: u64, state: ServerState, now: Instant) {
        self.servers.entry(identity).or_insert_with(|| Spell::begin(state, now)).note(state, now);
    }

    /// A backend does.
    pub(super) fn note_backend(&mut self, name: &str, state: ServerState, now: Instant) {
        match self.backends.get_mut(name) {
            Some(spell) => spell.note(state, now),
            None => drop(self.backends.insert(name.to_owned(), Spell::begin(state, now))),
        }
    }

    pub(super) fn server(&self, identity: u64) -> Option<&Spell> {
        self.servers.get(&identity)
    }

    pub(super) fn backend(&self, name: &str) -> Option<&Spell> {
        self.backends.get(name)
    }
}

impl Course {
    /// What came since the last look, and how fast.
    fn go_on(self, reading: Reading, since: Duration, now: Instant) -> Self {
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        // Who looks again at once knows no more than before.
        let speed = |before: u64, after: u64, known: Option<u32>| match micros {
            0..10_000 => known,
            _ => after.saturating_sub(before).saturating_mul(1_000_000).checked_div(micros).map(small),
        };
        let rate = speed(self.last.total, reading.total, self.rate);
        let request_rate = speed(self.last.requests, reading.requests, self.request_rate);
        let came = if reading.total > self.last.total { Some(now) } else { self.came };
        let mut trail = self.trail;
        trail.extend(rate.max(request_rate));
        if trail.len() > TRAIL {
            trail.pop_front();
        }
        Self { last: reading, rate, request_rate, came, trail, most: self.most }
    }

    /// The rates of the last looks, a second each, the newest last.
    pub(super) fn trail(&self) -> impl Iterator<Item = u32> {
        self.trail.iter().copied()
    }

    fn with_peaks(mut self) -> Self {
        let most = &mut self.most;
        most.rate = most.rate.max(self.rate.unwrap_or(0));
        most.request_rate = most.request_rate.max(self.request_rate.unwrap_or(0));
        most.open = most.open.max(small(self.last.open));
        most.queued = most.queued.max(small(self.last.queued));
        self
    }

    /// Seconds since anything was seen to come last, -1: nothing ever did; `None`: nobody looked then.
    pub(super) fn last_came(&self, now: Instant) -> Option<i32> {
        match self.came {
            Some(came) => Some(i32::try_from(now.saturating_duration_since(came).as_secs()).unwrap_or(i32::MAX)),
            None => (self.last.total == 0).then_some(-1),
        }
    }
}

/// As much of a number as there is room for.
pub(super) fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn seconds(time: Duration) -> u32 {
    small(time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(total: u64, open: u64) -> (Key, Reading) {
        (Key::Server(1), Reading { total, requests: total * 2, open, queued: 0 })
    }

    #[test]
    fn rates_are_of_the_last_second_and_peaks_stay() {
        let (begun, mut history) = (Instant::now(), History::new(Instant::now()));
        let after = |millis| begun + Duration::from_millis(millis);
        assert!(history.due().is_none() && history.ask(begun), "nobody looks before somebody asks");
        history.look([reading(100, 3)], begun);
        let course = |history: &History| history.course(&Key::Server(1)).unwrap().clone();
        assert_eq!((course(&history).rate, course(&history).last_came(begun)), (None, None));
        assert_eq!(history.due(), Some(after(1_000)));
        history.look([reading(150, 9)], after(1_000));
        history.look([reading(160, 2)], after(3_000));
        let known = course(&history);
        assert_eq!((known.rate, known.request_rate), (Some(5), Some(10)));
        assert_eq!((known.most.rate, known.most.request_rate, known.most.open), (50, 100, 9));
        history.look([reading(160, 2)], after(3_005));
        assert_eq!(course(&history).rate, Some(5), "too short to tell");
        history.look([reading(160, 2)], after(8_000));
        assert_eq!((course(&history).rate, course(&history).last_came(after(8_000))), (Some(0), Some(5)));
        history.clear_most();
        assert_eq!(course(&history).most.open, 0);
        history.look([], after(9_000));
        assert!(history.course(&Key::Server(1)).is_none(), "it is gone");
    }

    #[test]
    fn nobody_looks_for_long_where_nobody_asks() {
        let begun = Instant::now();
        let mut history = History::new(begun);
        history.ask(begun);
        history.look([], begun + WANTED);
        assert_eq!(history.due(), None);
        assert!(history.ask(begun + WANTED * 3));
        history.look([(Key::Process, Reading { total: 9, ..Reading::default() })], begun + WANTED * 3);
        assert_eq!(history.course(&Key::Process).unwrap().rate, None);
    }

    #[test]
    fn what_is_always_wanted_is_looked_at_and_a_minute_of_it_is_remembered() {
        let (begun, mut history) = (Instant::now(), History::new(Instant::now()));
        history.is_always_wanted = true;
        assert!(history.due().is_some_and(|due| due >= begun), "before anybody asks");
        for second in 0..100 {
            let now = begun + DISTANCE * second;
            history.look([reading(u64::from(second * second), 1)], now);
            assert_eq!(history.due(), Some(now + DISTANCE));
        }
        let trail: Vec<_> = history.course(&Key::Server(1)).unwrap().trail().collect();
        assert_eq!((trail.len(), trail.first(), trail.last()), (TRAIL, Some(&158), Some(&394)));
        history.look([reading(0, 1)], begun + WANTED * 2);
        assert_eq!(history.course(&Key::Server(1)).unwrap().trail().count(), 0, "of a pause nothing is known");
    }

    #[test]
    fn time_that_something_was_down_adds_up() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut history = History::new(begun);
        for (state, when) in
            [(ServerState::Up, 0), (ServerState::Down, 10), (ServerState::Down, 12), (ServerState::Drain, 15)]
        {
            history.note_server(1, state, after(when));
        }
        history.note_server(1, ServerState::Down, after(20));
        let spell = history.server(1).unwrap();
        assert_eq!((spell.age(after(24)), spell.down_seconds(after(24)), spell.downs()), (4, 9, 2));
        history.keep(&BTreeSet::new(), &BTreeSet::new());
        assert!(history.server(1).is_none());
    }
}
