//! Log: one line for each request or relayed connection, written by nobody who serves.
//!
//! Whoever serves fills a [`Record`](record::Record) at the end and gives it to the [`Logger`](logger::Logger) of its frontend, with the [`Pen`] of its
//! thread. The logger writes the line (`line` or `object`, behind the header of `frame`) and copies it into the queue of
//! each target (`sink`), whose thread (`writer`) brings it there (`outlet`). [`Sinks`] keeps these across reloads.
#![expect(dead_code, reason = "nothing is logged yet")]

pub(crate) mod captured;
mod clock;
pub(crate) mod events;
mod frame;
pub(crate) mod id;
mod line;
pub(crate) mod logger;
mod object;
pub(crate) mod outlet;
pub(crate) mod record;
mod sink;
mod sinks;
pub(crate) mod termination;
mod write;
mod writer;
#[cfg(test)]
mod tests;

pub(crate) use clock::{date, read_zone};
pub(crate) use sinks::{SinkReport, Sinks};

use clock::Clock;
use frame::Process;

/// What ends a line that was cut.
const CUT: &[u8] = b"...";

/// What a serving thread writes lines with.
#[derive(Debug)]
pub(crate) struct Pen {
    /// Which thread, from 0.
    thread: usize,
    process: Process,
    clock: Clock,
    /// Used again for every line.
    line: Vec<u8>,
    random: fastrand::Rng,
}

impl Pen {
    /// Of that thread.
    pub(crate) fn new(thread: usize) -> Self {
        let (process, random) = (Process::this(), fastrand::Rng::new());
        Self { thread, process, clock: Clock::default(), line: Vec::with_capacity(1_024), random }
    }
}
