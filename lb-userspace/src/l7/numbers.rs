//! The balancer's own numbers, as expressions ask for them: read from the live state at that moment.

use super::{
    acl::Numbers,
    snapshot::{FrontendRoute, Snapshot},
};
use crate::{model::BackendIndex, servers::BackendLive};
use std::sync::atomic::Ordering::Relaxed;

/// The live state that a frontend is served with.
pub(super) struct Counted<'a> {
    /// All of it.
    pub(super) snapshot: &'a Snapshot,
    /// The frontend that is asked.
    pub(super) frontend: &'a FrontendRoute,
}

impl Counted<'_> {
    fn backend(&self, backend: BackendIndex) -> Option<&BackendLive> {
        self.snapshot.backend(backend).map(|backend| &*backend.live)
    }
}

impl Numbers for Counted<'_> {
    fn usable_servers(&self, backend: BackendIndex) -> Option<u64> {
        self.backend(backend).map(|backend| backend.available.load().servers().len() as u64)
    }

    fn backend_connections(&self, backend: BackendIndex) -> Option<u64> {
        Some(self.backend(backend)?.load() as u64)
    }

    fn frontend_connections(&self, frontend: Option<&str>) -> Option<u64> {
        match frontend {
            None => Some(self.frontend.live.connections()),
            Some(name) => self.snapshot.live().frontend(name).map(|frontend| frontend.connections()),
        }
    }

    fn queued(&self, backend: BackendIndex) -> Option<u64> {
        let backend = self.backend(backend)?;
        let of_servers: usize = backend.servers.iter().map(|server| server.load.0.queued.load(Relaxed)).sum();
        Some((backend.gate.waiting() + of_servers) as u64)
    }

    fn free_slots(&self, backend: BackendIndex) -> Option<u64> {
        self.backend(backend)?.free_slots()
    }

    fn server_is_up(&self, backend: BackendIndex, server: usize) -> Option<bool> {
        self.backend(backend).map(|backend| backend.available.load().contains(server))
    }

    fn server_connections(&self, backend: BackendIndex, server: usize) -> Option<u64> {
        let server = self.backend(backend)?.servers.get(server)?;
        Some(server.load.0.served.load(Relaxed) as u64)
    }
}
