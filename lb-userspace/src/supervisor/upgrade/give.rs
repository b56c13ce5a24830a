//! The old side: starts the new binary, hands over, and goes on if that fails.

use super::{
    GREETING_TIMEOUT, UPGRADE_TIMEOUT, Wanted, binary,
    message::{Greeting, Reply, Report, ToNew, ToOld},
};
use crate::{
    channel::{Channel, ToSupervisor, ToWorker, from_memory_file, message::UpgradeReport, to_memory_file},
    supervisor::{Options, STOP_GRACE, Supervisor, listeners::in_messages, notify, process::Heard, signals::Signals},
};
use anyhow::{Context, anyhow, bail};
use std::{
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tracing::{error, info, warn};

/// Longest report of a new supervisor in bytes.
const REPORT_LIMIT: u64 = 16 << 20;
/// After this time the worker of a supervisor that was killed knows that it is alone, and writes no map any more.
const ORPHAN: Duration = Duration::from_millis(100);

impl Supervisor {
    /// Has another binary take over. Afterwards either that serves and [`has_successor`](Self::has_successor), or nothing has
    /// changed.
    pub(in crate::supervisor) async fn upgrade(&mut self, wanted: Wanted) {
        let report = match self.try_upgrade(&wanted).await {
            Ok(report) => UpgradeReport { done: true, report, never: false },
            Err(error) => {
                UpgradeReport { done: false, report: format!("{error:#}"), never: error.is::<OtherProtocol>() }
            }
        };
        if report.done {
            info!(event = "upgrade", warnings = report.report, "another binary has taken over");
        } else {
            error!(event = "upgrade", error = report.report, "no upgrade; this binary goes on");
        }
        if wanted.is_answered {
            self.report(&ToWorker::Upgraded, &report).await;
        }
    }

    /// What the new one warns of.
    async fn try_upgrade(&mut self, wanted: &Wanted) -> anyhow::Result<String> {
        let path = wanted.binary.as_deref().unwrap_or(&self.options.binary);
        binary::check(path)?;
        self.check_confirmed()?;
        let mut successor = Successor::start(path, &self.options)?;
        info!(event = "upgrade", binary = %path.display(), pid = successor.pid, "upgrading");
        let handed_over = timeout(UPGRADE_TIMEOUT, self.hand_over(&mut successor, wanted.drop_flows)).await;
        let late = |_late| Err(anyhow!("the new binary was not ready within {UPGRADE_TIMEOUT:?}"));
        match handed_over.unwrap_or_else(late) {
            Ok(Report { warnings, gone }) => {
                self.successor = Some(gone);
                successor.is_settled = true;
                Ok(warnings)
            }
            Err(error) => {
                successor.end().await;
                self.go_on().await;
                Err(error)
            }
        }
    }

    async fn hand_over(&mut self, successor: &mut Successor, drop_flows: bool) -> anyhow::Result<Report> {
        successor.greet(&Greeting::new(self.generation, drop_flows)).await?;
        self.give(successor).await?;
        let (ToOld::Prepared, _) = self.hear_of(successor).await? else { bail!("the new binary spoke out of turn") };
        let held = Instant::now();
        let state = self.hold().await?;
        successor.send(&ToNew::Take, &[state.as_fd()]).await?;
        let (ToOld::Ready, Some(report)) = self.hear_of(successor).await? else {
            bail!("the new binary spoke out of turn")
        };
        info!(held = ?held.elapsed(), "verdicts have waited for the new binary");
        let report = from_memory_file(report, REPORT_LIMIT).context("the report of the new binary cannot be read")?;
        // Before it says a word itself: only the main process is believed.
        self.notify.main_pid(successor.pid);
        // If it has died since, it had taken over all the same.
        successor.send(&ToNew::Yours, &[]).await.unwrap_or_default();
        Ok(report)
    }

    /// Hands over what the new one needs before it can prepare.
    async fn give(&self, successor: &mut Successor) -> anyhow::Result<()> {
        for (address, descriptors) in in_messages(self.listeners.iter()) {
            successor.send(&ToNew::Listeners { address }, &descriptors).await?;
        }
        let path = self.started.control_socket.clone();
        successor.send(&ToNew::ControlSocket { path }, &[self.control.as_fd(), self.lock.as_fd()]).await?;
        for (socket, listener) in self.stats.iter() {
            successor.send(&ToNew::StatsSocket(socket.clone()), &[listener]).await?;
        }
        if let (Some(metrics), Some(address)) = (&self.metrics, self.started.metrics) {
            successor.send(&ToNew::MetricsSocket { address }, &[metrics.as_fd()]).await?;
        }
        for (address, listener) in self.pages.iter() {
            successor.send(&ToNew::PageSocket { address }, &[listener]).await?;
        }
        if let Some(kernel) = &self.kernel {
            let pin_dir = self.started.pin_dir.clone();
            successor.send(&ToNew::Kernel { pin_dir }, &[kernel.lock().as_fd()]).await?;
        }
        if let Some(addresses) = &self.addresses {
            successor.send(&ToNew::Addresses, &[addresses.as_fd()]).await?;
        }
        successor.send(&ToNew::Prepare, &[]).await
    }

    /// What the new one says next; the worker is served meanwhile.
    async fn hear_of(&mut self, successor: &mut Successor) -> anyhow::Result<(ToOld, Option<OwnedFd>)> {
        loop {
            let heard = tokio::select! {
                biased;
                said = successor.hear() => return said,
                heard = self.worker.hear() => heard,
            };
            match heard {
                Heard::Said(message, descriptors) => self.serve_worker(message, descriptors).await?,
                Heard::Gone(how) => bail!("the worker {how} meanwhile"),
            }
        }
    }

    /// Stops all that writes maps. What the worker knows.
    async fn hold(&mut self) -> anyhow::Result<OwnedFd> {
        self.is_held = true;
        self.worker.send(&ToWorker::Hold, &[]).await?;
        let state = loop {
            match self.worker.hear().await {
                Heard::Said(ToSupervisor::Held, descriptors) => break descriptors.into_iter().next(),
                Heard::Said(message, descriptors) => self.serve_worker(message, descriptors).await?,
                Heard::Gone(how) => bail!("the worker {how} instead of letting go"),
            }
        };
        if let Some(kernel) = &mut self.kernel {
            kernel.hold().await?;
        }
        state.context("the worker says nothing of what it knows")
    }

    /// Goes on after a failed upgrade, which may have gone any part of the way.
    async fn go_on(&mut self) {
        if !self.is_held {
            return;
        }
        let again = async {
            self.go_on_with_kernel()?;
            self.send_kernel().await?;
            self.configure(self.generation, to_memory_file(&self.configuration.bundle)?).await
        };
        if let Err(error) = again.await {
            error!(error = format!("{error:#}"), "the worker does not go on; it is started anew");
            self.worker.kill().await;
        }
    }

    /// Lets the kernel half go on, if an upgrade holds it that was given up. After an error it is held still.
    pub(in crate::supervisor) fn go_on_with_kernel(&mut self) -> anyhow::Result<()> {
        if self.is_held {
            if let Some(kernel) = &mut self.kernel {
                kernel.go_on(&self.started.interfaces).context("the kernel half does not go on")?;
            }
            self.is_held = false;
        }
        Ok(())
    }

    /// Whether another binary has taken over.
    pub(in crate::supervisor) fn has_successor(&self) -> bool {
        self.successor.is_some()
    }

    /// Lets the worker end its connections, within `hard_stop_after`, and ends. Told to stop: at once.
    pub(in crate::supervisor) async fn retire(mut self, signals: &mut Signals) {
        let within = self.configuration.model.global.hard_stop_after;
        info!(?within, "retiring");
        self.relay().await;
        self.kernel = None;
        let gone: Vec<SocketAddr> = self.successor.take().unwrap_or_default();
        let told = async {
            let gone = to_memory_file(&gone)?;
            self.worker.send(&ToWorker::Retire { within }, &[gone.as_fd()]).await
        };
        if let Err(error) = told.await {
            warn!(%error, "cannot tell the worker to retire");
        }
        let Self { mut worker, mut runner, listeners, control, metrics, stats, pages, .. } = self;
        drop((listeners, control, metrics, stats, pages));
        runner.stop().await;
        let patience = within.map_or(Duration::MAX, |within| within.saturating_add(STOP_GRACE));
        tokio::select! {
            () = worker.ended(patience) => {}
            () = signals.stop() => {
                warn!("told to stop: what is still open is cut");
                worker.kill().await;
            }
        }
    }
}

/// Why the new binary can never take over from this one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OtherProtocol(String);

/// The new binary, while it is not yet on its own.
struct Successor {
    child: Child,
    pid: u32,
    line: Channel,
    is_settled: bool,
    /// It has said that it cannot, has let go of everything, and is about to end.
    has_failed: bool,
}

impl Successor {
    fn start(binary: &Path, options: &Options) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&options.config).arg("--take-over");
        if options.single_process {
            command.arg("--single-process");
        }
        notify::hand_on(&mut command);
        Self::spawn(command).with_context(|| format!("cannot start {}", binary.display()))
    }

    fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let line = Channel::new(ours)?;
        let child = command.stdin(Stdio::from(theirs)).spawn()?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid, line, is_settled: false, has_failed: false })
    }

    async fn greet(&mut self, greeting: &Greeting) -> anyhow::Result<()> {
        let answered = async {
            self.line.send(greeting, &[]).await?;
            Ok::<_, anyhow::Error>(self.line.receive::<Reply>().await?)
        };
        let answered = timeout(GREETING_TIMEOUT, answered).await;
        let answered = answered.with_context(|| format!("the new binary says nothing within {GREETING_TIMEOUT:?}"))?;
        match answered {
            Ok(Some((Reply { refused: None, version, protocol }, _))) => {
                info!(version, protocol, "the new binary answers");
                Ok(())
            }
            Ok(Some((Reply { refused: Some(why), .. }, _))) => {
                self.has_failed = true;
                Err(OtherProtocol(why).into())
            }
            Ok(None) | Err(_) => Err(self.end_of().await),
        }
    }

    async fn send(&mut self, message: &ToNew, descriptors: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
        match self.line.send(message, descriptors).await {
            Err(error) if error.is_end() => Err(self.end_of().await),
            sent => Ok(sent?),
        }
    }

    /// Cancel-safe.
    async fn hear(&mut self) -> anyhow::Result<(ToOld, Option<OwnedFd>)> {
        match self.line.receive().await? {
            Some((ToOld::Failed { why }, _)) => {
                self.has_failed = true;
                bail!(why)
            }
            Some((message, descriptors)) => Ok((message, descriptors.into_iter().next())),
            None => Err(self.end_of().await),
        }
    }

    /// How it ended, whose line is closed.
    async fn end_of(&mut self) -> anyhow::Error {
        match timeout(STOP_GRACE, self.child.wait()).await {
            Ok(Ok(status)) => anyhow!("the new binary ended with {status}; its log may say why"),
            Ok(Err(_)) | Err(_) => anyhow!("the new binary closed the line; its log may say why"),
        }
    }

    /// Ends it, if it has not ended by itself. Its line is closed after it only: to one that lives, the end of the line may mean
    /// that we have died and all is its own.
    async fn end(mut self) {
        let patience = if self.has_failed { ORPHAN } else { Duration::ZERO };
        let ended = timeout(patience, self.child.wait()).await.is_ok();
        if !ended && let Err(error) = self.child.kill().await {
            warn!(%error, "cannot kill the new binary");
        }
        self.is_settled = true;
        self.line.close();
        if !ended {
            sleep(ORPHAN).await;
        }
    }
}

impl Drop for Successor {
    /// Whoever drops the upgrade ends it, before the line is closed.
    fn drop(&mut self) {
        if !self.is_settled {
            self.child.start_kill().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_binary_that_is_given_up_never_sees_the_end_of_its_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let (began, saw) = (directory.path().join("began"), directory.path().join("saw"));
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "touch \"$0\"; until cat 2>/dev/null; do sleep 0.01; done; touch \"$1\""])
            .arg(&began)
            .arg(&saw);
        let successor = Successor::spawn(command).expect("a process");
        while !began.exists() {
            sleep(Duration::from_millis(5)).await;
        }
        successor.end().await;
        sleep(ORPHAN).await;
        assert!(!saw.exists(), "it was told of the end while it lived");
    }
}
