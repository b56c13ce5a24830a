//! How a daemon ends, and what stays in the kernel: told to stop, not confirmed, or before it ever ran.

use super::{STOP_GRACE, Supervisor, kernel::undo, signals::Signals, trial};
use crate::{
    channel::ToWorker,
    model::{Global, OnStop},
};
use tracing::{error, info, warn};

impl Supervisor {
    /// Drains the worker, then leaves behind in the kernel what `on_stop` says. Told again to stop: at once.
    pub(super) async fn stop(mut self, signals: &mut Signals) {
        let Global { stop_timeout, on_stop, .. } = self.configuration.model.global;
        let patience = stop_timeout.saturating_add(STOP_GRACE);
        self.notify.stopping(patience + STOP_GRACE);
        info!(event = "stop", within = ?stop_timeout, ?on_stop, "stopping");
        self.relay().await;
        if let Err(error) = self.worker.send(&ToWorker::Stop { within: stop_timeout }, &[]).await {
            warn!(%error, "cannot tell the worker to stop");
        }
        tokio::select! {
            () = self.worker.ended(patience) => {}
            () = self.notify.keep_alive(patience + STOP_GRACE) => {}
            () = signals.stop() => {
                warn!("told again to stop: what is still open is cut");
                self.worker.kill().await;
            }
        }
        self.runner.stop().await;
        trial::forget(&self.started.control_socket);
        self.remove_control_socket();
        let Some(kernel) = self.kernel else { return };
        if let Err(error) = kernel.stop(on_stop == OnStop::Keep).await {
            error!(error = format!("{error:#}"), "cannot leave the kernel as asked");
        }
    }

    /// Gives the host back at once, then ends.
    pub(super) async fn withdraw(mut self, signals: &mut Signals) {
        if let Some(kernel) = self.kernel.take()
            && let Err(error) = kernel.stop(false).await
        {
            error!(error = format!("{error:#}"), "cannot take the program out of the kernel");
        }
        self.stop(signals).await;
    }

    /// Ends a daemon that never ran.
    pub(super) async fn abandon(mut self) {
        self.worker.kill().await;
        self.runner.stop().await;
        self.remove_control_socket();
        undo(self.kernel).await;
    }

    fn remove_control_socket(&self) {
        self.stats.remove();
        let path = &self.started.control_socket;
        if let Err(error) = std::fs::remove_file(path) {
            warn!(%error, path = %path.display(), "cannot remove the control socket");
        }
    }
}
