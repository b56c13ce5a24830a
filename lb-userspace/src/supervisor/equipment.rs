//! What the worker is given, and what is done for it: sockets, the kernel half, files and the configuration; and another worker in the
//! place of one that died.

use super::{
    RESTART_FORGIVEN, RESTART_PAUSE, RESTART_PAUSE_MAX, Supervisor,
    configuration::Configuration,
    kernel::{Kernel, undo},
    log_files,
    process::Heard,
    spawn,
    upgrade::Wanted,
};
use crate::{
    channel::{ToSupervisor, ToWorker, from_memory_file, message::Interface, to_memory_file},
    model::Level,
    plan::desired::NextHops,
};
use anyhow::{Context as _, anyhow, bail};
use std::{
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};
use tokio::time::timeout;
use tracing::{error, warn};

/// A worker must take up a configuration within this time.
const CONFIGURE_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest list of addresses in bytes that a worker may hand over: 32,768 of the longest are far from it.
const WATCH_LIMIT: u64 = 4 << 20;

impl Supervisor {
    /// Gives a new worker all it needs.
    pub(super) async fn begin_worker(&mut self) -> anyhow::Result<()> {
        self.open_doors().await?;
        self.relay_all().await;
        self.equip_worker().await
    }

    /// Lets a worker answer operators and scrapers.
    pub(super) async fn open_doors(&self) -> anyhow::Result<()> {
        let owner = rustix::process::geteuid().as_raw();
        let control = ToWorker::ControlSocket { owner, others: Level::User };
        self.worker.send(&control, &[self.control.as_fd()]).await?;
        for (message, socket) in self.stats.messages(owner) {
            self.worker.send(&message, &[socket]).await?;
        }
        if let Some(metrics) = &self.metrics {
            self.worker.send(&ToWorker::MetricsSocket, &[metrics.as_fd()]).await?;
        }
        for (message, socket) in self.pages.messages() {
            self.worker.send(&message, &[socket]).await?;
        }
        Ok(())
    }

    /// Gives a new worker all that it serves with, and the configuration last.
    pub(super) async fn equip_worker(&mut self) -> anyhow::Result<()> {
        self.go_on_with_kernel()?; // An upgrade that took too long was left as it was.
        self.send_kernel().await?;
        self.worker.send_listeners(self.listeners.iter()).await?;
        self.send_log_files(&self.configuration, false).await?;
        if let Some(addresses) = &self.addresses {
            self.worker.send(&ToWorker::Addresses, &[addresses.as_fd()]).await?;
        }
        self.runner.serve(&self.worker).await?;
        let bundle = to_memory_file(&self.configuration.bundle)?;
        self.configure(self.generation, bundle).await
    }

    /// Sends the configuration and serves the worker until it says that it runs.
    pub(super) async fn configure(&mut self, generation: u64, bundle: OwnedFd) -> anyhow::Result<()> {
        let interfaces = self.interfaces();
        let message = ToWorker::Configure { generation, supervisor: std::process::id(), interfaces };
        self.worker.send(&message, &[bundle.as_fd()]).await?;
        let until_configured = async {
            loop {
                match self.worker.hear().await {
                    Heard::Said(ToSupervisor::Configured { generation: which, error }, _) if which == generation => {
                        return error.map_or(Ok(()), |error| Err(anyhow!(error)));
                    }
                    Heard::Said(message, descriptors) => self.serve_worker(message, descriptors).await?,
                    Heard::Gone(how) => bail!("the worker {how} instead of taking up the configuration"),
                }
            }
        };
        timeout(CONFIGURE_TIMEOUT, until_configured)
            .await
            .context("the worker did not take up the configuration in time")?
    }

    /// Does for the worker what it may ask for.
    pub(super) async fn serve_worker(
        &mut self,
        message: ToSupervisor,
        mut descriptors: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        match (message, &mut self.kernel) {
            (ToSupervisor::Watch { number }, Some(kernel)) => {
                let file = descriptors.pop().context("the worker names no addresses")?;
                let addresses: Vec<_> = from_memory_file(file, WATCH_LIMIT)?;
                let next_hops = to_memory_file(&kernel.watch(&addresses).await?)?;
                self.worker.send(&ToWorker::NextHops { number }, &[next_hops.as_fd()]).await?;
            }
            (ToSupervisor::CreateRings(rings), Some(kernel)) => {
                for ring in rings {
                    let map = kernel.ring(ring)?;
                    self.worker.send(&ToWorker::RingMap { ring }, &[map.as_fd()]).await?;
                }
            }
            // The worker asked before it heard that the kernel half goes.
            (ToSupervisor::Watch { number }, None) => {
                let next_hops = to_memory_file(&NextHops::new())?;
                self.worker.send(&ToWorker::NextHops { number }, &[next_hops.as_fd()]).await?;
            }
            (ToSupervisor::Addresses, _) => self.addresses = descriptors.pop(),
            (ToSupervisor::Reload { only }, _) => self.reloads_asked.push_back(only),
            (ToSupervisor::Try { within }, _) => {
                self.reloads_asked.push_back(None);
                self.trial_asked = self.trial_asked.into_iter().chain([within]).min();
            }
            (ToSupervisor::Confirm, _) => self.confirm_trial().await?,
            (ToSupervisor::Pong { number, up, servers }, _) => self.lives(number, up, servers),
            (ToSupervisor::Upgrade { binary, drop_flows }, _) => {
                self.upgrades_asked.push_back(Wanted { binary, drop_flows, is_answered: true });
            }
            // Of a configuration, or an upgrade, that was given up, or of a kernel half that goes.
            (ToSupervisor::Configured { .. } | ToSupervisor::Held, _) | (ToSupervisor::CreateRings(_), None) => {}
        }
        Ok(())
    }

    /// Another worker; if there is none to be had, that is noticed as its end, and tried again.
    pub(super) async fn replace_worker(&mut self, how: &str, pause: &mut Duration) {
        if self.worker.age() > RESTART_FORGIVEN {
            *pause = RESTART_PAUSE;
        }
        error!(event = "worker", how, pause = ?*pause, "the worker is gone; packets go on, connections wait for the next worker");
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(RESTART_PAUSE_MAX);
        self.reloads_asked.clear(); // Who asked has lost the connection.
        self.upgrades_asked.clear();
        self.trial_asked = None;
        let equipped = match spawn(&self.options, &self.started) {
            Ok(worker) => {
                self.worker = worker;
                self.begin_pulse();
                self.begin_worker().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = equipped {
            error!(event = "worker", error = format!("{error:#}"), "the new worker could not start");
            self.worker.kill().await;
        }
    }

    /// Opens the files of access logs, and gives them to the worker.
    pub(super) async fn send_log_files(&self, configuration: &Configuration, again: bool) -> anyhow::Result<()> {
        let files = log_files::open(&configuration.model)?;
        Ok(self.worker.send_log_files(&files, again).await?)
    }

    pub(super) fn interfaces(&self) -> Vec<Interface> {
        self.kernel.as_ref().map_or_else(Vec::new, Kernel::interfaces)
    }

    /// Undoes the kernel half, while the worker goes on.
    pub(super) async fn drop_kernel(&mut self) {
        if self.kernel.is_none() {
            return;
        }
        if let Err(error) = self.worker.send(&ToWorker::DropKernel, &[]).await {
            warn!(%error, "cannot tell the worker that the kernel half goes");
        }
        undo(self.kernel.take()).await;
    }

    pub(super) async fn send_kernel(&self) -> anyhow::Result<()> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let maps = kernel.worker_maps()?;
        let (names, descriptors): (Vec<_>, Vec<_>) = maps.named().unzip();
        let names = names.into_iter().map(str::to_owned).collect();
        self.worker.send(&ToWorker::Maps(names), &descriptors).await?;
        self.worker.send(&ToWorker::Writing, &[kernel.writing().await?.as_fd()]).await?;
        for (ring, map) in maps.rings() {
            self.worker.send(&ToWorker::RingMap { ring }, &[map]).await?;
        }
        Ok(())
    }
}
