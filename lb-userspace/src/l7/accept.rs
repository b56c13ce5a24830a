//! A listener's accept loop, and the first steps of a connection: handshake, then relay or HTTP.

use super::{
    balance::Flow,
    client::{Client, Held, Seen},
    io::Io,
    panics, proxy_protocol,
    roll::Listing,
    rules, scarce,
    seats::{Seat, Shares},
    serve, tcp,
    threads::{BoundListener, Loaded, Thread},
    tls::{self, TlsFacts},
};
use crate::{
    model::{FrontendKind, Rule, rule::Admission},
    servers::FrontendLive,
};
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{self, Instant},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Pause after an error of `accept` that is ours, such as too little memory: trying again at once would only burn time.
const PAUSE: Duration = Duration::from_millis(50);

/// A running accept loop; dropped, it ends.
pub(super) struct Listening {
    pub(super) frontend: String,
    pub(super) address: SocketAddr,
    /// Which socket it is, by number: there may be several descriptors of it.
    pub(super) socket: Option<u64>,
    last: Last,
    retire: CancellationToken,
    stop: DropGuard,
    accepting: JoinHandle<()>,
}

/// The newest snapshot that has a listener's address: who waits when the address goes is served as it was.
type Last = Rc<RefCell<Option<Held>>>;

impl Listening {
    /// The address is in that snapshot too.
    pub(super) fn goes_on(&self, snapshot: &Rc<Loaded>) {
        self.last.replace(Held::at(Rc::clone(snapshot), self.address));
    }

    /// Accepts what already waits in the socket, then ends; waited for or not.
    pub(super) fn retire(self) -> JoinHandle<()> {
        self.retire.cancel();
        self.accepting
    }

    /// Ends and leaves what waits in the socket to another process that has it; waited for or not.
    pub(super) fn leave(self) -> JoinHandle<()> {
        drop(self.stop);
        self.accepting
    }
}

/// Which socket that is.
pub(super) fn socket_of(listener: impl AsFd) -> Option<u64> {
    rustix::fs::fstat(listener).ok().map(|status| status.st_ino)
}

/// Starts to accept.
pub(super) fn listen(thread: &Rc<Thread>, bound: BoundListener) -> io::Result<Listening> {
    bound.listener.set_nonblocking(true)?;
    let socket = socket_of(&bound.listener);
    let listener = TcpListener::from_std(bound.listener)?;
    let (retire, stop) = (CancellationToken::new(), CancellationToken::new());
    let (frontend, seats) = (bound.frontend.as_str().into(), thread.seats.of(&bound.frontend));
    let last = thread.snapshot().and_then(|snapshot| Held::at(snapshot, bound.address));
    let last = Rc::new(RefCell::new(last));
    let door = Door { thread: Rc::clone(thread), frontend, address: bound.address, seats, last: Rc::clone(&last) };
    let (retired, stopped) = (retire.clone(), stop.clone());
    let accepting = thread.background.spawn_local(async move {
        tokio::select! {
            biased;
            () = retired.cancelled() => {}
            () = stopped.cancelled() => return,
            () = door.accept(&listener) => {}
        }
        door.accept_waiting(listener);
    });
    Ok(Listening {
        frontend: bound.frontend,
        address: bound.address,
        socket,
        last,
        retire,
        stop: stop.drop_guard(),
        accepting,
    })
}

/// What all connections of a listener have in common.
struct Door {
    thread: Rc<Thread>,
    frontend: Rc<str>,
    address: SocketAddr,
    seats: Shares,
    last: Last,
}

impl Door {
    /// Accepts whom there is room for; the others wait in the socket. Who waits for room that has nobody to let in passes it on.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            self.thread.wait_for_memory().await;
            let seats = self.seats.enter().await;
            let accepted = |cx: &mut Context<'_>| self.thread.scarce.accept(listener, || listener.poll_accept(cx));
            match poll_fn(|cx| Poll::Ready(accepted(cx))).await {
                Poll::Ready(Ok((stream, peer))) => self.enter(stream, peer, seats),
                Poll::Pending => {
                    drop(seats);
                    woken().await;
                }
                // The client has gone while it waited.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Poll::Ready(Err(error)) if scarce::is_lack(&error) => {
                    drop(seats);
                    self.thread.wait_for_descriptors(listener).await;
                }
                Poll::Ready(Err(error)) => {
                    drop(seats);
                    tracing::warn!(frontend = &*self.frontend, address = %self.address, %error, "cannot accept");
                    time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Closing a socket resets what waits in it, so that is served first, also beyond the limits.
    fn accept_waiting(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.enter(stream, peer, self.seats.enter_at_once());
            }
        }
    }

    fn enter(&self, stream: TcpStream, peer: SocketAddr, seats: [Option<Seat>; 2]) {
        let newest = self.thread.snapshot().and_then(|snapshot| Held::at(snapshot, self.address));
        let Some(held) = newest.or_else(|| self.last.borrow().clone()) else { return };
        let (thread, address) = (Rc::clone(&self.thread), self.address);
        let live = held.frontend().map(|frontend| Arc::clone(&frontend.live));
        let flow = Flow { client: peer, local: address };
        let listed = Listed { at: thread.roll.enter(flow, Rc::clone(&self.frontend)), thread: Rc::clone(&thread) };
        let serving = async move {
            let (Some(live), listing) = (live, listed.at) else { return };
            tokio::select! {
                biased;
                () = connection((Rc::clone(&thread), listing), (held, seats), address, stream, peer) => {}
                () = thread.over_or_cut(&live.over, listing) => tracing::debug!(%peer, "cut"),
            }
            drop(listed);
        };
        self.thread.connections.spawn_local(panics::contain(Rc::clone(&self.frontend), serving));
    }
}

/// Lists a connection of a client while it lives.
struct Listed {
    thread: Rc<Thread>,
    at: Listing,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.thread.roll.leave(self.at);
    }
}

/// Ready once its task is polled again.
async fn woken() {
    let mut polled = false;
    poll_fn(|_cx| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Counts a connection of a client as open while it lives.
struct Open {
    live: Arc<FrontendLive>,
    thread: usize,
    _seats: [Option<Seat>; 2],
}

impl Open {
    fn new(live: &Arc<FrontendLive>, thread: usize, seats: [Option<Seat>; 2]) -> Self {
        live.counts.of(thread).opened.increment();
        Self { live: Arc::clone(live), thread, _seats: seats }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.live.counts.of(self.thread).closed.increment();
    }
}

async fn connection(
    (thread, listing): (Rc<Thread>, Listing),
    (held, seats): (Held, [Option<Seat>; 2]),
    address: SocketAddr,
    mut stream: TcpStream,
    peer: SocketAddr,
) {
    let Some(frontend) = held.frontend() else { return };
    // Before all else, so that it goes last: by then the socket is closed.
    let _open = Open::new(&frontend.live, thread.index, seats);
    let local = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
        Ok(local) => local,
        Err(error) => {
            tracing::debug!(%error, "the client has gone");
            return;
        }
    };
    let accepted = Instant::now();
    let mut flow = Flow { client: peer, local };
    if frontend.accepts_proxy(address, peer.ip()) {
        match Box::pin(proxy_protocol::receive(&mut stream)).await {
            Ok(told) => flow = told.unwrap_or(flow),
            Err(error) => {
                tracing::debug!(frontend = frontend.name, proxy = %peer, %error, "no PROXY header");
                return;
            }
        }
    }
    let acceptor = frontend.tls(address);
    // Rules that ask for the client's TLS, and those behind them, wait for it.
    let (early, late) = frontend.admission(acceptor.is_some());
    let admitted = if early.is_empty() { None } else { admission(early, &held, flow, None) };
    if admitted == Some(Admission::Reject) {
        return frontend.live.counts.of(thread.index).denied_connections.increment();
    }
    let client = |tls: Option<TlsFacts>| {
        let live = Arc::clone(&frontend.live);
        Rc::new(Client::new((Rc::clone(&thread), listing), (held.clone(), live), flow, tls, accepted))
    };
    let Some(acceptor) = acceptor else {
        return understood(&held, client(None), Io::Tcp(stream), false).await;
    };
    match Box::pin(tls::accept(acceptor, stream)).await {
        Ok((stream, speaks_h2)) => {
            let facts = acceptor.facts(&stream);
            let judge = admitted.is_none() && !late.is_empty();
            if judge && admission(late, &held, flow, Some(&facts)) == Some(Admission::Reject) {
                return frontend.live.counts.of(thread.index).denied_connections.increment();
            }
            let io = Io::Tls(Box::new(stream.into()));
            understood(&held, client(Some(facts)), io, speaks_h2).await;
        }
        Err(error) => {
            frontend.live.counts.of(thread.index).tls_errors.increment();
            tracing::debug!(frontend = frontend.name, client = %peer, %error, "TLS handshake failed");
        }
    }
}

/// What rules say of a connection.
fn admission(rules: &[Rule<Admission>], held: &Held, flow: Flow, tls: Option<&TlsFacts>) -> Option<Admission> {
    held.with_scene((flow, tls), Seen::default(), |scene| rules::admission(rules, scene))?
}

async fn understood(held: &Held, client: Rc<Client>, io: Io, h2: bool) {
    let Some(frontend) = held.frontend() else { return };
    // Each kind is boxed, so that a connection has the size of what it is, not of the largest that it might be.
    match &frontend.kind {
        FrontendKind::Tcp(tcp) => Box::pin(tcp::relay(&client, held, io, tcp)).await,
        FrontendKind::Http(http) => {
            let terms = serve::Terms {
                request: http.timeout_request,
                keep_alive: http.timeout_keep_alive,
                abort_on_close: http.abort_on_close,
                header_case: http.header_case,
            };
            if h2 {
                Box::pin(serve::http2::serve(client, io, terms)).await;
            } else {
                Box::pin(serve::http1::serve(client, io, terms)).await;
            }
        }
        // The kernel serves these; `Snapshot` does not list them.
        FrontendKind::L4(_) => {}
    }
}
