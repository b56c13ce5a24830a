//! What the worker serves changes: another configuration, or other addresses of its servers.

use super::{
    Worker, answer,
    edits::Edits,
    given::{Found, Given},
    heartbeat::Beats,
    reports,
    running::{Running, Source},
    scans::Scans,
};
use crate::{
    channel::{ToSupervisor, from_memory_file, to_memory_file},
    config::{self, Bundle, Format},
    dataplane::handed::WorkerMaps,
    l7::tls::tickets,
    model::Model,
};
use anyhow::{Context as _, anyhow};
use std::{
    collections::BTreeMap,
    mem,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tracing::error;

/// A configuration with all that was given for it.
pub(super) struct Waiting {
    source: Source,
    model: Arc<Model>,
    edits: Edits,
    found: Option<Found>,
    listeners: BTreeMap<SocketAddr, Vec<TcpListener>>,
    log_files: BTreeMap<PathBuf, OwnedFd>,
    /// It takes effect then, whatever is known.
    pub(super) until: Instant,
}

/// Longest wait for the addresses of a new configuration.
const PATIENCE: Duration = Duration::from_secs(5);

impl Worker {
    /// Reads a configuration, and asks for the addresses that it needs.
    pub(super) fn prepare(&mut self, source: Source, file: OwnedFd) -> anyhow::Result<Waiting> {
        // What was given for a configuration that is refused goes with it.
        let Given { maps, rings, writing, listeners, log_files } = mem::take(&mut self.given);
        let bundle: Bundle = from_memory_file(file, u64::MAX)?;
        let loaded =
            config::load(&bundle).map_err(|diagnostics| anyhow!("{}", diagnostics.render(Format::default())))?;
        let model = Arc::new(loaded.model);
        let edits = Edits::none(bundle);
        let mut found = if maps.is_empty() {
            None
        } else {
            let writing = writing.context("maps without the right to write them")?;
            Some(Found::read(&WorkerMaps::from_named(maps, rings), writing)?)
        };
        let now = Instant::now();
        self.naming.ask(&model, self.running.as_ref().map(|running| &*running.configured), now);
        if let Some(found) = &mut found {
            self.naming.remember(&model, &found.tables);
            // Until the configuration is taken up, which may have to wait for addresses, nobody else does.
            found.heartbeat.beat(model.global.heartbeat_timeout + PATIENCE).context("cannot write the heartbeat")?;
        }
        let until = now + model.resolvers.timeout_retry.min(PATIENCE);
        Ok(Waiting { source, model, edits, found, listeners, log_files, until })
    }

    /// Takes up the configuration that waits, once the addresses of its servers are known or have been waited for.
    pub(super) async fn take_up_if_ready(&mut self) -> anyhow::Result<()> {
        let is_ready = |waiting: &mut Waiting| waiting.until <= Instant::now() || self.naming.is_ready(&waiting.model);
        let Some(waiting) = self.waiting.take_if(is_ready) else { return Ok(()) };
        let generation = waiting.source.generation;
        if let Err(error) = self.configure(waiting).await {
            if let Some(running) = &self.running {
                self.naming.ask(&running.configured, None, Instant::now());
            }
            self.refuse(generation, format!("{error:#}")).await?;
        }
        Ok(())
    }

    /// Takes up a configuration: first all that can fail, on the side; then the change, which cannot.
    async fn configure(&mut self, waiting: Waiting) -> anyhow::Result<()> {
        let Waiting { source, model: configured, edits, found, listeners, log_files, .. } = waiting;
        let now = Instant::now();
        let (model, chosen) = self.naming.addressed(&configured, now);
        let running = match &mut self.running {
            Some(running) => running,
            none => {
                // What the operator wants of servers follows them from where they were.
                let before = Arc::new(self.naming.before(&configured));
                let mut running = Running::first(&before, self.observed.clone(), self.heard.clone())?;
                if let Some(state) = self.state.take() {
                    running.recall(state);
                }
                if let Some(gauge) = self.gauge.take() {
                    running.threads.measure_by(gauge)?;
                }
                running.sandbox = self.sandbox;
                none.insert(running)
            }
        };
        if let Some(line) = self.runner.take() {
            running.checker.take_runner(line);
        }
        let next = running.prepare(&model, found.as_ref(), log_files)?;
        if let Some(Found { writer, tables, counters, flows, heartbeat, writing, .. }) = found {
            running.counters = Some(counters);
            running.scans = Some(Scans::new(flows, Arc::clone(&writing)));
            running.beats = Some(Beats::new(heartbeat));
            running.halves.adopt(writer, tables);
            running.writing = Some(writing);
        }
        self.is_held = false; // What was written meanwhile is known now.
        running.unconfirmed = Some(source.generation);
        running.source = source;
        running.change_to(&model, next, listeners, &self.outcomes);
        tickets::taken_up();
        self.desk.configure(&configured.global.stats_pages);
        (running.configured, running.edits) = (configured, edits);
        self.naming.ask(&running.configured, None, now);
        self.naming.given(chosen, now);
        let rings = running.halves.missing_rings().collect::<Vec<_>>();
        self.hand_over_addresses().await?;
        if !rings.is_empty() {
            self.tell(&ToSupervisor::CreateRings(rings)).await?;
        }
        self.follow_addresses().await
    }

    /// Servers may have other addresses now: if so, both halves get them as they get another configuration.
    pub(super) async fn readdress(&mut self) -> anyhow::Result<()> {
        let (Some(running), now) = (&mut self.running, Instant::now()) else { return Ok(()) };
        let (model, chosen) = self.naming.addressed(&running.configured, now);
        if !self.naming.is_new(&chosen) {
            self.naming.given(chosen, now);
            return Ok(());
        }
        if let Err(error) = running.readdress(&model, &self.outcomes) {
            error!(error = format!("{error:#}"), "cannot give servers other addresses; those before go on");
            self.naming.later(now);
            return Ok(());
        }
        running.has_moved = true;
        self.naming.given(chosen, now);
        self.hand_over_addresses().await?;
        self.follow_addresses().await
    }

    /// Somebody said that what is on trial works, and the supervisor has heard it.
    pub(super) fn confirmed(&mut self, was_on_trial: bool) {
        if let Some(waits) = self.confirm_waits.pop_front() {
            answer(waits, reports::confirmed(was_on_trial));
        }
    }

    /// Has the supervisor keep where servers are for the worker after this one, if names lead there.
    async fn hand_over_addresses(&self) -> anyhow::Result<()> {
        match self.naming.memory() {
            None => Ok(()),
            Some(known) => self.send(&ToSupervisor::Addresses, &[to_memory_file(&known)?.as_fd()]).await,
        }
    }

    /// Asks for next hops of the addresses that servers have now; the maps follow once they are there.
    pub(super) async fn follow_addresses(&mut self) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let addresses = running.halves.needed_next_hops();
        if !addresses.is_empty() {
            self.watch(&addresses).await?;
        }
        if let Some(running) = &mut self.running {
            running.halves.rebuild(Instant::now());
        }
        Ok(())
    }
}
