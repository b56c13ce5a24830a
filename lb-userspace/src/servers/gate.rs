//! Gate: how many requests (`http`) or connections (`tcp`) a server has at once, and who waits for a place.
//!
//! One of a backend, shared by all threads, and by one configuration with the next: rows are kept by the servers'
//! identities. Places of servers without limits are counted by an atomic at most; the lock is taken only where something
//! is limited. Who waits has a ticket; tickets are served in the order in which they were drawn, whether they wait for
//! one server or for any.
//!
//! The promise: a place that becomes free is given on at once, and none is lost, whoever gives up at which moment. It holds
//! because places are given and taken away under the lock alone, and a waiter that goes gives on what it was given.

mod state;
mod waiting;

pub use waiting::{Entry, Slot, Waiting};

use super::{Available, BackendLive, ServerLive};
use crate::model::Limits;
use state::State;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// What one server has to do. Exact where something is limited or the least loaded server is looked for.
#[derive(Debug, Default)]
pub struct Load {
    /// Requests or connections that have a place.
    pub served: AtomicUsize,
    /// Those that wait for this server alone.
    pub queued: AtomicUsize,
}

impl Load {
    /// Both.
    pub fn all(&self) -> usize {
        self.served.load(Ordering::Relaxed) + self.queued.load(Ordering::Relaxed)
    }
}

/// Where a request or connection is to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// To that server if it still has room, else to any.
    Server(usize),
    /// To that server, whatever the wait: it is bound by persistence or by the hash.
    Bound(usize),
    /// To whichever server has room first: all are full.
    Any,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// As many wait for that server as may. Choose another.
    #[error("the server's queue is full")]
    QueueFull,
    /// That server takes nothing any more. Choose another.
    #[error("the server is gone")]
    Gone,
    /// No server of the backend takes anything: who waited need not wait longer.
    #[error("no server is left")]
    NoServer,
}

/// Places and queues of one backend.
#[derive(Debug, Default)]
pub struct Gate {
    /// Whether any server is limited. Read after a place was given up, and set before anyone waits.
    limited: AtomicBool,
    /// How many wait for any server.
    waiting: AtomicUsize,
    state: Mutex<State>,
}

impl Gate {
    /// Takes over a configuration and who takes traffic: gives places where there is room now, and sends away who waits
    /// for what is gone.
    pub(super) fn configure(&self, backend: &BackendLive) {
        let limited = backend.limits_now(&backend.available.load()).any(|limits| limits.maxconn > 0);
        if limited {
            self.limited.store(true, Ordering::SeqCst);
        }
        self.with(|state| state.configure(backend));
        if !limited {
            self.limited.store(false, Ordering::SeqCst);
        }
    }

    /// How many wait for any server of the backend: HAProxy's `queue` of a backend, without those of its servers.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn is_limited(&self) -> bool {
        self.limited.load(Ordering::SeqCst)
    }

    /// Does something to the state, and wakes those that it concerns once the lock is free again.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state);
        self.waiting.store(state.waiting_for_any(), Ordering::Relaxed);
        let woken = state.take_woken();
        drop(state);
        woken.into_iter().for_each(std::task::Waker::wake);
        result
    }

    /// A panic elsewhere must not end all service: what is done under the lock leaves it whole at every step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place at a server was given up.
    fn freed(&self, server: &ServerLive) {
        server.load.0.served.fetch_sub(1, Ordering::SeqCst);
        // In this order: whoever found the server full before has set the flag before.
        if self.is_limited() {
            self.with(|state| state.give_on(server.identity));
        }
    }
}

impl BackendLive {
    /// Whether that server of `available` would take one more now, without waiting.
    pub fn has_room(&self, server: usize, available: &Available) -> bool {
        let (Some(limits), Some(live)) = (self.limits.get(server), self.servers.get(server)) else { return false };
        let limits = available.limits(server, *limits);
        if limits.maxconn == 0 {
            return true;
        }
        let load = if limits.is_dynamic() { self.load() + 1 } else { 0 };
        let is_queued = live.load.0.queued.load(Ordering::Relaxed) > 0;
        !is_queued && live.load.0.served.load(Ordering::Relaxed) < limits.at(load, self.fullconn)
    }

    /// How many more its servers that take traffic would take or keep waiting; `None`: one of them takes any number.
    /// HAProxy's `connslots`.
    pub fn free_slots(&self) -> Option<u64> {
        let available = self.available.load();
        let free = available.servers().iter().map(|(server, _)| {
            let (limits, live) = (available.limits(*server, *self.limits.get(*server)?), self.servers.get(*server)?);
            if limits.maxconn == 0 || limits.maxqueue == 0 {
                return None;
            }
            let allowed = u64::from(limits.maxconn) + u64::from(limits.maxqueue);
            Some(allowed.saturating_sub(live.load.0.all() as u64))
        });
        free.sum()
    }

    /// The limits that its servers have with `available`, in their order.
    fn limits_now(&self, available: &Available) -> impl Iterator<Item = Limits> {
        self.limits.iter().enumerate().map(|(server, limits)| available.limits(server, *limits))
    }

    /// All that the backend has to do: what is served and what waits.
    pub fn load(&self) -> usize {
        self.servers.iter().map(|server| server.load.0.all()).sum::<usize>() + self.gate.waiting()
    }
}

#[cfg(test)]
mod tests;
