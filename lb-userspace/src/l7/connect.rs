//! Connect: opens a connection to a server.

use super::{
    balance::{Flow, Tries},
    proxy_protocol,
    snapshot::BackendRoute,
    threads::Thread,
};
use crate::{model::SendProxy, servers::ServerLive};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time};

/// Counts a connection to a server as open while it lives.
pub(super) struct Open {
    server: Arc<ServerLive>,
    thread: usize,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.server.counts.of(self.thread).closed.increment();
    }
}

/// Opens a connection to a server of `backend`, by its index, for the client of `flow`.
pub(super) async fn open(
    backend: &BackendRoute,
    server: usize,
    flow: Flow,
    thread: &Thread,
) -> io::Result<(TcpStream, Open)> {
    let (Some(address), Some(live)) = (backend.addresses.get(server), backend.live.servers.get(server)) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let counts = live.counts.of(thread.index);
    let attempt = time::timeout(backend.timeout_connect, connect(*address, backend.send_proxy, flow)).await;
    match attempt.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => {
            counts.opened.increment();
            Ok((stream, Open { server: Arc::clone(live), thread: thread.index }))
        }
        Err(error) => {
            counts.connect_errors.increment();
            tracing::debug!(server = %address, %error, "cannot connect");
            Err(error)
        }
    }
}

async fn connect(address: SocketAddr, send_proxy: Option<SendProxy>, flow: Flow) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if let Some(version) = send_proxy {
        stream.write_all(&proxy_protocol::header(version, Some((flow.client, flow.local)))?).await?;
    }
    Ok(stream)
}

/// Opens a connection to whichever server takes it first: the next is tried as soon as one has refused.
pub(super) async fn open_any(backend: &BackendRoute, flow: Flow, thread: &Thread) -> Option<(usize, TcpStream, Open)> {
    for server in Tries::new(backend, flow) {
        if let Ok((stream, open)) = open(backend, server, flow, thread).await {
            return Some((server, stream, open));
        }
    }
    None
}
