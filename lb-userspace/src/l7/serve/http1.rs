//! A client that speaks HTTP/1: its requests in their order, each with its answer.

use super::{RequestBody, Respond, Terms, http2};
use crate::l7::{
    answer::Answer,
    ask::http1::{finish, poll_frame, put},
    client::Client,
    exchange::{self, Incoming},
    http1::{
        Limits,
        body::Decoder,
        encode::{self, Encoder},
        has_end, hop,
        request::{self, Refusal, RequestHead},
    },
    io::{Io, Reader, Wire, Writer},
    log::termination::Cause,
    message::{Length, Method, Response, Version},
    pump::{Broken, Frame, Sink, Source},
    tale::Tale,
    timer::{Timer, after},
};
use crate::{model::HeaderCase, servers::Refused};
use bytes::Buf as _;
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{self, Instant};

/// How long a drain waits for the first bytes of a connection that was opened a moment before it: they may be on the way,
/// or in the socket already.
const ON_THE_WAY: Duration = Duration::from_millis(100);

/// For what a connection that ends still has to say.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How much of a request that was refused is read, so that the client sees the answer and not a reset.
const UNREAD: u64 = 256 * 1024;

/// How a client begins that speaks HTTP/2 without having agreed on it (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Pipelined requests that are read while an answer is on its way.
const AHEAD: usize = 16 * 1024;

/// Serves a connection until it ends.
pub(in crate::l7) async fn serve(client: Rc<Client>, io: Io, terms: Terms) {
    let wire = Wire::new(io, client.counted());
    let mut connection = Connection {
        reader: Reader::new(Rc::clone(&wire)),
        writer: Writer::new(wire),
        timer: Timer::default(),
        start: client.accepted,
    };
    let mut is_first = true;
    let thread = Rc::clone(&client.thread);
    let shed = thread.shed.borrow().clone();
    let mut drain = pin!(shed.cancelled());
    loop {
        let head = connection.next_head(&terms, is_first, drain.as_mut()).await;
        is_first = false;
        match head {
            Next::Request(head, first_byte) => {
                // Boxed, so that a connection that waits is as small as its waiting.
                if !Box::pin(connection.exchange(&client, *head, first_byte, &terms)).await {
                    return connection.end().await;
                }
                connection.start = Instant::now();
            }
            Next::Refused(refusal) => {
                let input = &connection.reader.input;
                client.live.refused.keep(|| Refused::new(client.flow.client, refusal.to_string(), input));
                connection.refuse(&client, refusal.status(), Cause::Proxy, &terms);
                return connection.end().await;
            }
            Next::Late => {
                connection.refuse(&client, Answer::REQUEST_TIMEOUT.0, Cause::ClientTimeout, &terms);
                return connection.end().await;
            }
            Next::Http2 => {
                let Connection { reader, .. } = connection;
                let wire = Rc::clone(reader.wire());
                return Box::pin(http2::serve_wire(client, wire, reader.input, terms)).await;
            }
            Next::End => return,
        }
    }
}

struct Connection {
    reader: Reader,
    writer: Writer,
    timer: Timer,
    /// When the client was accepted, or the last exchange ended.
    start: Instant,
}

/// What a client does next.
enum Next {
    Request(Box<RequestHead>, Instant),
    /// It sent what is no request.
    Refused(Refusal),
    /// It speaks HTTP/2.
    Http2,
    /// It began a request, or should have, and did not finish its head in time.
    Late,
    /// It is gone, or has nothing more to say.
    End,
}

impl Connection {
    async fn next_head(
        &mut self,
        terms: &Terms,
        is_first: bool,
        mut drain: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Next {
        self.reader.release();
        self.writer.release();
        let (began, limits, mut seen) = (Instant::now(), Limits::default(), 0);
        // A connection owes its first request from the start.
        let mut head_since = (is_first || !self.reader.input.is_empty()).then_some(began);
        let mut draining = false;
        poll_fn(|cx| {
            loop {
                // What is no request is told at once; what is not complete is looked at again when it may be.
                if !self.reader.input.is_empty() && (seen == 0 || has_end(&self.reader.input, seen, &limits)) {
                    head_since.get_or_insert_with(Instant::now);
                    if is_first && self.reader.input.starts_with(PREFACE) {
                        return Poll::Ready(Next::Http2);
                    }
                    let may_be_preface = is_first && PREFACE.starts_with(&self.reader.input);
                    match request::request(&self.reader.input, &limits) {
                        Ok(Some(head)) => {
                            self.reader.input.advance(head.consumed);
                            return Poll::Ready(Next::Request(Box::new(head), head_since.unwrap_or(began)));
                        }
                        Err(_) | Ok(None) if may_be_preface => {}
                        Err(refusal) => return Poll::Ready(Next::Refused(refusal)),
                        Ok(None) => seen = self.reader.input.len(),
                    }
                }
                match self.reader.poll_fill(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(Next::End),
                    Poll::Pending => break,
                }
            }
            draining = draining || drain.as_mut().poll(cx).is_ready();
            let untouched = self.reader.wire().received() == 0;
            let (deadline, late) = match head_since {
                _ if draining && self.reader.input.is_empty() && !untouched => return Poll::Ready(Next::End),
                Some(since) if draining && untouched => (after(since, ON_THE_WAY), Next::End),
                Some(since) => (after(since, terms.request), Next::Late),
                None => (after(began, terms.keep_alive), Next::End),
            };
            self.timer.poll(cx, Some(deadline)).map(|()| late)
        })
        .await
    }

    /// One exchange; whether another one may follow.
    async fn exchange(&mut self, client: &Rc<Client>, head: RequestHead, first_byte: Instant, terms: &Terms) -> bool {
        let RequestHead { mut request, length, persistent, upgrade, .. } = head;
        hop::remove(&mut request.fields);
        let keep = Cell::new(persistent);
        client.count_request();
        let held = client.current();
        let tale = Tale::begin(client, &held, self.start, first_byte);
        let wire = Rc::clone(self.reader.wire());
        let (received, sent) = (wire.received(), wire.sent());
        let body =
            Body { decoder: Decoder::new(length), reader: &mut self.reader, abort_on_close: terms.abort_on_close };
        let respond = Responder {
            writer: &mut self.writer,
            version: request.version,
            is_head: request.method == Method::Head,
            keep: &keep,
            case: terms.header_case,
            client,
        };
        let ended =
            exchange::run(client, (held, &tale), Incoming { request, length, upgrade }, body, respond, &mut self.timer)
                .await;
        tale.finish(client, wire.sent() - sent, wire.received() - received);
        ended == exchange::Ended::Clean && keep.get() && !(self.reader.is_closed() && self.reader.input.is_empty())
    }

    /// Answers what was no request, or not in time, as the last of the connection.
    fn refuse(&mut self, client: &Client, status: u16, cause: Cause, terms: &Terms) {
        let tale = Tale::begin(client, &client.current(), self.start, self.start);
        let received = self.reader.wire().received();
        let Some((mut response, page)) = exchange::refused(client, tale, status, cause, received) else { return };
        response.fields.push("connection", "close");
        let length = Length::Exact(page.len() as u64);
        encode::response_head(&mut self.writer.out, &response, length, Version::Http11, terms.header_case, false);
        self.writer.out.extend_from_slice(&page);
    }

    /// Sends what is left, and closes so that the client reads it: what we do not read of a request would reset it.
    async fn end(mut self) {
        let last_words = async {
            poll_fn(|cx| self.writer.poll_shutdown(cx)).await?;
            let enough = self.reader.wire().received() + UNREAD;
            while self.reader.wire().received() < enough && poll_fn(|cx| self.reader.poll_fill(cx)).await? {
                self.reader.input.clear();
            }
            io::Result::Ok(())
        };
        // Whoever is late may also be gone.
        drop(time::timeout(LAST_WORDS, last_words).await);
    }
}

/// The body of a request.
struct Body<'a> {
    reader: &'a mut Reader,
    decoder: Decoder,
    /// Whether a client that has closed its sending half counts as gone.
    abort_on_close: bool,
}

impl Source for Body<'_> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Broken>> {
        poll_frame(self.reader, &mut self.decoder, cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.reader.input.len() < AHEAD && !self.reader.is_closed() {
            match ready!(self.reader.poll_fill(cx)) {
                Ok(true) => {}
                // A client that has closed its sending half may still read: it cannot be told from one that has gone.
                Ok(false) if self.abort_on_close => return Poll::Ready(()),
                Ok(false) => break,
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

impl RequestBody for Body<'_> {
    fn tunnel(&mut self) {
        self.decoder = Decoder::new(Length::UntilClose);
    }
}

/// Where an answer goes.
struct Responder<'a> {
    writer: &'a mut Writer,
    version: Version,
    is_head: bool,
    /// Whether the connection goes on after it.
    keep: &'a Cell<bool>,
    case: HeaderCase,
    client: &'a Client,
}

impl<'a> Respond for Responder<'a> {
    type Sink = Download<'a>;

    fn interim(&mut self, response: &Response) {
        if self.version == Version::Http11 {
            encode::response_head(&mut self.writer.out, response, Length::EMPTY, self.version, self.case, false);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.writer.poll_flush(cx).map_err(Broken::from)
    }

    fn respond(self, mut response: Response, length: Length, drained: bool) -> Download<'a> {
        let tunnel = response.status == 101;
        let length = match (self.version, length) {
            _ if tunnel => Length::UntilClose,
            (Version::Http11, Length::UntilClose) => Length::Chunked,
            (Version::Http10, Length::Chunked) => Length::UntilClose,
            (_, length) => length,
        };
        // Without a body it does not matter how its end would have been found.
        let bodiless = self.is_head || response.is_bodiless();
        let keep =
            self.keep.get() && drained && !self.client.should_close() && (bodiless || length != Length::UntilClose);
        self.keep.set(keep);
        if !tunnel {
            match (self.version, keep) {
                (Version::Http11, false) => response.fields.push("connection", "close"),
                (Version::Http10, true) => response.fields.push("connection", "keep-alive"),
                _ => {}
            }
        }
        encode::response_head(&mut self.writer.out, &response, length, self.version, self.case, self.is_head);
        let encoder = Encoder::new(if bodiless && !tunnel { Length::EMPTY } else { length });
        Download { writer: self.writer, encoder, case: self.case, mute: bodiless && !tunnel, tunnel }
    }
}

/// Where the body of an answer goes.
pub(in crate::l7) struct Download<'a> {
    writer: &'a mut Writer,
    encoder: Encoder,
    case: HeaderCase,
    /// The answer has a body that is not sent.
    mute: bool,
    tunnel: bool,
}

impl Sink for Download<'_> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.writer.poll_ready(cx).map_err(Broken::from)
    }

    fn put(&mut self, frame: Frame) -> Result<(), Broken> {
        if self.mute { Ok(()) } else { put(self.writer, &mut self.encoder, frame, self.case) }
    }

    fn finish(&mut self) -> Result<(), Broken> {
        finish(self.writer, &mut self.encoder)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.writer.poll_flush(cx).map_err(Broken::from)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.tunnel {
            ready!(self.writer.poll_shutdown(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        self.writer.wire().sent()
    }
}
