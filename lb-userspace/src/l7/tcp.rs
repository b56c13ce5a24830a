//! `mode tcp`: relays bytes between a client and a server.

use super::{
    accept::Client,
    connect,
    meter::{Meter, Metered},
    snapshot::BackendRoute,
    threads::after,
};
use std::{rc::Rc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time,
};

/// Bytes that may wait, each way.
const BUFFER: usize = 16 * 1024;

/// Relays until both sides have ended, one has failed, or one was silent for too long. A side that ends its half
/// (FIN, or `close_notify`) still hears the other half.
pub(super) async fn relay<IO: AsyncRead + AsyncWrite + Unpin>(
    client: &Client,
    mut io: Metered<IO>,
    backend: &BackendRoute,
    timeout_client: Duration,
) {
    let Some((server, stream, _open)) = connect::open_any(backend, client.flow, &client.thread).await else {
        return;
    };
    if let Some(live) = backend.live.servers.get(server) {
        live.counts.of(client.thread.index).total.increment();
    }
    let meter = Rc::new(Meter::of_server());
    let mut stream = Metered::new(stream, Rc::clone(&meter));
    tokio::select! {
        ended = tokio::io::copy_bidirectional_with_sizes(&mut io, &mut stream, BUFFER, BUFFER) => {
            if let Err(error) = ended {
                tracing::debug!(client = %client.flow.client, %error, "relay ended");
            }
        }
        () = silence(&client.meter, timeout_client) => {}
        () = silence(&meter, backend.timeout_server) => {}
    }
}

/// Ends once nothing has moved for `timeout`.
async fn silence(meter: &Meter, timeout: Duration) {
    loop {
        let last = meter.last();
        time::sleep_until(after(last, timeout)).await;
        if meter.last() == last {
            return;
        }
    }
}
