//! Verdicts: every server's outcomes, counted, and what its agent says; and the moment when its health changes. As with HAProxy
//! a server is up if neither says otherwise.

use super::{
    AgentOutcome, Heard, Meaning, Outcome, Report,
    rise_fall::{Pace, RiseFall},
};
use crate::{
    model::{
        Model, ServerName,
        check::{Check, Observe, OnError},
    },
    servers::Health,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The counters of all servers that are checked or have an agent, by identity.
#[derive(Debug, Default)]
pub struct Verdicts {
    servers: BTreeMap<u64, Judged>,
    /// Of each of them, the servers that become what it becomes.
    trackers: BTreeMap<u64, Vec<(u64, ServerName)>>,
}

#[derive(Clone, Debug)]
struct Judged {
    name: ServerName,
    /// What both found together.
    known: Health,
    /// What the checks found; without any, whether an agent has said that it is up.
    checked: Health,
    /// `None`: it has an agent, and is not checked.
    counter: Option<RiseFall>,
    /// `None`: it has none.
    agent: Option<Said>,
    observe: Option<Observe>,
    /// The next probe is wanted early, whatever the counter says.
    hurry: bool,
    /// No probe is wanted.
    rests: bool,
    last: Option<Report>,
    failures: u64,
    downs: u64,
}

/// What an agent said.
#[derive(Clone, Debug, Default)]
struct Said {
    is_down: bool,
    last: Option<LastWord>,
    silences: u64,
    /// What it says does not count.
    rests: bool,
}

/// The end of the last question to an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastWord {
    /// HAProxy's `agent_status`.
    pub code: &'static str,
    /// What was said, or why nothing was; may be empty.
    pub words: String,
    /// How long it took.
    pub took: Duration,
}

/// What is known of an agent.
#[derive(Clone, Copy, Debug)]
pub struct AgentRecord<'a> {
    /// The last question; `None` before the first.
    pub last: Option<&'a LastWord>,
    /// Questions that had no answer that counts.
    pub silences: u64,
    /// Whether the last word about it was that the server is down.
    pub is_down: bool,
}

/// What probes have found of a server so far.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The last probe; `None` before the first.
    pub last: Option<&'a Report>,
    /// Probes that failed while it was up; HAProxy's `chkfail`.
    pub failures: u64,
    /// How often it went down, by its checks or its agent; HAProxy's `chkdown`.
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
    /// Judges the servers of `model` that are checked or have an agent from now on. Who was judged before keeps the count; `known`
    /// tells how each stands.
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
                let (check, has_agent) = (server.check(backend), server.agent().is_some());
                if check.is_some() || has_agent {
                    let judged = old.remove(&identity).unwrap_or_else(|| Judged::new(name(), known(identity)));
                    self.servers.insert(identity, judged.with(check, has_agent, known(identity)));
                }
            }
        }
    }

    /// Takes an outcome into account. The first verdict on an unchecked server is a change too. An outcome for which
    /// the server cannot be blamed is remembered as the last one and counts neither way.
    pub fn record(&mut self, outcome: &Outcome) -> Option<Transition> {
        let judged = self.servers.get_mut(&outcome.identity)?;
        let counter = judged.counter.as_mut().filter(|_| !judged.rests)?;
        judged.last = Some(outcome.report.clone());
        judged.hurry = false;
        let meaning = match outcome.report.finding.code.meaning() {
            // As with HAProxy: who is down does not come back with that.
            Meaning::Stopping if !judged.checked.serves() => Meaning::Failed,
            meaning @ (Meaning::Passed | Meaning::Stopping | Meaning::Failed | Meaning::Nothing) => meaning,
        };
        let to = match meaning {
            Meaning::Nothing => return None,
            Meaning::Passed | Meaning::Stopping => counter.record(true),
            Meaning::Failed => {
                judged.failures += u64::from(judged.checked.serves());
                counter.record(false)
            }
        };
        // One that asked to get nothing new does not get it either because it begins to fail.
        let stops = meaning == Meaning::Stopping || (meaning == Meaning::Failed && judged.checked == Health::Stopping);
        let to = if stops && to == Health::Up { Health::Stopping } else { to };
        judged.checked = to;
        judged.settle(outcome.identity, || outcome.report.to_string(), outcome.finished_at)
    }

    /// Takes what an agent said into account; `warning`: what could not be done of it. Silence changes nothing, nor does a word
    /// about anything else than health.
    pub fn heard(&mut self, heard: &Heard, warning: Option<&str>) -> Option<Transition> {
        let Heard { identity, outcome, took, finished_at, .. } = heard;
        let judged = self.servers.get_mut(identity)?;
        let agent = judged.agent.as_mut().filter(|agent| !agent.rests)?;
        let said = match outcome {
            AgentOutcome::Silent(finding) => {
                agent.silences += 1;
                agent.last = Some(LastWord { code: finding.code.name(), words: finding.detail.clone(), took: *took });
                return None;
            }
            AgentOutcome::Said(said) => said,
        };
        let words = said.words(warning);
        agent.last = Some(LastWord { code: said.code(), words: words.clone(), took: *took });
        let (health, _) = said.health.as_ref()?;
        agent.is_down = !health.is_up();
        if judged.counter.is_none() && health.is_up() {
            judged.checked = Health::Up;
        }
        judged.settle(*identity, || words, *finished_at)
    }

    /// The count of a server's probes, to which failures of its traffic may add. `None`: it is not checked.
    pub fn counter(&self, identity: u64) -> Option<RiseFall> {
        self.servers.get(&identity)?.counter
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
        let mut after = judged.counter?;
        match observe.on_error {
            OnError::FastInterval => return None,
            OnError::FailCheck => {}
            OnError::SuddenDeath => after.weaken(2),
            OnError::MarkDown => after.weaken(1),
        }
        let to = match after.record(false) {
            Health::Up if judged.checked == Health::Stopping => Health::Stopping,
            to @ (Health::Up
            | Health::Down
            | Health::Unknown
            | Health::Stopping
            | Health::Pending
            | Health::Unresolved
            | Health::AgentDown) => to,
        };
        if to == Health::Down && !may_fall {
            return None;
        }
        (judged.counter, judged.checked) = (Some(after), to);
        judged.settle(identity, || format!("HANA {} errors in a row", observe.error_limit), now)
    }

    /// Whether enough servers of the backend are up with one less.
    fn stays_above_floor(&self, backend: &str, floor: u32) -> bool {
        let is_one = |judged: &&Judged| judged.name.backend == backend && judged.counter.is_some();
        let servers = || self.servers.values().filter(is_one);
        let up = servers().filter(|judged| judged.known.serves()).count().saturating_sub(1);
        up * 100 >= servers().count() * floor as usize
    }

    /// The operator says how a server is that is checked: probes go on from there.
    pub fn say(&mut self, identity: u64, to: Health, reason: &str, now: Instant) -> Option<Transition> {
        let judged = self.servers.get_mut(&identity)?;
        judged.counter = judged.counter.map(|counter| counter.said(to.serves()));
        judged.checked = to;
        judged.settle(identity, || reason.to_owned(), now)
    }

    /// The operator says in the place of its agent whether a server is down.
    pub fn say_for_agent(&mut self, identity: u64, is_down: bool, reason: &str, now: Instant) -> Option<Transition> {
        let judged = self.servers.get_mut(&identity)?;
        judged.agent.as_mut()?.is_down = is_down;
        if judged.counter.is_none() && !is_down {
            judged.checked = Health::Up;
        }
        judged.settle(identity, || reason.to_owned(), now)
    }

    /// Has probes of a server rest, or go on.
    pub fn rest(&mut self, identity: u64, rests: bool) {
        if let Some(judged) = self.servers.get_mut(&identity) {
            (judged.rests, judged.hurry) = (rests, !rests);
        }
    }

    /// Has what the agent of a server says not count, or count again.
    pub fn rest_agent(&mut self, identity: u64, rests: bool) {
        if let Some(agent) = self.servers.get_mut(&identity).and_then(|judged| judged.agent.as_mut()) {
            agent.rests = rests;
        }
    }

    /// Whether probes of a server rest.
    pub fn rests(&self, identity: u64) -> bool {
        self.servers.get(&identity).is_some_and(|judged| judged.rests)
    }

    /// Whether what the agent of a server says does not count.
    pub fn agent_rests(&self, identity: u64) -> bool {
        let agent = self.servers.get(&identity).and_then(|judged| judged.agent.as_ref());
        agent.is_some_and(|agent| agent.rests)
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
        let pace = |judged: &Judged| {
            if judged.rests {
                Some(Pace::Never)
            } else if judged.hurry {
                Some(Pace::Fast)
            } else {
                judged.counter.map(RiseFall::pace)
            }
        };
        judged.and_then(pace).unwrap_or(Pace::Steady)
    }

    /// What is known of a checked server.
    pub fn known(&self, identity: u64) -> Option<Record<'_>> {
        let Judged { last, failures, downs, counter, .. } = self.servers.get(&identity)?;
        Some(Record { last: last.as_ref(), failures: *failures, downs: *downs, health: counter.as_ref()?.health() })
    }

    /// What the checks found of a server, whatever its agent says; `None`: it is not checked.
    pub fn checked(&self, identity: u64) -> Option<Health> {
        self.servers.get(&identity).filter(|judged| judged.counter.is_some()).map(|judged| judged.checked)
    }

    /// What is known of a server's agent.
    pub fn agent(&self, identity: u64) -> Option<AgentRecord<'_>> {
        let Said { is_down, last, silences, .. } = self.servers.get(&identity)?.agent.as_ref()?;
        Some(AgentRecord { last: last.as_ref(), silences: *silences, is_down: *is_down })
    }
}

impl Judged {
    /// One of which that is known, neither checked nor with an agent yet.
    fn new(name: ServerName, known: Health) -> Self {
        let is_down = known == Health::AgentDown;
        Self {
            name,
            known,
            checked: if is_down { Health::Unknown } else { known },
            counter: None,
            agent: Some(Said { is_down, ..Said::default() }),
            observe: None,
            hurry: false,
            rests: false,
            last: None,
            failures: 0,
            downs: 0,
        }
    }

    /// With that check and agent from now on.
    fn with(self, check: Option<&Check>, has_agent: bool, known: Health) -> Self {
        let counter = check.map(|check| match self.counter {
            Some(counter) => counter.with(check),
            None => RiseFall::new(check, known),
        });
        let checked = match (check, self.counter) {
            (Some(_), Some(_)) | (None, None) => self.checked,
            (Some(_), None) if known == Health::AgentDown => Health::Down,
            (None, Some(_)) if known == Health::AgentDown => Health::Unknown,
            (Some(_), None) | (None, Some(_)) => known,
        };
        let is_same = check.is_some() == self.counter.is_some() && has_agent == self.agent.is_some();
        let known = if is_same { self.known } else { known };
        let agent = has_agent.then(|| self.agent.unwrap_or_default());
        Self { known, checked, counter, agent, observe: check.and_then(|check| check.observe), ..self }
    }

    /// What both found together, and whether that is a change.
    fn settle(&mut self, identity: u64, reason: impl FnOnce() -> String, finished_at: Instant) -> Option<Transition> {
        let is_down = self.agent.as_ref().is_some_and(|agent| agent.is_down);
        let to = if is_down { Health::AgentDown } else { self.checked };
        let before = std::mem::replace(&mut self.known, to);
        if before == to {
            return None;
        }
        self.downs += u64::from(before.serves() && !to.serves());
        Some(Transition { identity, name: self.name.clone(), to, reason: reason(), finished_at })
    }
}

#[cfg(test)]
mod tests;
