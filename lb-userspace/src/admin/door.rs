//! Door: a listening socket behind which operators and scrapers are answered by HTTP/1, one request a connection.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore},
    time::{Instant, timeout},
};
use tracing::debug;

/// What is answered.
pub(super) type Answered = Response<Full<Bytes>>;

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Clients served at once; more wait in the backlog.
    pub(super) clients: usize,
    /// The header of a request must be here within this time.
    pub(super) header_within: Duration,
    /// The whole conversation must be over within this time.
    pub(super) within: Duration,
}

/// Longest header of a request in bytes.
const HEADER: usize = 16 << 10;

/// Serves until the worker ends.
pub(super) async fn serve(
    listener: StdListener,
    bounds: Bounds,
    answer: impl AsyncFn(Request<Incoming>, SocketAddr) -> Answered + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (slots, answer) = (Arc::new(Semaphore::new(bounds.clients)), Rc::new(answer));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
        let (client, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "cannot accept an operator");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = Rc::clone(&answer);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let answer = Rc::clone(&answer);
                async move { Ok::<_, Infallible>(answer(request, peer).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(bounds.header_within);
            server.keep_alive(false).max_buf_size(HEADER);
            match timeout(bounds.within, server.serve_connection(TokioIo::new(client), service)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%peer, %error, "an operator went away"),
                Err(_elapsed) => debug!(%peer, "an operator was too slow"),
            }
            drop(slot);
        });
    }
}

/// An answer with that text.
pub(super) fn answer(status: StatusCode, text: impl Into<Bytes>) -> Answered {
    let mut response = Response::new(Full::from(text.into()));
    *response.status_mut() = status;
    response
}

/// An answer with another field.
pub(super) fn with(mut response: Answered, name: HeaderName, value: HeaderValue) -> Answered {
    response.headers_mut().insert(name, value);
    response
}

/// What was found last, and until when it is taken for what there is. Who asks again within `fresh`, or within [`PART`] times what
/// it took, gets the same: who decides of servers is asked for at most a tenth of its time, however many ask.
pub(super) struct Last<T> {
    fresh: Duration,
    found: Mutex<Option<(T, Instant)>>,
}

const PART: u32 = 9;

impl<T: Clone> Last<T> {
    /// Nothing yet.
    pub(super) fn new(fresh: Duration) -> Self {
        Self { fresh, found: Mutex::new(None) }
    }

    /// What was found last, if that was just now, else what `find` does. One finds at a time, and those that wait for it get what
    /// it got.
    pub(super) async fn or_find(&self, find: impl Future<Output = Option<T>>) -> Option<T> {
        let mut last = self.found.lock().await;
        let begun = Instant::now();
        if let Some((found, until)) = &*last
            && begun < *until
        {
            return Some(found.clone());
        }
        let (found, now) = (find.await?, Instant::now());
        *last = Some((found.clone(), now + self.fresh.max((now - begun) * PART)));
        Some(found)
    }

    /// It is not so any more.
    pub(super) async fn forget(&self) {
        *self.found.lock().await = None;
    }
}
