//! A `tcp` frontend: bytes are relayed to a server and back until both sides have ended or one is silent for too long.

use super::{
    accept::Client,
    connect,
    io::{Io, Reader, Wire, Writer},
    pump::{Awaited, Broken, Fault, Frame, Pump, Sink, Source},
    snapshot::BackendRoute,
    timer::{Timer, silence},
};
use std::{
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Relays a connection.
pub(super) async fn relay(client: &Client, io: Io, backend: &BackendRoute, timeout_client: Duration) {
    let mut timer = Timer::default();
    let Some((slot, server, _open)) = connect::open_any(backend, client.flow, &client.thread, &mut timer).await else {
        return;
    };
    if let Some(live) = backend.live.servers.get(slot.server) {
        live.counts.of(client.thread.index).total.increment();
    }
    let client_wire = Wire::new(io, Some((Arc::clone(&client.live), client.thread.index)));
    let server_wire = Wire::new(server, None);
    let mut up = Pump::new(Raw(Reader::new(Rc::clone(&client_wire))), RawSink(Writer::new(Rc::clone(&server_wire))));
    let mut down = Pump::new(Raw(Reader::new(server_wire)), RawSink(Writer::new(client_wire)));
    let timeout_client = backend.timeout_tunnel.unwrap_or(timeout_client);
    let timeout_server = backend.timeout_tunnel.unwrap_or(backend.timeout_server);
    poll_fn(|cx| {
        let (Ok(up_is_over), Ok(down_is_over)) = (advance(&mut up, cx), advance(&mut down, cx)) else {
            return Poll::Ready(());
        };
        if up_is_over && down_is_over {
            return Poll::Ready(());
        }
        // Silence is of both directions: one of them may have nothing to say for long.
        let timeout = |awaited: Awaited, client| if awaited == client { timeout_client } else { timeout_server };
        let up = up.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Source)));
        let down = down.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Sink)));
        timer.poll(cx, silence(up, down))
    })
    .await;
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
