//! How a worker ends, or makes way for that of another binary.

use super::{Worker, given::Given, running::Running};
use crate::{
    channel::{ToSupervisor, from_memory_file, to_memory_file},
    plan::desired::NextHops,
};
use anyhow::Context;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tracing::{debug, info};

/// How long the lines of the last requests may take to their targets.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long operators are answered whose questions came just before another binary took over.
const LAST_QUESTIONS: Duration = Duration::from_millis(100);

/// For how long nobody beats at most while another binary takes over, or fails to: the supervisor waits no longer for it.
const TAKING_OVER: Duration = Duration::from_mins(1);

impl Running {
    /// A last beat, until another worker beats, or this one again.
    fn beat_for_long(&mut self) {
        if let Some(beats) = &mut self.beats {
            beats.beat(self.halves.model.global.heartbeat_timeout.max(TAKING_OVER), Instant::now());
        }
    }
}

impl Worker {
    /// Judges and writes nothing from now on, and tells what is known. A configuration ends it.
    pub(super) async fn hold(&mut self) -> anyhow::Result<()> {
        self.is_held = true;
        if let Some(Running { scans: Some(scans), halves, .. }) = &mut self.running
            && scans.is_running()
            && let Some(counted) = self.counted_in.recv().await
        {
            scans.take(halves, counted); // It has forgotten flows until now.
        }
        let state = self.running.as_ref().map(Running::state).unwrap_or_default();
        self.running.iter_mut().for_each(Running::beat_for_long);
        self.running.iter_mut().for_each(Running::let_go_of_maps);
        self.send(&ToSupervisor::Held, &[to_memory_file(&state)?.as_fd()]).await
    }

    /// Lets go of all that was given of the kernel half, used or not.
    pub(super) fn drop_kernel(&mut self) {
        self.given.drop_kernel();
        self.waiting = None; // If it has maps, it wants a kernel half; another configuration follows.
        if let Some(running) = &mut self.running {
            running.let_go_of_maps();
            running.counters = None;
            running.halves.set_next_hops(NextHops::new());
        }
    }

    /// Serves what is open, takes nothing new, writes no map any more: a daemon after us may own them already.
    pub(super) async fn drain(mut self, within: Option<Duration>, why: &str) -> anyhow::Result<()> {
        if within.is_none() {
            self.doors.iter().for_each(AbortHandle::abort); // The daemon after us needs their addresses.
        }
        let Some(running) = self.take_leave() else { return Ok(()) };
        let within = within.unwrap_or(running.halves.model.global.stop_timeout);
        info!(event = "stop", ?within, open = running.threads.connections(), why, "draining");
        running.threads.drain(within).await;
        running.sinks.close(LAST_LINES).await;
        debug!("drained");
        Ok(())
    }

    /// Serves what is open, and leaves the listening sockets to the worker of another binary, but for those that it does not have.
    pub(super) async fn retire(
        mut self,
        within: Option<Duration>,
        mut descriptors: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        self.doors.iter().for_each(AbortHandle::abort);
        let until = Instant::now() + LAST_QUESTIONS;
        while let Ok(Some(asked)) = timeout_at(until, self.requests_in.recv()).await {
            self.asked(asked).await?;
        }
        let gone: BTreeSet<SocketAddr> = from_memory_file(descriptors.pop().context("no addresses")?, u64::MAX)?;
        let Some(running) = self.take_leave() else { return Ok(()) };
        info!(?within, open = running.threads.connections(), "retiring: another binary has taken over");
        running.threads.retire(within, gone).await;
        running.sinks.close(LAST_LINES).await;
        debug!("retired");
        Ok(())
    }

    /// Asks, judges and answers nothing any more; whoever asks is told that we stop.
    fn take_leave(&mut self) -> Option<Running> {
        self.requests_in.close();
        while self.requests_in.try_recv().is_ok() {}
        self.reload_waits.clear();
        self.upgrade_waits.clear();
        self.confirm_waits.clear();
        // They may have the right to write maps.
        (self.waiting, self.given) = (None, Given::default());
        self.naming.stop();
        let mut running = self.running.take()?;
        running.let_go_of_maps();
        running.checker.stop();
        running.agents.stop();
        Some(running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel::Channel, l7::tests::model::model, supervisor::lock::writing};
    use std::{path::Path, sync::Arc};
    use tokio::{sync::oneshot, task::LocalSet};

    /// One that was given the right to write what is in `directory`, and one that uses it.
    async fn worker(directory: &Path) -> Worker {
        let (line, _) = Channel::pair().expect("a line");
        let mut worker = Worker::new(Channel::new(line).expect("an end"));
        let right = writing(directory).await.expect("the right to write");
        let model = Arc::new(model(Vec::new(), Vec::new()));
        let mut running = Running::first(&model, worker.observed.clone(), worker.heard.clone()).expect("a worker");
        running.writing = Some(Arc::new(right.try_clone().expect("a descriptor")));
        worker.running = Some(running);
        worker.given.writing = Some(right);
        worker
    }

    #[tokio::test]
    async fn without_a_kernel_half_nothing_of_it_is_kept() {
        let within = async {
            let directory = tempfile::tempdir().expect("a directory");
            let mut worker = worker(directory.path()).await;
            worker.drop_kernel();
            assert!(worker.running.as_ref().is_some_and(|running| running.writing.is_none()));
            writing(directory.path()).await.expect("the right is free");
        };
        LocalSet::new().run_until(Box::pin(within)).await;
    }

    #[tokio::test]
    async fn who_leaves_keeps_no_right_to_write_and_lets_nobody_wait() {
        let within = async {
            let directory = tempfile::tempdir().expect("a directory");
            let mut worker = worker(directory.path()).await;
            let (waits, answered) = oneshot::channel();
            worker.confirm_waits.push_back(waits);
            let running = worker.take_leave();
            assert!(running.is_some() && answered.await.is_err());
            writing(directory.path()).await.expect("the right is free");
        };
        LocalSet::new().run_until(Box::pin(within)).await;
    }
}
