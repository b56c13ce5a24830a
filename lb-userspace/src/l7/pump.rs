//! Pump: moves one body from where it comes to where it goes, a piece at a time, and knows whom it waits for.

use super::message::Fields;
use bytes::Bytes;
use std::{
    io,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

/// A piece of a body.
#[derive(Debug)]
pub(super) enum Frame {
    /// Bytes; not none.
    Data(Bytes),
    /// The fields after the last byte.
    Trailers(Fields),
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Broken {
    /// The connection failed or was closed.
    Cut,
    /// What came is not how a body is written, or of another length than promised.
    Malformed,
}

impl From<io::Error> for Broken {
    fn from(_cause: io::Error) -> Self {
        Self::Cut
    }
}

/// Where a body comes from.
pub(super) trait Source {
    /// The next piece; `None` after the last one.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Broken>>;

    /// Ready once whoever sent it is gone, so that nobody waits for an answer. Asked after the last piece only.
    fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Where a body goes.
pub(super) trait Sink {
    /// Ready once another piece may be put.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;

    /// Puts a piece. Only when ready. An error is the source's: it has not kept its word about the length.
    fn put(&mut self, frame: Frame) -> Result<(), Broken>;

    /// There is no further piece. An error is the source's.
    fn finish(&mut self) -> Result<(), Broken>;

    /// Ready once all that was put has gone.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;

    /// Ready once the other side was told that nothing follows, if the end of the body is to be told so.
    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    /// Grows whenever bytes go.
    fn progress(&self) -> u64;
}

/// Whose fault it is that a body does not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// Of where it comes from.
    Source(Broken),
    /// Of where it goes.
    Sink,
}

/// Whom a pump waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Awaited {
    /// More of the body.
    Source,
    /// Room for more.
    Sink,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Moving,
    Flushing,
    Done,
}

/// Moves one body.
pub(super) struct Pump<S, K> {
    pub(super) source: S,
    pub(super) sink: K,
    state: State,
    /// Since when it waits for whom.
    waiting: Option<(Awaited, Instant)>,
    /// What had gone when it began to wait for room.
    gone: u64,
    /// Whether anything of the body was taken from its source.
    begun: bool,
}

impl<S: Source, K: Sink> Pump<S, K> {
    /// From there to there.
    pub(super) const fn new(source: S, sink: K) -> Self {
        Self { source, sink, state: State::Moving, waiting: None, gone: 0, begun: false }
    }

    /// Whether all has come and gone.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether anything of the body was taken: then it cannot be sent again.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Goes on with what now comes from the same source.
    pub(super) const fn restart(&mut self) {
        self.state = State::Moving;
    }

    /// Whom it waits for, and since when.
    pub(super) const fn waiting(&self) -> Option<(Awaited, Instant)> {
        self.waiting
    }

    /// Moves what can be moved. Ready once all has gone.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            match self.state {
                State::Moving => {
                    let room = self.sink.poll_ready(cx);
                    ready!(self.note(Awaited::Sink, room)).map_err(|_broken| Fault::Sink)?;
                    let Poll::Ready(frame) = self.source.poll_frame(cx) else {
                        // Nobody should wait for what we have because we wait for more.
                        if let Poll::Ready(Err(_)) = self.sink.poll_flush(cx) {
                            return Poll::Ready(Err(Fault::Sink));
                        }
                        return self.note(Awaited::Source, Poll::Pending);
                    };
                    self.waiting = None;
                    if let Some(frame) = frame.map_err(Fault::Source)? {
                        self.begun = true;
                        self.sink.put(frame).map_err(Fault::Source)?;
                    } else {
                        self.sink.finish().map_err(Fault::Source)?;
                        self.state = State::Flushing;
                    }
                }
                State::Flushing => {
                    let gone = self.sink.poll_flush(cx);
                    ready!(self.note(Awaited::Sink, gone)).map_err(|_broken| Fault::Sink)?;
                    let closed = self.sink.poll_close(cx);
                    ready!(self.note(Awaited::Sink, closed)).map_err(|_broken| Fault::Sink)?;
                    self.state = State::Done;
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn note<T>(&mut self, awaited: Awaited, polled: Poll<T>) -> Poll<T> {
        let waits = self.waiting.is_some_and(|(before, _)| before == awaited);
        let moved = awaited == Awaited::Sink && self.gone != self.sink.progress();
        if polled.is_ready() {
            self.waiting = self.waiting.filter(|_| !waits);
        } else if !waits || moved {
            self.waiting = Some((awaited, Instant::now()));
            self.gone = self.sink.progress();
        }
        polled
    }
}
