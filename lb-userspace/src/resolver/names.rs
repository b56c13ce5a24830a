//! What is known of each question: the last good answer, for how long it stands, and what went wrong since. Pure; the caller
//! says what time it is.

use super::{Failure, Found, Question};
use crate::model::{Family, Resolvers, resolvers::Hold};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use tokio::time::Instant;

/// Addresses of a name that are remembered beyond those of the last answer.
const REMEMBERED: usize = 256;

/// What is known of all questions.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: BTreeMap<Question, Known>,
    /// When hold times are over, of all of them.
    ends: BTreeSet<(Instant, Question)>,
    hold: Hold,
}

/// What is known of one question.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Of the last good answer.
    addresses: BTreeSet<IpAddr>,
    /// When each address was seen last.
    seen: BTreeMap<IpAddr, Instant>,
    /// When the last good answer came.
    answered: Option<Instant>,
    /// The last failure since then.
    failure: Option<Failure>,
    /// When the first failure since then came.
    failing: Option<Instant>,
    /// The hold time of a failure since then was over: as with HAProxy only a good answer brings addresses again.
    lapsed: bool,
    /// Failures ever.
    failures: u64,
    /// Its moments among all [`ends`](Names::ends).
    ends: BTreeSet<Instant>,
}

impl Names {
    /// Knows these questions from now on, and forgets others. What `/etc/hosts` answers is answered.
    pub fn update(&mut self, resolvers: &Resolvers, questions: &BTreeSet<Question>, now: Instant) {
        self.hold = resolvers.hold;
        self.known.retain(|question, _| questions.contains(question));
        for question in questions {
            let known = self.known.entry(question.clone()).or_default();
            match question.in_hosts(&resolvers.hosts) {
                Some(found) if found.is_empty() => known.failed(Failure::NoAddress, &self.hold, now),
                Some(addresses) => known.answered(addresses, now, self.hold.obsolete),
                None => {}
            }
        }
        self.ends.clear();
        for (question, known) in &mut self.known {
            known.ends = known.ends(&self.hold);
            self.ends.extend(known.ends.iter().map(|end| (*end, question.clone())));
        }
    }

    /// Takes the end of a question. Whether that changes what servers may be given, or is the first that is known of it.
    pub fn record(&mut self, question: &Question, ended: Result<Found, Failure>, now: Instant) -> bool {
        let Some(known) = self.known.get_mut(question) else { return false };
        let is_first = !known.has_ended();
        let before = known.stands(&self.hold, now).then(|| known.addresses.clone());
        match ended {
            Ok(found) => known.answered(found.addresses, now, self.hold.obsolete),
            Err(failure) => known.failed(failure, &self.hold, now),
        }
        let ends = known.ends(&self.hold);
        if ends != known.ends {
            for gone in known.ends.difference(&ends) {
                self.ends.remove(&(*gone, question.clone()));
            }
            self.ends.extend(ends.difference(&known.ends).map(|new| (*new, question.clone())));
            known.ends = ends;
        }
        is_first || before.as_ref() != known.stands(&self.hold, now).then_some(&known.addresses)
    }

    /// What is known of a question.
    pub fn known(&self, question: &Question) -> Option<&Known> {
        self.known.get(question)
    }

    /// Addresses that a server may be given now.
    pub fn addresses(&self, question: &Question, now: Instant) -> impl Iterator<Item = IpAddr> {
        let standing = self.known.get(question).filter(|known| known.stands(&self.hold, now));
        standing.into_iter().flat_map(|known| known.addresses.iter().copied())
    }

    /// Whether a server that has this address may keep it.
    pub fn keeps(&self, question: &Question, ip: IpAddr, now: Instant) -> bool {
        let Some(known) = self.known.get(question) else { return false };
        if known.answered.is_none() {
            // One that is remembered from a time before this process.
            return !known.has_lapsed(&self.hold, now);
        }
        let is_recent = |seen: &Instant| now < *seen + self.hold.obsolete;
        known.stands(&self.hold, now) && (known.addresses.contains(&ip) || known.seen.get(&ip).is_some_and(is_recent))
    }

    /// When a hold time is over, the first after that moment.
    pub fn due(&self, after: Instant) -> Option<Instant> {
        // Nothing is asked with the empty name: at the same moment all others come after it.
        let at_least = (after, Question { name: "".into(), first: Family::V4, either: false });
        self.ends.range(at_least..).map(|(end, _)| *end).find(|end| *end > after)
    }

    /// Until when a server keeps its address whose answers have been of no use since that moment; `None`: for ever.
    pub fn useful_until(&self, useless_since: Instant) -> Option<Instant> {
        Some(useless_since + self.hold.other?)
    }
}

impl Known {
    /// Whether there was an end of any kind.
    pub fn has_ended(&self) -> bool {
        self.answered.is_some() || self.failing.is_some()
    }

    /// How old the last good answer is.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|answered| now.saturating_duration_since(answered))
    }

    /// The last failure, if no good answer came since.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Failures ever.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    fn answered(&mut self, addresses: BTreeSet<IpAddr>, now: Instant, obsolete: Duration) {
        self.seen.extend(addresses.iter().map(|ip| (*ip, now)));
        self.seen.retain(|ip, seen| addresses.contains(ip) || now < *seen + obsolete);
        while self.seen.len() > REMEMBERED.max(addresses.len()) {
            let oldest = self.seen.iter().filter(|(ip, _)| !addresses.contains(ip)).min_by_key(|(_, seen)| **seen);
            let Some(oldest) = oldest.map(|(ip, _)| *ip) else { break };
            self.seen.remove(&oldest);
        }
        (self.addresses, self.answered, self.failure, self.failing) = (addresses, Some(now), None, None);
        self.lapsed = false;
    }

    fn failed(&mut self, failure: Failure, hold: &Hold, now: Instant) {
        self.lapsed = self.has_lapsed(hold, now);
        self.failures += 1;
        self.failure = Some(failure);
        self.failing.get_or_insert(now);
    }

    /// Whether the last good answer holds.
    fn stands(&self, hold: &Hold, now: Instant) -> bool {
        self.answered.is_some() && !self.has_lapsed(hold, now)
    }

    fn has_lapsed(&self, hold: &Hold, now: Instant) -> bool {
        self.lapsed || self.held_until(hold).is_some_and(|end| now >= end)
    }

    /// Until when what was known before the failures holds.
    fn held_until(&self, hold: &Hold) -> Option<Instant> {
        Some(self.failing? + self.hold(hold)?)
    }

    /// When hold times are over.
    fn ends(&self, hold: &Hold) -> BTreeSet<Instant> {
        let others = self.seen.iter().filter(|(ip, _)| !self.addresses.contains(ip));
        others.map(|(_, seen)| *seen + hold.obsolete).chain(self.held_until(hold)).collect()
    }

    /// How long the last good answer holds after such a failure.
    fn hold(&self, hold: &Hold) -> Option<Duration> {
        match self.failure? {
            Failure::NoName | Failure::NoAddress => hold.nx,
            Failure::Refused => hold.refused,
            Failure::Timeout | Failure::Unreachable => hold.timeout,
            Failure::Code(_) | Failure::Malformed => hold.other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question { name: "db".into(), first: Family::V4, either: false }
    }

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn found(last: &[u8]) -> Found {
        Found { addresses: last.iter().map(|last| ip(*last)).collect(), ttl: Duration::from_secs(1) }
    }

    /// Names with these hold times, and the first answer.
    fn answered(hold: Hold, now: Instant) -> Names {
        let resolvers = Resolvers { hold, ..Resolvers::default() };
        let mut names = Names::default();
        names.update(&resolvers, &[question()].into(), now);
        assert!(names.record(&question(), Ok(found(&[1, 2])), now));
        names
    }

    fn addresses(names: &Names, now: Instant) -> Vec<IpAddr> {
        names.addresses(&question(), now).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_answer_stands_for_ever_whatever_fails() {
        let now = Instant::now();
        let mut names = answered(Hold::default(), now);
        let failures = [
            Failure::NoName,
            Failure::NoAddress,
            Failure::Refused,
            Failure::Timeout,
            Failure::Unreachable,
            Failure::Code(2),
            Failure::Malformed,
        ];
        for failure in failures {
            assert!(!names.record(&question(), Err(failure), now), "{failure}");
        }
        let later = now + Duration::from_hours(24 * 365);
        assert_eq!(addresses(&names, later), [ip(1), ip(2)]);
        assert_eq!(names.due(now), None);
        let known = names.known(&question()).expect("known");
        assert_eq!((known.failures(), known.failure()), (7, Some(Failure::Malformed)));
        assert_eq!(known.age(later), Some(Duration::from_hours(24 * 365)));
        assert!(!names.record(&question(), Ok(found(&[1, 2])), later), "the same again");
        assert_eq!(names.known(&question()).and_then(Known::failure), None);
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_hold_time_it_stands_as_long_after_the_first_failure_of_a_row() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut names = answered(Hold { nx: Some(second * 30), ..Hold::default() }, now);
        assert!(!names.record(&question(), Err(Failure::NoName), now + second * 10));
        assert!(!names.record(&question(), Err(Failure::NoName), now + second * 20));
        assert_eq!(names.due(now + second * 20), Some(now + second * 40));
        assert_eq!(addresses(&names, now + second * 39).len(), 2);
        assert!(names.keeps(&question(), ip(1), now + second * 39));
        assert!(addresses(&names, now + second * 40).is_empty());
        assert!(!names.keeps(&question(), ip(1), now + second * 40));
        assert!(names.record(&question(), Ok(found(&[1])), now + second * 41), "there it is again");
        assert!(!names.record(&question(), Err(Failure::Timeout), now + second * 42));
        assert_eq!(names.due(now + second * 42), None, "that one has no hold time");
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_between_does_not_count_and_what_is_gone_stays_so_until_a_good_answer() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let hold = Hold { nx: Some(second * 30), timeout: Some(second * 60), ..Hold::default() };
        let mut names = answered(hold, now);
        assert!(!names.record(&question(), Err(Failure::Timeout), now + second));
        assert_eq!(names.due(now + second), Some(now + second * 61));
        assert!(names.record(&question(), Err(Failure::NoName), now + second * 40), "no valid answer for 30 s");
        assert!(!names.record(&question(), Err(Failure::Timeout), now + second * 41), "which brings nothing back");
        assert!(addresses(&names, now + second * 41).is_empty());
        assert!(!names.keeps(&question(), ip(1), now + second * 41));
        assert!(names.record(&question(), Ok(found(&[1])), now + second * 42));
        assert_eq!(addresses(&names, now + second * 42), [ip(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_names_the_first_that_is_over_is_due() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let named = |name: u64| Question { name: name.to_string().into(), ..question() };
        let questions: BTreeSet<_> = (0..100).map(named).collect();
        let hold = Hold { timeout: Some(second * 1_000), ..Hold::default() };
        let (mut names, resolvers) = (Names::default(), Resolvers { hold, ..Resolvers::default() });
        names.update(&resolvers, &questions, now);
        for name in 0..100 {
            names.record(&named(name), Ok(found(&[1])), now);
            names.record(&named(name), Err(Failure::Timeout), now + Duration::from_secs(100 - name));
        }
        assert_eq!(names.due(now), Some(now + second * 1_001));
        assert_eq!(names.due(now + second * 1_001), Some(now + second * 1_002));
        names.record(&named(98), Ok(found(&[1])), now + second * 500);
        assert_eq!(names.due(now + second * 1_001), Some(now + second * 1_003));
        names.update(&resolvers, &[named(0)].into(), now + second * 500);
        assert_eq!(names.due(now), Some(now + second * 1_100));
        assert_eq!(names.ends.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_not_in_the_answer_any_more_is_kept_as_long_as_it_may() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut names = answered(Hold { obsolete: second * 5, ..Hold::default() }, now);
        assert!(names.record(&question(), Ok(found(&[3])), now + second));
        assert_eq!(addresses(&names, now + second), [ip(3)], "nobody is given it anew");
        assert_eq!(names.due(now + second), Some(now + second * 5));
        assert!(names.keeps(&question(), ip(1), now + second * 4));
        assert!(!names.keeps(&question(), ip(1), now + second * 5));
        let mut names = answered(Hold::default(), now);
        assert!(names.record(&question(), Ok(found(&[3])), now));
        assert!(!names.keeps(&question(), ip(1), now), "HAProxy's default: at once");
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_are_known_without_asking_and_what_is_not_asked_any_more_is_forgotten() {
        let now = Instant::now();
        let hosts = BTreeMap::from([("db".into(), [ip(7), "2001:db8::7".parse().expect("an address")].into())]);
        let resolvers = Resolvers { hosts, ..Resolvers::default() };
        let mut names = Names::default();
        names.update(&resolvers, &[question()].into(), now);
        assert_eq!(addresses(&names, now), [ip(7)]);
        names.update(&resolvers, &BTreeSet::new(), now);
        assert!(names.known(&question()).is_none());
        assert!(!names.record(&question(), Ok(found(&[1])), now), "nobody asks for it");
    }
}
