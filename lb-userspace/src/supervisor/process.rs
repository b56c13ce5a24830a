//! The worker as the supervisor sees it: a process without rights, or, for development, a thread.

use super::{listeners::in_messages, notify};
use crate::{
    channel::{Channel, ChannelError, DESCRIPTOR_LIMIT, ToSupervisor, ToWorker},
    l7::memory::Gauge,
    worker::{
        self,
        privileges::{Identity, Sandbox},
    },
};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::oneshot,
    time::{Instant, timeout},
};
use tracing::warn;

/// A running worker and the line to it.
pub(super) struct Worker {
    channel: Channel,
    body: Body,
    since: Instant,
}

/// What the supervisor hears of its worker.
pub(super) enum Heard {
    /// It said something, with these descriptors.
    Said(ToSupervisor, Vec<OwnedFd>),
    /// It is gone; how it ended, as the rest of a sentence. Heard again until another one takes its place.
    Gone(String),
}

enum Body {
    Process(Child),
    Thread(oneshot::Receiver<()>),
    Gone,
}

impl Worker {
    /// Starts the worker as a process of its own. With an identity it becomes that user; without, it stays who we are.
    pub(super) fn process(identity: Option<Identity>) -> anyhow::Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("sluice").arg("worker").stdin(Stdio::from(theirs));
        notify::keep_from(&mut command);
        if let Some(Identity { uid, gid }) = identity {
            command.args(["--uid", &uid.to_string(), "--gid", &gid.to_string()]);
        }
        let child = command.spawn().context("cannot start the worker")?;
        Self::new(ours, Body::Process(child))
    }

    /// Starts the worker as a thread.
    pub(super) fn thread() -> anyhow::Result<Self> {
        warn!(
            "--single-process: the part that faces the network keeps all rights of this process; for development only"
        );
        let (ours, theirs) = Channel::pair()?;
        let (alive, ended) = oneshot::channel();
        std::thread::Builder::new().name("worker".to_owned()).spawn(move || {
            let _alive = alive;
            if let Err(error) = worker::run(theirs, Gauge::open(), Sandbox::default()) {
                warn!(error = format!("{error:#}"), "the worker failed");
            }
        })?;
        Self::new(ours, Body::Thread(ended))
    }

    fn new(ours: OwnedFd, body: Body) -> anyhow::Result<Self> {
        Ok(Self { channel: Channel::new(ours)?, body, since: Instant::now() })
    }

    /// The process of the worker; this one with `--single-process`.
    pub(super) fn pid(&self) -> u32 {
        match &self.body {
            Body::Process(child) => child.id().unwrap_or_default(),
            Body::Thread(_) | Body::Gone => std::process::id(),
        }
    }

    /// How long it has been running.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Sends a message with its descriptors.
    pub(super) async fn send(&self, message: &ToWorker, descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        self.channel.send(message, descriptors).await
    }

    /// Sends the sockets of each address, in as many messages as they need.
    pub(super) async fn send_listeners(
        &self,
        listeners: impl Iterator<Item = (SocketAddr, &[TcpListener])>,
    ) -> Result<(), ChannelError> {
        for (address, descriptors) in in_messages(listeners) {
            self.send(&ToWorker::Listeners { address }, &descriptors).await?;
        }
        Ok(())
    }

    /// Sends files of access logs, in as many messages as they need; see [`ToWorker::LogFiles`].
    pub(super) async fn send_log_files(
        &self,
        files: &BTreeMap<PathBuf, OwnedFd>,
        again: bool,
    ) -> Result<(), ChannelError> {
        let files: Vec<_> = files.iter().collect();
        for files in files.chunks(DESCRIPTOR_LIMIT) {
            let (paths, descriptors): (Vec<_>, Vec<_>) =
                files.iter().map(|(path, file)| ((*path).clone(), file.as_fd())).unzip();
            self.send(&ToWorker::LogFiles { paths, again }, &descriptors).await?;
        }
        Ok(())
    }

    /// What the worker says next, or how it ended.
    pub(super) async fn hear(&mut self) -> Heard {
        match self.channel.receive().await {
            Ok(Some((message, descriptors))) => Heard::Said(message, descriptors),
            Ok(None) => Heard::Gone(self.how_it_ended().await),
            Err(error) => {
                self.kill().await;
                Heard::Gone(format!("broke the line ({error})"))
            }
        }
    }

    /// Waits for the end, and brings it about after `patience`.
    pub(super) async fn ended(&mut self, patience: Duration) {
        if timeout(patience, self.how_it_ended()).await.is_err() {
            warn!("the worker does not stop; killing it");
            self.kill().await;
        }
    }

    async fn how_it_ended(&mut self) -> String {
        match &mut self.body {
            Body::Process(child) => match child.wait().await {
                Ok(status) => format!("ended with {status}"),
                Err(error) => format!("ended unseen ({error})"),
            },
            Body::Thread(ended) => {
                _ = ended.await;
                self.body = Body::Gone;
                "ended".to_owned()
            }
            Body::Gone => "ended".to_owned(),
        }
    }

    /// Ends it at once. A thread cannot be killed: it learns that it is alone, and drains.
    pub(super) async fn kill(&mut self) {
        self.channel.close();
        if let Body::Process(child) = &mut self.body
            && let Err(error) = child.kill().await
        {
            warn!(%error, "cannot kill the worker");
        }
    }
}
