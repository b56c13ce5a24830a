//! The server side of HTTP: requests of a client in, answers out, each in time. One of the two files that name hyper.

use super::{
    accept::Client,
    answer::Answer,
    body::{Body, BodyError, FromClient},
    forward,
    meter::{Late, Meter, Metered},
    panics,
    threads::after,
};
use http::Request;
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    server::conn::{http1 as h1, http2 as h2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::{self, Instant},
};
use tokio_util::task::TaskTracker;

/// Largest headers of a request, HAProxy's `tune.bufsize`. Larger ones get 431.
const BUFFER: usize = 16 * 1024;

/// Most header lines of a request, HAProxy's `tune.http.maxhdr`.
const MAX_HEADERS: usize = 101;

/// Streams of one connection at a time; HAProxy's `tune.h2.max-concurrent-streams`.
const MAX_STREAMS: u32 = 100;

/// How long a drain waits for the first bytes of a connection that was opened a moment before it: they may be on the way,
/// or in the socket already.
const ON_THE_WAY: Duration = Duration::from_millis(100);

/// For what a connection that ends still has to say.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a client may take.
pub(super) struct Timeouts {
    /// For the headers of a request.
    pub(super) request: Duration,
    /// Before the next request.
    pub(super) keep_alive: Duration,
    /// For the next bytes of a body, either way.
    pub(super) silence: Duration,
}

/// Serves a connection of HTTP/1.
pub(super) async fn http1<IO: AsyncRead + AsyncWrite + Unpin + 'static>(
    client: Rc<Client>,
    io: Metered<IO>,
    timeouts: Timeouts,
) {
    let mut builder = h1::Builder::new();
    builder.max_buf_size(BUFFER).max_headers(MAX_HEADERS).header_read_timeout(None).auto_date_header(false);
    let service = Rc::clone(&client);
    let service = service_fn(move |request| serve(Rc::clone(&service), request));
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let late = drive(Pin::new(&mut connection), &client, &timeouts, h1::Connection::graceful_shutdown).await;
    if late == Some(Late::Head) {
        if let Some(counts) = client.meter.counts() {
            counts.request_errors.increment();
            counts.responses(408).increment();
        }
        let mut io = connection.into_parts().io.into_inner();
        let last_words = async {
            io.write_all(Answer::RequestTimeout.bytes().as_bytes()).await?;
            io.shutdown().await
        };
        // Whoever is late may also be gone.
        drop(time::timeout(LAST_WORDS, last_words).await);
    }
}

/// Serves a connection of HTTP/2.
pub(super) async fn http2<IO: AsyncRead + AsyncWrite + Unpin + 'static>(
    client: Rc<Client>,
    io: Metered<IO>,
    timeouts: Timeouts,
) {
    client.meter.set_multiplexed();
    let mut builder =
        h2::Builder::new(OnThread { tasks: client.thread.background.clone(), frontend: client.frontend_name() });
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(BUFFER).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(1024)
        .auto_date_header(false);
    let service = Rc::clone(&client);
    let service = service_fn(move |request| serve(Rc::clone(&service), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let late = drive(connection.as_mut(), &client, &timeouts, h2::Connection::graceful_shutdown).await;
    if late == Some(Late::Idle) {
        connection.as_mut().graceful_shutdown();
        drop(time::timeout(LAST_WORDS, connection).await);
    }
}

async fn serve(client: Rc<Client>, request: Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
    let done = Rc::new(Cell::new(false));
    let (meter, body_done) = (Rc::clone(&client.meter), Rc::clone(&done));
    let request =
        request.map(|body| Body::stream(FromClient::new(body.map_err(|_cause| BodyError::Cut), meter, body_done)));
    // Boxed, because hyper keeps room for it as long as the connection lives, and most connections are idle.
    Ok(Box::pin(forward::exchange(client, request, done)).await)
}

/// Runs a connection to its end, or until the client is late. Once a drain begins, `close` asks it to end soon.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    client: &Client,
    timeouts: &Timeouts,
    close: fn(Pin<&mut C>),
) -> Option<Late> {
    let meter: &Meter = &client.meter;
    let drain = &client.thread.drain;
    let mut no_request = pin!(async {
        drain.cancelled().await;
        time::sleep(ON_THE_WAY).await;
    });
    let (mut is_closing, mut timer) = (false, pin!(time::sleep(timeouts.request)));
    poll_fn(|cx| {
        if !is_closing {
            let waited = no_request.as_mut().poll(cx).is_ready();
            if drain.is_cancelled() && !meter.is_untouched() {
                is_closing = true;
                close(connection.as_mut());
            } else if waited {
                return Poll::Ready(None);
            }
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            note_end(ended, meter);
            return Poll::Ready(None);
        }
        loop {
            // With nothing to wait for, look again later: streams of HTTP/2 run in tasks of their own, and what they
            // come to wait for does not wake this one.
            let later = || (after(Instant::now(), timeouts.silence), None);
            let due = meter.deadline(timeouts).map(|(deadline, late)| (deadline, Some(late)));
            let (deadline, late) = due.unwrap_or_else(later);
            // A deadline that has moved away is noticed when the timer fires: it is seldom moved.
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if late.is_some() && timer.deadline() >= deadline {
                return Poll::Ready(late);
            }
        }
    })
    .await
}

/// Counts what hyper has refused by itself: it answers 400, 414 or 431 and no service sees the request.
fn note_end(ended: hyper::Result<()>, meter: &Meter) {
    let Err(error) = ended else { return };
    tracing::debug!(%error, "connection of a client ended");
    if let (true, Some(counts)) = (error.is_parse(), meter.counts()) {
        counts.request_errors.increment();
        counts.responses_4xx.increment();
    }
}

/// Runs the streams of HTTP/2 on the thread of their connection.
#[derive(Clone)]
struct OnThread {
    tasks: TaskTracker,
    frontend: Rc<str>,
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThread {
    fn execute(&self, stream: F) {
        self.tasks.spawn_local(panics::contain(Rc::clone(&self.frontend), stream));
    }
}
