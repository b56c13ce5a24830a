//! Reader: what comes on a connection, and what of it nobody has taken yet.

use super::Wire;
use bytes::BytesMut;
use std::{
    cell::RefCell,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// Bytes read at a time, HAProxy's `tune.bufsize`.
const BUFFER: usize = 16 * 1024;

thread_local! {
    /// What an empty reader reads into, so that a connection that waits holds no buffer: most of them do nothing else.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into_boxed_slice());
}

/// What comes on a connection.
pub(in crate::l7) struct Reader {
    wire: Rc<Wire>,
    /// What came and was not taken.
    pub(in crate::l7) input: BytesMut,
    is_closed: bool,
}

impl Reader {
    /// Of a connection.
    pub(in crate::l7) fn new(wire: Rc<Wire>) -> Self {
        Self { wire, input: BytesMut::new(), is_closed: false }
    }

    /// The connection.
    pub(in crate::l7) const fn wire(&self) -> &Rc<Wire> {
        &self.wire
    }

    /// Whether the other side has said that it sends no more.
    pub(in crate::l7) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Reads more behind what is there. `false`: no more will come.
    pub(in crate::l7) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.is_closed {
            return Poll::Ready(Ok(false));
        }
        let count = if self.input.is_empty() && self.input.capacity() < BUFFER {
            ready!(self.poll_fill_empty(cx))?
        } else {
            ready!(self.poll_fill_behind(cx))?
        };
        self.is_closed = count == 0;
        Poll::Ready(Ok(count > 0))
    }

    /// What is read at once fits exactly; what fills the scratch buffer is probably followed by more.
    fn poll_fill_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let count = ready!(self.wire.poll_read(cx, &mut buffer))?;
            if count == BUFFER {
                self.input.reserve(2 * BUFFER);
            }
            self.input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(count))
        })
    }

    fn poll_fill_behind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < BUFFER / 4 {
            self.input.reserve(BUFFER);
        }
        self.wire.poll_read_behind(cx, &mut self.input)
    }

    /// Gives the buffer back, if nothing is in it.
    pub(in crate::l7) fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }
}
