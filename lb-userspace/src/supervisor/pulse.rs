//! Whether the worker lives: it is asked now and then, and one that does not answer is killed and replaced. The service
//! manager hears that the daemon lives only while it does.

use super::{Supervisor, notify::Notify};
use crate::channel::ToWorker;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::error;

/// Longest time from one question to the next; a quarter of what the watchdog bears, if that is less.
const BEAT: Duration = Duration::from_secs(2);
/// How long a worker may owe an answer; a third of what the watchdog bears, if that is less. Its loop does one thing at a
/// time, and to replace it cuts the connections that it has.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest step of the supervisor: a reload that the worker neither takes up nor gives up takes two minutes. A step that takes
/// longer waits for a worker that hears nothing any more.
pub(super) const STEP: Duration = Duration::from_mins(3);

/// Questions to the worker and their answers. Time is counted in beats: one in which the whole machine stood still is one.
#[derive(Debug)]
pub(super) struct Pulse {
    beat: Duration,
    /// Beats that an answer may take.
    patience: u32,
    /// Of the last question.
    number: u64,
    /// Beats since that question, while it has no answer.
    owed: Option<u32>,
    due: Instant,
}

/// What is to be done at a beat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Beat {
    /// To ask.
    Ask(u64),
    /// To go on waiting.
    Wait,
    /// To give it up.
    Dead,
}

impl Pulse {
    /// For a service manager that bears this silence.
    pub(super) fn new(watchdog: Option<Duration>) -> Self {
        let (beat, patience) =
            watchdog.map_or((BEAT, PATIENCE), |silence| (BEAT.min(silence / 4), PATIENCE.min(silence / 3)));
        let beats = patience.as_micros().div_ceil(beat.as_micros().max(1));
        let patience = u32::try_from(beats).unwrap_or(u32::MAX);
        Self { beat, patience, number: 0, owed: None, due: Instant::now() }
    }

    /// Waits for the next beat.
    pub(super) async fn due(&self) {
        sleep_until(self.due).await;
    }

    fn beat(&mut self, now: Instant) -> Beat {
        self.due = now + self.beat;
        match self.owed {
            None => {
                self.number += 1;
                self.owed = Some(0);
                Beat::Ask(self.number)
            }
            Some(beats) if beats + 1 >= self.patience => {
                self.owed = None;
                Beat::Dead
            }
            Some(beats) => {
                self.owed = Some(beats + 1);
                Beat::Wait
            }
        }
    }

    /// The worker answered; whether it is the last question.
    fn answered(&mut self, number: u64) -> bool {
        number == self.number && self.owed.take().is_some()
    }
}

impl Supervisor {
    /// Asks the worker whether it lives, or gives it up.
    pub(super) async fn beat(&mut self) {
        match self.pulse.beat(Instant::now()) {
            Beat::Ask(number) => {
                let count = self.notify.is_heard();
                // One that is gone is noticed by its end; one that takes nothing owes the answer.
                _ = timeout(self.pulse.beat, self.worker.send(&ToWorker::Ping { number, count }, &[])).await;
            }
            Beat::Wait => {}
            Beat::Dead => self.give_up("does not answer").await,
        }
    }

    /// The worker lives, and has so many servers, of which these can serve.
    pub(super) fn lives(&mut self, number: u64, up: usize, servers: usize) {
        if self.pulse.answered(number) {
            self.notify.alive(self.pulse.beat);
            if self.notify.is_heard() {
                self.notify.status(&format!("{}, {up} of {servers} servers up", self.summary()));
            }
        }
    }

    /// Kills a worker that hears or says nothing any more. Its end is noticed, and another one takes its place.
    pub(super) async fn give_up(&mut self, why: &str) {
        error!(event = "worker", worker = self.worker.pid(), why, "killing the worker: it hangs");
        self.notify.status("the worker hangs; another one takes its place");
        self.worker.kill().await;
    }

    /// What of the status is known without the worker.
    pub(super) fn summary(&self) -> String {
        let frontends = self.configuration.model.frontends.len();
        format!(
            "configuration {}: {frontends} {}",
            self.generation,
            if frontends == 1 { "frontend" } else { "frontends" }
        )
    }

    /// A worker that begins owes no answer.
    pub(super) fn begin_pulse(&mut self) {
        self.pulse = Pulse::new(self.notify.watchdog());
    }
}

impl Notify {
    /// Of the longest step: what waits longer is hopeless.
    pub(super) async fn one_step(&self) {
        self.keep_alive(STEP).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats until the worker is given up, of a service manager that bears this silence.
    async fn beats_until_dead(watchdog: Option<Duration>) -> (u32, Duration) {
        let (mut pulse, from, mut beats) = (Pulse::new(watchdog), Instant::now(), 0);
        loop {
            pulse.due().await;
            match pulse.beat(Instant::now()) {
                Beat::Ask(number) => assert_eq!((number, beats), (1, 0)),
                Beat::Wait => {}
                Beat::Dead => return (beats, from.elapsed()),
            }
            beats += 1;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_answer_is_given_up_within_the_bound() {
        assert_eq!(beats_until_dead(None).await, (15, Duration::from_secs(30)));
        assert_eq!(beats_until_dead(Some(Duration::from_mins(1))).await, (10, Duration::from_secs(20)));
        assert_eq!(beats_until_dead(Some(Duration::from_secs(2))).await, (2, Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_count_once_and_only_to_the_last_question() {
        let mut pulse = Pulse::new(None);
        assert_eq!(pulse.beat(Instant::now()), Beat::Ask(1));
        assert_eq!(pulse.beat(Instant::now()), Beat::Wait);
        assert!(!pulse.answered(0) && pulse.answered(1) && !pulse.answered(1));
        assert_eq!(pulse.beat(Instant::now()), Beat::Ask(2));
        assert!(!pulse.answered(1) && pulse.answered(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_stood_still_costs_one_beat() {
        let mut pulse = Pulse::new(None);
        assert_eq!(pulse.beat(Instant::now()), Beat::Ask(1));
        tokio::time::advance(Duration::from_mins(10)).await;
        assert_eq!(pulse.beat(Instant::now()), Beat::Wait);
    }
}
