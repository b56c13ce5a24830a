//! The signals that the supervisor listens to, from its first moment on: none is lost, and none kills it half way
//! through a start.

use std::{io, mem, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

/// SIGHUP reloads; SIGUSR1 opens the files of access logs again; SIGUSR2 upgrades; SIGTERM and SIGINT stop.
pub(super) struct Signals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    interrupt: Signal,
    terminate: Signal,
    /// The last word was to reload.
    told_to_reload: bool,
    /// No reload is asked for before that.
    rested: Instant,
}

/// Pause after a reload before signals ask for another one: less than four a second, whatever comes.
const REST: Duration = Duration::from_millis(250);

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
            told_to_reload: false,
            rested: Instant::now(),
        })
    }

    /// Waits until told to stop.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the next word, once what the last one asked for is done; stopping comes first. However often a reload is asked
    /// for while one runs, and within [`REST`] of its end, that is one more.
    pub(super) async fn next(&mut self) -> Word {
        if mem::take(&mut self.told_to_reload) {
            self.rested = Instant::now() + REST;
        }
        let reload = async {
            sleep_until(self.rested).await;
            self.hangup.recv().await
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Word::Stop,
            _ = self.interrupt.recv() => Word::Stop,
            _ = self.user1.recv() => Word::ReopenLogs,
            _ = self.user2.recv() => Word::Upgrade,
            _ = reload => {
                self.told_to_reload = true;
                Word::Reload
            }
        }
    }
}
