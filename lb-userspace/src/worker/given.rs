//! What the supervisor hands over for the configuration that comes next.

use super::Worker;
use crate::{
    channel::from_memory_file,
    dataplane::{
        counters::KernelCounters, flows::FlowTables, handed::WorkerMaps, heartbeat::HeartbeatMap, maps::KernelMaps,
        writer::MapWriter,
    },
    l7::BoundListener,
    model::Model,
    plan::Tables,
};
use anyhow::Context;
use lb_common::RingId;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
};
use tracing::warn;

/// Longest list of addresses in bytes that a worker takes from the one before it.
const ADDRESSES_LIMIT: u64 = 64 << 20;

/// Gathered until the configuration itself comes.
#[derive(Default)]
pub(super) struct Given {
    pub(super) maps: BTreeMap<String, OwnedFd>,
    pub(super) rings: Vec<(RingId, OwnedFd)>,
    /// The right to write the maps.
    pub(super) writing: Option<OwnedFd>,
    pub(super) listeners: BTreeMap<SocketAddr, Vec<TcpListener>>,
    /// Files of access logs.
    pub(super) log_files: BTreeMap<PathBuf, OwnedFd>,
}

impl Given {
    /// What is not of the kernel half stays.
    pub(super) fn drop_kernel(&mut self) {
        self.maps.clear();
        self.rings.clear();
        self.writing = None;
    }
}

/// The kernel's maps, and what a daemon before us left in them.
pub(super) struct Found {
    pub(super) writer: Box<dyn MapWriter>,
    pub(super) tables: Tables,
    /// Rings that flows are known by, if nobody has them any more.
    pub(super) rings: BTreeSet<RingId>,
    pub(super) counters: KernelCounters,
    pub(super) flows: FlowTables,
    pub(super) heartbeat: HeartbeatMap,
    /// The right to write all this. Whoever writes has it, and who has let go of it writes no more.
    pub(super) writing: Arc<OwnedFd>,
}

impl Found {
    pub(super) fn read(maps: &WorkerMaps, writing: OwnedFd) -> anyhow::Result<Self> {
        let mut writer = KernelMaps::open(maps)?;
        let counters = KernelCounters::open(maps)?;
        let tables = writer.read().context("cannot read the kernel's maps")?;
        let flows = FlowTables::open(maps)?;
        // A daemon before us may have freed the rows of servers without looking at their flows any more.
        let census = flows.forget(|server| !tables.servers.contains_key(&server));
        let rings = census.context("cannot look at the flows that the kernel half remembers")?.rings();
        let heartbeat = HeartbeatMap::open(maps)?;
        Ok(Self { writer: Box::new(writer), tables, rings, counters, flows, heartbeat, writing: Arc::new(writing) })
    }
}

/// Says of each listening socket which frontend's it is.
pub(super) fn bound(model: &Model, listeners: BTreeMap<SocketAddr, Vec<TcpListener>>) -> Vec<BoundListener> {
    let mut bound = Vec::new();
    for (address, sockets) in listeners {
        let Some(frontend) = model.frontend_at(address) else { continue };
        bound.extend(sockets.into_iter().enumerate().map(|(thread, listener)| BoundListener {
            frontend: frontend.name.clone(),
            address,
            thread,
            listener,
        }));
    }
    bound
}

impl Worker {
    /// Has programs that check servers run by another runner from now on.
    pub(super) fn take_runner(&mut self, line: OwnedFd) {
        match &self.running {
            Some(running) => running.checker.take_runner(line),
            None => self.runner = Some(line),
        }
    }

    /// Takes up where servers were, whatever the worker before this one has written there.
    pub(super) fn recall_addresses(&mut self, file: OwnedFd) {
        match from_memory_file(file, ADDRESSES_LIMIT) {
            Ok(known) => self.naming.recall(known),
            Err(error) => warn!(%error, "cannot read where servers were"),
        }
    }

    /// Takes up files of access logs, at once if they were opened `again`, else with the next configuration.
    pub(super) fn take_log_files(&mut self, files: impl Iterator<Item = (PathBuf, OwnedFd)>, again: bool) {
        match &self.running {
            Some(running) if again => running.sinks.reopen(files.collect()),
            Some(_) | None => self.given.log_files.extend(files),
        }
    }
}
