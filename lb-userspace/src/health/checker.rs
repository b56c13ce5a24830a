//! The checker: one task a checked server, which probes it at its interval, on a thread that does nothing else.

use super::{
    Code, Finding, Meaning, Outcome, Report,
    exec::{self, Asked, Means},
    probe::{Prober, Target},
    rise_fall::Pace,
    stalls::{Stalls, Voids},
    tasks::{Aim, Tasks},
    wire::Wire,
};
use crate::{
    l7::{
        panics,
        tls::{TlsError, server::Connector},
    },
    model::{Check, CheckKind, Model, ServerTls, SharedServerTls},
    servers::Live,
};
use std::{
    collections::{
        HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    runtime::{self, Handle},
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use tracing::error;

/// The interval of a server that is down is shortened or lengthened by up to this part.
const JITTER: f64 = 0.1;
/// A probe that says nothing, because this process did not run, is repeated within this time.
const AGAIN: Duration = Duration::from_millis(100);
/// Programs that may wait until the runner has been asked for them.
const JOBS: usize = 256;

/// The probing tasks, on a thread of their own: whatever else the process has to do, probes keep their time. Dropped, they end.
#[derive(Debug)]
pub struct Checker {
    /// Each is told how soon its next probe is wanted.
    tasks: Tasks<Target, watch::Sender<Pace>>,
    connectors: Connectors,
    /// Whether the thread runs when it should.
    stalls: Arc<Stalls>,
    /// What looks after that, while there is anybody to probe.
    beating: Option<AbortHandle>,
    /// The way to what runs programs.
    runner: watch::Sender<Option<mpsc::Sender<Asked>>>,
    /// Ends the thread.
    _end: oneshot::Sender<()>,
}

impl Checker {
    /// Starts the thread. Errors: no thread or no runtime to be had.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, (sender, end)) = (runtime.handle().clone(), oneshot::channel::<()>());
        thread::Builder::new().name(panics::CHECKS.to_owned()).spawn(move || {
            // Ends once nobody can send any more, which is an error.
            runtime.block_on(end).unwrap_or_default();
        })?;
        Ok(Self {
            tasks: Tasks::new(handle),
            connectors: Connectors::default(),
            stalls: Arc::new(Stalls::new()),
            beating: None,
            runner: watch::Sender::new(None),
            _end: sender,
        })
    }

    /// Has programs run by the runner at the other end of `line` from now on. What another one was asked for, nobody
    /// answers then.
    pub fn take_runner(&self, line: OwnedFd) {
        let (way, asked) = mpsc::channel(JOBS);
        self.runtime().spawn(exec::converse(line, asked));
        self.runner.send_replace(Some(way));
    }

    /// Probes these servers from now on and sends every outcome to `outcomes`. A probe whose target did not change goes on
    /// undisturbed.
    pub fn change_to(&mut self, Probers { wanted, connectors }: Probers, outcomes: &mpsc::Sender<Outcome>) {
        self.connectors = connectors;
        self.beat(!wanted.is_empty());
        let stalls = &self.stalls;
        self.tasks.change_to(
            wanted,
            |prober| &prober.target,
            |of, delay, prober| {
                let (pace, paced) = watch::channel(Pace::default());
                let (aim, prober) = ((prober.target.address, prober.target.check.clone()), Arc::new(prober));
                let probe = move || {
                    let prober = Arc::clone(&prober);
                    async move { prober.probe().await }
                };
                (probe_forever(of, aim, (probe, Arc::clone(stalls)), delay, paced, outcomes.clone()), pace)
            },
        );
    }

    /// Looks whether the thread runs when it should, or not any more.
    fn beat(&mut self, wanted: bool) {
        if !wanted {
            self.rest();
        } else if self.beating.is_none() {
            let stalls = Arc::clone(&self.stalls);
            self.beating = Some(self.runtime().spawn(async move { stalls.beat().await }).abort_handle());
        }
    }

    fn rest(&mut self) {
        if let Some(beating) = self.beating.take() {
            beating.abort();
        }
    }

    /// What TLS is spoken by, for the [`Probers`] that come next.
    pub fn connectors(&self) -> &Connectors {
        &self.connectors
    }

    /// Whether the task that an outcome is of still probes that server.
    pub fn is_current(&self, outcome: &Outcome) -> bool {
        self.tasks.is_current(outcome.identity, outcome.task)
    }

    /// Whether this process did not run for a while until a moment ago: then nothing that it found says anything.
    pub fn was_stalled(&self, now: Instant) -> bool {
        self.beating.is_some() && self.stalls.was_stalled(now)
    }

    /// Says how soon the next probe of a server is wanted.
    pub fn set_pace(&self, identity: u64, pace: Pace) {
        if let Some(told) = self.tasks.known(identity) {
            told.send_if_modified(|known| std::mem::replace(known, pace) != pace);
        }
    }

    /// The thread of the probes.
    pub(super) fn runtime(&self) -> &Handle {
        self.tasks.runtime()
    }

    /// Ends all probes.
    pub fn stop(&mut self) {
        self.tasks.stop();
        self.rest();
    }
}

impl Aim for Target {
    fn interval(&self) -> Duration {
        self.check.interval
    }
}

/// How the checked servers of a configuration are probed.
#[derive(Debug, Default)]
pub struct Probers {
    pub(super) wanted: Vec<(u64, Prober)>,
    connectors: Connectors,
}

/// What TLS is spoken by, by how it is to be spoken: to make one, certificates are read by the hundred.
#[derive(Debug, Default)]
pub struct Connectors(HashMap<Arc<ServerTls>, Connector>);

/// Why a configuration's servers cannot be probed.
#[derive(Debug, thiserror::Error)]
#[error("TLS of the check of backend {backend}: {source}")]
pub struct ProbersError {
    /// The backend.
    backend: String,
    /// What is wrong.
    source: TlsError,
}

impl Probers {
    /// Those of the checked servers of `model`, with what is `known` already.
    pub fn new(model: &Model, known: &Connectors) -> Result<Self, ProbersError> {
        let mut connectors: HashMap<Arc<ServerTls>, Connector> = HashMap::new();
        let mut wanted = Vec::new();
        for (number, backend) in model.backends.iter().enumerate() {
            let servers = backend.servers.iter().enumerate();
            for (place, server) in servers.filter(|(_, server)| server.is_resolved()) {
                let Some(check) = server.check(backend) else { continue };
                let mut connector = |tls: &SharedServerTls| {
                    let Some(tls) = tls else { return Ok(None) };
                    Ok(Some(match connectors.entry(Arc::clone(tls)) {
                        Occupied(used) => used.get().clone(),
                        Vacant(new) => {
                            let failed = |(_, source)| ProbersError { backend: backend.name.clone(), source };
                            let known = known.0.get(tls).cloned();
                            new.insert(known.map_or_else(|| Connector::fresh(tls), Ok).map_err(failed)?).clone()
                        }
                    }))
                };
                let mut target = Target::new(server, check, backend);
                if matches!(check.kind, CheckKind::Exec(_)) {
                    target.facts = exec::facts(model, number, place);
                }
                let prober = Prober::new(target, &mut connector)?;
                wanted.push((server.identity(&backend.name), prober));
            }
        }
        Ok(Self { wanted, connectors: Connectors(connectors) })
    }

    /// The same, with what those need that programs make: the runner of `checker`, and what is counted of the servers.
    #[must_use]
    pub fn for_checker(mut self, checker: &Checker, live: &Live) -> Self {
        for (_, prober) in &mut self.wanted {
            prober.means = prober.target.facts.as_ref().map(|facts| {
                let (runner, live) = (checker.runner.subscribe(), exec::live(live, facts));
                Means { runner, live }
            });
        }
        self
    }
}

/// As good as never.
const NEVER: Duration = Duration::from_hours(24 * 365);

async fn probe_forever<F: Future<Output = (Finding, Option<Wire>)>>(
    (identity, task): (u64, u64),
    (address, check): (SocketAddr, Check),
    (probe, stalls): (impl Fn() -> F, Arc<Stalls>),
    delay: Duration,
    mut pace: watch::Receiver<Pace>,
    outcomes: mpsc::Sender<Outcome>,
) {
    let (mut due, mut voids) = (Instant::now() + delay, Voids::default());
    loop {
        sleep_until(due).await;
        let begun = stalls.begin();
        let (finding, wire) = panics::caught(probe()).await.unwrap_or_else(|| {
            error!(%address, "a panic ended a probe; it says nothing of the server, which goes on being probed");
            (Finding::new(Code::SocketError, "a panic ended the probe"), None)
        });
        let finished_at = Instant::now();
        let is_void = finding.code.meaning() == Meaning::Failed && stalls.spoiled(begun, check.timeout, finished_at);
        if voids.pass_over(is_void) {
            due = finished_at + AGAIN.min(check.interval).mul_f64(fastrand::f64());
            continue;
        }
        let begun = begun.at;
        let report = Report { finding, took: finished_at - begun };
        if outcomes.send(Outcome { identity, task, report, finished_at }).await.is_err() {
            return; // Nobody judges any more.
        }
        if let Some(wire) = wire {
            drop(tokio::spawn(wire.leave()));
        }
        // From when it was due, so that delays do not add up; how soon depends on the verdict, which may come a moment later.
        let last = due;
        loop {
            let interval = interval(&check, *pace.borrow_and_update());
            due = (last + interval).max(begun + interval / 2);
            tokio::select! {
                () = sleep_until(due) => break,
                changed = pace.changed() => if changed.is_err() {
                    return; // The checker is gone.
                },
            }
        }
    }
}

/// From one probe to the next. Only while a server is down this varies: so verdicts on living servers come in time, and probes
/// of many that went down together do not stay together.
fn interval(check: &Check, pace: Pace) -> Duration {
    match pace {
        Pace::Fast => check.fast_interval,
        Pace::Steady => check.interval,
        Pace::Never => NEVER,
        Pace::Down => check.down_interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64()),
    }
}

#[cfg(test)]
mod tests;
