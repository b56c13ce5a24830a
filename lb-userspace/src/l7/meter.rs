//! Meter: what moves on a connection and since when nothing does. Every timeout of a client and of a server's answer
//! is decided from here, so that one lazily moved timer a connection is enough.

use super::{serve::Timeouts, threads::after};
use crate::servers::{FrontendLive, counts::FrontendCounts};
use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// What moves on one connection.
pub(super) struct Meter {
    /// When bytes last moved, either way.
    last: Cell<Instant>,
    /// Request bodies that are being waited for.
    bodies_wanted: Cell<u32>,
    /// Exchanges that run.
    active: Cell<u32>,
    /// Those of them whose next step is a server's.
    on_server: Cell<u32>,
    /// When the request began whose headers are not complete.
    head_since: Cell<Option<Instant>>,
    /// Whether what comes between exchanges need not be the begin of the next one.
    multiplexed: Cell<bool>,
    /// Whether any byte ever came.
    touched: Cell<bool>,
    counts: Option<(Arc<FrontendLive>, usize)>,
}

/// What a connection is late with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Late {
    /// The headers of a request.
    Head,
    /// The next request.
    Idle,
    /// A body, or taking ours.
    Silent,
}

impl Meter {
    /// Of a client, which owes us its first request from now on.
    pub(super) fn of_client(live: Arc<FrontendLive>, thread: usize) -> Self {
        let meter = Self::new(Some((live, thread)));
        meter.head_since.set(Some(meter.last()));
        meter
    }

    /// Of a server.
    pub(super) fn of_server() -> Self {
        Self::new(None)
    }

    fn new(counts: Option<(Arc<FrontendLive>, usize)>) -> Self {
        Self {
            last: Cell::new(Instant::now()),
            bodies_wanted: Cell::new(0),
            active: Cell::new(0),
            on_server: Cell::new(0),
            head_since: Cell::new(None),
            multiplexed: Cell::new(false),
            touched: Cell::new(false),
            counts,
        }
    }

    /// The counters of the frontend on this thread; a server's connection has none.
    pub(super) fn counts(&self) -> Option<&FrontendCounts> {
        self.counts.as_ref().map(|(live, thread)| live.counts.of(*thread))
    }

    /// When something last moved.
    pub(super) fn last(&self) -> Instant {
        self.last.get()
    }

    /// Something moves now.
    pub(super) fn touch(&self) {
        self.last.set(Instant::now());
    }

    /// The connection speaks HTTP/2: bytes without an exchange may be about the connection itself.
    pub(super) fn set_multiplexed(&self) {
        self.multiplexed.set(true);
    }

    /// Whether nothing ever came.
    pub(super) fn is_untouched(&self) -> bool {
        !self.touched.get()
    }

    /// Whether the next step is the client's.
    pub(super) fn is_waiting_for_body(&self) -> bool {
        self.bodies_wanted.get() > 0
    }

    /// An exchange runs until the value is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> Exchange {
        self.active.set(self.active.get() + 1);
        self.head_since.set(None);
        Exchange(Rc::clone(self))
    }

    /// A request body is waited for until the value is dropped.
    pub(super) fn want_body(self: &Rc<Self>) -> BodyWanted {
        self.touch();
        self.bodies_wanted.set(self.bodies_wanted.get() + 1);
        BodyWanted(Rc::clone(self))
    }

    /// A server is waited for until the value is dropped.
    pub(super) fn wait_for_server(self: &Rc<Self>) -> OnServer {
        self.on_server.set(self.on_server.get() + 1);
        OnServer(Rc::clone(self))
    }

    /// Until when the client must move, and what it is late with then; `None` while we wait for a server. An exchange
    /// that waits neither for a server nor for a body waits for the client to take what we have.
    pub(super) fn deadline(&self, timeouts: &Timeouts) -> Option<(Instant, Late)> {
        if self.is_waiting_for_body() || self.active.get() > self.on_server.get() {
            return Some((after(self.last(), timeouts.silence), Late::Silent));
        }
        match self.head_since.get() {
            _ if self.active.get() > 0 => None,
            Some(since) => Some((after(since, timeouts.request), Late::Head)),
            None => Some((after(self.last(), timeouts.keep_alive), Late::Idle)),
        }
    }

    fn did_read(&self, bytes: usize) {
        self.touch();
        self.touched.set(true);
        let begins = self.active.get() == 0 && !self.multiplexed.get();
        if begins && self.head_since.get().is_none() {
            self.head_since.set(Some(self.last()));
        }
        if let Some(counts) = self.counts() {
            counts.bytes_in.add(bytes as u64);
        }
    }

    fn note_write(&self, result: &Poll<io::Result<usize>>) {
        let Poll::Ready(Ok(bytes)) = result else { return };
        self.touch();
        if let Some(counts) = self.counts() {
            counts.bytes_out.add(*bytes as u64);
        }
    }
}

/// An exchange that runs.
pub(super) struct Exchange(Rc<Meter>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
        self.0.touch();
    }
}

/// A server that is waited for.
pub(super) struct OnServer(Rc<Meter>);

impl Drop for OnServer {
    fn drop(&mut self) {
        self.0.on_server.set(self.0.on_server.get().saturating_sub(1));
        // From here on the client has time.
        self.0.touch();
    }
}

/// A request body that is waited for.
pub(super) struct BodyWanted(Rc<Meter>);

impl Drop for BodyWanted {
    fn drop(&mut self) {
        self.0.bodies_wanted.set(self.0.bodies_wanted.get().saturating_sub(1));
    }
}

/// A connection with its meter.
pub(super) struct Metered<IO> {
    io: IO,
    meter: Rc<Meter>,
}

impl<IO> Metered<IO> {
    pub(super) fn new(io: IO, meter: Rc<Meter>) -> Self {
        Self { io, meter }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Metered<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        let bytes = buf.filled().len().saturating_sub(before);
        if bytes > 0 {
            self.meter.did_read(bytes);
        }
        result
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Metered<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.meter.note_write(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.meter.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
