//! Sinks: every target with its queue, its writer and its counters, by identity: what goes on being named outlives a
//! reload.

use super::{
    frame::{Process, Style},
    outlet::Outlet,
    sink::{Sink, lock},
    writer,
};
use crate::model::log::{EventFormat, EventLog, Format, Logging, Target};
use std::{
    collections::BTreeMap,
    io, mem,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Every target of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sinks(BTreeMap<Target, Arc<Handle>>);

/// A target in use; its writer ends, once all is written, when the last user is gone.
#[derive(Debug)]
pub(crate) struct Handle {
    sink: Arc<Sink>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// How a target stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SinkReport {
    /// As typed.
    pub(crate) target: String,
    /// Lines that it took.
    pub(crate) written: u64,
    /// Lines that were lost: the queue was full, or it never takes such.
    pub(crate) lost: u64,
    /// The last attempt to write failed.
    pub(crate) failing: bool,
}

impl Sinks {
    /// Those of another configuration: what stays goes on, what is new begins, what is not named any more ends once nobody
    /// uses it. `files`: what was opened for targets that are files, again or for the first time; a file without one waits
    /// for it. Errors: no thread to be had.
    pub(crate) fn update<'a>(
        &self,
        frontends: impl Iterator<Item = &'a Logging>,
        events: &'a [EventLog],
        files: BTreeMap<PathBuf, OwnedFd>,
        threads: usize,
    ) -> io::Result<Self> {
        let process = Process::this();
        let mut next: BTreeMap<Target, Arc<Handle>> = BTreeMap::new();
        let frontends = frontends.flat_map(|logging| &logging.targets);
        let requests = frontends.map(|log| (&log.target, log.framing, log.format == Format::Json));
        let events = events.iter().map(|log| (&log.target, log.framing, log.format == EventFormat::Json));
        for (target, framing, json) in requests.chain(events) {
            if next.contains_key(target) {
                continue;
            }
            let style = Style { process: process.clone(), framing, json };
            let handle = if let Some(known) = self.0.get(target) {
                *lock(&known.sink.style) = style;
                Arc::clone(known)
            } else {
                Arc::new(Handle::start(target, style, threads)?)
            };
            next.insert(target.clone(), handle);
        }
        let next = Self(next);
        next.reopen(files);
        Ok(next)
    }

    /// Goes on with these descriptors: the files were opened again.
    pub(crate) fn reopen(&self, files: BTreeMap<PathBuf, OwnedFd>) {
        for (path, descriptor) in files {
            if let Some(handle) = self.0.get(&Target::File(path)) {
                handle.sink.replace(descriptor);
            }
        }
    }

    pub(crate) fn get(&self, target: &Target) -> Option<&Arc<Handle>> {
        self.0.get(target)
    }

    /// How each stands.
    pub(crate) fn report(&self) -> Vec<SinkReport> {
        let report = |(target, handle): (&Target, &Arc<Handle>)| SinkReport {
            target: target.to_string(),
            written: handle.sink.written.value(),
            lost: handle.sink.lost.value(),
            failing: handle.sink.failing.load(Relaxed),
        };
        self.0.iter().map(report).collect()
    }

    /// Ends all writers once what waits is written, or `within` is over. Nothing is logged any more.
    pub(crate) async fn close(self, within: Duration) {
        let writers: Vec<_> = self.0.values().filter_map(|handle| handle.close()).collect();
        let until = Instant::now() + within;
        while writers.iter().any(|writer| !writer.is_finished()) && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Handle {
    fn start(target: &Target, style: Style, threads: usize) -> io::Result<Self> {
        let sink = Arc::new(Sink::new(target.clone(), style, threads));
        let writer = writer::start(Arc::clone(&sink), Outlet::new(target, None))?;
        Ok(Self { sink, writer: Mutex::new(Some(writer)) })
    }

    /// Hands over a message; see [`Sink::push`].
    pub(super) fn push(&self, thread: usize, message: &[u8]) {
        self.sink.push(thread, message);
    }

    fn close(&self) -> Option<JoinHandle<()>> {
        self.sink.close();
        mem::take(&mut *lock(&self.writer))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sink.close();
    }
}
