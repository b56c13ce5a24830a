//! What the serving threads read of backends and servers. Lives as long as the backend, across reloads.

use crate::model::{Backend, Model};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
};

/// Every backend's live state, by name. A reload makes a new one that shares what went on existing.
#[derive(Debug, Default)]
pub struct Live {
    backends: BTreeMap<String, Arc<BackendLive>>,
}

impl Live {
    /// The live state for `model`: that of `self` where backend and servers are still the same, new elsewhere.
    pub fn for_model(&self, model: &Model) -> Self {
        let keep = |backend: &Backend| (backend.name.clone(), Arc::new(BackendLive::adopt(backend, self.backends.get(&backend.name))));
        Self { backends: model.backends.iter().map(keep).collect() }
    }

    /// The backend of that name.
    pub fn backend(&self, name: &str) -> Option<&Arc<BackendLive>> {
        self.backends.get(name)
    }
}

/// What the serving threads read and count of one backend.
#[derive(Debug)]
pub struct BackendLive {
    /// In the order of the model's servers.
    pub servers: Vec<Arc<ServerLive>>,
    /// Indices of the servers that may take new traffic. Replaced as a whole by each verdict.
    pub available: ArcSwap<Vec<usize>>,
    /// The cursor of `roundrobin`, shared by all threads: its order is a global promise.
    pub turn: Padded<AtomicUsize>,
    /// Requests or connections that found no server.
    pub no_server: Padded<AtomicU64>,
}

impl BackendLive {
    fn adopt(backend: &Backend, old: Option<&Arc<Self>>) -> Self {
        let known = |identity| old?.servers.iter().find(|server| server.identity == identity).map(Arc::clone);
        let servers = backend.servers.iter().map(|server| {
            let identity = server.identity(&backend.name);
            known(identity).unwrap_or_else(|| Arc::new(ServerLive::new(identity)))
        });
        let servers: Vec<_> = servers.collect();
        Self {
            available: ArcSwap::from_pointee((0..servers.len()).collect()),
            servers,
            turn: Padded(AtomicUsize::new(0)),
            no_server: Padded(AtomicU64::new(0)),
        }
    }
}

/// What the serving threads count of one server.
#[derive(Debug)]
pub struct ServerLive {
    /// See [`Server::identity`](crate::model::Server::identity).
    pub identity: u64,
    /// Connections open now.
    pub connections: Padded<AtomicUsize>,
    /// Connections or requests ever sent there.
    pub total: Padded<AtomicU64>,
    /// Connections that could not be opened.
    pub connect_errors: Padded<AtomicU64>,
}

impl ServerLive {
    fn new(identity: u64) -> Self {
        Self {
            identity,
            connections: Padded(AtomicUsize::new(0)),
            total: Padded(AtomicU64::new(0)),
            connect_errors: Padded(AtomicU64::new(0)),
        }
    }
}

/// On a cache line of its own, so that two counters never fight for one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Padded<T>(pub T);
