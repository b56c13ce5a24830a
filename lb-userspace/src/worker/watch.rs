//! Looks at what servers of the kernel half answer, second by second: of backends with `observe`, whose replies pass.

use super::halves::Halves;
use crate::{
    dataplane::counters::KernelCounters,
    model::{Backend, Model, Server, check::Observe},
    servers::Answers,
};
use std::{collections::BTreeMap, mem, time::Duration};
use tokio::time::Instant;
use tracing::error;

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is known of the answers of servers, by identity.
#[derive(Debug, Default)]
pub(super) struct Watch {
    servers: BTreeMap<u64, Answers>,
    /// When to look next; `None`: nobody is looked at.
    due: Option<Instant>,
}

impl Watch {
    /// Goes by another configuration.
    pub(super) fn configure(&mut self, model: &Model, now: Instant) {
        let is_any = observed(model).next().is_some();
        self.due = is_any.then(|| self.due.unwrap_or(now + INTERVAL));
    }

    /// When [`look`](Self::look) wants to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Servers that failed as often as their checks allow, and how many times that. Servers that are down are left alone: what
    /// was sent to them before has been told.
    pub(super) fn look(&mut self, halves: &Halves, counters: Option<&KernelCounters>, now: Instant) -> Vec<(u64, u64)> {
        self.due = Some(now + INTERVAL);
        let Some(counters) = counters else { return Vec::new() };
        let mut before = mem::take(&mut self.servers);
        let (mut failed, mut unread) = (Vec::new(), None);
        for (backend, server, observe) in observed(&halves.model) {
            let identity = server.identity(&backend.name);
            let Some(id) = halves.registry.server_id(identity) else { continue };
            if !halves.registry.standing(identity).keeps_existing() {
                continue;
            }
            let answers = self.servers.entry(identity).or_insert_with(|| before.remove(&identity).unwrap_or_default());
            let times = match counters.servers([id]) {
                Ok(counted) => answers.look(counted.get(&id).copied().unwrap_or_default(), observe.error_limit),
                // What was known stands until it can be read again.
                Err(error) => {
                    unread = Some(error);
                    0
                }
            };
            if times > 0 {
                failed.push((identity, times));
            }
        }
        if let Some(error) = unread {
            error!(error = &error as &dyn std::error::Error, "cannot read what servers answer");
        }
        failed
    }
}

/// The servers to look at.
fn observed(model: &Model) -> impl Iterator<Item = (&Backend, &Server, Observe)> {
    let backends = model.kernel_backends().filter(|backend| backend.forward.translates());
    backends.flat_map(|backend| {
        let servers = backend.servers.iter().filter(|server| server.is_resolved());
        servers.filter_map(move |server| Some((backend, server, server.check(backend)?.observe?)))
    })
}
