//! The checker: one task a checked server, which probes it at its interval.

use super::{Outcome, Report, probe::Target};
use crate::model::Model;
use std::{collections::BTreeMap, time::Duration};
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
    /// Probes the checked servers of `model` from now on and sends every outcome to `outcomes`. A probe whose target did
    /// not change goes on undisturbed. Must be called within a [`LocalSet`](tokio::task::LocalSet).
    pub fn update(&mut self, model: &Model, outcomes: &mpsc::Sender<Outcome>) {
        let mut old = std::mem::take(&mut self.tasks);
        let wanted = targets(model);
        let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX).max(1);
        for (position, (identity, target)) in (0..).zip(wanted) {
            let task = match old.remove(&identity) {
                Some((known, task)) if known == target => task,
                changed => {
                    if let Some((_, task)) = changed {
                        task.abort();
                    }
                    let delay = SPREAD.min(target.check.interval) / count * position;
                    let probing = probe_forever(identity, target.clone(), delay, outcomes.clone());
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

fn targets(model: &Model) -> Vec<(u64, Target)> {
    let checked = model.backends.iter().filter_map(|backend| Some((backend, backend.check.as_ref()?)));
    let targets = checked.flat_map(|(backend, check)| {
        backend
            .servers
            .iter()
            .map(move |server| (server.identity(&backend.name), Target::new(server, check, backend.send_proxy)))
    });
    targets.collect()
}

async fn probe_forever(identity: u64, target: Target, delay: Duration, outcomes: mpsc::Sender<Outcome>) {
    sleep(delay).await;
    loop {
        let begun = Instant::now();
        let (code, detail) = target.probe().await;
        let finished_at = Instant::now();
        let report = Report { code, detail, took: finished_at - begun };
        if outcomes.send(Outcome { identity, report, finished_at }).await.is_err() {
            return; // Nobody judges any more.
        }
        sleep_until(begun + jittered(target.check.interval)).await;
    }
}

fn jittered(interval: Duration) -> Duration {
    let part = 1.0 / f64::from(JITTER);
    interval.mul_f64(1.0 - part + 2.0 * part * fastrand::f64())
}

#[cfg(test)]
mod tests;
