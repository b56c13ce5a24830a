//! Connect: opens a connection to a server.

use super::{
    balance::{Flow, Tried},
    io::{Counted, Io},
    proxy_protocol, scarce,
    snapshot::BackendRoute,
    threads::Thread,
    timer::{Timer, after},
    tls::server::ConnectError,
};
use crate::{
    health,
    model::{SendProxy, Sni},
    servers::{Entry, Place, Refusal, Seen, ServerLive, Slot},
};
use rustix::io::Errno;
use socket2::SockRef;
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{AsRawFd as _, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    time::{self, Instant},
};

/// Counts a connection to a server as open while it lives.
pub(super) struct Open {
    server: Arc<ServerLive>,
    thread: usize,
}

impl Open {
    /// Where its bytes are counted.
    pub(super) fn counted(&self) -> (Counted, usize) {
        (Counted::Server(Arc::clone(&self.server)), self.thread)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.server.counts.of(self.thread).closed.increment();
    }
}

/// Opens a connection to a server of `backend`, by its index, for the client of `flow`, who asks for `host`.
pub(super) async fn open(
    backend: &BackendRoute,
    server: usize,
    flow: Flow,
    host: Option<&str>,
    thread: &Thread,
) -> io::Result<(Io, Open)> {
    let (Some(destination), Some(live)) = (backend.destinations.get(server), backend.live.servers.get(server)) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let address = destination.reached(&flow);
    let counts = live.counts.of(thread.index);
    let tls = backend.tls.get(server).and_then(Option::as_ref);
    let attempt = async {
        let client = Some((flow.client, flow.local));
        let stream = match connect(address, backend.send_proxy, client, thread.scarce.ceiling()).await {
            Err(error) if scarce::is_lack(&error) => {
                thread.spare_descriptors();
                connect(address, backend.send_proxy, client, thread.scarce.ceiling()).await?
            }
            connected => connected?,
        };
        let Some((connector, sni)) = tls else { return Ok(Io::Tcp(stream)) };
        let name = match sni {
            Sni::Host => host,
            Sni::Name(name) => Some(name.as_str()),
        };
        let stream = Box::pin(connector.connect(stream, name, address.ip())).await.map_err(io::Error::other)?;
        Ok(Io::Tls(Box::new(stream.into())))
    };
    let deadline = Instant::now() + backend.timeout_connect;
    let attempt = time::timeout_at(deadline, attempt).await;
    match attempt.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())) {
        Ok(io) => {
            counts.opened.increment();
            backend.live.saw(server, Seen::Connected);
            Ok((io, Open { server: Arc::clone(live), thread: thread.index }))
        }
        Err(error) => {
            counts.connect_errors.increment();
            let by_host = matches!(tls, Some((_, Sni::Host)));
            if !(health::is_ours(&error) || by_host && is_about_name(&error) || is_late(deadline)) {
                backend.live.saw(server, Seen::NotConnected);
            }
            tracing::debug!(server = %address, %error, "cannot connect");
            Err(error)
        }
    }
}

/// Whether this thread did not run when `deadline` was over: what failed then says nothing of the server.
fn is_late(deadline: Instant) -> bool {
    const SLACK: Duration = Duration::from_millis(50);
    Instant::now() > deadline + SLACK
}

/// Whether a server has no certificate for the name that it was asked for.
fn is_about_name(error: &io::Error) -> bool {
    let about = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectError>());
    about.is_some_and(|error| matches!(error, ConnectError::Name | ConnectError::Certificate(_)))
}

/// Opens a connection to `address`, and says who the client is if the server wants to hear that: its address and the one that it
/// connected to; `None`: we speak for ourselves. Descriptors from the number `ceiling` on are not for it.
pub(crate) async fn connect(
    address: SocketAddr,
    send_proxy: Option<SendProxy>,
    client: Option<(SocketAddr, SocketAddr)>,
    ceiling: RawFd,
) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if socket.as_raw_fd() >= ceiling {
        return Err(Errno::MFILE.into());
    }
    let mut stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    if let Some(version) = send_proxy {
        stream.write_all(&proxy_protocol::header(version, client)?).await?;
    }
    Ok(stream)
}

/// Has a connection end by a reset, once nobody uses it any more: that leaves nothing behind on either side. If the option cannot be
/// set, it ends by a close.
pub(crate) fn reset_at_end(stream: &TcpStream) {
    drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
}

/// Opens a connection to whichever server takes it first: the next is tried as soon as one has refused. `key` is what servers
/// are picked by, if by a hash; `chosen` is told each.
pub(super) async fn open_any(
    backend: &BackendRoute,
    (flow, key): (Flow, Option<u32>),
    thread: &Thread,
    timer: &mut Timer,
    mut chosen: impl FnMut(usize),
) -> Option<(Slot, Io, Open)> {
    let mut attempts = Attempts::new(backend, key, None);
    // A client that is gone is found out by the first byte for it.
    while let Ok(slot) = attempts.next(timer, |_cx| Poll::Pending).await {
        chosen(slot.server);
        if let Ok((io, open)) = open(backend, slot.server, flow, None, thread).await {
            return Some((slot, io, open));
        }
    }
    None
}

/// The attempts of one request or connection to be served. Each goes to a server that takes new traffic and was not tried
/// yet, at once: waiting before the next one, as HAProxy does, helps nobody.
pub(super) struct Attempts<'a> {
    backend: &'a BackendRoute,
    /// What the server is picked by, if by a hash.
    key: Option<u32>,
    /// The server that persistence names, until it was tried.
    bound: Option<usize>,
    tried: Tried,
    /// Attempts that are left.
    left: u32,
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoPlace {
    /// No server that was not tried takes new traffic, or as many were tried as may.
    NoServer,
    /// All were full for too long.
    Late,
    /// Whoever waited is gone.
    Gone,
}

impl<'a> Attempts<'a> {
    /// For a request or a connection; `key` is what servers are picked by, if by a hash, and `bound` the one that persistence
    /// names.
    pub(super) fn new(backend: &'a BackendRoute, key: Option<u32>, bound: Option<usize>) -> Self {
        let left = match bound {
            Some(_) if !backend.retry.redispatch => 1,
            Some(_) | None => backend.retry.retries.saturating_add(1),
        };
        Self { backend, key, bound, tried: Tried::default(), left }
    }

    /// Whether another attempt may follow, as far as can be told now: whether there is one left, and a server for it.
    pub(super) fn has_another(&self) -> bool {
        let is_new = |server: usize| !self.tried.contains(server);
        self.left > 0 && self.backend.live.available.load().servers().iter().any(|(server, _)| is_new(*server))
    }

    /// A place at the next server, once there is one; `gone`: whether whoever waits for it still does.
    pub(super) async fn next(
        &mut self,
        timer: &mut Timer,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<Slot, NoPlace> {
        let live = &self.backend.live;
        let mut deadline = None;
        while self.left > 0 {
            let bound = self.bound.take().map(Place::Bound);
            let choose = || self.backend.order.choose(live, self.key, &self.tried);
            let Some(place) = bound.or_else(choose) else { break };
            let entered = match live.enter(place, self.tried.all()) {
                Ok(Entry::Slot(slot)) => Ok(slot),
                Ok(Entry::Waiting(mut waiting)) => {
                    let deadline = *deadline.get_or_insert_with(|| after(Instant::now(), self.backend.timeout_queue));
                    let waited = poll_fn(|cx| {
                        if let Poll::Ready(entered) = Pin::new(&mut waiting).poll(cx) {
                            return Poll::Ready(Ok(entered));
                        }
                        if gone(cx).is_ready() {
                            return Poll::Ready(Err(NoPlace::Gone));
                        }
                        timer.poll(cx, Some(deadline)).map(|()| Err(NoPlace::Late))
                    });
                    waited.await?
                }
                Err(refusal) => Err(refusal),
            };
            match (entered, place) {
                (Ok(slot), _) => {
                    self.left -= 1;
                    self.tried.add(slot.server);
                    return Ok(slot);
                }
                (Err(Refusal::NoServer), _) | (Err(_), Place::Any) => break,
                (Err(Refusal::QueueFull | Refusal::Gone), Place::Server(server) | Place::Bound(server)) => {
                    self.tried.add(server);
                }
            }
        }
        if self.tried.all().is_empty() {
            live.no_server.0.increment();
        }
        Err(NoPlace::NoServer)
    }
}
