//! Reload: another configuration, whole or not at all.

use super::{
    Supervisor,
    certificates::Watch,
    configuration::{Configuration, needs_restart},
    kernel, limits,
    listeners::Listeners,
};
use crate::{
    channel::{ToWorker, message::ReloadReport, to_memory_file},
    config::outline::changes,
    model::Global,
    preflight,
};
use serde::Serialize;
use std::{mem, os::fd::AsFd, time::Duration};
use tracing::{error, info, warn};

impl Supervisor {
    /// Does what was asked for first, once for all who ask for the same next; else, what a signal asks for: reads the whole
    /// configuration again.
    pub(super) async fn reload(&mut self) {
        let only = self.reloads_asked.front().copied().flatten();
        let asked = self.reloads_asked.iter().take_while(|asked| **asked == only).count();
        self.reloads_asked.drain(..asked);
        self.notify.reloading();
        let report = match only {
            None => {
                let within = self.trial_asked.take();
                self.reload_all(within).await
            }
            Some(part) => self.renew(part).await,
        };
        // Before those who asked have an answer: then the service manager has seen the end as well.
        self.notify.ready(&self.summary());
        for _ in 0..asked {
            self.report(&ToWorker::Reloaded, &report).await;
        }
    }

    /// Reads the configuration again, and takes it up, whole or not at all; `within`: for how long it is on trial.
    async fn reload_all(&mut self, within: Option<Duration>) -> ReloadReport {
        match self.try_reload(within).await {
            Ok((warnings, changed)) => {
                info!(event = "reload", generation = self.generation, changed, warnings, "configuration reloaded");
                ReloadReport { done: true, report: warnings }
            }
            Err(error) => {
                let error = format!("{error:#}");
                error!(
                    event = "reload",
                    generation = self.generation,
                    error,
                    "configuration refused; the one before goes on"
                );
                ReloadReport { done: false, report: error }
            }
        }
    }

    /// What there is to warn of, and what has changed.
    async fn try_reload(&mut self, within: Option<Duration>) -> anyhow::Result<(String, String)> {
        let configuration = Configuration::read(&self.options)?;
        let wanted = &configuration.model.global;
        let report = configuration.warnings.clone()
            + &needs_restart(&self.started, wanted, self.kernel.is_some())
            + &limits::report(&configuration.model)
            + &preflight::read::report(&configuration.model).await;
        let had_kernel = self.kernel.is_some();
        let before = self.switch_to(configuration).await.map_err(|(_refused, why)| why)?;
        let changed = changes(&before.bundle, &self.configuration.bundle);
        self.begin_trial(within, before, !had_kernel && self.kernel.is_some());
        Ok((report, changed))
    }

    /// Takes up that configuration, whole or not at all; the one before, or what was refused and why.
    pub(super) async fn switch_to(
        &mut self,
        configuration: Configuration,
    ) -> Result<Configuration, (Configuration, anyhow::Error)> {
        if let Err(why) = self.try_to_switch(&configuration).await {
            return Err((configuration, why));
        }
        let before = mem::replace(&mut self.configuration, configuration);
        self.watch = Watch::default();
        self.follow_checks().await;
        Ok(before)
    }

    /// What of that may fail.
    pub(super) async fn try_to_switch(&mut self, configuration: &Configuration) -> anyhow::Result<()> {
        let wanted = &configuration.model.global;
        let opened = self.listeners.open_missing(&configuration.model)?;
        let is_new = self.kernel.is_none() && configuration.model.needs_kernel();
        if is_new {
            self.kernel = kernel::start(&configuration.model).await?;
        }
        if let Err(error) = self.take_up(configuration, &opened, is_new).await {
            self.take_back(is_new).await;
            return Err(error);
        }
        if is_new {
            let Global { interfaces, hash_key, pin_dir, track_budget, .. } = wanted.clone();
            self.started = Global { interfaces, hash_key, pin_dir, track_budget, ..self.started.clone() };
        }
        self.generation += 1;
        self.listeners.keep(opened, &configuration.model);
        Ok(())
    }

    /// Hands another configuration to the worker, with what it needs beyond what the worker has. A socket that is another
    /// frontend's now it gets again.
    async fn take_up(&mut self, next: &Configuration, opened: &Listeners, kernel_is_new: bool) -> anyhow::Result<()> {
        let bundle = to_memory_file(&next.bundle)?;
        if kernel_is_new {
            self.send_kernel().await?;
        }
        self.worker.send_listeners(self.listeners.moved(&self.configuration.model, &next.model)).await?;
        self.worker.send_listeners(opened.iter()).await?;
        self.send_log_files(next, false).await?;
        let models = [&self.configuration.model, &next.model];
        self.runner.follow(&models, &self.started, Some(&self.worker)).await?;
        self.configure(self.generation + 1, bundle).await
    }

    /// After a reload that failed the worker may have gone half the way: it gets the configuration that goes on.
    async fn take_back(&mut self, kernel_is_new: bool) {
        if kernel_is_new {
            self.drop_kernel().await;
        }
        let again = async {
            self.worker.send_listeners(self.listeners.iter()).await?;
            let bundle = to_memory_file(&self.configuration.bundle)?;
            self.configure(self.generation, bundle).await
        };
        if let Err(error) = again.await {
            error!(error = format!("{error:#}"), "the worker does not go back; it is started anew");
            self.worker.kill().await;
        }
        self.follow_checks().await;
    }

    /// Has the runner of checks run what the configuration wants, and nothing of another.
    async fn follow_checks(&mut self) {
        let models = [&self.configuration.model];
        if let Err(error) = self.runner.follow(&models, &self.started, Some(&self.worker)).await {
            error!(error = format!("{error:#}"), "checks by programs do not run");
        }
    }

    /// Has the worker tell who waits for it how something ended.
    pub(super) async fn report(&self, what: &ToWorker, report: &impl Serialize) {
        let sent = async {
            let report = to_memory_file(report)?;
            self.worker.send(what, &[report.as_fd()]).await
        };
        if let Err(error) = sent.await {
            warn!(%error, ?what, "cannot report an end");
        }
    }
}
