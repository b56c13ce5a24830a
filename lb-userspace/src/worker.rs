//! The worker: the process that faces the network, without any right. It probes servers, decides, writes the verdicts
//! into the kernel's maps through descriptors that it was given, and serves TLS, HTTP and TCP.
//!
//! This loop is the control thread: everything that changes comes by here, one thing at a time, so that the order
//! probe → verdict → both halves → report is the order of the code. Connections are served by the threads of `l7`.

pub mod privileges;
pub mod halves;
pub mod reports;

use crate::{
    admin::{
        self,
        protocol::{Answer, Request},
        socket::Asked,
        status::Failover,
    },
    channel::{
        Channel, ToSupervisor, ToWorker, from_memory_file,
        message::{Interface, ReloadReport},
    },
    config::{self, Bundle, Format},
    dataplane::{
        counters::KernelCounters,
        maps::{KernelMaps, WorkerMaps},
        memory::MemoryMaps,
    },
    health::{Checker, Outcome, Verdicts},
    l7::{self, BoundListener},
    model::Model,
    servers::{Admin, Registry},
};
use anyhow::{Context, anyhow};
use halves::Halves;
use std::{
    collections::{BTreeMap, VecDeque},
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::{debug, info};

/// Outcomes and requests that may wait for the loop.
const WAITING: usize = 1_024;

/// Runs a worker on the line to its supervisor, until told to stop or left alone.
pub fn run(line: OwnedFd) -> anyhow::Result<()> {
    l7::panics::log_places_only();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async { Worker::new(Channel::new(line)?).serve().await })
}

struct Worker {
    channel: Channel,
    /// What the supervisor sent for the configuration that comes next.
    given: Given,
    /// From the first configuration on.
    running: Option<Running>,
    outcomes: mpsc::Sender<Outcome>,
    outcomes_in: mpsc::Receiver<Outcome>,
    requests: mpsc::Sender<Asked>,
    requests_in: mpsc::Receiver<Asked>,
    reload_waits: Vec<oneshot::Sender<Answer>>,
}

#[derive(Default)]
struct Given {
    maps: BTreeMap<String, OwnedFd>,
    rings: Vec<(lb_common::RingId, OwnedFd)>,
    listeners: Vec<(SocketAddr, Vec<TcpListener>)>,
}

/// Where a configuration comes from.
#[derive(Default)]
struct Source {
    generation: u64,
    supervisor: u32,
    interfaces: Vec<Interface>,
}

/// All that a configuration brings to life.
struct Running {
    source: Source,
    halves: Halves,
    /// `None` without kernel frontends.
    counters: Option<KernelCounters>,
    checker: Checker,
    verdicts: Verdicts,
    threads: l7::Threads,
    failovers: VecDeque<Failover>,
    /// The generation that the supervisor waits for, until both halves have it.
    unconfirmed: Option<u64>,
}

impl Worker {
    fn new(channel: Channel) -> Self {
        let (outcomes, outcomes_in) = mpsc::channel(WAITING);
        let (requests, requests_in) = mpsc::channel(WAITING);
        Self {
            channel,
            given: Given::default(),
            running: None,
            outcomes,
            outcomes_in,
            requests,
            requests_in,
            reload_waits: Vec::new(),
        }
    }

    async fn serve(mut self) -> anyhow::Result<()> {
        loop {
            let due = self.running.as_ref().and_then(|running| running.halves.due());
            tokio::select! {
                biased;
                Some(outcome) = self.outcomes_in.recv() => self.probed(&outcome),
                message = self.channel.receive() => match message? {
                    None => return self.drain(None, "the supervisor is gone").await,
                    Some((ToWorker::Stop { within }, _)) => return self.drain(Some(within), "told to stop").await,
                    Some((message, descriptors)) => self.told(message, descriptors).await?,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some(running) = &mut self.running {
                        running.halves.rebuild(Instant::now());
                    }
                }
                Some(asked) = self.requests_in.recv() => self.asked(asked).await?,
            }
            self.confirm().await?;
        }
    }

    /// A probe ended: perhaps a verdict falls, and then both halves get it before anything else happens.
    fn probed(&mut self, outcome: &Outcome) {
        let Some(running) = &mut self.running else { return };
        let Some(transition) = running.verdicts.record(outcome) else { return };
        if !running.halves.registry.set_health(transition.identity, transition.to) {
            return;
        }
        let model = Arc::clone(&running.halves.model);
        let Some(backend) = model.backend(&transition.backend) else { return };
        running.halves.standing_changed(backend, Instant::now());
        let took = transition.finished_at.elapsed();
        info!(
            backend = transition.backend,
            server = transition.server,
            to = ?transition.to,
            reason = transition.reason,
            probe_to_map = ?took,
            "server changed"
        );
        if running.failovers.len() == admin::status::FAILOVERS {
            running.failovers.pop_front();
        }
        running.failovers.push_back(Failover {
            backend: transition.backend,
            server: transition.server,
            to: transition.to,
            reason: transition.reason,
            probe_to_map_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        });
    }

    /// The supervisor said something.
    async fn told(&mut self, message: ToWorker, mut descriptors: Vec<OwnedFd>) -> anyhow::Result<()> {
        match message {
            ToWorker::Maps(names) => self.given.maps = names.into_iter().zip(descriptors).collect(),
            ToWorker::RingMap { ring } => {
                let map = descriptors.pop().context("a ring without its map")?;
                match &mut self.running {
                    Some(running) => {
                        running.halves.add_ring(ring, map)?;
                        running.halves.rebuild(Instant::now());
                    }
                    None => self.given.rings.push((ring, map)),
                }
            }
            ToWorker::Listeners { address } => {
                let sockets = descriptors.into_iter().map(TcpListener::from).collect();
                self.given.listeners.push((address, sockets));
            }
            ToWorker::ControlSocket { owner } => {
                let listener = UnixListener::from(descriptors.pop().context("no control socket")?);
                tokio::task::spawn_local(admin::socket::serve(listener, owner, self.requests.clone()));
            }
            ToWorker::MetricsSocket => {
                let listener = TcpListener::from(descriptors.pop().context("no metrics socket")?);
                tokio::task::spawn_local(admin::metrics::serve(listener, self.requests.clone()));
            }
            ToWorker::Configure { generation, supervisor, interfaces } => {
                let bundle = from_memory_file(descriptors.pop().context("a configuration without its file")?)?;
                let source = Source { generation, supervisor, interfaces };
                if let Err(error) = self.configure(source, &bundle).await {
                    let error = Some(format!("{error:#}"));
                    self.channel.send(&ToSupervisor::Configured { generation, error }, &[]).await?;
                }
            }
            ToWorker::NextHops(next_hops) => {
                if let Some(running) = &mut self.running {
                    running.halves.set_next_hops(next_hops);
                    running.halves.rebuild(Instant::now());
                }
            }
            ToWorker::Reloaded => {
                let report: ReloadReport = from_memory_file(descriptors.pop().context("no report")?)?;
                for waits in self.reload_waits.drain(..) {
                    answer(waits, Answer::Ok(serde_json::to_value(&report)?));
                }
            }
            ToWorker::Stop { .. } => {}
        }
        Ok(())
    }

    /// Takes up a configuration: first all that can fail, on the side; then the change, which cannot.
    async fn configure(&mut self, source: Source, bundle: &Bundle) -> anyhow::Result<()> {
        let loaded =
            config::load(bundle).map_err(|diagnostics| anyhow!("{}", diagnostics.render(Format::default())))?;
        let model = Arc::new(loaded.model);
        let given = std::mem::take(&mut self.given);
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::first(&model)?,
        };
        if !given.maps.is_empty() {
            running.adopt(WorkerMaps::from_named(given.maps, given.rings)?)?;
        }
        let prepared = running.prepare(&model);
        let result = match prepared {
            Ok((registry, snapshot)) => {
                running.unconfirmed = Some(source.generation);
                running.source = source;
                running.change_to(&model, registry, snapshot, given.listeners, &self.outcomes);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if result.is_ok() {
            for ring in running.halves.missing_rings() {
                self.channel.send(&ToSupervisor::CreateRing { ring }, &[]).await?;
            }
            let addresses = running.halves.needed_next_hops();
            if !addresses.is_empty() {
                self.channel.send(&ToSupervisor::Watch(addresses), &[]).await?;
            }
            running.halves.rebuild(Instant::now());
        }
        self.running = Some(running);
        result
    }

    /// Tells the supervisor once both halves have what it configured.
    async fn confirm(&mut self) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        if running.halves.settled()
            && let Some(generation) = running.unconfirmed.take()
        {
            let addresses = running.halves.needed_next_hops();
            if !addresses.is_empty() {
                self.channel.send(&ToSupervisor::Watch(addresses), &[]).await?; // Those that went may be forgotten now.
            }
            self.channel.send(&ToSupervisor::Configured { generation, error: None }, &[]).await?;
        }
        Ok(())
    }

    /// Somebody asked over the control socket or for the metrics.
    async fn asked(&mut self, asked: Asked) -> anyhow::Result<()> {
        let Asked { request, answer: waits } = asked;
        let Some(running) = &mut self.running else {
            answer(waits, Answer::Error("the daemon is starting".to_owned()));
            return Ok(());
        };
        match request {
            Request::Status => answer(waits, Answer::Ok(serde_json::to_value(running.status())?)),
            Request::Metrics => answer(waits, running.metrics()),
            Request::Reload => {
                self.reload_waits.push(waits);
                self.channel.send(&ToSupervisor::Reload, &[]).await?;
            }
            Request::Server { backend, server, admin } => answer(waits, running.set_admin(&backend, &server, admin)),
        }
        Ok(())
    }

    /// Serves what is open, takes nothing new, writes no map any more: a daemon after us may own them already.
    async fn drain(self, within: Option<Duration>, why: &str) -> anyhow::Result<()> {
        drop(self.requests_in); // Whoever asks is told that we stop.
        let Some(mut running) = self.running else { return Ok(()) };
        running.checker.stop();
        let within = within.unwrap_or(running.halves.model.global.stop_timeout);
        let open = running.threads.connections();
        info!(?within, open, why, "draining");
        running.threads.drain(within).await;
        debug!("drained");
        Ok(())
    }
}

impl Running {
    /// Nothing configured yet, and no kernel half.
    fn first(model: &Arc<Model>) -> anyhow::Result<Self> {
        Ok(Self {
            source: Source::default(),
            verdicts: Verdicts::default(),
            checker: Checker::default(),
            threads: l7::Threads::start(model.global.threads)?,
            halves: Halves::new(Box::new(MemoryMaps::default()), Arc::clone(model)),
            counters: None,
            failovers: VecDeque::new(),
            unconfirmed: None,
        })
    }

    /// Takes the kernel's maps over, and with them what the daemon before us knew of the servers.
    fn adopt(&mut self, maps: WorkerMaps) -> anyhow::Result<()> {
        let writer = KernelMaps::from_fds(maps.tables, &maps.counters)?;
        self.counters = Some(KernelCounters::from_fds(maps.counters)?);
        self.halves.adopt(Box::new(writer)).context("cannot read the kernel's maps")
    }

    /// All of a change that can fail.
    fn prepare(&self, model: &Arc<Model>) -> anyhow::Result<(Registry, l7::Snapshot)> {
        let mut registry = self.halves.registry.clone();
        registry.update(model)?;
        let live = Arc::new(self.halves.live.for_model(model));
        let snapshot = l7::Snapshot::new(Arc::clone(model), live)?;
        Ok((registry, snapshot))
    }

    /// All of a change that cannot fail.
    fn change_to(
        &mut self,
        model: &Arc<Model>,
        registry: Registry,
        snapshot: l7::Snapshot,
        listeners: Vec<(SocketAddr, Vec<TcpListener>)>,
        outcomes: &mpsc::Sender<Outcome>,
    ) {
        // First, because it publishes who may take traffic: no connection reads the new live state before that.
        self.halves.configure(Arc::clone(model), registry, Arc::clone(snapshot.live()));
        self.verdicts.update(model, |identity| self.halves.registry.standing(identity).health);
        self.threads.apply(Arc::new(snapshot), bound(model, listeners));
        self.checker.update(model, outcomes);
    }

    fn set_admin(&mut self, backend: &str, server: &str, admin: Admin) -> Answer {
        let model = Arc::clone(&self.halves.model);
        let Some(found) = model.backend(backend) else {
            return Answer::Error(format!("there is no backend `{backend}`"));
        };
        let Some(known) = found.servers.iter().find(|known| known.name == server) else {
            return Answer::Error(format!("backend `{backend}` has no server `{server}`"));
        };
        if self.halves.registry.set_admin(known.identity(backend), admin) {
            self.halves.standing_changed(found, Instant::now());
            info!(backend, server, ?admin, "administrative state changed");
        }
        Answer::Ok(serde_json::Value::String(format!("{backend}/{server}: {admin}")))
    }
}

/// Says of each listening socket which frontend's it is.
fn bound(model: &Model, listeners: Vec<(SocketAddr, Vec<TcpListener>)>) -> Vec<BoundListener> {
    let frontend = |address| model.frontends.iter().find(|frontend| frontend.serves(address));
    let mut bound = Vec::new();
    for (address, sockets) in listeners {
        let Some(frontend) = frontend(address) else { continue };
        bound.extend(sockets.into_iter().enumerate().map(|(thread, listener)| BoundListener {
            frontend: frontend.name.clone(),
            address,
            thread,
            listener,
        }));
    }
    bound
}

fn answer(waits: oneshot::Sender<Answer>, answer: Answer) {
    if waits.send(answer).is_err() {
        debug!("nobody waits for the answer any more");
    }
}
