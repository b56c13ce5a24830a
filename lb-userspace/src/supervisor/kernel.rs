//! The kernel half as the supervisor holds it: loaded, attached, pinned, and kept on top of the host's network.

mod handover;
mod keeper;

pub(super) use handover::{Prepared, Running};

use super::lock::{self, Lock};
use crate::{
    channel::message::Interface,
    dataplane::{
        attach,
        handed::WorkerMaps,
        load::{Frozen, Loaded, load},
        maps::KernelMaps,
        object::object,
        pins::Pins,
        rings::RingMaps,
        routing::{Events, Routing, RoutingMaps},
        writer::MapWriter,
    },
    model::{Global, Model},
};
use anyhow::Context;
use handover::{Fresh, Held};
use keeper::Keeper;
use lb_common::RingId;
use std::{collections::BTreeMap, net::IpAddr, os::fd::OwnedFd, time::Duration};
use tokio::time::timeout;
use tracing::{error, info};

/// The network must have been read once within this time.
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// The running kernel half.
pub(super) struct Kernel {
    pins: Pins,
    rings: RingMaps,
    routing: Routing,
    program: Program,
    lock: Lock,
    fresh: Fresh,
}

/// The program on its interfaces.
enum Program {
    /// It is looked after.
    Kept(Keeper),
    /// Another binary takes over, or is about to hand over.
    Held(Box<Held>),
    /// Between the two.
    Gone,
}

/// The kernel half of `model`, if it needs one, or if a daemon before us has left one, whose VIPs must leave.
pub(super) async fn start(model: &Model) -> anyhow::Result<Option<Kernel>> {
    let global = &model.global;
    let is_left = || anyhow::Ok(!global.interfaces.is_empty() && !Pins::new(&global.pin_dir).linked()?.is_empty());
    if model.needs_kernel() || is_left()? { Kernel::load_and_attach(global).await.map(Some) } else { Ok(None) }
}

/// Follows the host's network, for packets that leave through these devices, from when it has been read once.
async fn follow_network(pins: &Pins, devices: &[u32]) -> anyhow::Result<Routing> {
    let servers = KernelMaps::open(pins)?.read()?.servers;
    let routing = Routing::start(RoutingMaps::open(pins)?, Events::open(pins)?, devices, &servers)?;
    timeout(SYNC_TIMEOUT, routing.synced()).await.context("the network could not be read in time")??;
    Ok(routing)
}

/// Takes back a kernel half that was started for nothing. What a daemon before us left goes on as it was.
pub(super) async fn undo(kernel: Option<Kernel>) {
    let Some(kernel) = kernel else { return };
    let keep = kernel.interfaces().iter().any(|interface| interface.adopted);
    if let Err(error) = kernel.stop(keep).await {
        error!(error = format!("{error:#}"), "cannot take the program back out of the kernel");
    }
}

impl Kernel {
    /// Loads and attaches, or takes over what a daemon before us left.
    async fn load_and_attach(global: &Global) -> anyhow::Result<Self> {
        let object = object()?;
        let pins = Pins::new(&global.pin_dir);
        pins.prepare()?;
        let lock = Lock::on(pins.root())?;
        let frozen = Frozen { hash_key: global.hash_key, track_budget: global.track_budget };
        let loaded = load(object, &pins, frozen)?;
        // What an earlier daemon left may be of another schema, and forwards on.
        let adopted = loaded.adopted || !pins.linked()?.is_empty();
        match Self::attach_and_follow(loaded, &pins, global).await {
            Ok((keeper, routing, rings)) => {
                let (program, fresh) = (Program::Kept(keeper), Fresh::default());
                Ok(Self { pins, rings, routing, program, lock, fresh })
            }
            Err(error) => {
                if !adopted {
                    attach::detach(&pins)?; // Nothing of ours was there before, and nothing stays.
                }
                Err(error)
            }
        }
    }

    async fn attach_and_follow(
        mut loaded: Loaded,
        pins: &Pins,
        global: &Global,
    ) -> anyhow::Result<(Keeper, Routing, RingMaps)> {
        #[cfg(feature = "kernel-log")]
        loaded.follow_log();
        let attached = attach::attach(&mut loaded, pins, &global.interfaces)?;
        for interface in attach::detach_others(pins, &global.interfaces)? {
            info!(event = "detach", interface, "detached: the configuration no longer names it");
        }
        pins.remove(&loaded.stale)?;
        let devices: Vec<u32> = attached.iter().map(|attached| attached.ifindex).collect();
        let routing = follow_network(pins, &devices).await?;
        let rings = RingMaps::open(pins)?;
        let attachments = attached.into_iter().map(|attached| (attached.interface.clone(), Ok(attached))).collect();
        Ok((Keeper::start(loaded, pins.clone(), routing.clone(), attachments), routing, rings))
    }

    /// What the worker gets.
    pub(super) fn worker_maps(&self) -> anyhow::Result<WorkerMaps> {
        Ok(WorkerMaps::open(&self.pins, &self.rings)?)
    }

    /// The right to write the worker's maps, once whoever had it before has let go of it.
    pub(super) async fn writing(&self) -> anyhow::Result<OwnedFd> {
        lock::writing(&self.pins.maps()).await
    }

    /// The map of a ring, made if need be.
    pub(super) fn ring(&mut self, ring: RingId) -> anyhow::Result<OwnedFd> {
        Ok(self.rings.create(ring)?)
    }

    /// Keeps next hops for exactly these addresses, and says in which rows.
    pub(super) async fn watch(&self, addresses: &[IpAddr]) -> anyhow::Result<BTreeMap<IpAddr, u16>> {
        Ok(self.routing.watch(addresses).await?)
    }

    /// Where the program runs.
    pub(super) fn interfaces(&self) -> Vec<Interface> {
        match &self.program {
            Program::Kept(keeper) => keeper.interfaces(),
            Program::Held(held) => keeper::interfaces(held.attachments()),
            Program::Gone => Vec::new(),
        }
    }

    /// Waits until [`interfaces`](Self::interfaces) has something new to say.
    pub(super) async fn interfaces_changed(&mut self) {
        match &mut self.program {
            Program::Kept(keeper) => keeper.changed().await,
            Program::Held(_) | Program::Gone => std::future::pending().await,
        }
    }

    /// Ends; what is in the kernel stays, or goes.
    pub(super) async fn stop(mut self, keep: bool) -> anyhow::Result<()> {
        if keep {
            if let Program::Held(held) = &self.program {
                // An upgrade was cut off.
                let interfaces: Vec<_> = held.attachments().iter().map(|(name, _)| name.clone()).collect();
                self.go_on(&interfaces)?;
            }
            return Ok(()); // Dropping the handle leaves neighbours alive, and forwarding needs them.
        }
        if let Program::Kept(keeper) = &mut self.program {
            keeper.let_go().await;
        }
        self.routing.stop().await?;
        let detached = attach::detach(&self.pins)?;
        info!(event = "detach", interfaces = ?detached.interfaces, "detached");
        Ok(())
    }
}
