//! Relay: what the supervisor notes goes to its worker, which writes it where `event_log` says, counts it and answers for it.

use super::Supervisor;
use crate::{
    channel::ToWorker,
    events::{Event, KEPT, journal},
};
use std::time::Duration;
use tokio::{sync::watch, time::timeout};
use tracing::debug;

/// Longest wait for room on the line to the worker: one that hangs must not keep us from killing it.
const PATIENCE: Duration = Duration::from_millis(100);
/// Events that a new worker is told of which the one before it was told: the line has room for them while it starts.
const KNOWN: usize = 100;

/// How far the worker knows our journal.
pub(super) struct Relay {
    newest: watch::Receiver<u64>,
    /// The number of the last event that a worker was given.
    given: u64,
}

impl Relay {
    /// To a process of its own, or to a thread of ours, which has our journal.
    pub(super) fn new(single_process: bool) -> Self {
        Self { newest: journal().newest(), given: if single_process { u64::MAX } else { 0 } }
    }

    /// Waits until there is something to give.
    pub(super) async fn due(&mut self) {
        if self.newest.wait_for(|newest| *newest > self.given).await.is_err() {
            std::future::pending::<()>().await; // The journal is there for ever.
        }
    }
}

impl Supervisor {
    /// Gives the worker what it was not given. What it does not take now it may take later.
    pub(super) async fn relay(&mut self) {
        for event in journal().after(self.relay.given, KEPT) {
            let number = event.number;
            if !self.relay_one(event, false).await {
                return;
            }
            self.relay.given = number;
        }
    }

    /// Gives a new worker what the one before it was given last, and what nobody was.
    pub(super) async fn relay_all(&mut self) {
        let given = self.relay.given;
        if given < u64::MAX {
            for event in journal().after(0, KNOWN).into_iter().take_while(|event| event.number <= given) {
                if !self.relay_one(event, true).await {
                    break;
                }
            }
            self.relay().await;
        }
    }

    async fn relay_one(&self, event: Event, again: bool) -> bool {
        let message = ToWorker::Event { event, again };
        match timeout(PATIENCE, self.worker.send(&message, &[])).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                debug!(%error, "the worker does not take an event");
                false
            }
            Err(_late) => false,
        }
    }
}
