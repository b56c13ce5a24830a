//! Tasks on the thread of the probes, one a server, which go on over a change of the configuration as long as what they are aimed
//! at stays the same: those that probe, and those that ask agents.

use std::{collections::BTreeMap, mem, time::Duration};
use tokio::{runtime::Handle, task::AbortHandle};

/// First turns of a new configuration are spread over this much time and over so much more for each task, or over the interval if
/// that is shorter.
const SPREAD: Duration = Duration::from_secs(1);
const SPREAD_EACH: Duration = Duration::from_micros(400);

/// What a task is aimed at.
pub(super) trait Aim: Clone + PartialEq {
    /// From one turn to the next.
    fn interval(&self) -> Duration;
}

/// The tasks by server, each with what else is known of it. Dropped with their thread.
#[derive(Debug)]
pub(super) struct Tasks<T, K> {
    by_server: BTreeMap<u64, Task<T, K>>,
    /// Tasks that were begun.
    begun: u64,
    runtime: Handle,
}

#[derive(Debug)]
pub(super) struct Task<T, K> {
    number: u64,
    target: T,
    pub(super) handle: AbortHandle,
    known: K,
}

impl<T: Aim, K> Tasks<T, K> {
    /// None yet, to be run by `runtime`.
    pub(super) fn new(runtime: Handle) -> Self {
        Self { by_server: BTreeMap::new(), begun: 0, runtime }
    }

    /// Has tasks for these servers, and no others, from now on. One whose target is the same goes on undisturbed; others are made by
    /// `begin` of the server's identity and the number of the task, and of how long the first turn waits.
    pub(super) fn change_to<W, F: Future<Output = ()> + Send + 'static>(
        &mut self,
        wanted: Vec<(u64, W)>,
        target: impl Fn(&W) -> &T,
        begin: impl Fn((u64, u64), Duration, W) -> (F, K),
    ) {
        let (mut old, count) = (mem::take(&mut self.by_server), wanted.len());
        for (position, (identity, wanted)) in wanted.into_iter().enumerate() {
            let task = match old.remove(&identity) {
                Some(known) if known.target == *target(&wanted) && !known.handle.is_finished() => known,
                changed => {
                    if let Some(changed) = changed {
                        changed.handle.abort();
                    }
                    self.begun += 1;
                    let target = target(&wanted).clone();
                    let delay = first_delay(target.interval(), position, count);
                    let (turns, known) = begin((identity, self.begun), delay, wanted);
                    Task { number: self.begun, target, handle: self.runtime.spawn(turns).abort_handle(), known }
                }
            };
            self.by_server.insert(identity, task);
        }
        for gone in old.into_values() {
            gone.handle.abort();
        }
    }

    /// Whether that is the number of the task that a server has now.
    pub(super) fn is_current(&self, identity: u64, number: u64) -> bool {
        self.by_server.get(&identity).is_some_and(|task| task.number == number)
    }

    /// What else is known of a server's task.
    pub(super) fn known(&self, identity: u64) -> Option<&K> {
        self.by_server.get(&identity).map(|task| &task.known)
    }

    /// What runs them.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Ends all of them.
    pub(super) fn stop(&mut self) {
        for task in mem::take(&mut self.by_server).into_values() {
            task.handle.abort();
        }
    }

    /// All of them, by server.
    #[cfg(test)]
    pub(super) fn all(&self) -> &BTreeMap<u64, Task<T, K>> {
        &self.by_server
    }
}

/// How long the first turn waits, at that interval, of the one of `count` tasks that has that position.
fn first_delay(interval: Duration, position: usize, count: usize) -> Duration {
    let [position, count] = [position, count.max(1)].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    (SPREAD + SPREAD_EACH.saturating_mul(count)).min(interval) / count * position
}
