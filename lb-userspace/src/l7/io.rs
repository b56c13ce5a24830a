//! The two directions of one connection, used side by side by one task: a [`Reader`] and a [`Writer`] of the same socket,
//! in clear text or TLS. No lock: a connection never leaves its thread.

pub(super) mod reader;
pub(super) mod writer;

pub(super) use reader::Reader;
pub(super) use writer::Writer;

use super::{connect, tls};
use crate::servers::{FrontendLive, ServerLive, counts::Counter};
use bytes::BytesMut;
use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::io::poll_read_buf;

/// A socket, with or without TLS. Boxed where it is large, so that the tasks of clear text stay small.
pub(super) enum Io {
    /// Clear text.
    Tcp(TcpStream),
    /// TLS, whichever side of it we are.
    Tls(Box<tls::Stream>),
}

impl Io {
    /// Whether the two ends have agreed on HTTP/2 (RFC 7301).
    pub(super) fn speaks_h2(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(stream) => tls::speaks_h2(stream),
        }
    }
}

macro_rules! on_io {
    ($io:expr, $stream:ident => $call:expr) => {
        match $io {
            Io::Tcp($stream) => $call,
            Io::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_io!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

/// What both directions of a connection share.
pub(super) struct Wire {
    io: RefCell<Io>,
    /// Bytes that came, without those of TLS.
    received: Cell<u64>,
    /// Bytes that went, without those of TLS.
    sent: Cell<u64>,
    /// Where they are counted besides, and the thread.
    counted: (Counted, usize),
}

/// Whose bytes are counted.
pub(super) enum Counted {
    /// A client's.
    Frontend(Arc<FrontendLive>),
    /// A server's.
    Server(Arc<ServerLive>),
}

impl Counted {
    /// Of what comes.
    fn received(&self, thread: usize) -> &Counter {
        match self {
            Self::Frontend(live) => &live.counts.of(thread).bytes_in,
            Self::Server(live) => &live.counts.of(thread).bytes_out,
        }
    }

    /// Of what goes.
    fn sent(&self, thread: usize) -> &Counter {
        match self {
            Self::Frontend(live) => &live.counts.of(thread).bytes_out,
            Self::Server(live) => &live.counts.of(thread).bytes_in,
        }
    }
}

impl Wire {
    /// Of a connection, whose bytes that thread counts there as well.
    pub(super) fn new(io: Io, counted: (Counted, usize)) -> Rc<Self> {
        Rc::new(Self { io: RefCell::new(io), received: Cell::new(0), sent: Cell::new(0), counted })
    }

    /// Bytes that came so far.
    pub(super) const fn received(&self) -> u64 {
        self.received.get()
    }

    /// Bytes that went so far.
    pub(super) const fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// How many bytes came; 0: no more will.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.io.borrow_mut()).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        self.count_received(count);
        Poll::Ready(Ok(count))
    }

    /// The same behind what a buffer has.
    fn poll_read_behind(&self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let count = ready!(poll_read_buf(Pin::new(&mut *self.io.borrow_mut()), cx, buffer))?;
        self.count_received(count);
        Poll::Ready(Ok(count))
    }

    fn count_received(&self, count: usize) {
        self.received.set(self.received.get() + count as u64);
        let (counted, thread) = &self.counted;
        counted.received(*thread).add(count as u64);
    }

    fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let io = &mut *self.io.borrow_mut();
        // One part is cheaper to send than a list of parts.
        let count = ready!(match parts {
            [part] => on_io!(io, stream => Pin::new(stream).poll_write(cx, part)),
            parts => on_io!(io, stream => Pin::new(stream).poll_write_vectored(cx, parts)),
        })?;
        self.sent.set(self.sent.get() + count as u64);
        let (counted, thread) = &self.counted;
        counted.sent(*thread).add(count as u64);
        if count == 0 { Poll::Ready(Err(io::ErrorKind::WriteZero.into())) } else { Poll::Ready(Ok(count)) }
    }

    /// TLS may have kept something back.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.io.borrow_mut() {
            Io::Tcp(_) => Poll::Ready(Ok(())),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Has the connection end by a reset, once nobody uses it any more.
    pub(super) fn reset_at_end(&self) {
        let io = self.io.borrow();
        let stream = match &*io {
            Io::Tcp(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        };
        connect::reset_at_end(stream);
    }

    /// Tells the other side that no more comes.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_io!(&mut *self.io.borrow_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Both directions for whoever wants them in one, with what was read already.
pub(super) struct Both {
    wire: Rc<Wire>,
    before: BytesMut,
}

impl Both {
    /// Of a connection, of which `before` was read already.
    pub(super) const fn new(wire: Rc<Wire>, before: BytesMut) -> Self {
        Self { wire, before }
    }
}

impl AsyncRead for Both {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return self.wire.poll_read(cx, buffer).map_ok(drop);
        }
        let count = self.before.len().min(buffer.remaining());
        buffer.put_slice(&self.before.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Both {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_shutdown(cx)
    }
}
