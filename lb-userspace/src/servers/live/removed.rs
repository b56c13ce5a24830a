//! What a reload has removed of the proxy and may have connections still. They go on, for a while.

use super::{Live, ServerLive};
use crate::{
    model::Model,
    servers::{FrontendLive, ServerTotals},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Who was chosen a moment before the reload may open a connection a moment after it.
const LATE: Duration = Duration::from_mins(5);

/// Whether the time of something is over that a reload has removed: then its connections are cut. So are those that there are when
/// the operator says so.
#[derive(Debug, Default)]
pub struct Over {
    is_over: AtomicBool,
    /// How often the operator has said so.
    cuts: AtomicU32,
}

impl Over {
    /// Whether it is.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// What a connection that begins now is to remember.
    pub fn begin(&self) -> Begun {
        Begun(self.cuts.load(Relaxed))
    }

    /// Whether a connection is to end that began then.
    pub fn is_over_since(&self, begun: Begun) -> bool {
        self.is_over() || self.begin() != begun
    }

    /// Has those connections end that there are now, once they look.
    pub fn cut(&self) {
        self.cuts.fetch_add(1, Relaxed);
    }

    fn set(&self, over: bool) {
        self.is_over.store(over, Relaxed);
    }
}

/// When a connection began, as far as [`Over`] is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Begun(u32);

/// A frontend or server that a reload has removed.
#[derive(Clone, Debug)]
pub struct Removed {
    /// Which.
    pub what: RemovedWhat,
    /// When it was removed.
    pub since: Instant,
    /// When its time is over.
    pub until: Instant,
}

/// What a reload can remove of the proxy.
#[derive(Clone, Debug)]
pub enum RemovedWhat {
    /// A frontend.
    Frontend {
        /// Its name.
        name: String,
        /// What is counted of it.
        live: Arc<FrontendLive>,
    },
    /// A server.
    Server {
        /// Its backend's name.
        backend: String,
        /// Its name.
        name: String,
        /// Where it is.
        address: String,
        /// What is counted of it.
        live: Arc<ServerLive>,
    },
}

impl RemovedWhat {
    /// Connections that it has still.
    pub fn connections(&self) -> u64 {
        match self {
            Self::Frontend { live, .. } => live.connections(),
            Self::Server { live, .. } => live.connections(),
        }
    }

    fn over(&self) -> &Over {
        match self {
            Self::Frontend { live, .. } => &live.over,
            Self::Server { live, .. } => &live.over,
        }
    }
}

impl Live {
    /// The same, and what of `old`, which served `before`, is gone in `next`.
    #[must_use]
    pub fn removing(mut self, old: &Self, (before, next): (&Model, &Model), now: Instant) -> Self {
        let stays: BTreeSet<_> =
            self.backends.values().flat_map(|backend| backend.identities.iter().copied()).collect();
        let still = old.removed.iter().filter(|removed| match &removed.what {
            RemovedWhat::Frontend { name, .. } => !self.frontends.contains_key(name),
            RemovedWhat::Server { live, .. } => !stays.contains(&live.identity),
        });
        let is_there = |removed: &&Removed| removed.what.connections() > 0 || now < removed.since + LATE;
        let mut removed: Vec<_> = still.filter(is_there).cloned().collect();
        let mut remove = |what, within| removed.push(Removed { what, since: now, until: now + within });
        for frontend in
            before.frontends.iter().filter(|before| next.frontends.iter().all(|next| next.name != before.name))
        {
            if let Some(live) = old.frontends.get(&frontend.name).map(Arc::clone) {
                remove(RemovedWhat::Frontend { name: frontend.name.clone(), live }, frontend.drain_timeout);
            }
        }
        for backend in &before.backends {
            let live = old.backends.get(&backend.name).into_iter().flat_map(|backend| &backend.servers);
            for (server, live) in backend.servers.iter().zip(live).filter(|(_, live)| !stays.contains(&live.identity)) {
                let (name, address) = (server.name.clone(), server.address.to_string());
                let what = RemovedWhat::Server { backend: backend.name.clone(), name, address, live: Arc::clone(live) };
                remove(what, next.backend(&backend.name).unwrap_or(backend).drain_timeout);
            }
        }
        self.removed = removed;
        self
    }

    /// What was removed and has connections still.
    pub fn removed(&self) -> impl Iterator<Item = &Removed> {
        self.removed.iter().filter(|removed| removed.what.connections() > 0)
    }

    /// When the time of something is over that was removed.
    pub fn over_at(&self) -> Option<Instant> {
        self.removed.iter().filter(|removed| !removed.what.over().is_over()).map(|removed| removed.until).min()
    }

    /// Notes whose time is over `now`; those that have connections, which are to be cut.
    pub fn end_of_time(&self, now: Instant) -> Vec<&Removed> {
        let over = self.removed.iter().filter(|removed| removed.until <= now && !removed.what.over().is_over());
        let over = over.inspect(|removed| removed.what.over().set(true));
        over.filter(|removed| removed.what.connections() > 0).collect()
    }

    /// What a frontend has been that is back.
    pub(super) fn removed_frontend(&self, frontend: &str) -> Option<&Arc<FrontendLive>> {
        self.removed.iter().find_map(|removed| match &removed.what {
            RemovedWhat::Frontend { name, live } if name == frontend && !live.over.is_over() => Some(live),
            RemovedWhat::Frontend { .. } | RemovedWhat::Server { .. } => None,
        })
    }

    /// Lets a server that is back be what it was. What it has counted, which is no more that of one that is gone.
    pub(super) fn give_back(&self, server: &mut Arc<ServerLive>) -> ServerTotals {
        let known = self.removed.iter().find_map(|removed| match &removed.what {
            RemovedWhat::Server { live, .. } if live.identity == server.identity && !live.over.is_over() => Some(live),
            RemovedWhat::Server { .. } | RemovedWhat::Frontend { .. } => None,
        });
        known.map_or_else(ServerTotals::default, |known| {
            *server = Arc::clone(known);
            ServerTotals::from(&**server)
        })
    }
}
