//! Steady traffic: one connection a request, from a few threads, until told to stop. Every exchange is kept.

use super::http::{Answer, Connection};
use crate::netns::Namespace;
use anyhow::{Context, Result};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;

/// Threads that send requests; so many can be in flight at once.
pub const THREADS: usize = 4;

/// Pause between two requests of a thread.
const PAUSE: Duration = Duration::from_millis(4);

/// One request and what became of it.
#[derive(Debug)]
pub struct Exchange {
    /// Before the connection was opened.
    pub started: Instant,
    /// After the answer, or the error.
    pub ended: Instant,
    /// The answer; anything but 200 is an error too.
    pub result: Result<Answer>,
}

/// Traffic that runs.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Exchange>>>>,
}

impl Load {
    /// Starts to send `GET /` to an address.
    pub fn start(client: &Namespace, address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |_| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                client.enter()?;
                let mut done = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    done.push(exchange(address));
                    thread::sleep(PAUSE);
                }
                Ok(done)
            })
        };
        let threads = (0..THREADS).map(thread).collect();
        Self { stop, threads }
    }

    /// Lets the requests in flight end, and returns all of them.
    pub fn stop(self) -> Result<Vec<Exchange>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads {
            all.extend(thread.join().ok().context("a client thread panicked")??);
        }
        Ok(all)
    }
}

/// How many were answered, by server.
pub fn answered(exchanges: &[Exchange]) -> BTreeMap<String, u64> {
    let mut count = BTreeMap::new();
    for answer in exchanges.iter().filter_map(|exchange| exchange.result.as_ref().ok()) {
        *count.entry(answer.server.clone()).or_default() += 1;
    }
    count
}

fn exchange(address: SocketAddr) -> Exchange {
    let started = Instant::now();
    let result = Connection::connect(address).and_then(|mut connection| connection.get("/")).and_then(|answer| {
        anyhow::ensure!(answer.status == 200, "status {}", answer.status);
        Ok(answer)
    });
    Exchange { started, ended: Instant::now(), result }
}
