//! Verdicts: every server's outcomes, counted; and the moment when its health changes.

use super::{Meaning, Outcome, rise_fall::RiseFall};
use crate::{model::Model, servers::Health};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The counters of all checked servers, by identity.
#[derive(Debug, Default)]
pub struct Verdicts {
    servers: BTreeMap<u64, Judged>,
}

#[derive(Clone, Debug)]
struct Judged {
    backend: String,
    server: String,
    known: Health,
    counter: RiseFall,
    last: Option<String>,
}

/// A server's health changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transition {
    /// Which server.
    pub identity: u64,
    /// The backend's name.
    pub backend: String,
    /// The server's name.
    pub server: String,
    /// What it became.
    pub to: Health,
    /// The outcome that decided, in words.
    pub reason: String,
    /// When the probe that decided ended.
    pub finished_at: Instant,
}

impl Verdicts {
    /// Judges the checked servers of `model` from now on. Who was judged before keeps the count; `known` tells what the
    /// maps remember of the others.
    pub fn update(&mut self, model: &Model, known: impl Fn(u64) -> Health) {
        let mut old = std::mem::take(&mut self.servers);
        for backend in &model.backends {
            let Some(check) = &backend.check else { continue };
            for server in &backend.servers {
                let identity = server.identity(&backend.name);
                let judged = match old.remove(&identity) {
                    Some(judged) => Judged { counter: judged.counter.with(check.rise, check.fall), ..judged },
                    None => Judged {
                        backend: backend.name.clone(),
                        server: server.name.clone(),
                        known: known(identity),
                        counter: RiseFall::new(check.rise, check.fall, known(identity)),
                        last: None,
                    },
                };
                self.servers.insert(identity, judged);
            }
        }
    }

    /// Takes an outcome into account. The first verdict on an unchecked server is a change too. An outcome for which
    /// the server cannot be blamed is remembered as the last one and counts neither way.
    pub fn record(&mut self, outcome: &Outcome) -> Option<Transition> {
        let judged = self.servers.get_mut(&outcome.identity)?;
        let reason = outcome.report.to_string();
        judged.last = Some(reason.clone());
        let passed = match outcome.report.finding.code.meaning() {
            Meaning::Passed | Meaning::Stopping => true,
            Meaning::Failed => false,
            Meaning::Nothing => return None,
        };
        let to = judged.counter.record(passed);
        if std::mem::replace(&mut judged.known, to) == to {
            return None;
        }
        Some(Transition {
            identity: outcome.identity,
            backend: judged.backend.clone(),
            server: judged.server.clone(),
            to,
            reason,
            finished_at: outcome.finished_at,
        })
    }

    /// The last outcome of a server, in words.
    pub fn last(&self, identity: u64) -> Option<String> {
        self.servers.get(&identity)?.last.clone()
    }
}

#[cfg(test)]
mod tests;
