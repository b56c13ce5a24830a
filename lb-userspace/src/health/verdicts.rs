//! Verdicts: every server's outcomes, counted; and the moment when its health changes.

use super::{
    Meaning, Outcome, Report,
    rise_fall::{Pace, RiseFall},
};
use crate::{
    model::{
        Model, ServerName,
        check::{Check, Observe, OnError},
    },
    servers::Health,
};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The counters of all checked servers, by identity.
#[derive(Debug, Default)]
pub struct Verdicts {
    servers: BTreeMap<u64, Judged>,
    /// Of each of them, the servers that become what it becomes.
    trackers: BTreeMap<u64, Vec<(u64, ServerName)>>,
}

#[derive(Clone, Debug)]
struct Judged {
    name: ServerName,
    known: Health,
    counter: RiseFall,
    observe: Option<Observe>,
    /// The next probe is wanted early, whatever the counter says.
    hurry: bool,
    last: Option<Report>,
    failures: u64,
    downs: u64,
}

/// What probes have found of a server so far.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The last probe; `None` before the first.
    pub last: Option<&'a Report>,
    /// Probes that failed while it was up; HAProxy's `chkfail`.
    pub failures: u64,
    /// How often it went down; HAProxy's `chkdown`.
    pub downs: u64,
    /// HAProxy's `check_health`.
    pub health: u32,
}

/// A server's health changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transition {
    /// Which server.
    pub identity: u64,
    /// Its names.
    pub name: ServerName,
    /// What it became.
    pub to: Health,
    /// What decided, in words.
    pub reason: String,
    /// When that was known: the end of the probe.
    pub finished_at: Instant,
}

impl Verdicts {
    /// Judges the checked servers of `model` from now on. Who was judged before keeps the count; `known` tells what the
    /// maps remember of the others.
    pub fn update(&mut self, model: &Model, known: impl Fn(u64) -> Health) {
        let mut old = std::mem::take(&mut self.servers);
        self.trackers.clear();
        for backend in &model.backends {
            for server in backend.servers.iter().filter(|server| server.is_resolved()) {
                let identity = server.identity(&backend.name);
                let name = || ServerName { backend: backend.name.clone(), server: server.name.clone() };
                if let Some(tracked) = server.track.as_ref().and_then(|tracked| model.identity(tracked)) {
                    self.trackers.entry(tracked).or_default().push((identity, name()));
                }
                let Some(check) = server.check(backend) else { continue };
                let judged = match old.remove(&identity) {
                    Some(judged) => Judged { counter: judged.counter.with(check), observe: check.observe, ..judged },
                    None => Judged::new(name(), check, known(identity)),
                };
                self.servers.insert(identity, judged);
            }
        }
    }

    /// Takes an outcome into account. The first verdict on an unchecked server is a change too. An outcome for which
    /// the server cannot be blamed is remembered as the last one and counts neither way.
    pub fn record(&mut self, outcome: &Outcome) -> Option<Transition> {
        let judged = self.servers.get_mut(&outcome.identity)?;
        judged.last = Some(outcome.report.clone());
        judged.hurry = false;
        let meaning = match outcome.report.finding.code.meaning() {
            // As with HAProxy: who is down does not come back with that.
            Meaning::Stopping if !judged.known.serves() => Meaning::Failed,
            meaning @ (Meaning::Passed | Meaning::Stopping | Meaning::Failed | Meaning::Nothing) => meaning,
        };
        let to = match meaning {
            Meaning::Nothing => return None,
            Meaning::Passed | Meaning::Stopping => judged.counter.record(true),
            Meaning::Failed => {
                judged.failures += u64::from(judged.known.serves());
                judged.counter.record(false)
            }
        };
        // One that asked to get nothing new does not get it either because it begins to fail.
        let stops = meaning == Meaning::Stopping || (meaning == Meaning::Failed && judged.known == Health::Stopping);
        let to = if stops && to == Health::Up { Health::Stopping } else { to };
        judged.become_now(outcome.identity, to, || outcome.report.to_string(), outcome.finished_at)
    }

    /// Takes into account that the traffic of a server failed as often as its check allows. What would leave too few
    /// servers of the backend up is left to probes, of which the next comes early; so is what would leave nobody to take new
    /// traffic, which `spared` says.
    pub fn observed(&mut self, identity: u64, spared: bool, now: Instant) -> Option<Transition> {
        let judged = self.servers.get(&identity)?;
        let observe = judged.observe?;
        let may_fall = observe.floor == 0 || (spared && self.stays_above_floor(&judged.name.backend, observe.floor));
        let judged = self.servers.get_mut(&identity)?;
        judged.hurry = true;
        let mut after = judged.counter;
        match observe.on_error {
            OnError::FastInterval => return None,
            OnError::FailCheck => {}
            OnError::SuddenDeath => after.weaken(2),
            OnError::MarkDown => after.weaken(1),
        }
        let to = match after.record(false) {
            Health::Up if judged.known == Health::Stopping => Health::Stopping,
            to @ (Health::Up
            | Health::Down
            | Health::Unknown
            | Health::Stopping
            | Health::Pending
            | Health::Unresolved) => to,
        };
        if to == Health::Down && !may_fall {
            return None;
        }
        judged.counter = after;
        let reason = || format!("HANA {} errors in a row", observe.error_limit);
        judged.become_now(identity, to, reason, now)
    }

    /// Whether enough servers of the backend are up with one less.
    fn stays_above_floor(&self, backend: &str, floor: u32) -> bool {
        let servers = || self.servers.values().filter(|judged| judged.name.backend == backend);
        let up = servers().filter(|judged| judged.known.serves()).count().saturating_sub(1);
        up * 100 >= servers().count() * floor as usize
    }

    /// The servers that become what that one becomes.
    pub fn trackers(&self, identity: u64) -> &[(u64, ServerName)] {
        self.trackers.get(&identity).map_or(&[], Vec::as_slice)
    }

    /// The backends in which something changes with that server: its own, and those of its trackers.
    pub fn concerned(&self, identity: u64) -> impl Iterator<Item = &str> {
        let own = self.servers.get(&identity).map(|judged| &judged.name);
        let trackers = self.trackers(identity).iter().map(|(_, name)| name);
        own.into_iter().chain(trackers).map(|name| name.backend.as_str())
    }

    /// How soon the next probe of a server is wanted.
    pub fn pace(&self, identity: u64) -> Pace {
        let judged = self.servers.get(&identity);
        judged.map_or(Pace::Steady, |judged| if judged.hurry { Pace::Fast } else { judged.counter.pace() })
    }

    /// What is known of a checked server.
    pub fn known(&self, identity: u64) -> Option<Record<'_>> {
        let Judged { last, failures, downs, counter, .. } = self.servers.get(&identity)?;
        Some(Record { last: last.as_ref(), failures: *failures, downs: *downs, health: counter.health() })
    }
}

impl Judged {
    fn new(name: ServerName, check: &Check, known: Health) -> Self {
        Self {
            name,
            known,
            counter: RiseFall::new(check, known),
            observe: check.observe,
            hurry: false,
            last: None,
            failures: 0,
            downs: 0,
        }
    }

    fn become_now(
        &mut self,
        identity: u64,
        to: Health,
        reason: impl FnOnce() -> String,
        finished_at: Instant,
    ) -> Option<Transition> {
        if std::mem::replace(&mut self.known, to) == to {
            return None;
        }
        self.downs += u64::from(to == Health::Down);
        Some(Transition { identity, name: self.name.clone(), to, reason: reason(), finished_at })
    }
}

#[cfg(test)]
mod tests;
