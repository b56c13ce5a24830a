//! The tasks that ask: one a question, again and again.

use super::{Failure, Found, Question, client};
use crate::model::Resolvers;
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time::sleep,
};

/// Questions that are asked at a time; the others wait. Names by the thousand are no flood.
const AT_ONCE: usize = 64;
/// After failures in a row the pause grows, up to so many times [`Resolvers::timeout_resolve`].
const PATIENCE: u32 = 10;
/// A pause is shortened by up to one part in so many, so that many names do not stay in step.
const JITTER: u32 = 16;

/// A question has ended.
#[derive(Debug)]
pub struct Answered {
    /// Which.
    pub question: Question,
    /// How.
    pub ended: Result<Found, Failure>,
}

/// The tasks that ask. Dropped, they end.
#[derive(Debug)]
pub struct Tasks {
    resolvers: Rc<Resolvers>,
    places: Rc<Semaphore>,
    asking: BTreeMap<Question, AbortHandle>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { resolvers: Rc::default(), places: Rc::new(Semaphore::new(AT_ONCE)), asking: BTreeMap::new() }
    }
}

impl Tasks {
    /// Asks these questions from now on, and no others; `answers` gets what comes of each. What is asked already goes on,
    /// unless it is to be asked in another way. Must be called within a [`LocalSet`](tokio::task::LocalSet).
    pub fn update(&mut self, resolvers: &Resolvers, questions: &BTreeSet<Question>, answers: &mpsc::Sender<Answered>) {
        if *self.resolvers != *resolvers {
            self.stop();
            self.resolvers = Rc::new(resolvers.clone());
        }
        let mut old = std::mem::take(&mut self.asking);
        for question in questions.iter().filter(|question| question.in_hosts(&resolvers.hosts).is_none()) {
            let asking = old.remove(question).unwrap_or_else(|| {
                let (resolvers, places) = (Rc::clone(&self.resolvers), Rc::clone(&self.places));
                tokio::task::spawn_local(ask_forever(resolvers, question.clone(), places, answers.clone()))
                    .abort_handle()
            });
            self.asking.insert(question.clone(), asking);
        }
        for asking in old.into_values() {
            asking.abort();
        }
    }

    /// Asks nothing any more.
    pub fn stop(&mut self) {
        for asking in std::mem::take(&mut self.asking).into_values() {
            asking.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn ask_forever(
    resolvers: Rc<Resolvers>,
    question: Question,
    places: Rc<Semaphore>,
    answers: mpsc::Sender<Answered>,
) {
    let mut failures = 0;
    loop {
        let ended = {
            let Ok(_place) = places.acquire().await else { return };
            client::resolve(&resolvers, &question).await
        };
        failures = if ended.is_ok() { 0 } else { failures + 1 };
        let pause = pause(&resolvers, &ended, failures);
        if answers.send(Answered { question: question.clone(), ended }).await.is_err() {
            return; // Nobody wants to know any more.
        }
        sleep(pause.mul_f64(1.0 - fastrand::f64() / f64::from(JITTER))).await;
    }
}

/// Until the question is asked again.
fn pause(resolvers: &Resolvers, ended: &Result<Found, Failure>, failures: u32) -> Duration {
    match ended {
        Ok(found) => found.ttl.clamp(resolvers.ttl_min, resolvers.ttl_max.max(resolvers.ttl_min)),
        Err(_) => resolvers.timeout_resolve * failures.clamp(1, PATIENCE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_asked_for_again_by_its_time_within_bounds_and_failures_slow_down() {
        let second = Duration::from_secs(1);
        let resolvers = Resolvers { ttl_min: second * 2, ttl_max: second * 60, ..Resolvers::default() };
        let found = |seconds| Ok(Found { addresses: BTreeSet::new(), ttl: second * seconds });
        let pauses = [0, 2, 30, 60, 86_400].map(|ttl| pause(&resolvers, &found(ttl), 0).as_secs());
        assert_eq!(pauses, [2, 2, 30, 60, 60]);
        let pauses = [1, 2, 10, 1_000].map(|row| pause(&resolvers, &Err(Failure::Timeout), row).as_secs());
        assert_eq!(pauses, [1, 2, 10, 10]);
    }
}
