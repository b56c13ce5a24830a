//! Pulse: whether the thread of the probes ran when it should have. A process that was stopped, or got no CPU, finds all its
//! deadlines over and its connections given up: that says nothing of the servers.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// From one beat to the next.
const BEAT: Duration = Duration::from_millis(50);
/// So late is every thread now and then, and a deadline at most.
const SLACK: Duration = Duration::from_millis(25);
/// A failure is void if more than this part of the probe's time was lost: one in four.
const PART: u32 = 4;
/// Whoever did not run for so long finds requests over their time as well, and for a while after it.
const STALL: Duration = Duration::from_millis(500);
const AFTERMATH: Duration = Duration::from_secs(1);
/// At most one warning in this time.
const QUIET: Duration = Duration::from_secs(10);

/// The time that a thread has lost.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Beats>);

#[derive(Debug)]
struct Beats {
    last: Instant,
    lost: Duration,
    /// The end of the last stall.
    stalled: Option<Instant>,
    warned: Option<Instant>,
}

impl Beats {
    fn warn(&mut self, lost: Duration, now: Instant) {
        if self.warned.is_none_or(|warned| now.saturating_duration_since(warned) > QUIET) {
            self.warned = Some(now);
            warn!(?lost, "the checks got no CPU; failures that they found meanwhile do not count");
        }
    }
}

/// A probe that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) at: Instant,
    lost: Duration,
}

impl Pulse {
    /// Of a thread that runs.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Beats { last: Instant::now(), lost: Duration::ZERO, stalled: None, warned: None }))
    }

    /// Beats, for as long as it is polled, on the thread that it is about.
    pub(super) async fn beat(&self) {
        self.rest();
        loop {
            sleep_until(Instant::now() + BEAT).await;
            self.lost(Instant::now());
        }
    }

    /// Begins anew after a time without beats.
    fn rest(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last = Instant::now();
    }

    /// A probe begins.
    pub(super) fn begin(&self) -> Begun {
        let at = Instant::now();
        Begun { at, lost: self.lost(at) }
    }

    /// Whether the failure of a probe that had at most `timeout`, and ended `now`, says nothing, because the thread did not run
    /// for too much of that time.
    pub(super) fn spoiled(&self, begun: Begun, timeout: Duration, now: Instant) -> bool {
        let took = now.saturating_duration_since(begun.at);
        let late = took.saturating_sub(timeout);
        let late = if late > SLACK { late } else { Duration::ZERO };
        let lost = self.lost(now).saturating_sub(begun.lost).max(late);
        let is_void = lost.saturating_mul(PART) > took;
        if is_void {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).warn(lost, now);
        }
        is_void
    }

    /// Whether the process did not run for a while until a moment ago: what its traffic fails with says nothing.
    pub(super) fn was_stalled(&self, now: Instant) -> bool {
        self.lost(now);
        let stalled = self.0.lock().unwrap_or_else(PoisonError::into_inner).stalled;
        stalled.is_some_and(|stalled| now.saturating_duration_since(stalled) < AFTERMATH)
    }

    /// All that was lost until `now`. Looking is a beat as well.
    fn lost(&self, now: Instant) -> Duration {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = now.saturating_duration_since(beats.last);
        beats.last = now.max(beats.last);
        if gap > BEAT + SLACK {
            let lost = gap.saturating_sub(BEAT);
            beats.lost = beats.lost.saturating_add(lost);
            if lost > STALL {
                beats.stalled = Some(now);
                beats.warn(lost, now);
            }
        }
        beats.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_time_in_which_the_thread_did_not_run_spoils_a_failure() {
        const TIMEOUT: Duration = Duration::from_secs(1);
        let pulse = Pulse::new();
        let after = |time| tokio::time::advance(time);
        let ran = async |time: Duration| {
            for _ in 0..time.as_millis() / BEAT.as_millis() {
                tokio::time::advance(BEAT).await;
                pulse.lost(Instant::now());
            }
        };
        let begun = pulse.begin();
        ran(TIMEOUT).await;
        assert!(!pulse.spoiled(begun, TIMEOUT, Instant::now()), "it ran all the time");

        let begun = pulse.begin();
        after(Duration::from_secs(10)).await;
        assert!(pulse.spoiled(begun, TIMEOUT, Instant::now()), "it was stopped");

        let begun = pulse.begin();
        ran(Duration::from_millis(800)).await;
        after(Duration::from_millis(200)).await;
        assert!(!pulse.spoiled(begun, TIMEOUT, Instant::now()), "most of the time it ran");

        let begun = pulse.begin();
        ran(Duration::from_millis(100)).await;
        after(Duration::from_millis(900)).await;
        assert!(pulse.spoiled(begun, TIMEOUT, Instant::now()), "most of the time it did not");

        let begun = pulse.begin();
        assert!(!pulse.spoiled(begun, TIMEOUT, Instant::now()), "what was lost before is not this probe's");

        assert!(pulse.was_stalled(Instant::now()));
        ran(AFTERMATH).await;
        assert!(!pulse.was_stalled(Instant::now()));
        after(STALL / 2).await;
        assert!(!pulse.was_stalled(Instant::now()), "that is no stall");
        after(STALL * 2).await;
        assert!(pulse.was_stalled(Instant::now()), "seen by whoever looks first");
    }
}
