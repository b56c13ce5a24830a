//! A `tcp` frontend: rules look at what a connection begins with, if there are any; then its bytes are relayed to a server and
//! back, until both sides have ended or one is silent for too long.

use super::{
    acl::{Facts, Payload, Scene, Variables},
    client::{Client, Held, Seen},
    connect,
    io::{Io, Reader, Wire, Writer},
    log::termination::{Cause, Phase},
    pump::{Awaited, Broken, Fault, Frame, Pump, Sink, Source},
    rules::{self, Way},
    snapshot::{BackendRoute, FrontendRoute},
    tale::Tale,
    timer::{Patience, Timer, after, silence},
};
use crate::{
    model::{BackendIndex, OnEmpty, TcpFrontend},
    servers::times::Times,
};
use futures_util::future::OptionFuture;
use std::{
    cell::Cell,
    future::{Future as _, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// No server could be reached.
const UNSERVED: (Cause, Phase) = (Cause::Server, Phase::Connect);

/// Most that is read of a connection before it has its server, HAProxy's `tune.bufsize`.
const AHEAD: usize = 16 * 1024;

/// Relays a connection.
pub(super) async fn relay(client: &Client, held: &Held, io: Io, tcp: &TcpFrontend) {
    let Some(frontend) = held.frontend() else { return };
    let tale = Tale::begin(client, held, client.accepted, client.ready);
    tale.note(|told| told.times.request = told.times.handshake);
    let wire = Wire::new(io, client.counted());
    let mut reader = Reader::new(Rc::clone(&wire));
    let mut timer = Timer::default();
    let (cause, phase) = match way(client, held, tcp, &mut reader, &mut timer).await {
        Some(Way::To(index)) => match held.snapshot.taker(index) {
            Some((index, backend)) => {
                tale.note(|told| told.backend(backend));
                let counts = backend.live.counts.of(client.thread.index);
                counts.total.increment();
                let key = key(client, held, (index, backend), &reader);
                let ended = serve(client, (reader, key), (frontend, backend), (&tale, &mut timer)).await;
                if ended == UNSERVED {
                    counts.unserved.increment();
                }
                if ended == UNSERVED && backend.failover.on_empty == OnEmpty::Reset {
                    wire.reset_at_end();
                }
                ended
            }
            None => (Cause::Server, Phase::Connect),
        },
        Some(Way::Rejected) => {
            client.counts().denied_requests.increment();
            (Cause::Proxy, Phase::Request)
        }
        Some(Way::Nowhere) => (Cause::Server, Phase::Connect),
        None => (Cause::Client, Phase::Request),
    };
    tale.ended_by(cause, phase);
    tale.finish(client, wire.sent(), wire.received());
}

/// Where a connection goes. What its rules look at is read ahead, until they can decide, at most for `inspect_delay`. `None`: the
/// client has gone.
async fn way(client: &Client, held: &Held, tcp: &TcpFrontend, reader: &mut Reader, timer: &mut Timer) -> Option<Way> {
    if tcp.content.is_empty() && tcp.routes.is_empty() {
        return Some(tcp.default_backend.map_or(Way::Nowhere, Way::To));
    }
    let deadline = after(Instant::now(), tcp.inspect_delay);
    let mut is_whole = false;
    poll_fn(|cx| {
        loop {
            let payload = Payload::new(&reader.input, is_whole || reader.input.len() >= AHEAD);
            let seen = Seen { payload: Some(&payload), ..Seen::default() };
            let judge = |scene: &Scene<'_>| rules::content(tcp, scene);
            if let Some(way) = held.with_scene((client.flow, client.tls.as_ref()), seen, judge).flatten() {
                return Poll::Ready(Some(way));
            }
            match reader.poll_fill(cx) {
                Poll::Ready(Ok(more)) => is_whole |= !more,
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(timer.poll(cx, Some(deadline)));
                    is_whole = true;
                }
            }
        }
    })
    .await
}

/// What the server is picked by, if by a hash. An expression may look at what was read ahead.
fn key(client: &Client, held: &Held, (index, backend): (BackendIndex, &BackendRoute), reader: &Reader) -> Option<u32> {
    if !backend.order.wants_facts() {
        return backend.order.key(&client.flow, None, None);
    }
    let payload = Payload::new(&reader.input, true);
    let seen = Seen { payload: Some(&payload), backend: Some(index), unique_id: None };
    held.with_scene((client.flow, client.tls.as_ref()), seen, |scene| {
        let facts = Facts { scene, request: None, response: None, variables: &Variables::default() };
        backend.order.key(&client.flow, None, Some(&facts))
    })?
}

/// Relays until both sides have ended; how it ended.
async fn serve(
    client: &Client,
    (reader, key): (Reader, Option<u32>),
    (frontend, backend): (&FrontendRoute, &BackendRoute),
    (tale, timer): (&Tale, &mut Timer),
) -> (Cause, Phase) {
    let client_wire = Rc::clone(reader.wire());
    let (came, placed) = (Instant::now(), Cell::new(Instant::now()));
    let reached = connect::open_any(backend, (client.flow, key), &client.thread, timer, |server| {
        placed.set(Instant::now());
        tale.note(|told| told.server(backend, server));
    });
    let Some((slot, server, open)) = reached.await else { return UNSERVED };
    let connected = Instant::now();
    tale.note(|told| told.times.connect = Some(connected));
    let live = backend.live.servers.get(slot.server);
    if let Some(live) = live {
        client.goes_to(live);
    }
    let _serving = live.map(|live| live.serve(client.thread.index));
    let server_wire = Wire::new(server, open.counted());
    let mut up = Pump::new(Raw(reader), RawSink(Writer::new(Rc::clone(&server_wire))));
    let mut down = Pump::new(Raw(Reader::new(server_wire)), RawSink(Writer::new(client_wire)));
    let patience = Patience {
        client: backend.timeout_tunnel.unwrap_or(frontend.timeout_client),
        server: backend.timeout_tunnel.unwrap_or(backend.timeout_server),
        client_fin: frontend.timeout_client_fin,
        server_fin: backend.timeout_server_fin,
    };
    let mut cut = pin!(OptionFuture::from(live.filter(|_| backend.failover.cuts()).map(|live| live.is_cut())));
    let mut over = pin!(OptionFuture::from(live.map(|live| client.thread.over(&live.over))));
    // It may have gone down while it was being reached.
    if backend.failover.cut_down && !backend.live.available.load().keeps(slot.server) {
        return (Cause::Down, Phase::Connect);
    }
    let cause = poll_fn(|cx| {
        if let Poll::Ready(Some(())) = cut.as_mut().poll(cx) {
            return Poll::Ready(Cause::Down);
        }
        if let Poll::Ready(Some(())) = over.as_mut().poll(cx) {
            return Poll::Ready(Cause::Killed);
        }
        let (up_is_over, down_is_over) = match (advance(&mut up, cx), advance(&mut down, cx)) {
            (Ok(up), Ok(down)) => (up, down),
            (Err(Fault::Source(_)), _) | (_, Err(Fault::Sink)) => return Poll::Ready(Cause::Client),
            (Err(Fault::Sink), _) | (_, Err(Fault::Source(_))) => return Poll::Ready(Cause::Server),
        };
        if up_is_over && down_is_over {
            return Poll::Ready(Cause::None);
        }
        let (timeout_client, timeout_server) = patience.now(up_is_over, down_is_over);
        // Silence is of both directions: one of them may have nothing to say for long.
        let timeout = |awaited: Awaited, client| if awaited == client { timeout_client } else { timeout_server };
        let late = late(&up, (timeout_client, timeout_server));
        let up = up.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Source)));
        let down = down.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Sink)));
        timer.poll(cx, silence(up, down)).map(|()| late)
    })
    .await;
    if let Some(live) = live {
        let server = live.counts.of(client.thread.index);
        cause.count(server);
        let of = [&server.times, &backend.live.counts.of(client.thread.index).times];
        note_times(of, [came, placed.get(), connected]);
    }
    (cause, if cause == Cause::None { Phase::None } else { Phase::Data })
}

/// Notes how long a connection took that is over: it came, had a place at a server, and was connected then.
fn note_times(of: [&Times; 2], [came, placed, connected]: [Instant; 3]) {
    let ended = Instant::now();
    for times in of {
        times.queue.note(placed - came);
        times.connect.note(connected - placed);
        times.total.note(ended - came);
    }
}

/// Who is late if nothing happens for as long as both may be silent.
fn late(up: &Pump<Raw, RawSink>, (client, server): (Duration, Duration)) -> Cause {
    match up.waiting() {
        Some((Awaited::Source, _)) if client <= server => Cause::ClientTimeout,
        Some(_) | None => Cause::ServerTimeout,
    }
}

/// Moves what can be moved; whether all has come and gone.
fn advance(pump: &mut Pump<Raw, RawSink>, cx: &mut Context<'_>) -> Result<bool, Fault> {
    match pump.poll(cx) {
        Poll::Ready(ended) => ended.map(|()| true),
        Poll::Pending => Ok(false),
    }
}

/// Bytes as they come.
struct Raw(Reader);

impl Source for Raw {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Broken>> {
        if self.0.input.is_empty() && !ready!(self.0.poll_fill(cx))? {
            return Poll::Ready(Ok(None));
        }
        Poll::Ready(Ok(Some(Frame::Data(self.0.input.split().freeze()))))
    }
}

/// Bytes as they go; the end of them is told to the other side.
struct RawSink(Writer);

impl Sink for RawSink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.poll_ready(cx).map_err(Broken::from)
    }

    fn put(&mut self, frame: Frame) -> Result<(), Broken> {
        match frame {
            Frame::Data(data) => self.0.put(data, b""),
            Frame::Trailers(_) => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Broken> {
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.poll_flush(cx).map_err(Broken::from)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.0.poll_shutdown(cx).map_err(Broken::from)
    }

    fn progress(&self) -> u64 {
        self.0.wire().sent()
    }
}
