//! Servers by name, in the worker: what is asked, what each server was given, and when a change is due.
//!
//! A change of addresses is a change of the model like any other, only that nothing but addresses differs. Changes are gathered
//! for a moment and keep a distance, so that many names, or one that nobody can make sense of, cost no more than one does.

use crate::{
    admin::status::HostStatus,
    model::{Addressing, Model, Server, server::NOWHERE},
    plan::Tables,
    resolver::{Answered, Before, Chosen, Key, Names, Question, Tasks, Why, choice, choose, names::Known},
    servers::state::LEAVES,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tracing::{info, warn};

/// Changes of addresses keep this distance.
pub(super) const DISTANCE: Duration = Duration::from_secs(1);
/// So do choices that change nothing: each looks at all servers.
const CHOICES: Duration = Duration::from_millis(200);
/// Answers that come as soon after the first one are part of the same change.
const GATHER: Duration = Duration::from_millis(20);
/// Answers that may wait for the loop.
const WAITING: usize = 256;
/// Pairs of a server and a row of the maps that are compared at most.
const COMPARED: usize = 4_000_000;

/// What is asked and what is known.
pub(super) struct Naming {
    tasks: Tasks,
    names: Names,
    answers: mpsc::Sender<Answered>,
    /// What servers have.
    before: Before,
    /// What was chosen last.
    chosen: BTreeMap<Key, Chosen>,
    /// Whether there ever were addresses: the worker after this one must hear if there are none any more.
    told: bool,
    /// From when on hold times that are over have not been looked at.
    looked_at: Instant,
    /// When the first server loses an address because the answers are of no use to it.
    useful_until: Option<Instant>,
    /// When addresses were chosen last, be it the same again.
    evaluated: Option<Instant>,
    /// When addresses changed last.
    changed: Option<Instant>,
    /// When answers that change something are to take effect.
    due: Option<Instant>,
}

impl Naming {
    /// Asks nothing yet. What comes of questions is received from the channel, for [`record`](Self::record).
    pub(super) fn new() -> (Self, mpsc::Receiver<Answered>) {
        let (answers, answers_in) = mpsc::channel(WAITING);
        let naming = Self {
            tasks: Tasks::default(),
            names: Names::default(),
            answers,
            before: Before::default(),
            chosen: BTreeMap::new(),
            told: false,
            looked_at: Instant::now(),
            useful_until: None,
            evaluated: None,
            changed: None,
            due: None,
        };
        (naming, answers_in)
    }

    /// Asks what `next` asks, and what the model before it asks while that is still served.
    pub(super) fn ask(&mut self, next: &Model, before: Option<&Model>, now: Instant) {
        let mut questions = Question::all(next);
        questions.extend(before.into_iter().flat_map(Question::all));
        self.names.update(&next.resolvers, &questions, now);
        self.tasks.update(&next.resolvers, &questions, &self.answers);
        self.before.distrusted.clear();
    }

    /// Ends all questions.
    pub(super) fn stop(&mut self) {
        self.tasks.stop();
    }

    /// Where servers are, for [`recall`](Self::recall) by the worker after this one. `None`: no name has ever led anywhere.
    pub(super) fn memory(&self) -> Option<Vec<(Key, IpAddr)>> {
        self.told.then(|| self.before.given.iter().map(|(key, ip)| (key.clone(), *ip)).collect())
    }

    /// Remembers where servers were when the worker before this one ended.
    pub(super) fn recall(&mut self, known: Vec<(Key, IpAddr)>) {
        self.told = true;
        for (key, ip) in known {
            self.before.given.entry(key).or_insert(ip);
        }
    }

    /// Remembers the addresses that servers of `model` have in the kernel's maps, of the daemon or worker before this one.
    pub(super) fn remember(&mut self, model: &Model, tables: &Tables) {
        // Who leaves is where the name led before.
        let rows = tables.servers.values().filter(|row| row.admin != LEAVES);
        let rows: BTreeMap<u64, IpAddr> =
            rows.map(|row| (row.identity, row.addr.ip())).filter(|(_, ip)| *ip != NOWHERE).collect();
        let ips: BTreeSet<IpAddr> = rows.values().copied().collect();
        let mut servers = named(model);
        servers.retain(|(key, _)| !self.before.given.contains_key(key));
        if servers.len().saturating_mul(ips.len()) > COMPARED {
            return; // They are asked for like those of a first start.
        }
        for (key, server) in servers {
            let is_there = |ip: &&IpAddr| rows.get(&server.at(Some(**ip)).identity(&key.backend)) == Some(*ip);
            if let Some(ip) = ips.iter().find(is_there) {
                self.before.given.insert(key, *ip);
            }
        }
    }

    /// Whether something is known of every server of `model`, be it that its name has no address.
    pub(super) fn is_ready(&self, model: &Model) -> bool {
        let is_known = |key: &Key| self.names.known(&key.question).is_some_and(Known::has_ended);
        named(model).iter().all(|(key, _)| is_known(key) || self.before.given.contains_key(key))
    }

    /// Takes the end of a question.
    pub(super) fn record(&mut self, answered: Answered, now: Instant) {
        let Answered { question, ended } = answered;
        let failed = |names: &Names| names.known(&question).and_then(Known::failure);
        let before = failed(&self.names);
        let is_new = self.names.record(&question, ended, now);
        match (before, failed(&self.names)) {
            (None, Some(error)) => {
                warn!(name = &*question.name, %error, "a name is not resolved; the last good answer stands, if there is one");
            }
            (Some(_), None) => info!(name = &*question.name, "the name is resolved again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        if is_new {
            let due = self.distant(now + GATHER);
            self.due.get_or_insert(due);
        }
    }

    /// The first moment from `wanted` on that keeps its distance from what was before.
    fn distant(&self, wanted: Instant) -> Instant {
        let from = [self.changed.map(|changed| changed + DISTANCE), self.evaluated.map(|it| it + CHOICES)];
        from.into_iter().flatten().fold(wanted, Instant::max)
    }

    /// When [`addressed`](Self::addressed) may have something new.
    pub(super) fn due(&self) -> Option<Instant> {
        let held = [self.names.due(self.looked_at), self.useful_until];
        let held = held.into_iter().flatten().min().map(|due| self.distant(due));
        self.due.into_iter().chain(held).min()
    }

    /// `configured` with the addresses of now, and what they were chosen by.
    pub(super) fn addressed(&self, configured: &Model, now: Instant) -> (Arc<Model>, BTreeMap<Key, Chosen>) {
        let chosen = choose(configured, &self.names, &self.before, now);
        (Arc::new(choice::addressed(configured, &chosen)), chosen)
    }

    /// `configured` with the addresses that servers had until now, be it with the worker before this one.
    pub(super) fn before(&self, configured: &Model) -> Model {
        choice::at(configured, self.before.given.iter().map(|(key, ip)| (key, *ip)))
    }

    /// Whether that is other addresses than servers have; if not, only reasons may be new.
    pub(super) fn is_new(&self, chosen: &BTreeMap<Key, Chosen>) -> bool {
        let given = chosen.iter().filter_map(|(key, chosen)| Some((key, chosen.ip?)));
        !given.eq(self.before.given.iter().map(|(key, ip)| (key, *ip)))
    }

    /// Servers have these now.
    pub(super) fn given(&mut self, chosen: BTreeMap<Key, Chosen>, now: Instant) {
        (self.due, self.looked_at, self.evaluated) = (None, now, Some(now));
        let given = chosen.iter().filter_map(|(key, chosen)| Some((key.clone(), chosen.ip?))).collect();
        let since = |key: &Key| (key.clone(), self.before.useless.get(key).copied().unwrap_or(now));
        let useless = chosen.iter().filter(|(_, chosen)| chosen.why.is_some_and(Why::is_of_no_use));
        let useless: BTreeMap<_, _> = useless.map(|(key, _)| since(key)).collect();
        // Who has none has lost it already.
        let useful_until = useless.iter().filter(|(key, _)| chosen.get(key).is_some_and(|chosen| chosen.ip.is_some()));
        self.useful_until = useful_until.filter_map(|(_, since)| self.names.useful_until(*since)).min();
        let next = Before { given, useless, distrusted: self.before.distrusted.clone() };
        let before = std::mem::replace(&mut self.before, next);
        self.told |= !before.given.is_empty() || !self.before.given.is_empty();
        if before.given != self.before.given {
            self.changed = Some(now);
        }
        for (key, Chosen { ip, why }) in &chosen {
            let (Key { backend, server, question }, was) = (key, before.address(key));
            if was != *ip {
                let shown = |ip: Option<IpAddr>| ip.map_or_else(|| "none".to_owned(), |ip| ip.to_string());
                let (from, to) = (shown(was), shown(*ip));
                info!(
                    event = "address",
                    backend,
                    server,
                    name = &*question.name,
                    from,
                    to,
                    "a server's address changed"
                );
            }
            let is_said = self.chosen.get(key).is_some_and(|known| known.why == *why);
            if let Some(Why::Unfit(..) | Why::NoNextHop(_) | Why::Taken) = why.filter(|_| !is_said) {
                let why = why.map(|why| why.to_string());
                warn!(backend, server, name = &*question.name, why, "an answer is of no use to a server");
            }
        }
        self.chosen = chosen;
    }

    /// It is tried again a while later.
    pub(super) fn later(&mut self, now: Instant) {
        (self.due, self.looked_at) = (Some(now + DISTANCE * 10), now);
        (self.evaluated, self.useful_until) = (Some(now), None);
    }

    /// Nothing can be sent there: whoever was given that address gets another one, or none.
    pub(super) fn distrust(&mut self, ip: IpAddr, now: Instant) {
        warn!(%ip, "the kernel half has no next hop left for an address that a name has");
        if self.before.distrusted.insert(ip) {
            self.due = Some(now);
        }
    }

    /// How each server stands with its name, by backend and server.
    pub(super) fn report(&self, now: Instant) -> BTreeMap<(&str, &str), HostStatus> {
        let status = |(key, chosen): &(&Key, &Chosen)| {
            let known = self.names.known(&key.question);
            let failure = known.and_then(Known::failure).map(Why::Failed);
            let of_answer = chosen.why.filter(|why| !matches!(why, Why::Failed(_)));
            HostStatus {
                name: key.question.name.to_string(),
                age: known.and_then(|known| known.age(now)).map(|age| age.as_secs()),
                failures: known.map_or(0, Known::failures),
                problem: failure.or(of_answer).map(|why| why.to_string()),
            }
        };
        self.chosen.iter().map(|known| ((&*known.0.backend, &*known.0.server), status(&known))).collect()
    }
}

/// The servers that are known by their names.
fn named(model: &Model) -> Vec<(Key, &Server)> {
    let addressing = Addressing::new(model);
    let mut found = Vec::new();
    for (index, backend) in model.backends.iter().enumerate() {
        for server in &backend.servers {
            let Some(host) = &server.host else { continue };
            let question = Question::of(host, index, &addressing);
            found.push((Key { backend: backend.name.clone(), server: server.name.clone(), question }, server));
        }
    }
    found
}

#[cfg(test)]
mod tests;
