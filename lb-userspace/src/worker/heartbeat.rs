//! Tells the packet path once a second that the daemon lives. It is the control loop that says so: a worker whose loop hangs is as
//! dead as one that has ended.

use crate::dataplane::heartbeat::HeartbeatMap;
use std::time::Duration;
use tokio::time::Instant;
use tracing::error;

/// From one beat to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// The beat, and when the next one is due.
pub(super) struct Beats {
    map: HeartbeatMap,
    due: Instant,
}

impl Beats {
    /// Begins at once.
    pub(super) fn new(map: HeartbeatMap) -> Self {
        Self { map, due: Instant::now() }
    }

    /// When [`beat`](Self::beat) wants to be called next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Beats; the daemon is dead once it was silent for longer than `timeout`.
    pub(super) fn beat(&mut self, timeout: Duration, now: Instant) {
        self.due = now + INTERVAL;
        if let Err(error) = self.map.beat(timeout) {
            error!(%error, "cannot write the heartbeat");
        }
    }
}
