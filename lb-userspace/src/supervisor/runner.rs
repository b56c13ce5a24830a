//! The runner of checks as the supervisor sees it: there while the configuration has checks by programs, and started again when
//! it ends.

use super::{RESTART_FORGIVEN, RESTART_PAUSE, RESTART_PAUSE_MAX, account, process::Worker};
use crate::{
    channel::{Channel, ChannelError, ToWorker, to_memory_file},
    model::{Global, Model, check::ExecCheck},
    runner::{message::ToRunner, processes},
    worker::privileges::Identity,
};
use anyhow::Context as _;
use std::{collections::BTreeSet, os::fd::AsFd as _, process::Stdio, time::Duration};
use tokio::{
    net::unix::pipe::Receiver,
    process::{Child, Command},
    time::{Instant, sleep_until, timeout},
};
use tracing::{error, info, warn};

/// How long it may take to end once its line has.
const END: Duration = Duration::from_secs(2);

/// The runner, if one is wanted.
#[derive(Default)]
pub(super) struct Runner {
    wanted: Option<Wanted>,
    running: Option<Running>,
    /// When another one is started, after the last one ended by itself.
    due: Option<Instant>,
    pause: Duration,
}

/// What is wanted of it.
#[derive(Clone, Eq, PartialEq)]
struct Wanted {
    identity: Option<Identity>,
    checks: BTreeSet<ExecCheck>,
}

struct Running {
    child: Child,
    /// Readable once it has ended.
    ended: Receiver,
    channel: Channel,
    since: Instant,
}

impl Runner {
    /// Runs what `models` have of checks by programs, as the account that the last one of them with such names, which must
    /// not be that of the worker, as `started` has it; with none there is no runner. A new runner is made known to
    /// `worker`, if there is one.
    pub(super) async fn follow(
        &mut self,
        models: &[&Model],
        started: &Global,
        worker: Option<&Worker>,
    ) -> anyhow::Result<()> {
        let checks: BTreeSet<_> = models.iter().flat_map(|model| model.exec_checks().cloned()).collect();
        let Some(model) = models.iter().rfind(|model| model.exec_checks().next().is_some()) else {
            self.stop().await;
            return Ok(());
        };
        let wanted = Wanted { identity: identity(&model.global, started)?, checks };
        if self.wanted.as_ref().is_some_and(|before| before.identity != wanted.identity) {
            self.stop().await;
        }
        if let Some(running) = &self.running {
            if self.wanted.as_ref() != Some(&wanted) {
                running.allow(&wanted.checks).await?;
                self.wanted = Some(wanted);
            }
            return Ok(());
        }
        self.wanted = Some(wanted);
        let started = self.start(worker).await;
        if started.is_err() {
            self.postpone();
        }
        started
    }

    /// Gives a worker a line of its own to the runner, if there is one. If that fails there is another runner later.
    pub(super) async fn serve(&mut self, worker: &Worker) -> anyhow::Result<()> {
        let served = self.introduce(worker).await;
        if served.is_err() {
            self.postpone();
        }
        served
    }

    /// Ends when the runner has ended, or when another one is due. Never, while none is wanted.
    pub(super) async fn changed(&self) {
        match (&self.running, self.due) {
            (Some(running), _) => running.ended.readable().await.unwrap_or_default(),
            (None, Some(due)) => sleep_until(due).await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Does what is to be done after a change.
    pub(super) async fn renew(&mut self, worker: &Worker) {
        if let Some(running) = self.running.take() {
            if running.since.elapsed() > RESTART_FORGIVEN {
                self.pause = Duration::ZERO;
            }
            let how = running.end(Duration::ZERO).await;
            self.postpone();
            error!(how, pause = ?self.pause, "what runs checks is gone; those that ran say nothing of their servers");
        } else if let Err(error) = self.start(Some(worker)).await {
            self.postpone();
            error!(error = format!("{error:#}"), "what runs checks cannot be started");
        }
    }

    /// Ends it with all that it runs.
    pub(super) async fn stop(&mut self) {
        if let Some(running) = std::mem::take(self).running {
            running.end(END).await;
        }
    }

    fn postpone(&mut self) {
        self.pause = (self.pause * 2).clamp(RESTART_PAUSE, RESTART_PAUSE_MAX);
        self.due = Some(Instant::now() + self.pause);
    }

    async fn start(&mut self, worker: Option<&Worker>) -> anyhow::Result<()> {
        let Some(Wanted { identity, checks }) = &self.wanted else { return Ok(()) };
        self.due = None;
        let running = Running::start(*identity)?;
        if let Err(error) = running.allow(checks).await {
            running.end(Duration::ZERO).await;
            return Err(error);
        }
        info!(pid = running.child.id(), "checks are run by a process of their own");
        self.running = Some(running);
        match worker {
            Some(worker) => self.introduce(worker).await,
            None => Ok(()),
        }
    }

    /// Makes the runner and a worker known to each other. One that this fails with, nobody could ask: it ends.
    async fn introduce(&mut self, worker: &Worker) -> anyhow::Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        let introduced = running.introduce(worker).await;
        if introduced.is_err()
            && let Some(running) = self.running.take()
        {
            running.end(Duration::ZERO).await;
        }
        introduced.context("what runs checks and the worker cannot be made known to each other")
    }
}

impl Running {
    fn start(identity: Option<Identity>) -> anyhow::Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("sluice").arg("runner").stdin(Stdio::from(theirs)).env_clear();
        if let Some(level) = std::env::var_os("RUST_LOG") {
            command.env("RUST_LOG", level);
        }
        if let Some(Identity { uid, gid }) = identity {
            command.args(["--uid", &uid.to_string(), "--gid", &gid.to_string()]);
        }
        let child = command.spawn().context("cannot start what runs checks")?;
        Ok(Self { ended: processes::end_of(&child)?, child, channel: Channel::new(ours)?, since: Instant::now() })
    }

    /// Has it run exactly these from now on. One that has ended is followed by another, which is told the same.
    async fn allow(&self, checks: &BTreeSet<ExecCheck>) -> anyhow::Result<()> {
        let checks = to_memory_file(checks).context("cannot say which programs check servers")?;
        unless_gone(self.channel.send(&ToRunner::Allow, &[checks.as_fd()]).await)
    }

    /// Gives a worker a line of its own to it. If either has ended, the next one is made known to the other.
    async fn introduce(&self, worker: &Worker) -> anyhow::Result<()> {
        let (one, other) = Channel::pair()?;
        unless_gone(self.channel.send(&ToRunner::Worker, &[one.as_fd()]).await)?;
        unless_gone(worker.send(&ToWorker::Runner, &[other.as_fd()]).await)
    }

    /// Waits for the end, at most so long, and kills what there still is, all that it has started included. How it ended.
    async fn end(mut self, patience: Duration) -> String {
        self.channel.close();
        if timeout(patience, self.ended.readable()).await.is_err()
            && let Err(error) = self.child.start_kill()
        {
            warn!(%error, "cannot kill what runs checks");
        }
        // Before it is waited for: until then no other session can have its number.
        if let Some(leader) = processes::number(&self.child) {
            processes::sweep(leader);
        }
        match self.child.wait().await {
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("ended unseen ({error})"),
        }
    }
}

/// That the other side is gone is noticed elsewhere, and no failure to send.
fn unless_gone(sent: Result<(), ChannelError>) -> anyhow::Result<()> {
    match sent {
        Err(error) if !error.is_end() => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Who the runner is, beside a worker that `started` names; `None`: who we are.
fn identity(wanted: &Global, started: &Global) -> anyhow::Result<Option<Identity>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let worker = account::identity(started.user.as_deref())?;
    Ok(Some(account::of_checks(wanted.exec_user.as_deref(), worker)?))
}
