//! The one place where a verdict takes effect: the kernel's maps and the proxy's lists of servers, from the same standing.
//!
//! A change of standing goes three ways, in this order: the proxy's list of available servers (a pointer swap), the
//! server's state byte in the kernel (one write, never delayed), the rings (at most ten rebuilds a second; the first
//! after [`QUIET`] of quiet at once). Until the ring follows, the packet path walks past a server that is down.

use crate::{
    dataplane::writer::{MapWriter, WriteError},
    model::Model,
    plan::{self, Tables, Write},
    servers::{BackendLive, Live, available, registry::Registry, state::IsBackup},
};
use lb_common::RingId;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::error;

/// Ring rebuilds keep this distance.
pub const QUIET: Duration = Duration::from_millis(100);
/// After a failed write the maps are read back and tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Both halves and what they are built from.
pub struct Halves {
    /// What is configured.
    pub model: Arc<Model>,
    /// Ids and standing of servers.
    pub registry: Registry,
    /// What the proxy reads.
    pub live: Arc<Live>,
    /// Rows of the servers' next hops.
    pub next_hops: BTreeMap<IpAddr, u16>,
    writer: Box<dyn MapWriter>,
    current: Tables,
    last_rebuild: Option<Instant>,
    due: Option<Instant>,
}

impl Halves {
    /// Takes over what `writer` finds in the maps: servers keep their ids and their standing.
    pub fn adopt(mut writer: Box<dyn MapWriter>, model: Arc<Model>) -> Result<Self, WriteError> {
        let current = writer.read()?;
        Ok(Self {
            registry: Registry::adopt(&current),
            live: Arc::new(Live::default()),
            next_hops: BTreeMap::new(),
            model,
            writer,
            current,
            last_rebuild: None,
            due: None,
        })
    }

    /// Changes to another configuration, whose ids are in `registry` already. The maps follow with [`rebuild`](Self::rebuild).
    pub fn configure(&mut self, model: Arc<Model>, registry: Registry, live: Arc<Live>) {
        (self.model, self.registry, self.live) = (model, registry, live);
        for backend in 0..self.model.backends.len() {
            self.publish_available(backend);
        }
    }

    /// Lets a new standing of a server of `backend` take effect at once, the ring included if it was quiet.
    pub fn standing_changed(&mut self, backend: usize, now: Instant) {
        self.publish_available(backend);
        let ready = self.last_rebuild.is_none_or(|last| now >= last + QUIET);
        if ready {
            self.rebuild(now);
        } else {
            self.write_states(now);
            self.due.get_or_insert_with(|| self.last_rebuild.unwrap_or(now) + QUIET);
        }
    }

    /// When [`rebuild`](Self::rebuild) wants to be called next.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Makes the maps what they should be.
    pub fn rebuild(&mut self, now: Instant) {
        self.due = None;
        if !self.has_next_hops() {
            return; // The supervisor answers soon and this runs again.
        }
        self.last_rebuild = Some(now);
        let wanted = plan::desired(&self.model, &self.registry, &self.next_hops);
        let writes = plan::diff(&self.current, &wanted);
        if self.write(&writes, now) {
            self.current = wanted;
        }
    }

    /// Rings that the configuration needs and whose maps the writer does not have yet.
    pub fn rings(&self) -> impl Iterator<Item = RingId> + '_ {
        self.model.kernel_backends().filter_map(|backend| self.registry.ring_id(&self.model.backends.get(backend)?.name))
    }

    /// Hands the writer the map of a ring.
    pub fn ring_arrived(&mut self, ring: RingId, map: std::os::fd::OwnedFd) -> Result<(), WriteError> {
        self.writer.add_ring(ring, map)
    }

    /// Addresses whose next hops the kernel half needs.
    pub fn watched(model: &Model) -> Vec<IpAddr> {
        let servers = model.kernel_backends().filter_map(|backend| model.backends.get(backend)).flat_map(|backend| &backend.servers);
        let mut addresses: Vec<IpAddr> = servers.map(|server| server.address.ip()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn has_next_hops(&self) -> bool {
        Self::watched(&self.model).iter().all(|address| self.next_hops.contains_key(address))
    }

    fn publish_available(&self, backend: usize) {
        let Some(backend) = self.model.backends.get(backend) else { return };
        let Some(live) = self.live.backend(&backend.name) else { return };
        let standing = backend.servers.iter().map(|server| {
            (self.registry.standing(server.identity(&backend.name)), IsBackup(server.backup))
        });
        let takes = available(&standing.collect::<Vec<_>>());
        store_available(live, &takes);
    }

    /// The state bytes alone, while the rings wait.
    fn write_states(&mut self, now: Instant) {
        let mut wanted = self.current.clone();
        for (id, entry) in &mut wanted.servers {
            let standing = self.registry.standing(entry.identity);
            if self.registry.is_known(entry.identity) {
                (entry.state, entry.admin, entry.health) = (standing.kernel_state() as u8, standing.admin as u8, standing.health as u8);
            }
            let _: &u16 = id;
        }
        let writes = plan::diff(&self.current, &wanted);
        if self.write(&writes, now) {
            self.current = wanted;
        }
    }

    fn write(&mut self, writes: &[Write], now: Instant) -> bool {
        let Err(error) = self.writer.apply(writes) else { return true };
        error!(error = &error as &dyn std::error::Error, "the kernel's maps could not be written; trying again");
        match self.writer.read() {
            Ok(current) => self.current = current,
            Err(error) => error!(error = &error as &dyn std::error::Error, "the kernel's maps could not be read back"),
        }
        self.due = Some(now + RETRY);
        false
    }
}

fn store_available(live: &BackendLive, takes: &[bool]) {
    let indices = takes.iter().enumerate().filter(|(_, takes)| **takes).map(|(index, _)| index);
    live.available.store(Arc::new(indices.collect()));
}
