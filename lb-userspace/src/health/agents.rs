//! Agents: one task an agent, which asks it at its interval, on the thread of the probes.

use super::{
    AgentOutcome, Code, Finding, agent,
    checker::Checker,
    tasks::{Aim, Tasks},
};
use crate::{
    l7::panics,
    model::{Agent, Model},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::error;

/// What an agent said, or that it said nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// Of which server; see [`Server::identity`](crate::model::Server::identity).
    pub identity: u64,
    /// By which task: an agent that is another one now has another.
    pub task: u64,
    /// How asking ended.
    pub outcome: AgentOutcome,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub finished_at: Instant,
}

/// The asking tasks. Dropped with their thread.
#[derive(Debug)]
pub struct Agents {
    tasks: Tasks<Target, ()>,
    /// Of whom they ask, by identity.
    places: BTreeMap<u64, Place>,
    heard: mpsc::Sender<Heard>,
}

/// A server by its places: that of its backend in the model, and its own there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Of the backend.
    pub backend: usize,
    /// Of the server.
    pub server: usize,
}

/// An agent, and where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Target {
    address: SocketAddr,
    agent: Agent,
}

impl Agents {
    /// Will ask on the thread of that checker, and tell `heard`.
    pub fn new(checker: &Checker, heard: mpsc::Sender<Heard>) -> Self {
        Self { tasks: Tasks::new(checker.runtime().clone()), places: BTreeMap::new(), heard }
    }

    /// Asks the agents of that model from now on. One that did not change is asked on undisturbed.
    pub fn change_to(&mut self, model: &Model) {
        let (places, wanted): (_, Vec<_>) =
            targets(model).map(|(of, place, target)| ((of, place), (of, target))).unzip();
        self.places = places;
        self.tasks.change_to(
            wanted,
            |target| target,
            |of, delay, Target { address, agent }| {
                let heard = self.heard.clone();
                let asking = async move {
                    let ask = |deadline| agent::ask(address, agent.send.as_bytes(), deadline);
                    ask_forever(of, (address, &agent), ask, delay, heard).await;
                };
                (asking, ())
            },
        );
    }

    /// Which server of the model that is; `None`: the task that heard it asks no more.
    pub fn place(&self, heard: &Heard) -> Option<Place> {
        self.places.get(&heard.identity).filter(|_| self.tasks.is_current(heard.identity, heard.task)).copied()
    }

    /// Asks nobody any more.
    pub fn stop(&mut self) {
        self.tasks.stop();
    }
}

impl Aim for Target {
    fn interval(&self) -> Duration {
        self.agent.interval
    }
}

/// The agents of the servers of `model` whose addresses are known.
fn targets(model: &Model) -> impl Iterator<Item = (u64, Place, Target)> {
    model.backends.iter().enumerate().flat_map(|(index, backend)| {
        backend.servers.iter().enumerate().filter_map(move |(server, known)| {
            let agent = known.agent().filter(|_| known.is_resolved())?.clone();
            let address = SocketAddr::new(agent.address.unwrap_or_else(|| known.address.ip()), agent.port);
            Some((known.identity(&backend.name), Place { backend: index, server }, Target { address, agent }))
        })
    })
}

async fn ask_forever<F: Future<Output = AgentOutcome>>(
    (identity, task): (u64, u64),
    (address, agent): (SocketAddr, &Agent),
    ask: impl Fn(Instant) -> F,
    delay: Duration,
    heard: mpsc::Sender<Heard>,
) {
    let mut due = Instant::now() + delay;
    loop {
        sleep_until(due).await;
        let begun = Instant::now();
        let outcome = panics::caught(ask(begun + agent.timeout)).await.unwrap_or_else(|| {
            error!(%address, "a panic ended a question to an agent; it goes on being asked");
            AgentOutcome::Silent(Finding::new(Code::SocketError, "a panic ended the question"))
        });
        let finished_at = Instant::now();
        let said = Heard { identity, task, outcome, took: finished_at - begun, finished_at };
        if heard.send(said).await.is_err() {
            return; // Nobody listens any more.
        }
        // From when it was due, so that delays do not add up.
        due = (due + agent.interval).max(begun + agent.interval / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::AgentReport;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_one_question_and_says_nothing_of_the_server() {
        let (heard, mut said) = mpsc::channel(64);
        let questions = AtomicU32::new(0);
        let ask = |_| {
            let number = questions.fetch_add(1, Relaxed);
            async move {
                assert!(number != 1, "the second question");
                AgentOutcome::Said(AgentReport::default())
            }
        };
        let agent = Agent::default();
        let asking = ask_forever((7, 1), (([127, 0, 0, 1], 9).into(), &agent), ask, Duration::ZERO, heard);
        let listening = async {
            let mut silent = Vec::new();
            while silent.len() < 3 {
                silent.push(matches!(said.recv().await.unwrap().outcome, AgentOutcome::Silent(_)));
            }
            silent
        };
        let silent = tokio::select! {
            () = asking => Vec::new(),
            silent = listening => silent,
        };
        assert_eq!(silent, [false, true, false]);
    }
}
