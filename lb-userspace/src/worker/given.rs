//! What the supervisor hands over for the configuration that comes next.

use crate::{
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
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
};

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

/// The kernel's maps, and what a daemon before us left in them.
pub(super) struct Found {
    pub(super) writer: Box<dyn MapWriter>,
    pub(super) tables: Tables,
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
        let forgotten = flows.forget(|server| !tables.servers.contains_key(&server));
        forgotten.context("cannot look at the flows that the kernel half remembers")?;
        let heartbeat = HeartbeatMap::open(maps)?;
        Ok(Self { writer: Box::new(writer), tables, counters, flows, heartbeat, writing: Arc::new(writing) })
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
