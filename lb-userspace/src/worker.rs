//! The worker: the process that faces the network, without any right. It probes servers, decides, writes the verdicts
//! into the kernel's maps through descriptors that it was given, and serves TLS, HTTP and TCP.
//!
//! This loop is the control thread: everything that changes comes by here, one thing at a time, so that the order
//! probe → verdict → both halves → report is the order of the code. Connections are served by the threads of `l7`.

pub mod privileges;
mod changes;
mod edits;
mod given;
mod leaving;
mod naming;
mod heartbeat;
mod history;
mod running;
pub mod halves;
pub mod state;
mod scans;
mod watch;
pub mod reports;
mod page;
mod rows;
mod runtime;

use crate::{
    admin::{
        self,
        page::{Desk, Look},
        protocol::{Answer, Request},
        socket::{Access, Asked},
    },
    channel::{
        Channel, ChannelError, ToSupervisor, ToWorker, from_memory_file,
        message::{ReloadReport, UpgradeReport},
        to_memory_file,
    },
    events::journal,
    health::{Heard, Outcome},
    l7::{self, memory::Gauge},
    resolver::Answered,
};
use anyhow::Context;
use changes::Waiting;
use given::Given;
use naming::Naming;
use privileges::Sandbox;
use running::{Running, Source};
use scans::Counted;
use serde::{Serialize, de::DeserializeOwned};
use state::State;
use std::{
    collections::VecDeque,
    io, iter, mem,
    net::{IpAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    rc::Rc,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::Instant,
};
use tracing::debug;

/// Outcomes and requests that may wait for the loop.
const WAITING: usize = 1_024;

/// Runs a worker on the line to its supervisor, until told to stop or left alone.
pub fn run(line: OwnedFd, gauge: Gauge, sandbox: Sandbox) -> anyhow::Result<()> {
    l7::panics::log_places_only();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        // Who signals a whole process group or a whole service means the supervisor, and we hear of it by the line.
        let unheard = [
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::interrupt(),
            SignalKind::terminate(),
        ];
        let _unheard = unheard.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?;
        let worker = Worker { gauge: Some(gauge), sandbox, ..Worker::new(Channel::new(line)?) };
        Box::pin(worker.serve()).await
    })
}

struct Worker {
    channel: Channel,
    /// What the supervisor sent for the configuration that comes next.
    given: Given,
    /// A configuration that waits for the addresses of its servers.
    waiting: Option<Waiting>,
    /// What the worker of another binary knew, until the first configuration.
    state: Option<State>,
    /// From the first configuration on.
    running: Option<Running>,
    /// Another binary is about to take over: what comes waits, and no map is written.
    is_held: bool,
    naming: Naming,
    /// The line to what runs programs that check servers, until there is a checker.
    runner: Option<OwnedFd>,
    /// How far the memory is used, until it is looked at.
    gauge: Option<Gauge>,
    sandbox: Sandbox,
    /// The number of the last question for next hops.
    watched: u64,
    answers_in: mpsc::Receiver<Answered>,
    outcomes: mpsc::Sender<Outcome>,
    outcomes_in: mpsc::Receiver<Outcome>,
    /// What agents say.
    heard: mpsc::Sender<Heard>,
    heard_in: mpsc::Receiver<Heard>,
    /// Servers whose traffic fails.
    observed: mpsc::Sender<u64>,
    observed_in: mpsc::Receiver<u64>,
    counted: mpsc::Sender<Counted>,
    counted_in: mpsc::Receiver<Counted>,
    requests: mpsc::Sender<Asked>,
    requests_in: mpsc::Receiver<Asked>,
    /// What statistics pages are made from.
    desk: Rc<Desk>,
    looks_in: mpsc::Receiver<Look>,
    /// In the order of asking.
    reload_waits: VecDeque<oneshot::Sender<Answer>>,
    /// The same.
    upgrade_waits: VecDeque<oneshot::Sender<Answer>>,
    /// Likewise, of those who confirm.
    confirm_waits: VecDeque<oneshot::Sender<Answer>>,
    /// What listens for operators and scrapers.
    doors: Vec<AbortHandle>,
}

impl Worker {
    fn new(channel: Channel) -> Self {
        let (outcomes, outcomes_in) = mpsc::channel(WAITING);
        let (heard, heard_in) = mpsc::channel(WAITING);
        let (observed, observed_in) = mpsc::channel(WAITING);
        let (counted, counted_in) = mpsc::channel(1);
        let (requests, requests_in) = mpsc::channel(WAITING);
        let (looks, looks_in) = mpsc::channel(1);
        let (naming, answers_in) = Naming::new();
        Self {
            channel,
            given: Given::default(),
            waiting: None,
            state: None,
            running: None,
            is_held: false,
            naming,
            runner: None,
            gauge: None,
            sandbox: Sandbox::default(),
            watched: 0,
            answers_in,
            outcomes,
            outcomes_in,
            heard,
            heard_in,
            observed,
            observed_in,
            counted,
            counted_in,
            desk: Rc::new(Desk::new(looks, requests.clone())),
            looks_in,
            requests,
            requests_in,
            reload_waits: VecDeque::new(),
            upgrade_waits: VecDeque::new(),
            confirm_waits: VecDeque::new(),
            doors: Vec::new(),
        }
    }

    async fn serve(mut self) -> anyhow::Result<()> {
        loop {
            let acts = !self.is_held;
            let acting = self.running.as_ref().filter(|_| acts);
            let due = acting.and_then(Running::due);
            let patience = self.waiting.as_ref().map(|waiting| waiting.until);
            let names = acting.and_then(|_| self.naming.due());
            let scan = acting.and_then(|running| running.scans.as_ref()?.due(&running.halves));
            tokio::select! {
                biased;
                // First: once the supervisor is gone no map may be written any more.
                message = self.channel.receive() => match message? {
                    None => return Box::pin(self.drain(None, "the supervisor is gone")).await,
                    Some((ToWorker::Stop { within }, _)) => {
                        return Box::pin(self.drain(Some(within), "told to stop")).await;
                    }
                    Some((ToWorker::Retire { within }, descriptors)) => {
                        return Box::pin(self.retire(within, descriptors)).await;
                    }
                    Some((message, descriptors)) => self.told(message, descriptors).await?,
                },
                Some(outcome) = self.outcomes_in.recv(), if acts => self.probed(outcome),
                Some(heard) = self.heard_in.recv(), if acts => self.listen(heard),
                Some(server) = self.observed_in.recv(), if acts => self.running.iter_mut().for_each(|it| it.observed(server)),
                Some(answered) = self.answers_in.recv(), if acts || self.waiting.is_some() => {
                    self.naming.record(answered, Instant::now());
                    self.take_up_if_ready().await?;
                }
                () = tokio::time::sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                    self.take_up_if_ready().await?;
                }
                () = tokio::time::sleep_until(names.unwrap_or_else(Instant::now)), if names.is_some() => {
                    self.readdress().await?;
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some(running) = &mut self.running {
                        running.do_what_is_due(Instant::now());
                    }
                }
                Some(counted) = self.counted_in.recv(), if acts => {
                    if let Some(Running { scans: Some(scans), halves, .. }) = &mut self.running {
                        scans.take(halves, counted);
                    }
                }
                () = tokio::time::sleep_until(scan.unwrap_or_else(Instant::now)), if scan.is_some() => {
                    if let Some(Running { scans: Some(scans), halves, .. }) = &mut self.running {
                        scans.begin(halves, &self.counted);
                    }
                }
                Some(asked) = self.requests_in.recv() => self.asked(asked).await?,
                Some(look) = self.looks_in.recv() => self.look(look),
            }
            if !self.is_held {
                self.confirm().await?;
            }
        }
    }

    /// Probes ended: perhaps verdicts fall, and then both halves get them before anything else happens.
    fn probed(&mut self, first: Outcome) {
        let outcomes = taken_along(first, &mut self.outcomes_in);
        if let Some(running) = &mut self.running {
            running.judge(&outcomes);
        }
    }

    /// Agents said something, or nothing: both halves get it as they get verdicts.
    fn listen(&mut self, first: Heard) {
        let heard = taken_along(first, &mut self.heard_in);
        if let Some(running) = &mut self.running {
            running.heard(&heard);
        }
    }

    /// The supervisor said something.
    async fn told(&mut self, message: ToWorker, mut descriptors: Vec<OwnedFd>) -> anyhow::Result<()> {
        match message {
            ToWorker::Maps(names) => self.given.maps = names.into_iter().zip(descriptors).collect(),
            ToWorker::Writing => self.given.writing = descriptors.pop(),
            ToWorker::DropKernel => self.drop_kernel(),
            ToWorker::RingMap { ring } => {
                let map = descriptors.pop().context("a ring without its map")?;
                match &mut self.running {
                    Some(running) if !self.is_held => {
                        running.halves.add_ring(ring, map)?;
                        running.halves.rebuild(Instant::now());
                    }
                    Some(_) | None => self.given.rings.push((ring, map)),
                }
            }
            ToWorker::Listeners { address } => {
                self.given.listeners.entry(address).or_default().extend(descriptors.drain(..).map(TcpListener::from));
            }
            ToWorker::LogFiles { paths, again } => self.take_log_files(paths.into_iter().zip(descriptors), again),
            ToWorker::ControlSocket { owner, others } => {
                let listener = UnixListener::from(descriptors.pop().context("no control socket")?);
                let access = Access { owner, others };
                let serve = admin::socket::serve(listener, access, self.requests.clone());
                self.doors.push(tokio::task::spawn_local(serve).abort_handle());
            }
            ToWorker::MetricsSocket => self.serve_metrics(descriptors.pop().context("no metrics socket")?),
            ToWorker::PageSocket { address } => {
                self.serve_page(address, descriptors.pop().context("no socket of a statistics page")?);
            }
            ToWorker::Runner => self.take_runner(descriptors.pop().context("no line to what runs checks")?),
            ToWorker::Configure { generation, supervisor, interfaces } => {
                let file = descriptors.pop().context("a configuration without its file")?;
                let source = Source { generation, supervisor, interfaces };
                match self.prepare(source, file) {
                    Ok(waiting) => {
                        self.waiting = Some(waiting);
                        self.take_up_if_ready().await?;
                    }
                    Err(error) => self.refuse(generation, format!("{error:#}")).await?,
                }
            }
            ToWorker::Interfaces(interfaces) => {
                self.running.iter_mut().for_each(|running| running.source.interfaces.clone_from(&interfaces));
            }
            ToWorker::NextHops { number } if number != self.watched => {} // An older question; the last one is under way.
            ToWorker::NextHops { .. } => self.take_next_hops(descriptors.pop().context("no next hops")?).await?,
            ToWorker::Addresses => self.recall_addresses(descriptors.pop().context("no addresses")?),
            ToWorker::Reloaded => report::<ReloadReport>(&mut self.reload_waits, descriptors)?,
            ToWorker::Ping { number, count } => self.pong(number, count).await?,
            ToWorker::State => self.state = Some(from_memory_file(descriptors.pop().context("no state")?, u64::MAX)?),
            ToWorker::Hold => self.hold().await?,
            ToWorker::Upgraded => report::<UpgradeReport>(&mut self.upgrade_waits, descriptors)?,
            ToWorker::Confirmed { was_on_trial } => self.confirmed(was_on_trial),
            ToWorker::Event { event, again } => journal().note(event, again),
            ToWorker::Stop { .. } | ToWorker::Retire { .. } => {}
        }
        Ok(())
    }

    /// Says that this loop turns.
    async fn pong(&self, number: u64, count: bool) -> anyhow::Result<()> {
        let (up, servers) = self.running.as_ref().filter(|_| count).map_or((0, 0), Running::count_servers);
        self.tell(&ToSupervisor::Pong { number, up, servers }).await
    }

    /// Takes up where servers' packets go; if that leaves one without, the configuration that asked for it is refused.
    async fn take_next_hops(&mut self, file: OwnedFd) -> anyhow::Result<()> {
        let next_hops = from_memory_file(file, u64::MAX)?;
        let Some(running) = &mut self.running else { return Ok(()) };
        running.halves.set_next_hops(next_hops);
        running.halves.rebuild(Instant::now());
        let Some(address) = running.halves.without_next_hop() else { return Ok(()) };
        match running.unconfirmed.take() {
            Some(generation) => {
                self.refuse(generation, format!("the kernel half has no next hop left for server {address}")).await?;
            }
            None if running.has_moved => self.naming.distrust(address, Instant::now()),
            None => {}
        }
        Ok(())
    }

    async fn refuse(&self, generation: u64, error: String) -> anyhow::Result<()> {
        self.tell(&ToSupervisor::Configured { generation, error: Some(error) }).await
    }

    async fn tell(&self, message: &ToSupervisor) -> anyhow::Result<()> {
        self.send(message, &[]).await
    }

    async fn watch(&mut self, addresses: &[IpAddr]) -> anyhow::Result<()> {
        self.watched += 1;
        self.send(&ToSupervisor::Watch { number: self.watched }, &[to_memory_file(&addresses)?.as_fd()]).await
    }

    async fn send(&self, message: &ToSupervisor, descriptors: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
        match self.channel.send(message, descriptors).await {
            // The supervisor is gone: the next look at the line tells, and what is open is drained then, not cut here.
            Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Tells the supervisor once both halves have what it configured.
    async fn confirm(&mut self) -> anyhow::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        if !running.halves.settled() {
            // What cannot be written is taken back. Where there is nothing to go back to, it is tried again.
            let is_new = |generation: &mut u64| *generation > running.confirmed && running.confirmed > 0;
            let Some(failure) = running.halves.failure() else { return Ok(()) };
            let Some(generation) = running.unconfirmed.take_if(is_new) else { return Ok(()) };
            let error = format!("the kernel half cannot take it up: {failure}");
            return self.refuse(generation, error).await;
        }
        let has_moved = mem::take(&mut running.has_moved) | running.halves.have_left();
        let confirmed = running.unconfirmed.take();
        running.confirmed = confirmed.unwrap_or(running.confirmed);
        if running.counters.is_some() && (confirmed.is_some() || has_moved) {
            let addresses = running.halves.needed_next_hops();
            self.watch(&addresses).await?; // Those that went may be forgotten now.
        }
        if let Some(generation) = confirmed {
            self.tell(&ToSupervisor::Configured { generation, error: None }).await?;
        }
        Ok(())
    }

    /// Somebody asked over the control socket or for the metrics.
    async fn asked(&mut self, asked: Asked) -> anyhow::Result<()> {
        let Asked { request, answer: waits } = asked;
        let Some(running) = self.running.as_mut().filter(|running| running.confirmed > 0) else {
            answer(waits, reports::starting(&request)?);
            return Ok(());
        };
        if self.is_held && request.changes_something() {
            answer(waits, Answer::Error("an upgrade is under way; ask again in a moment".to_owned()));
            return Ok(());
        }
        if let (Request::Status | Request::Metrics, Some(scans)) = (&request, &mut running.scans) {
            scans.ask(&running.halves.model);
        }
        match request {
            Request::Status => answer(waits, Answer::Ok(serde_json::to_value(running.status(&self.naming))?)),
            Request::Ready { frontends } => answer(waits, Answer::Ok(serde_json::to_value(running.ready(&frontends))?)),
            Request::Metrics => answer(waits, running.metrics(&self.naming)),
            Request::Events { after, most } => answer(waits, reports::events(after, most)?),
            Request::Reload { only } => {
                self.reload_waits.push_back(waits);
                self.tell(&ToSupervisor::Reload { only }).await?;
            }
            Request::Outline => answer(waits, Answer::Ok(serde_json::to_value(running.edits.outline())?)),
            Request::Upgrade { binary, drop_flows } => {
                self.upgrade_waits.push_back(waits);
                self.tell(&ToSupervisor::Upgrade { binary, drop_flows }).await?;
            }
            Request::Try { within } => {
                self.reload_waits.push_back(waits);
                self.tell(&ToSupervisor::Try { within }).await?;
            }
            Request::Confirm => {
                self.confirm_waits.push_back(waits);
                self.tell(&ToSupervisor::Confirm).await?;
            }
            Request::Runtime { words, payload } => answer(waits, self.command(&words, payload.as_ref()).await?),
            Request::Server { backend, server, admin } => answer(waits, running.set_admin(&backend, &server, admin)),
            Request::Weight { backend, server, weight } => {
                answer(waits, running.set_weight(&backend, &server, weight));
            }
        }
        Ok(())
    }
}

/// The first one, and what has come meanwhile, so that many cost little more than one.
fn taken_along<T>(first: T, others: &mut mpsc::Receiver<T>) -> Vec<T> {
    iter::once(first).chain(iter::from_fn(|| others.try_recv().ok()).take(WAITING)).collect()
}

/// Gives the first of those who wait what the supervisor reports.
fn report<T: DeserializeOwned + Serialize>(
    waits: &mut VecDeque<oneshot::Sender<Answer>>,
    mut descriptors: Vec<OwnedFd>,
) -> anyhow::Result<()> {
    let report: T = from_memory_file(descriptors.pop().context("no report")?, u64::MAX)?;
    if let Some(waits) = waits.pop_front() {
        answer(waits, Answer::Ok(serde_json::to_value(&report)?));
    }
    Ok(())
}

fn answer(waits: oneshot::Sender<Answer>, answer: Answer) {
    if waits.send(answer).is_err() {
        debug!("nobody waits for the answer any more");
    }
}
