//! Sink: a bounded queue between the threads that serve and the one that writes to a target.
//!
//! Whoever serves copies its line into a batch that belongs to its thread, behind a lock that only the writer ever takes
//! besides, for a moment. A batch that is full takes no more: the line is lost, and counted. The writer is woken by the
//! first line after a silence, and then waits a little for others, so that lines cost no wake-up each.

use super::frame::Style;
use crate::{
    model::log::Target,
    servers::{Padded, counts::Counter},
};
use std::{
    mem,
    os::fd::OwnedFd,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, Thread},
    time::Duration,
};

/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes and lines that wait in the batch of one thread. Half of either wakes the writer at once.
pub(super) const BATCH_BYTES: usize = 1 << 20;
pub(super) const BATCH_LINES: usize = 8_192;

/// Complete messages, one after the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where each message ends.
    pub(super) ends: Vec<usize>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pushed {
    In,
    /// It is in, and with it the batch became half full.
    Half,
    Lost,
}

/// What both sides of the queue share.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) target: Target,
    /// How the target is told of lines that were lost.
    pub(super) style: Mutex<Style>,
    batches: Box<[Padded<Mutex<Batch>>]>,
    /// Something waits, and the writer knows.
    pending: AtomicBool,
    closing: AtomicBool,
    /// Set by the writer as it begins.
    writer: OnceLock<Thread>,
    /// A descriptor to go on with: the file was opened again.
    pub(super) replacement: Mutex<Option<OwnedFd>>,
    /// Lines handed to the target.
    pub(super) written: Counter,
    /// Lines that were not.
    pub(super) lost: Counter,
    /// The last attempt failed.
    pub(super) failing: AtomicBool,
}

impl Batch {
    fn push(&mut self, message: &[u8]) -> Pushed {
        if self.bytes.len() + message.len() > BATCH_BYTES || self.ends.len() >= BATCH_LINES {
            return Pushed::Lost;
        }
        let before = self.is_half_full();
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
        if self.is_half_full() && !before { Pushed::Half } else { Pushed::In }
    }

    fn is_half_full(&self) -> bool {
        self.bytes.len() > BATCH_BYTES / 2 || self.ends.len() > BATCH_LINES / 2
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Sink {
    /// For so many serving threads.
    pub(super) fn new(target: Target, style: Style, threads: usize) -> Self {
        Self {
            target,
            style: Mutex::new(style),
            batches: (0..threads.max(1)).map(|_| Padded::default()).collect(),
            pending: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            writer: OnceLock::new(),
            replacement: Mutex::new(None),
            written: Counter::default(),
            lost: Counter::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Hands over a message. Never waits for the target.
    pub(super) fn push(&self, thread: usize, message: &[u8]) {
        let Some(Padded(batch)) = self.batches.get(thread % self.batches.len().max(1)) else { return };
        let pushed = lock(batch).push(message);
        if pushed == Pushed::Lost {
            self.lost.increment();
        }
        // Read first: the line of this flag stays shared while nothing changes.
        if pushed == Pushed::Half || !self.pending.load(SeqCst) && !self.pending.swap(true, SeqCst) {
            self.wake();
        }
    }

    /// Goes on with that descriptor, and lets go of the one before even if there is nothing to write.
    pub(super) fn replace(&self, descriptor: OwnedFd) {
        *lock(&self.replacement) = Some(descriptor);
        self.pending.store(true, SeqCst);
        self.wake();
    }

    /// Ends the writer once what waits is written.
    pub(super) fn close(&self) {
        self.closing.store(true, SeqCst);
        self.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(SeqCst)
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Says that the calling thread is the writer.
    pub(super) fn register(&self) {
        self.writer.get_or_init(thread::current);
    }

    /// Waits for lines, and a little longer for more. `false`: there will be none.
    pub(super) fn wait(&self) -> bool {
        while !self.pending.load(SeqCst) {
            if self.is_closing() {
                return false;
            }
            thread::park();
        }
        if !self.is_closing() {
            thread::park_timeout(GATHER);
        }
        // Before the batches are taken: a line that comes after its batch was taken sets it again.
        self.pending.store(false, SeqCst);
        true
    }

    /// Takes what waits of each thread in turn, leaving `spare` behind, which is empty.
    pub(super) fn take(&self, place: usize, spare: &mut Batch) -> bool {
        let Some(Padded(batch)) = self.batches.get(place) else { return false };
        mem::swap(&mut *lock(batch), spare);
        true
    }

    /// Counts lines that went to the target. Whether it had failed before.
    pub(super) fn wrote(&self, lines: usize) -> bool {
        self.written.add(lines as u64);
        self.failing.swap(false, Relaxed)
    }
}

/// A batch is whole at every moment: a panic elsewhere does not spoil it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
