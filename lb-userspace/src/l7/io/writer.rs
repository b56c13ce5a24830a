//! Writer: what goes out on a connection. Small pieces are gathered, large ones are written from where they are.

use super::Wire;
use bytes::{Buf as _, Bytes};
use std::{
    io::{self, IoSlice},
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Pieces up to so many bytes are copied behind what is gathered: that costs less than a further part of a write.
const SMALL: usize = 4 * 1024;

/// So much is gathered before it must go.
const FULL: usize = 16 * 1024;

/// What goes out on a connection.
pub(in crate::l7) struct Writer {
    wire: Rc<Wire>,
    /// Gathered: heads, frames of chunks, small pieces.
    pub(in crate::l7) out: Vec<u8>,
    /// How much of `out` has gone.
    gone: usize,
    /// A large piece that goes after `out`.
    large: Bytes,
    /// What goes after that.
    after: &'static [u8],
    flushed: bool,
}

impl Writer {
    /// Of a connection.
    pub(in crate::l7) const fn new(wire: Rc<Wire>) -> Self {
        Self { wire, out: Vec::new(), gone: 0, large: Bytes::new(), after: b"", flushed: true }
    }

    /// The connection.
    pub(in crate::l7) const fn wire(&self) -> &Rc<Wire> {
        &self.wire
    }

    /// Whether nothing waits to be written.
    pub(in crate::l7) fn is_empty(&self) -> bool {
        self.gone == self.out.len() && self.large.is_empty() && self.after.is_empty() && self.flushed
    }

    /// Ready once another piece may be put.
    pub(in crate::l7) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.large.is_empty() && self.after.is_empty() && self.out.len() < FULL {
            return Poll::Ready(Ok(()));
        }
        self.poll_write(cx)
    }

    /// Puts a piece, then what must follow it. Only when ready.
    pub(in crate::l7) fn put(&mut self, piece: Bytes, after: &'static [u8]) {
        self.flushed = false;
        if piece.len() <= SMALL {
            self.out.extend_from_slice(&piece);
            self.out.extend_from_slice(after);
        } else {
            self.large = piece;
            self.after = after;
        }
    }

    /// Ready once all has gone.
    pub(in crate::l7) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx))?;
        if !self.flushed {
            ready!(self.wire.poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let gathered = self.out.get(self.gone..).unwrap_or_default();
            let parts = [IoSlice::new(gathered), IoSlice::new(&self.large), IoSlice::new(self.after)];
            let begun = parts.iter().position(|part| !part.is_empty());
            let end = parts.iter().rposition(|part| !part.is_empty());
            let Some(parts) = begun.zip(end).and_then(|(first, last)| parts.get(first..=last)) else { break };
            self.flushed = false;
            let count = ready!(self.wire.poll_write(cx, parts))?;
            self.advance(count);
        }
        if self.out.capacity() > FULL + SMALL {
            self.out = Vec::new();
        }
        self.out.clear();
        self.gone = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let of_out = count.min(self.out.len() - self.gone);
        self.gone += of_out;
        let of_large = (count - of_out).min(self.large.len());
        self.large.advance(of_large);
        self.after = self.after.get(count - of_out - of_large..).unwrap_or_default();
    }

    /// Tells the other side that no more comes, once all has gone.
    pub(in crate::l7) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.wire.poll_shutdown(cx)
    }

    /// Gives the buffer back, if nothing is in it.
    pub(in crate::l7) fn release(&mut self) {
        if self.gone == self.out.len() {
            self.out = Vec::new();
            self.gone = 0;
        }
    }
}
