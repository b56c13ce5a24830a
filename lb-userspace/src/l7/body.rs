//! Body: what follows the headers of a message, on its way through us. Never gathered, always passed on.

use super::{
    headers,
    meter::{BodyWanted, Exchange, Meter, OnServer},
    send::Lease,
    threads::after,
};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{self, Instant, Sleep};

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BodyError {
    /// The peer closed too early, or its framing is broken.
    #[error("the body was cut off")]
    Cut,
    /// The server sent nothing for too long.
    #[error("the server is silent")]
    Silent,
}

/// A body, wherever it comes from.
pub(super) enum Body {
    /// None at all.
    Empty,
    /// All of it.
    Full(Bytes),
    /// As it comes.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError>>>),
}

impl Body {
    /// A text of ours.
    pub(super) fn full(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }

    /// What comes from elsewhere.
    pub(super) fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + 'static) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Stream(Box::pin(body)) }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// A request's body: the meter of the client knows when it is waited for.
pub(super) struct FromClient<B> {
    body: B,
    meter: Rc<Meter>,
    wanted: Option<BodyWanted>,
    done: Rc<Cell<bool>>,
}

impl<B: HttpBody> FromClient<B> {
    /// `done` becomes true once all of it was passed on.
    pub(super) fn new(body: B, meter: Rc<Meter>, done: Rc<Cell<bool>>) -> Self {
        done.set(body.is_end_stream());
        Self { body, meter, wanted: None, done }
    }
}

impl<B: HttpBody<Data = Bytes, Error = BodyError> + Unpin> HttpBody for FromClient<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() && self.wanted.is_none() {
            self.wanted = Some(self.meter.want_body());
        }
        let frame = ready!(polled);
        self.wanted = None;
        let frame = frame.map(passed_on);
        if frame.is_none() || self.body.is_end_stream() {
            self.done.set(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body: ends in time, and gives the connection back.
pub(super) struct FromServer {
    body: Body,
    timeout: Duration,
    /// Runs while we wait for the server.
    silence: Option<Pin<Box<Sleep>>>,
    waiting: Option<OnServer>,
    client: Rc<Meter>,
    lease: Option<Lease>,
    exchange: Option<Exchange>,
}

impl FromServer {
    /// `lease` is given back once the body has come as a whole; dropped, if it has not.
    pub(super) fn new(body: Body, timeout: Duration, client: Rc<Meter>, lease: Lease, exchange: Exchange) -> Self {
        let (lease, exchange) = (Some(lease), Some(exchange));
        let mut new = Self { body, timeout, silence: None, waiting: None, client, lease, exchange };
        if new.body.is_end_stream() {
            new.finish();
        }
        new
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        self.exchange = None;
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_none() {
            self.waiting = Some(self.client.wait_for_server());
            let deadline = after(Instant::now(), self.timeout);
            match &mut self.silence {
                Some(silence) => silence.as_mut().reset(deadline),
                None => self.silence = Some(Box::pin(time::sleep_until(deadline))),
            }
        }
        self.silence.as_mut().map_or(Poll::Pending, |silence| silence.as_mut().poll(cx))
    }
}

impl HttpBody for FromServer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.poll_silence(cx));
            self.waiting = None;
            self.lease = None;
            return Poll::Ready(Some(Err(BodyError::Silent)));
        };
        self.waiting = None;
        match &frame {
            Some(Err(_)) => self.lease = None,
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.finish(),
        }
        Poll::Ready(frame.map(passed_on))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A frame without what must not be in a trailer.
fn passed_on(frame: Result<Frame<Bytes>, BodyError>) -> Result<Frame<Bytes>, BodyError> {
    frame.map(|mut frame| {
        if let Some(trailers) = frame.trailers_mut() {
            headers::filter_trailers(trailers);
        }
        frame
    })
}
