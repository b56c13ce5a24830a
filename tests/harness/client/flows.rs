//! Long-lived TCP connections to echo servers: the flows that must not break.

use super::{PATIENCE, Seen, seen};
use crate::netns::Namespace;
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use tokio::time::Instant;

/// Many connections that are open at once.
#[derive(Debug, Default)]
pub struct Flows(Vec<Flow>);

/// One of them.
#[derive(Debug)]
struct Flow {
    stream: TcpStream,
    /// As the server greeted.
    seen: Seen,
}

impl Flows {
    /// Opens connections from a namespace, and waits for the greeting of each.
    pub fn open(client: &Namespace, address: SocketAddr, count: usize) -> Result<Self> {
        client.run(|| (0..count).map(|_| Flow::open(address)).collect::<Result<_>>().map(Self))?
    }

    /// The same where some may fail to open: those that did, and how many did not.
    pub fn open_some(client: &Namespace, address: SocketAddr, count: usize) -> Result<(Self, usize)> {
        let opened = client.run(|| (0..count).filter_map(|_| Flow::open(address).ok()).collect::<Vec<_>>())?;
        let failed = count - opened.len();
        Ok((Self(opened), failed))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many each server has.
    pub fn by_server(&self) -> BTreeMap<String, usize> {
        seen::by_server(self.seen())
    }

    /// How the servers see their clients.
    pub fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.0.iter().map(|flow| &flow.seen)
    }

    /// Those of one server, and all others.
    pub fn split(self, server: &str) -> (Self, Self) {
        let (of, others) = self.0.into_iter().partition(|flow| flow.seen.server == server);
        (Self(of), Self(others))
    }

    /// Takes more of them in.
    pub fn append(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Sends something on every connection and wants it back: the error counts the broken ones, by server.
    pub fn exchange(&mut self, message: &str) -> Result<()> {
        let mut broken = BTreeMap::<_, (usize, String)>::new();
        let results = talk(&mut self.0, message)?;
        for (flow, result) in self.0.iter().zip(results) {
            if let Err(error) = result {
                let entry = broken.entry(flow.seen.server.clone()).or_default();
                *entry = (entry.0 + 1, format!("{error:#}"));
            }
        }
        ensure!(
            broken.is_empty(),
            "broken of {} flows at `{message}` (server, how many, last error): {broken:?}",
            self.len()
        );
        Ok(())
    }

    /// The same, and lets go of the broken ones: what was the matter with each.
    pub fn exchange_some(&mut self, message: &str) -> Result<Vec<anyhow::Error>> {
        let mut results = talk(&mut self.0, message)?.into_iter();
        let mut broken = Vec::new();
        self.0.retain(|_| results.next().and_then(Result::err).map(|error| broken.push(error)).is_none());
        Ok(broken)
    }
}

/// Says something on each of them, and then listens to each.
fn talk(flows: &mut [Flow], message: &str) -> Result<Vec<Result<()>>> {
    let sent: Vec<_> = flows.iter_mut().map(|flow| flow.send(message)).collect();
    let deadline = Instant::now() + PATIENCE;
    let received = flows.iter_mut().zip(sent).map(|(flow, sent)| {
        // All of them wait at the same time: a thousand silent flows cost no more patience than one.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        flow.stream.set_read_timeout(Some(left))?;
        Ok(sent.and_then(|()| flow.receive(message)))
    });
    received.collect()
}

impl Flow {
    fn open(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut greeting = Vec::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte).context("reading the greeting")?;
            if byte == *b"\n" {
                break;
            }
            greeting.extend(byte);
        }
        let seen = Seen::read(stream.local_addr()?, &String::from_utf8(greeting)?)?;
        Ok(Self { stream, seen })
    }

    fn send(&mut self, message: &str) -> Result<()> {
        self.stream.write_all(message.as_bytes()).context("sending")
    }

    fn receive(&mut self, message: &str) -> Result<()> {
        let mut back = vec![0; message.len()];
        self.stream.read_exact(&mut back).context("receiving")?;
        ensure!(back == message.as_bytes(), "sent {message:?}, got {:?}", String::from_utf8_lossy(&back));
        Ok(())
    }
}
