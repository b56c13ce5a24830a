//! A connection to a server that speaks HTTP/2: many exchanges at a time.

use super::{Answering, Asking, NoAnswer};
use crate::l7::{
    client::Client,
    connect::Open,
    http1::hop,
    http2::{Receiving, Sending, from_map, to_map},
    idle::Key,
    io::{Both, Io, Wire},
    message::{Length, Request, Response},
    pump::{Broken, Frame, Source},
    threads::Thread,
    timer::after,
};
use crate::model::Keeping;
use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use std::{
    cell::Cell,
    collections::HashMap,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{self, Instant};

/// Largest head of an answer, HAProxy's `tune.bufsize`.
const HEAD: u32 = 16 * 1024;

/// What an answer may have sent ahead, and all answers of a connection.
const WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What of requests is kept for a server that does not take it, a stream.
const UNSENT: usize = 64 * 1024;

/// Exchanges that one connection carries at a time, if the server allows as many; then another one is opened. HAProxy's
/// `tune.h2.be.max-concurrent-streams`.
const STREAMS: usize = 100;

/// The connections of one thread to servers that speak HTTP/2, by what they are kept as, as the idle ones.
#[derive(Default)]
pub(in crate::l7) struct Connections(HashMap<Key, Vec<Connection>>);

/// An open connection.
#[derive(Clone)]
struct Connection {
    sender: SendRequest<Bytes>,
    usage: Rc<Usage>,
    keeping: Keeping,
}

/// How a connection is used.
struct Usage {
    /// Exchanges that it carries.
    exchanges: Cell<usize>,
    /// Whether an answer has come on it.
    is_proven: Cell<bool>,
    /// Since when it carries none.
    unused: Cell<Instant>,
}

impl Connections {
    /// A connection that has room for another exchange.
    ///
    /// `secure` is what the server is told of the client's connection.
    pub(in crate::l7) fn take(&mut self, key: &Key, cx: &mut Context<'_>, secure: bool) -> Option<OnHttp2> {
        let connections = self.0.get_mut(key)?;
        // One that has ended is not ready, but failed.
        connections.retain_mut(|connection| !matches!(connection.sender.poll_ready(cx), Poll::Ready(Err(_))));
        let free = connections.iter().find(|connection| {
            let allowed = STREAMS.min(connection.sender.current_max_send_streams());
            connection.usage.exchanges.get() < allowed
        })?;
        Some(OnHttp2::new(free, secure))
    }

    /// Closes those that have carried nothing for too long, or of which there are too many.
    pub(in crate::l7) fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, connections| {
            let mut kept = 0;
            connections.retain(|connection| {
                let is_used = connection.usage.exchanges.get() > 0;
                kept += u32::from(!is_used);
                let Keeping { most, delay } = connection.keeping;
                is_used || (kept <= most && now < after(connection.usage.unused.get(), delay))
            });
            !connections.is_empty()
        });
    }

    /// Keeps one on a new socket, and takes it.
    pub(in crate::l7) fn put(&mut self, key: Key, opened: Opened, keeping: Keeping, secure: bool) -> OnHttp2 {
        let (exchanges, is_proven, unused) = (Cell::default(), Cell::default(), Cell::new(Instant::now()));
        let usage = Rc::new(Usage { exchanges, is_proven, unused });
        let connection = Connection { sender: opened.0, usage, keeping };
        let on = OnHttp2::new(&connection, secure);
        self.0.entry(key).or_default().push(connection);
        on
    }
}

/// A connection that speaks HTTP/2.
pub(in crate::l7) struct Opened(SendRequest<Bytes>);

impl Opened {
    /// On a new socket. `None`: the server does not speak HTTP/2, or not in time.
    pub(in crate::l7) async fn new(thread: &Thread, (io, open): (Io, Open), timeout: Duration) -> Option<Self> {
        let mut builder = Builder::new();
        builder
            .max_header_list_size(HEAD)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(UNSENT)
            .enable_push(false);
        let handshake = builder.handshake(Both::new(Wire::new(io, open.counted()), BytesMut::new()));
        let (sender, driver) = time::timeout(timeout, handshake).await.ok()?.ok()?;
        thread.background.spawn_local(async move {
            let _open = open;
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection to a server ended");
            }
        });
        Some(Self(sender))
    }
}

/// A request on a connection.
pub(in crate::l7) struct OnHttp2 {
    sender: SendRequest<Bytes>,
    carried: Carried,
    secure: bool,
}

/// One exchange that a connection carries.
struct Carried(Rc<Usage>);

impl Carried {
    fn new(usage: &Rc<Usage>) -> Self {
        usage.exchanges.set(usage.exchanges.get() + 1);
        Self(Rc::clone(usage))
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.exchanges.set(self.0.exchanges.get() - 1);
        if self.0.exchanges.get() == 0 {
            self.0.unused.set(Instant::now());
        }
    }
}

impl OnHttp2 {
    fn new(connection: &Connection, secure: bool) -> Self {
        Self { sender: connection.sender.clone(), carried: Carried::new(&connection.usage), secure }
    }

    /// Whether the server has answered on the connection before.
    pub(in crate::l7) fn is_proven(&self) -> bool {
        self.carried.0.is_proven.get()
    }
}

impl Asking for OnHttp2 {
    type Sink = Sending;
    type Answer = Answer;

    fn ask(mut self, request: &Request, length: Length) -> (Sending, Answer) {
        let ends = length.is_empty();
        let sent = head(request, self.secure).and_then(|head| self.sender.send_request(head, ends).ok());
        let (response, stream) = sent.unzip();
        let ended = ends && stream.is_some();
        (Sending::new(stream, ended, None), Answer { response, body: None, carried: self.carried })
    }

    /// Nothing is upgraded in HTTP/2.
    fn tunnel(_sink: &mut Sending) {}

    /// It is kept anyway.
    fn keep(_sink: Sending, _body: Download, _client: &Client) {}
}

/// `None`: HTTP/2 cannot say it.
fn head(request: &Request, secure: bool) -> Option<http::Request<()>> {
    let mut head = http::Request::new(());
    *head.method_mut() = http::Method::from_bytes(request.method.name()).ok()?;
    let uri = http::Uri::builder()
        .scheme(if secure { "https" } else { "http" })
        .authority(request.host().unwrap_or(b"localhost"))
        .path_and_query(request.target.as_slice());
    *head.uri_mut() = uri.build().ok()?;
    *head.version_mut() = http::Version::HTTP_2;
    *head.headers_mut() = to_map(&request.fields);
    head.headers_mut().remove(http::header::HOST);
    head.headers_mut().remove(http::header::UPGRADE);
    Some(head)
}

/// The head of an answer as all versions have it.
fn response(parts: &http::response::Parts) -> Response {
    let mut fields = from_map(&parts.headers);
    hop::remove(&mut fields);
    Response { fields, ..Response::new(parts.status.as_u16()) }
}

/// The answer that is still to come.
pub(in crate::l7) struct Answer {
    /// `None`: the request could not be sent.
    response: Option<ResponseFuture>,
    body: Option<h2::RecvStream>,
    carried: Carried,
}

impl Answering for Answer {
    type Body = Download;

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Response, Length), NoAnswer>> {
        let future = self.response.as_mut().ok_or(NoAnswer::Cut)?;
        if let Poll::Ready(Some(Ok(interim))) = future.poll_informational(cx) {
            return Poll::Ready(Ok((response(&interim.into_parts().0), Length::EMPTY)));
        }
        let answered = ready!(Pin::new(future).poll(cx));
        let (parts, body) = answered.map_err(|_reset| NoAnswer::Cut)?.into_parts();
        self.carried.0.is_proven.set(true);
        let response = response(&parts);
        let length = Receiving::length(&body, &response.fields);
        self.body = Some(body);
        Poll::Ready(Ok((response, length)))
    }

    fn into_body(self, _length: Length) -> Download {
        Download { receiving: self.body.map(|body| Receiving::new(body, None)), _carried: self.carried }
    }
}

/// The body of the answer.
pub(in crate::l7) struct Download {
    receiving: Option<Receiving>,
    _carried: Carried,
}

impl Source for Download {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Broken>> {
        match &mut self.receiving {
            Some(receiving) => receiving.poll_frame(cx),
            None => Poll::Ready(Ok(None)),
        }
    }
}
