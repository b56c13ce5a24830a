//! All that a configuration brings to life in the worker, and what changes it between configurations: verdicts, and in
//! `wishes` the operator and agents.

mod telling;
mod wishes;

use super::{
    edits::Edits,
    given::{Found, bound},
    halves::Halves,
    heartbeat::Beats,
    history::History,
    privileges::Sandbox,
    scans::Scans,
    watch::Watch,
};
use crate::{
    admin::{metrics, status::Failover},
    channel::message::Interface,
    dataplane::{counters::KernelCounters, memory::MemoryMaps},
    events::journal,
    health::{Agents, Checker, Heard, Outcome, Probers, Transition, Verdicts, agents::Place},
    l7::{
        self,
        log::{Sinks, events::EventLogger},
    },
    model::{Backend, Model},
    plan::Tables,
    servers::{
        Health, Live, Proven, Registry, RegistryError,
        live::{Removed, RemovedWhat},
    },
};
use anyhow::Context as _;
use prometheus_client::metrics::histogram::Histogram;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    iter,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::UNIX_EPOCH,
};
use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

/// More failed probes than this no check waits for (`fall`).
const MOST_FAILURES: u64 = 1_000;

/// Where a configuration comes from.
#[derive(Default)]
pub(super) struct Source {
    pub(super) generation: u64,
    pub(super) supervisor: u32,
    pub(super) interfaces: Vec<Interface>,
}

/// What comes to life with the next configuration.
pub(super) struct Next {
    registry: Registry,
    snapshot: l7::Snapshot,
    sinks: Sinks,
    probers: Probers,
}

/// All that a configuration brings to life.
pub(super) struct Running {
    pub(super) source: Source,
    /// As configured: of servers that are known by their names, no address is known here.
    pub(super) configured: Arc<Model>,
    /// What it was read from, and what the operator has changed since.
    pub(super) edits: Edits,
    /// Both, with the addresses of all servers.
    pub(super) halves: Halves,
    /// `None` without kernel frontends.
    pub(super) counters: Option<KernelCounters>,
    /// `None` without kernel frontends.
    pub(super) scans: Option<Scans>,
    /// `None` without kernel frontends.
    pub(super) beats: Option<Beats>,
    /// The right to write the kernel's maps; `None` without kernel frontends.
    pub(super) writing: Option<Arc<OwnedFd>>,
    /// What servers of the kernel half answer.
    pub(super) watch: Watch,
    pub(super) checker: Checker,
    pub(super) agents: Agents,
    pub(super) verdicts: Verdicts,
    /// How fast things come, and since when servers are as they are.
    pub(super) history: History,
    /// Which frontends have had their quorum of servers that were checked.
    pub(super) proven: Proven,
    /// Servers that the worker of another binary has probed, from which this one has taken over.
    pub(super) probed: BTreeSet<u64>,
    pub(super) threads: l7::Threads,
    /// Where access logs go.
    pub(super) sinks: Sinks,
    pub(super) failovers: VecDeque<Failover>,
    /// From the end of the probe that decided until both halves had the verdict.
    pub(super) probe_to_map: Histogram,
    /// When this process started, in seconds of the Unix epoch.
    pub(super) started_at: u64,
    /// How far it is held.
    pub(super) sandbox: Sandbox,
    /// Whether servers have other addresses that the maps do not have yet.
    pub(super) has_moved: bool,
    /// The generation that the supervisor waits for, until both halves have it.
    pub(super) unconfirmed: Option<u64>,
    /// The generation that both halves had last; 0: none yet.
    pub(super) confirmed: u64,
}

impl Running {
    /// Nothing configured yet, and no kernel half. Servers whose traffic fails are told to `observed`, what agents say to `heard`.
    pub(super) fn first(
        model: &Arc<Model>,
        observed: mpsc::Sender<u64>,
        heard: mpsc::Sender<Heard>,
    ) -> anyhow::Result<Self> {
        let mut halves = Halves::new(Box::new(MemoryMaps::default()), Arc::clone(model));
        halves.live = Arc::new(Live::telling(observed));
        let checker = Checker::start()?;
        Ok(Self {
            source: Source::default(),
            configured: Arc::clone(model),
            edits: Edits::default(),
            verdicts: Verdicts::default(),
            history: History::new(Instant::now()),
            proven: Proven::default(),
            probed: BTreeSet::new(),
            agents: Agents::new(&checker, heard),
            checker,
            threads: l7::Threads::start(model.global.threads)?,
            sinks: Sinks::default(),
            halves,
            counters: None,
            scans: None,
            beats: None,
            writing: None,
            watch: Watch::default(),
            failovers: VecDeque::new(),
            probe_to_map: metrics::latencies(),
            started_at: UNIX_EPOCH.elapsed().unwrap_or_default().as_secs(),
            sandbox: Sandbox::default(),
            has_moved: false,
            unconfirmed: None,
            confirmed: 0,
        })
    }

    /// All of a change that can fail. `found`: what the kernel's maps hold, if they are about to be taken over.
    pub(super) fn prepare(
        &self,
        model: &Arc<Model>,
        found: Option<&Found>,
        log_files: BTreeMap<PathBuf, OwnedFd>,
    ) -> anyhow::Result<Next> {
        let known = &self.halves.registry;
        let mut known = found.map_or_else(|| known.clone(), |found| known.take_over(&found.tables));
        if let Some(found) = found {
            known.rest_rings(&found.rings);
        }
        let (registry, live) = self.state_for(model, known)?;
        let logging = model.frontends.iter().map(|frontend| &frontend.log);
        let sinks = self.sinks.update(logging, &model.global.event_logs, log_files, model.global.threads)?;
        let probers = Probers::new(model, self.checker.connectors())?.for_checker(&self.checker, &live);
        let snapshot = l7::Snapshot::with_logs(Arc::clone(model), live, &sinks)?;
        Ok(Next { registry, snapshot, sinks, probers })
    }

    /// What outlives a configuration, for the next one: from what is `known` of servers, and from what the proxy has.
    fn state_for(&self, model: &Model, known: Registry) -> Result<(Registry, Arc<Live>), RegistryError> {
        let mut registry = known;
        registry.follow(&self.halves.model, model);
        registry.end_words(model, |identity| self.verdicts.checked(identity));
        registry.update(model)?;
        let (before, now) = (&self.halves.model, Instant::now());
        let live = self.halves.live.for_model(model).removing(&self.halves.live, (before, model), now);
        Ok((registry, Arc::new(live)))
    }

    /// All of a change that cannot fail.
    pub(super) fn change_to(
        &mut self,
        model: &Arc<Model>,
        Next { registry, snapshot, sinks, probers }: Next,
        listeners: BTreeMap<SocketAddr, Vec<TcpListener>>,
        outcomes: &mpsc::Sender<Outcome>,
    ) {
        // First, because it publishes who may take traffic: no connection reads the new live state before that.
        self.halves.configure(Arc::clone(model), registry, Arc::clone(snapshot.live()), Instant::now());
        self.look_who_drains();
        self.note_all_standings(model, Instant::now());
        self.watch.configure(model, Instant::now());
        self.history.is_always_wanted = !model.global.stats_pages.is_empty();
        self.verdicts.update(model, |identity| self.halves.registry.standing(identity).health);
        self.proven.update(model);
        if !self.probed.is_empty() {
            let members: BTreeSet<_> = model.identities().collect();
            self.probed.retain(|identity| members.contains(identity)); // Who comes back must be probed again.
        }
        self.prove(model, &model.backends);
        self.threads.apply(Arc::new(snapshot), bound(model, listeners));
        self.sinks = sinks;
        journal().log_to(EventLogger::all(&model.global.event_logs, &self.sinks));
        self.checker.change_to(probers, outcomes);
        self.agents.change_to(model);
    }

    /// Writes no map any more, and lets others do so.
    pub(super) fn let_go_of_maps(&mut self) {
        self.halves.adopt(Box::new(MemoryMaps::default()), Tables::default());
        (self.scans, self.beats, self.writing) = (None, None, None);
    }

    /// Servers are at other addresses, which is all that `model` differs in from the one that is served. After an error nothing
    /// has changed.
    pub(super) fn readdress(&mut self, model: &Arc<Model>, outcomes: &mpsc::Sender<Outcome>) -> anyhow::Result<()> {
        let served = self.threads.snapshot().context("nothing is served")?;
        self.change_in_place(model, |live, _| served.readdressed(Arc::clone(model), live), outcomes)
    }

    /// Rules, certificates and limits are others; what is listened to, logged and checked is not. After an error nothing has
    /// changed.
    pub(super) fn edit(&mut self, model: &Arc<Model>, outcomes: &mpsc::Sender<Outcome>) -> anyhow::Result<()> {
        self.change_in_place(model, |live, sinks| l7::Snapshot::with_logs(Arc::clone(model), live, sinks), outcomes)
    }

    fn change_in_place(
        &mut self,
        model: &Arc<Model>,
        snapshot: impl FnOnce(Arc<Live>, &Sinks) -> Result<l7::Snapshot, l7::SnapshotError>,
        outcomes: &mpsc::Sender<Outcome>,
    ) -> anyhow::Result<()> {
        let (registry, live) = self.state_for(model, self.halves.registry.clone())?;
        let probers = Probers::new(model, self.checker.connectors())?.for_checker(&self.checker, &live);
        let snapshot = snapshot(live, &self.sinks)?;
        self.change_to(
            model,
            Next { registry, snapshot, sinks: self.sinks.clone(), probers },
            BTreeMap::new(),
            outcomes,
        );
        Ok(())
    }

    /// Takes probes into account: perhaps verdicts fall, and then both halves get them at once.
    pub(super) fn judge<'a>(&mut self, outcomes: impl IntoIterator<Item = &'a Outcome>) {
        let (mut transitions, mut first) = (Vec::new(), BTreeSet::new());
        for outcome in outcomes {
            if !self.checker.is_current(outcome) {
                continue; // Of a check that is another one now.
            }
            if self.verdicts.known(outcome.identity).is_some_and(|known| known.last.is_none()) {
                first.extend(self.verdicts.concerned(outcome.identity).map(str::to_owned));
            }
            transitions.extend(self.verdicts.record(outcome));
            self.checker.set_pace(outcome.identity, self.verdicts.pace(outcome.identity));
        }
        self.change_health(&transitions, &BTreeSet::new());
        let model = Arc::clone(&self.halves.model);
        self.prove(&model, first.iter().filter_map(|backend| model.backend(backend)));
    }

    /// Sees whether frontends have their quorum of servers that were checked; to be called when these `backends` may have more.
    fn prove<'a>(&mut self, model: &Model, backends: impl IntoIterator<Item = &'a Backend>) {
        for backend in backends {
            let checked = self.checked(backend).filter(|checked| *checked).count();
            self.proven.note(model, backend, checked);
        }
    }

    /// Of each server of `backend` that takes new traffic, whether a probe found it up, or it is not checked at all.
    pub(super) fn checked<'a>(&'a self, backend: &'a Backend) -> impl Iterator<Item = bool> + 'a {
        let Halves { model, registry, .. } = &self.halves;
        registry.takers(backend).map(move |(server, standing)| {
            let is_checked = server.check(backend).is_some() || server.track.is_some();
            // What an earlier daemon knew of it may be long gone.
            let judged = match &server.track {
                Some(tracked) => model.identity(tracked),
                None => Some(server.identity(&backend.name)),
            };
            let was_probed = || judged.is_some_and(|judged| self.was_probed(judged));
            !is_checked || (standing.health == Health::Up && was_probed())
        })
    }

    /// Whether a server was probed, since this process or the one from which it took over began.
    pub(super) fn was_probed(&self, identity: u64) -> bool {
        self.probed.contains(&identity) || self.verdicts.known(identity).is_some_and(|known| known.last.is_some())
    }

    /// Takes into account what agents said, or that they were silent: both halves get all of it at once.
    pub(super) fn heard<'a>(&mut self, heard: impl IntoIterator<Item = &'a Heard>) {
        let (model, mut transitions, mut touched) = (Arc::clone(&self.halves.model), Vec::new(), BTreeSet::new());
        for heard in heard {
            let Some(Place { backend, server }) = self.agents.place(heard) else { continue };
            let Some(backend) = model.backends.get(backend) else { continue };
            let Some(server) = backend.servers.get(server) else { continue };
            if self.verdicts.agent_rests(heard.identity) {
                continue;
            }
            let (has_changed, warning) = self.agent_wants((backend, server), heard);
            if has_changed {
                touched.insert(backend.name.as_str());
            }
            transitions.extend(self.verdicts.heard(heard, warning.as_deref()));
        }
        if !touched.is_empty() {
            self.look_who_drains();
        }
        self.change_health(&transitions, &touched);
    }

    /// Takes into account that the traffic of a server failed too often, unless that may be our own fault.
    pub(super) fn observed(&mut self, identity: u64) {
        if self.checker.was_stalled(Instant::now()) {
            return;
        }
        let spared = self.verdicts.concerned(identity).all(|backend| self.can_spare_one(backend));
        let transition = self.verdicts.observed(identity, spared, Instant::now());
        self.checker.set_pace(identity, self.verdicts.pace(identity));
        self.change_health(transition.as_slice(), &BTreeSet::new());
    }

    /// When [`do_what_is_due`](Self::do_what_is_due) wants to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        let beat = self.beats.as_ref().map(Beats::due);
        [self.halves.due(), self.halves.rises(), self.watch.due(), self.halves.live.over_at(), beat, self.history.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The heartbeat; rings that wait are rebuilt, servers that rise take a step, answers are looked at.
    pub(super) fn do_what_is_due(&mut self, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if let Some(beats) = self.beats.as_mut().filter(|beats| is_due(Some(beats.due()))) {
            beats.beat(self.halves.model.global.heartbeat_timeout, now);
        }
        if is_due(self.halves.due()) {
            self.halves.rebuild(now);
        }
        if is_due(self.halves.rises()) {
            self.halves.rise(now);
        }
        if is_due(self.watch.due()) {
            self.watch(now);
        }
        if is_due(self.history.due()) {
            self.look_at_counts(now);
        }
        if is_due(self.halves.live.over_at()) {
            self.cut_what_is_over(now);
        }
    }

    /// Cuts connections of frontends and servers that a reload removed too long ago.
    fn cut_what_is_over(&self, now: Instant) {
        for Removed { what, .. } in self.halves.live.end_of_time(now) {
            let connections = what.connections();
            match what {
                RemovedWhat::Frontend { name, .. } => {
                    warn!(event = "left", frontend = name, connections, "the time of a removed frontend is over: cut");
                }
                RemovedWhat::Server { backend, name, .. } => {
                    warn!(
                        event = "left",
                        backend,
                        server = name,
                        connections,
                        "the time of a removed server is over: cut"
                    );
                }
            }
        }
        self.threads.cut_what_is_over();
    }

    /// Looks at what servers of the kernel half answer, and takes into account that some fail.
    fn watch(&mut self, now: Instant) {
        for (identity, times) in self.watch.look(&self.halves, self.counters.as_ref(), now) {
            // As often as failed probes may be wanted, at most, and no longer than it is up and that changes something.
            for _ in 0..times.min(MOST_FAILURES) {
                let before = self.verdicts.counter(identity);
                if !self.halves.registry.standing(identity).keeps_existing() {
                    break;
                }
                self.observed(identity);
                if self.verdicts.counter(identity) == before {
                    break;
                }
            }
        }
    }

    /// Servers of these backends stand otherwise now: both halves get it.
    pub(in crate::worker) fn standings_changed(&mut self, model: &Model, backends: &[&Backend]) {
        self.halves.standings_changed(backends, Instant::now());
        self.note_standings(backends.iter().copied(), Instant::now());
        self.prove(model, backends.iter().copied());
    }

    /// Sees which servers are in `drain`; to be called once that may have changed.
    fn look_who_drains(&mut self) {
        if let Some(scans) = &mut self.scans {
            scans.look(&self.halves);
        }
    }

    /// Whether a backend takes new traffic with one server less.
    fn can_spare_one(&self, backend: &str) -> bool {
        let enough =
            |backend: &Backend| self.halves.registry.takers(backend).count() > backend.failover.min_up.max(1) as usize;
        self.halves.model.backend(backend).is_some_and(enough)
    }

    /// The one step in which verdicts take effect, and what was said of servers of the backends `touched`, in this order: proxy
    /// and kernel; metrics; log.
    pub(in crate::worker) fn change_health(&mut self, transitions: &[Transition], touched: &BTreeSet<&str>) {
        let mut changed = Vec::new();
        for transition in transitions {
            let own = (transition.identity, transition.name.clone(), transition.to);
            let trackers = self.verdicts.trackers(transition.identity).iter();
            let trackers = trackers.map(|(identity, name)| (*identity, name.clone(), transition.to.as_tracked()));
            for (identity, name, health) in iter::once(own).chain(trackers) {
                let (before, lasted) = (self.halves.registry.standing(identity).health, self.history.server(identity));
                let lasted = lasted.map_or(0, |spell| spell.age(Instant::now()));
                if self.halves.registry.set_health(identity, health) {
                    changed.push((name, transition, (before, lasted)));
                }
            }
        }
        let names: BTreeSet<_> =
            changed.iter().map(|(name, ..)| name.backend.as_str()).chain(touched.clone()).collect();
        if names.is_empty() {
            return;
        }
        let model = Arc::clone(&self.halves.model);
        let backends: Vec<_> = names.into_iter().filter_map(|name| model.backend(name)).collect();
        self.standings_changed(&model, &backends);
        let takers = |of| self.halves.registry.takers(of).count();
        let left: BTreeMap<_, _> =
            backends.iter().map(|&of| (of.name.as_str(), (takers(of), of.servers.len()))).collect();
        for (name, transition, before) in changed {
            let left = left.get(name.backend.as_str()).copied().unwrap_or_default();
            self.tell(name, transition, before, left);
        }
    }
}

#[cfg(test)]
mod tests;
