//! Keeps the program on its interfaces while the daemon runs: one that goes takes the attachment with it, and the one that
//! comes under its name, when a driver was loaded anew or a device was made anew, has nothing.

use crate::{
    channel::message::Interface,
    dataplane::{
        attach::{self, Attached, Mode},
        load::Loaded,
        pins::Pins,
        routing::Routing,
    },
};
use std::time::Duration;
use tokio::{
    sync::{oneshot, watch},
    task::{JoinHandle, spawn_local},
    time::sleep,
};
use tracing::{error, info, warn};

/// How often we try again where the program cannot be attached, beside whenever a link changes.
const RETRY: Duration = Duration::from_secs(1);

/// The interfaces of the configuration, and how the program runs there or why it does not.
pub(super) type Attachments = Vec<(String, Result<Attached, String>)>;

/// The handle of the task that keeps. Dropped, the task ends, and all stays as it is.
pub(super) struct Keeper {
    attachments: watch::Receiver<Attachments>,
    /// Dropped, it ends the task, which gives the program back.
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Loaded>,
}

impl Keeper {
    /// Starts to keep the program where it was attached, or should be.
    pub(super) fn start(loaded: Loaded, pins: Pins, routing: Routing, attachments: Attachments) -> Self {
        attachments.iter().filter_map(|(_, attached)| attached.as_ref().ok()).for_each(announce);
        let (report, attachments) = watch::channel(attachments);
        let (stop, stopped) = oneshot::channel();
        let task = spawn_local(Task { loaded, pins, routing, report }.run(stopped));
        Self { attachments, stop: Some(stop), task }
    }

    /// Where the program runs.
    pub(super) fn interfaces(&self) -> Vec<Interface> {
        interfaces(&self.attachments.borrow())
    }

    /// Waits until [`interfaces`](Self::interfaces) are others than when this was last waited for.
    pub(super) async fn changed(&mut self) {
        if self.attachments.changed().await.is_err() {
            std::future::pending::<()>().await; // the task has ended
        }
    }

    /// Ends the task, so that what is detached from now on stays so. The program, and where it runs.
    pub(super) async fn let_go(&mut self) -> Option<(Loaded, Attachments)> {
        drop(self.stop.take()?);
        let loaded = (&mut self.task).await.ok()?;
        Some((loaded, self.attachments.borrow().clone()))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    loaded: Loaded,
    pins: Pins,
    routing: Routing,
    report: watch::Sender<Attachments>,
}

impl Task {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> Loaded {
        loop {
            let is_off = self.report.borrow().iter().any(|(_, attached)| attached.is_err());
            tokio::select! {
                _ = &mut stopped => return self.loaded,
                () = self.routing.links_changed() => {}
                () = sleep(RETRY), if is_off => {}
            }
            self.look_after_all();
        }
    }

    fn look_after_all(&mut self) {
        let before = self.report.borrow().clone();
        let now: Attachments =
            before.iter().map(|(name, before)| (name.clone(), self.look_after(name, before))).collect();
        if now == before {
            return;
        }
        let numbers = now.iter().filter_map(|(_, attached)| Some(attached.as_ref().ok()?.ifindex)).collect();
        if let Err(error) = self.routing.attached(numbers) {
            error!(%error, "packets cannot leave through the interfaces that came");
        }
        self.report.send_replace(now);
    }

    fn look_after(&mut self, name: &str, before: &Result<Attached, String>) -> Result<Attached, String> {
        let now = attach::keep(&mut self.loaded, &self.pins, name, before.as_ref().ok());
        let now = now.map_err(|error| format!("{:#}", anyhow::Error::from(error)));
        match &now {
            _ if now == *before => {}
            Ok(attached) => announce(attached),
            Err(error) => error!(event = "detach", interface = name, error, "XDP does not run any more; trying again"),
        }
        now
    }
}

fn announce(Attached { interface, mode, adopted, .. }: &Attached) {
    match mode {
        Mode::Native => info!(event = "attach", interface, mode = "native", adopted, "XDP runs in the driver"),
        Mode::Generic => warn!(
            event = "attach",
            interface,
            mode = "generic",
            adopted,
            "XDP RUNS IN GENERIC MODE: the driver of this interface has no native XDP, and every packet costs many times \
             more"
        ),
    }
}

/// As status reports show them.
pub(super) fn interfaces(attachments: &Attachments) -> Vec<Interface> {
    attachments.iter().map(|(name, attached)| interface(name, attached)).collect()
}

fn interface(name: &str, attached: &Result<Attached, String>) -> Interface {
    let mode = match attached {
        Ok(Attached { mode: Mode::Native, .. }) => "native",
        Ok(Attached { mode: Mode::Generic, .. }) => "generic",
        Err(_) => "none",
    };
    Interface {
        name: name.to_owned(),
        mode: mode.to_owned(),
        adopted: attached.as_ref().is_ok_and(|attached| attached.adopted),
        error: attached.as_ref().err().cloned(),
    }
}
