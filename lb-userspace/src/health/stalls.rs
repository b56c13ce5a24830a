//! Stalls: whether the thread of the probes ran when it should have. A process that was stopped, or got no CPU, finds all its
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
/// One stall after another excuses for so long at most: with a thread that is always late, what fails has to count some time.
const EXCUSED: Duration = Duration::from_secs(10);
/// So many failures of a server in a row may be void; those after them count.
const VOID: u32 = 3;
/// At most one warning in this time.
const QUIET: Duration = Duration::from_secs(10);

/// The time that a thread has lost.
#[derive(Debug)]
pub(super) struct Stalls(Mutex<Beats>);

#[derive(Debug)]
struct Beats {
    last: Instant,
    lost: Duration,
    /// The end of the last stall.
    stalled: Option<Instant>,
    /// Since when somebody is told that the process was stalled, time and again.
    excused: Option<Instant>,
    warned: Option<Instant>,
}

impl Beats {
    /// What was lost since the last beat.
    fn lost_since(&self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.last);
        if gap > BEAT + SLACK { gap.saturating_sub(BEAT) } else { Duration::ZERO }
    }

    /// Whether the last stall was long ago, if there was any.
    fn is_over(&self, now: Instant) -> bool {
        self.stalled.is_none_or(|stalled| now.saturating_duration_since(stalled) >= AFTERMATH)
    }

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

impl Stalls {
    /// Of a thread that runs.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Beats {
            last: Instant::now(),
            lost: Duration::ZERO,
            stalled: None,
            excused: None,
            warned: None,
        }))
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

    /// Whether the process did not run for a while until a moment ago: what its traffic fails with says nothing, but for what
    /// fails after ten seconds of that. For any thread: it does not tell how the thread of the probes runs.
    pub(super) fn was_stalled(&self, now: Instant) -> bool {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if beats.lost_since(now) <= STALL && beats.is_over(now) {
            return false;
        }
        let excused = *beats.excused.get_or_insert(now);
        now.saturating_duration_since(excused) < EXCUSED
    }

    /// All that was lost until `now`. Looking is a beat as well, so only the thread of the probes may.
    fn lost(&self, now: Instant) -> Duration {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = beats.lost_since(now);
        beats.last = now.max(beats.last);
        beats.lost = beats.lost.saturating_add(lost);
        if lost > STALL {
            beats.stalled = Some(now);
            beats.warn(lost, now);
        } else if beats.is_over(now) {
            beats.excused = None;
        }
        beats.lost
    }
}

/// How many failures of a server in a row were void.
#[derive(Debug, Default)]
pub(super) struct Voids(u32);

impl Voids {
    /// Whether a finding is to be passed over, which says nothing or does. After three in a row that said nothing they count, until
    /// one says something: where a probe always lacks a part of its time, a server that is dead would stay up for ever.
    pub(super) fn pass_over(&mut self, is_void: bool) -> bool {
        self.0 = if is_void { self.0.saturating_add(1) } else { 0 };
        (1..=VOID).contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_time_in_which_the_thread_did_not_run_spoils_a_failure() {
        const TIMEOUT: Duration = Duration::from_secs(1);
        let stalls = Stalls::new();
        let after = |time| tokio::time::advance(time);
        let ran = async |time: Duration| {
            for _ in 0..time.as_millis() / BEAT.as_millis() {
                tokio::time::advance(BEAT).await;
                stalls.lost(Instant::now());
            }
        };
        let begun = stalls.begin();
        ran(TIMEOUT).await;
        assert!(!stalls.spoiled(begun, TIMEOUT, Instant::now()), "it ran all the time");

        let begun = stalls.begin();
        after(Duration::from_secs(10)).await;
        assert!(stalls.spoiled(begun, TIMEOUT, Instant::now()), "it was stopped");

        let begun = stalls.begin();
        ran(Duration::from_millis(800)).await;
        after(Duration::from_millis(200)).await;
        assert!(!stalls.spoiled(begun, TIMEOUT, Instant::now()), "most of the time it ran");

        let begun = stalls.begin();
        ran(Duration::from_millis(100)).await;
        after(Duration::from_millis(900)).await;
        assert!(stalls.spoiled(begun, TIMEOUT, Instant::now()), "most of the time it did not");

        let begun = stalls.begin();
        assert!(!stalls.spoiled(begun, TIMEOUT, Instant::now()), "what was lost before is not this probe's");

        assert!(stalls.was_stalled(Instant::now()));
        ran(AFTERMATH).await;
        assert!(!stalls.was_stalled(Instant::now()));
        after(STALL / 2).await;
        assert!(!stalls.was_stalled(Instant::now()), "that is no stall");
        after(STALL * 2).await;
        assert!(stalls.was_stalled(Instant::now()), "seen by whoever looks first");
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_asks_does_not_hide_what_was_lost_and_stalls_do_not_excuse_for_ever() {
        let stalls = Stalls::new();
        let begun = stalls.begin();
        for _ in 0..20 {
            tokio::time::advance(BEAT).await;
            stalls.was_stalled(Instant::now());
        }
        assert!(stalls.spoiled(begun, Duration::from_secs(1), Instant::now()), "the thread of the probes did not run");

        let (stalls, mut excused) = (Stalls::new(), 0);
        for _ in 0..20 {
            tokio::time::advance(AFTERMATH).await;
            stalls.lost(Instant::now());
            excused += u32::from(stalls.was_stalled(Instant::now()));
        }
        assert_eq!(excused, 10, "a stall each second");
        for _ in 0..=AFTERMATH.as_millis() / BEAT.as_millis() {
            tokio::time::advance(BEAT).await;
            stalls.lost(Instant::now());
        }
        assert!(!stalls.was_stalled(Instant::now()));
        tokio::time::advance(AFTERMATH).await;
        assert!(stalls.was_stalled(Instant::now()), "it ran well between");
    }

    #[test]
    fn after_three_void_failures_in_a_row_they_count() {
        let mut voids = Voids::default();
        let is_void = [true, true, true, true, true, false, true];
        assert_eq!(is_void.map(|is_void| voids.pass_over(is_void)), [true, true, true, false, false, false, true]);
    }
}
