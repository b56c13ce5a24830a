//! A client that speaks HTTP/2: its requests side by side, each in a task of its own.

use super::{RequestBody, Respond, Terms};
use crate::l7::{
    client::Client,
    exchange::{self, Incoming},
    http1::{Limits, hop, request::Refusal, target},
    http2::{Receiving, Sending, Useful, to_map},
    io::{Both, Io, Wire},
    log::termination::Cause,
    message::{Fields, Length, Method, Request, Response, Version},
    panics,
    pump::Broken,
    tale::Tale,
    timer::{Timer, after},
};
use bytes::{Bytes, BytesMut};
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{self, Instant};

/// Largest head of a request, HAProxy's `tune.bufsize`. Larger ones get 431.
const HEAD: u32 = 16 * 1024;

/// Streams of one connection at a time; HAProxy's `tune.h2.max-concurrent-streams`.
const STREAMS: u32 = 100;

/// What a stream may have sent ahead; HAProxy's `tune.h2.fe.initial-window-size` of old.
const WINDOW: u32 = 64 * 1024;

/// The same of all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What of answers is kept for a client that does not take it, a stream.
const UNSENT: usize = 64 * 1024;

/// Bytes that a client may send which are neither of a request nor of its body nor about an answer (PING, SETTINGS, PRIORITY,
/// empty frames), and how many more each second.
const OVERHEAD: u64 = 64 * 1024;
const OVERHEAD_A_SECOND: u64 = 1024;

/// For what a connection that ends still has to say.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves a connection until it ends. `before`: what was read of it already.
pub(in crate::l7) async fn serve(client: Rc<Client>, io: Io, terms: Terms) {
    let wire = Wire::new(io, client.counted());
    serve_wire(client, wire, BytesMut::new(), terms).await;
}

/// Serves a connection until it ends. `before`: what was read of it already.
pub(in crate::l7) async fn serve_wire(client: Rc<Client>, wire: Rc<Wire>, before: BytesMut, terms: Terms) {
    let mut builder = Builder::new();
    builder
        .max_header_list_size(HEAD)
        .max_concurrent_streams(STREAMS)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(UNSENT)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(1024));
    let handshake = builder.handshake(Both::new(Rc::clone(&wire), before));
    let Ok(Ok(connection)) = time::timeout(terms.request, handshake).await else { return };
    let streams = Rc::new(Streams { wire, began: Instant::now(), open: Cell::new(0), useful: Useful::default() });
    Serving { client, connection, streams, terms }.run().await;
}

/// What the streams of a connection do, in numbers.
struct Streams {
    wire: Rc<Wire>,
    began: Instant,
    open: Cell<u32>,
    /// Bytes that the client had a reason to send.
    useful: Useful,
}

impl Streams {
    /// Whether most of what comes is for nothing.
    fn is_flooded(&self) -> bool {
        let allowed = OVERHEAD + self.began.elapsed().as_secs() * OVERHEAD_A_SECOND + self.useful.get();
        self.wire.received() > allowed
    }
}

/// One open stream.
struct Open(Rc<Streams>);

impl Open {
    fn new(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

struct Serving {
    client: Rc<Client>,
    connection: Connection<Both, Bytes>,
    streams: Rc<Streams>,
    terms: Terms,
}

impl Serving {
    async fn run(mut self) {
        let client = Rc::clone(&self.client);
        let shed = client.thread.shed.borrow().clone();
        let mut drain = pin!(shed.cancelled());
        let (mut timer, mut closing) = (Timer::default(), false);
        // A connection owes its first request from the start.
        let (mut idle_since, mut patience) = (Instant::now(), self.terms.request);
        let ended = poll_fn(|cx| {
            loop {
                match self.connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        patience = self.terms.keep_alive;
                        self.open(request, respond);
                    }
                    Poll::Ready(Some(Err(error))) => {
                        tracing::debug!(client = %self.client.flow.client, %error, "HTTP/2 ended");
                        return Poll::Ready(Ended::Closed);
                    }
                    Poll::Ready(None) => return Poll::Ready(Ended::Closed),
                    Poll::Pending => break,
                }
            }
            if self.streams.is_flooded() {
                return Poll::Ready(Ended::Flooded);
            }
            if !closing && (drain.as_mut().poll(cx).is_ready() || self.client.should_close()) {
                closing = true;
                self.connection.graceful_shutdown();
                cx.waker().wake_by_ref();
            }
            if self.streams.open.get() > 0 {
                idle_since = Instant::now();
            }
            // While streams are open, each of them has its own time; then look again.
            match timer.poll(cx, Some(after(idle_since, patience))) {
                Poll::Ready(()) if self.streams.open.get() == 0 => Poll::Ready(Ended::Idle),
                Poll::Ready(()) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match ended {
            Ended::Closed => return,
            Ended::Flooded => {
                self.client.counts().request_errors.increment();
                tracing::debug!(client = %self.client.flow.client, "HTTP/2 flooded with what is no request");
                self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            Ended::Idle => self.connection.graceful_shutdown(),
        }
        // Whoever is late may also be gone.
        drop(time::timeout(LAST_WORDS, poll_fn(|cx| self.connection.poll_closed(cx))).await);
    }

    /// Answers a request in a task of its own.
    fn open(&self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (client, open) = (Rc::clone(&self.client), Open::new(&self.streams));
        // A head may take as much again in frames.
        open.0.useful.set(open.0.useful.get() + 2 * u64::from(HEAD));
        let frontend = self.client.frontend_name();
        let stream = async move { stream(&client, request, respond, open).await };
        self.client.thread.background.spawn_local(panics::contain(frontend, stream));
    }
}

/// How a connection ends.
enum Ended {
    Closed,
    Idle,
    Flooded,
}

async fn stream(client: &Rc<Client>, request: http::Request<RecvStream>, respond: SendResponse<Bytes>, open: Open) {
    let (parts, body) = request.into_parts();
    let (useful, written, now) = (Rc::clone(&open.0.useful), Rc::new(Cell::new(0)), Instant::now());
    let is_head = parts.method == http::Method::HEAD;
    let respond = Responder { respond, is_head, useful: Rc::clone(&useful), written: Rc::clone(&written) };
    let mut timer = Timer::default();
    let (request, length) = match head(&parts, &body) {
        Ok(head) => head,
        Err(refusal) => {
            let tale = Tale::begin(client, &client.current(), now, now);
            if let Some((response, page)) = exchange::refused(client, tale, refusal.status(), Cause::Proxy, 0) {
                exchange::send(response, page, false, respond, &mut timer, after(now, LAST_WORDS)).await;
            }
            return;
        }
    };
    let body = Receiving::new(body, Some(useful));
    client.count_request();
    let held = client.current();
    let tale = Tale::begin(client, &held, now, now);
    let incoming = Incoming { request, length, upgrade: None };
    exchange::run(client, (held, &tale), incoming, body, respond, &mut timer).await;
    tale.finish(client, written.get(), 0);
    drop(open);
}

/// The head of a request as all versions have it.
fn head(parts: &http::request::Parts, body: &RecvStream) -> Result<(Request, Length), Refusal> {
    let mut fields = Fields::with_capacity(parts.headers.len() + 1, 512);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(authority) = authority {
        fields.push("host", authority);
    }
    for (name, value) in &parts.headers {
        let is_host = name == http::header::HOST;
        match authority.or_else(|| fields.get("host")) {
            // RFC 9113 §8.3.1: both name the same place.
            Some(host) if is_host && !value.as_bytes().eq_ignore_ascii_case(host) => return Err(Refusal::Host),
            Some(_) if is_host => {}
            Some(_) | None => fields.push(name.as_str(), value.as_bytes()),
        }
    }
    let method = Method::new(parts.method.as_str().as_bytes());
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request { method, target: target.into(), version: Version::Http2, fields };
    target::check(&mut request, &Limits::default())?;
    hop::remove(&mut request.fields);
    let length = Receiving::length(body, &request.fields);
    Ok((request, length))
}

impl RequestBody for Receiving {
    /// Nothing is upgraded in HTTP/2.
    fn tunnel(&mut self) {}
}

/// Where an answer goes.
struct Responder {
    respond: SendResponse<Bytes>,
    is_head: bool,
    useful: Useful,
    /// Bytes of the answer as HTTP/1 would have written it.
    written: Rc<Cell<u64>>,
}

impl Respond for Responder {
    type Sink = Sending;

    fn interim(&mut self, response: &Response) {
        if let Some(head) = to_head(response) {
            // The client may be gone, which is found out later.
            drop(self.respond.send_informational(head));
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        // There is nothing to flush, but the client may have lost interest.
        if self.respond.poll_reset(cx).is_ready() { Poll::Ready(Err(Broken::Cut)) } else { Poll::Ready(Ok(())) }
    }

    fn respond(mut self, mut response: Response, length: Length, _drained: bool) -> Sending {
        let bodiless = self.is_head || response.is_bodiless() || length.is_empty();
        if let (Length::Exact(length), false) = (length, response.is_bodiless() || self.is_head) {
            response.fields.set("content-length", length.to_string());
        }
        let stream = to_head(&response).and_then(|head| self.respond.send_response(head, bodiless).ok());
        let ended = bodiless && stream.is_some();
        self.written.set(written_head(&response));
        Sending::new(stream, ended, Some(self.useful)).counting(self.written)
    }
}

/// Bytes of a head as HTTP/1 would have written it.
fn written_head(response: &Response) -> u64 {
    let lines: usize = response.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    (b"HTTP/1.1 200 \r\n\r\n".len() + response.reason.len() + lines) as u64
}

/// `None`: HTTP/2 cannot say it.
fn to_head(response: &Response) -> Option<http::Response<()>> {
    let mut head = http::Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(response.status).ok()?;
    *head.headers_mut() = to_map(&response.fields);
    // RFC 9110 §8.6. Rules may have made it of an answer with a body.
    if response.is_bodiless() && response.status != 304 {
        head.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    Some(head)
}
