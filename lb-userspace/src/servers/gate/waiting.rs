//! The two things that a gate gives out: a place, and the wait for one. Both clean up behind themselves when dropped.

use super::{
    Gate, Place, Refusal,
    state::{Entered, Outcome, Ticket},
};
use crate::servers::{BackendLive, ServerLive};
use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::SeqCst},
    task::{Context, Poll},
};

/// A place at a server. Dropped, it is the next one's.
#[derive(Debug)]
pub struct Slot {
    /// Index of the server in the backend that was entered.
    pub server: usize,
    live: Arc<ServerLive>,
    /// `None`: nobody counts, so that no cache line is shared.
    gate: Option<Arc<Gate>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.freed(&self.live);
        }
    }
}

/// What comes of entering.
#[derive(Debug)]
pub enum Entry {
    /// A place.
    Slot(Slot),
    /// Others come first.
    Waiting(Waiting),
}

/// The wait for a place. Given up by dropping it.
#[derive(Debug)]
#[must_use = "dropped, it gives up the wait"]
pub struct Waiting {
    backend: Arc<BackendLive>,
    /// `None`: over.
    ticket: Option<Ticket>,
}

impl Future for Waiting {
    type Output = Result<Slot, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = self.ticket else { return Poll::Ready(Err(Refusal::Gone)) };
        let outcome = self.backend.gate.with(|state| state.poll(ticket, context.waker()));
        let Some(outcome) = outcome else { return Poll::Pending };
        self.ticket = None;
        Poll::Ready(self.backend.slot(outcome))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.backend.gate.with(|state| state.leave(ticket));
        }
    }
}

impl BackendLive {
    /// Takes a place, or begins to wait for one: whoever waits for any server gets none of those that it has `tried`.
    pub fn enter(self: &Arc<Self>, place: Place, tried: &[usize]) -> Result<Entry, Refusal> {
        if self.gate.is_limited() {
            return match self.gate.with(|state| state.enter(place, tried, self))? {
                Entered::At(live) => self.slot(Ok(live)).map(Entry::Slot),
                Entered::Waits(ticket) => {
                    Ok(Entry::Waiting(Waiting { backend: Arc::clone(self), ticket: Some(ticket) }))
                }
            };
        }
        let server = match place {
            Place::Server(server) | Place::Bound(server) => server,
            // It was limited a moment ago.
            Place::Any => {
                let available = self.available.load();
                let mut servers = available.servers().iter().map(|(server, _)| *server);
                servers.find(|server| !tried.contains(server)).ok_or(Refusal::NoServer)?
            }
        };
        let live = Arc::clone(self.servers.get(server).ok_or(Refusal::Gone)?);
        let gate = self.counts_load.then(|| Arc::clone(&self.gate));
        if gate.is_some() {
            live.load.0.served.fetch_add(1, SeqCst);
        }
        Ok(Entry::Slot(Slot { server, live, gate }))
    }

    /// The place that was given.
    fn slot(&self, outcome: Outcome) -> Result<Slot, Refusal> {
        let live = outcome?;
        let slot = |server| Slot { server, live: Arc::clone(&live), gate: Some(Arc::clone(&self.gate)) };
        let server = self.identities.iter().position(|identity| *identity == live.identity);
        // A place is only given to those that know the server; were it not so, the slot of server 0 would give it back.
        server.map(slot).ok_or_else(|| {
            drop(slot(0));
            Refusal::Gone
        })
    }
}
