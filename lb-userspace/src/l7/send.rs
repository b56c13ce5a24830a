//! The client side of HTTP/1.1: one request on a connection to a server, and its answer. One of the two files that name
//! hyper.

use super::{
    body::{Body, BodyError},
    connect::Open,
    meter::{Meter, Metered},
    threads::{Thread, after},
};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};
use tokio::{
    net::TcpStream,
    time::{self, Instant},
};

/// Largest headers of an answer, HAProxy's `tune.bufsize`.
const BUFFER: usize = 16 * 1024;

/// Most header lines of an answer, HAProxy's `tune.http.maxhdr`.
const MAX_HEADERS: usize = 101;

/// A connection to a server, for one request at a time.
pub(super) struct ServerConnection {
    sender: http1::SendRequest<Body>,
    meter: Rc<Meter>,
    server: u64,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The connection was closed before the request was written: here it is back.
    Unsent(Box<Request<Body>>),
    /// The connection ended before the answer began.
    Cut,
    /// The answer is not HTTP.
    Invalid,
    /// The server was silent for too long.
    Silent,
    /// The client ended or broke off its request.
    Client,
}

impl ServerConnection {
    /// Makes ready to send on a new connection to the server of that identity.
    pub(super) async fn new(stream: TcpStream, open: Open, server: u64, thread: &Thread) -> Result<Self, Failure> {
        let meter = Rc::new(Meter::of_server());
        let io = TokioIo::new(Metered::new(stream, Rc::clone(&meter)));
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER).max_headers(MAX_HEADERS);
        let (sender, connection) = builder.handshake(io).await.map_err(|_never| Failure::Cut)?;
        thread.background.spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a server ended");
            }
        });
        Ok(Self { sender, meter, server })
    }

    /// Whether a request can be sent, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and waits for the headers of the answer, until the server was silent for `timeout` though it had
    /// all that the client has sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
        client: &Meter,
        timeout: Duration,
    ) -> Result<Response<Body>, Failure> {
        self.meter.touch();
        let mut answer = pin!(self.sender.try_send_request(request));
        let mut deadline = after(self.meter.last(), timeout);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map(received).map_err(failure),
                () = time::sleep_until(deadline) => {}
            }
            let since =
                if client.is_waiting_for_body() { Instant::now() } else { self.meter.last().max(client.last()) };
            if after(since, timeout) <= deadline {
                return Err(Failure::Silent);
            }
            deadline = after(since, timeout);
        }
    }
}

fn received(response: Response<Incoming>) -> Response<Body> {
    response.map(|body| Body::stream(body.map_err(|_cause| BodyError::Cut)))
}

fn failure(mut error: TrySendError<Request<Body>>) -> Failure {
    if let Some(request) = error.take_message() {
        return Failure::Unsent(Box::new(request));
    }
    let error = error.into_error();
    tracing::debug!(%error, "no answer from a server");
    match () {
        () if error.is_user() => Failure::Client,
        () if error.is_parse() => Failure::Invalid,
        () => Failure::Cut,
    }
}

/// A connection whose answer is still being read. Given back, it serves another request; dropped, it is closed.
pub(super) struct Lease {
    pub(super) connection: ServerConnection,
    pub(super) thread: Rc<Thread>,
    /// Whether all of the request was sent: else the rest of it would be taken for the next one.
    pub(super) request_done: Rc<Cell<bool>>,
}

impl Lease {
    /// The answer has come as a whole.
    pub(super) fn give_back(self) {
        let Self { mut connection, thread, request_done } = self;
        if !request_done.get() {
            return;
        }
        if connection.sender.is_ready() {
            thread.idle.borrow_mut().put(connection.server, connection, Instant::now());
            return;
        }
        let keep = Rc::clone(&thread);
        thread.background.spawn_local(async move {
            if connection.sender.ready().await.is_ok() {
                keep.idle.borrow_mut().put(connection.server, connection, Instant::now());
            }
        });
    }
}
