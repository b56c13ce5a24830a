//! The signals that the supervisor listens to, from its first moment on: none is lost, and none kills it half way
//! through a start.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP reloads; SIGUSR1 opens the files of access logs again; SIGUSR2 upgrades; SIGTERM and SIGINT stop.
pub(super) struct Signals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// To end.
    Stop,
    /// To read the configuration again.
    Reload,
    /// To open the files of access logs again.
    ReopenLogs,
    /// To hand over to the binary that is where we were started from, as HAProxy's master does on that signal.
    Upgrade,
}

impl Signals {
    /// Listens from now on. What comes while nobody waits is kept.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
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

    /// Waits for the next word; stopping comes first.
    pub(super) async fn next(&mut self) -> Word {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Word::Stop,
            _ = self.interrupt.recv() => Word::Stop,
            _ = self.hangup.recv() => Word::Reload,
            _ = self.user1.recv() => Word::ReopenLogs,
            _ = self.user2.recv() => Word::Upgrade,
        }
    }
}
