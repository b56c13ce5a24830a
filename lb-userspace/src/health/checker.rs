//! The checker: one task a checked server, which probes it at its interval.

use super::{
    Outcome, Report,
    probe::{Prober, Target},
};
use crate::{
    l7::tls::{TlsError, server::Connector},
    model::{Model, ServerTls},
};
use std::{
    collections::{
        BTreeMap, HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

/// First probes of a new configuration are spread over this much time, or over the interval if that is shorter.
const SPREAD: Duration = Duration::from_secs(1);
/// Each interval is shortened or lengthened by up to one part in so many, so that probes of many servers do not stay in
/// step.
const JITTER: u32 = 32;

/// The probing tasks. Dropped, they end.
#[derive(Debug, Default)]
pub struct Checker {
    tasks: BTreeMap<u64, (Target, AbortHandle)>,
}

impl Checker {
    /// Probes these servers from now on and sends every outcome to `outcomes`. A probe whose target did not change goes on
    /// undisturbed. Must be called within a [`LocalSet`](tokio::task::LocalSet).
    pub fn change_to(&mut self, Probers(wanted): Probers, outcomes: &mpsc::Sender<Outcome>) {
        let mut old = std::mem::take(&mut self.tasks);
        let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX).max(1);
        for (position, (identity, prober)) in (0..).zip(wanted) {
            let target = prober.target.clone();
            let task = match old.remove(&identity) {
                Some((known, task)) if known == target => task,
                changed => {
                    if let Some((_, task)) = changed {
                        task.abort();
                    }
                    let delay = SPREAD.min(target.check.interval) / count * position;
                    let probing = probe_forever(identity, prober, delay, outcomes.clone());
                    tokio::task::spawn_local(probing).abort_handle()
                }
            };
            self.tasks.insert(identity, (target, task));
        }
        for (_, task) in old.into_values() {
            task.abort();
        }
    }

    /// Ends all probes.
    pub fn stop(&mut self) {
        for (_, task) in std::mem::take(&mut self.tasks).into_values() {
            task.abort();
        }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How the checked servers of a configuration are probed.
#[derive(Debug, Default)]
pub struct Probers(Vec<(u64, Prober)>);

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
    /// Those of the checked servers of `model`.
    pub fn new(model: &Model) -> Result<Self, ProbersError> {
        let mut connectors: HashMap<Arc<ServerTls>, Connector> = HashMap::new();
        let mut probers = Vec::new();
        for backend in &model.backends {
            let Some(check) = &backend.check else { continue };
            for server in &backend.servers {
                let target = Target::new(server, check, backend);
                let connector = match &target.tls {
                    None => None,
                    Some(tls) => Some(match connectors.entry(Arc::clone(tls)) {
                        Occupied(known) => known.get().clone(),
                        Vacant(new) => {
                            let failed = |(_, source)| ProbersError { backend: backend.name.clone(), source };
                            new.insert(Connector::fresh(tls).map_err(failed)?).clone()
                        }
                    }),
                };
                probers.push((server.identity(&backend.name), Prober { target, connector }));
            }
        }
        Ok(Self(probers))
    }
}

async fn probe_forever(identity: u64, prober: Prober, delay: Duration, outcomes: mpsc::Sender<Outcome>) {
    sleep(delay).await;
    loop {
        let begun = Instant::now();
        let (finding, wire) = prober.probe().await;
        let finished_at = Instant::now();
        let report = Report { finding, took: finished_at - begun };
        if outcomes.send(Outcome { identity, report, finished_at }).await.is_err() {
            return; // Nobody judges any more.
        }
        if let Some(wire) = wire {
            wire.leave().await;
        }
        sleep_until(begun + jittered(prober.target.check.interval)).await;
    }
}

fn jittered(interval: Duration) -> Duration {
    let part = 1.0 / f64::from(JITTER);
    interval.mul_f64(1.0 - part + 2.0 * part * fastrand::f64())
}

#[cfg(test)]
mod tests;
