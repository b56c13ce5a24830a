//! The signals that the supervisor listens to, from its first moment on: none is lost, and none kills it half way
//! through a start.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP reloads; SIGTERM and SIGINT stop.
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on. What comes while nobody waits is kept.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits until told to stop.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits until told to stop (`true`) or to reload (`false`).
    pub(super) async fn next_is_stop(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            _ = self.hangup.recv() => false,
        }
    }
}
