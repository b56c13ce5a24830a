//! A `tcp` frontend: bytes are relayed to a server and back until both sides have ended or one is silent for too long.

use super::{
    accept::{Client, Held},
    connect,
    io::{Io, Reader, Wire, Writer},
    log::termination::{Cause, Phase},
    pump::{Awaited, Broken, Fault, Frame, Pump, Sink, Source},
    snapshot::BackendRoute,
    tale::Tale,
    timer::{Timer, silence},
};
use std::{
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// Relays a connection.
pub(super) async fn relay(client: &Client, held: &Held, io: Io, backend: &BackendRoute, timeout_client: Duration) {
    let tale = Tale::begin(client, held, client.accepted, client.ready);
    tale.note(|told| {
        told.times.request = told.times.handshake;
        told.backend(backend);
    });
    let client_wire = Wire::new(io, Some((Arc::clone(&client.live), client.thread.index)));
    let (cause, phase) = serve(client, &client_wire, backend, timeout_client, &tale).await;
    tale.ended_by(cause, phase);
    tale.finish(client, client_wire.sent(), client_wire.received());
}

/// Relays until both sides have ended; how it ended.
async fn serve(
    client: &Client,
    client_wire: &Rc<Wire>,
    backend: &BackendRoute,
    timeout_client: Duration,
    tale: &Tale,
) -> (Cause, Phase) {
    let mut timer = Timer::default();
    let reached = connect::open_any(backend, client.flow, &client.thread, &mut timer, |server| {
        tale.note(|told| told.server(backend, server));
    });
    let Some((slot, server, _open)) = reached.await else { return (Cause::Server, Phase::Connect) };
    tale.note(|told| told.times.connect = Some(Instant::now()));
    if let Some(live) = backend.live.servers.get(slot.server) {
        live.counts.of(client.thread.index).total.increment();
    }
    let server_wire = Wire::new(server, None);
    let mut up = Pump::new(Raw(Reader::new(Rc::clone(client_wire))), RawSink(Writer::new(Rc::clone(&server_wire))));
    let mut down = Pump::new(Raw(Reader::new(server_wire)), RawSink(Writer::new(Rc::clone(client_wire))));
    let timeout_client = backend.timeout_tunnel.unwrap_or(timeout_client);
    let timeout_server = backend.timeout_tunnel.unwrap_or(backend.timeout_server);
    let cause = poll_fn(|cx| {
        let (up_is_over, down_is_over) = match (advance(&mut up, cx), advance(&mut down, cx)) {
            (Ok(up), Ok(down)) => (up, down),
            (Err(Fault::Source(_)), _) | (_, Err(Fault::Sink)) => return Poll::Ready(Cause::Client),
            (Err(Fault::Sink), _) | (_, Err(Fault::Source(_))) => return Poll::Ready(Cause::Server),
        };
        if up_is_over && down_is_over {
            return Poll::Ready(Cause::None);
        }
        // Silence is of both directions: one of them may have nothing to say for long.
        let timeout = |awaited: Awaited, client| if awaited == client { timeout_client } else { timeout_server };
        let late = match up.waiting() {
            Some((Awaited::Source, _)) if timeout_client <= timeout_server => Cause::ClientTimeout,
            Some(_) | None => Cause::ServerTimeout,
        };
        let up = up.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Source)));
        let down = down.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Sink)));
        timer.poll(cx, silence(up, down)).map(|()| late)
    })
    .await;
    (cause, if cause == Cause::None { Phase::None } else { Phase::Data })
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
