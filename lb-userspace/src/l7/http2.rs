//! HTTP/2, what both sides of it have in common: bodies as streams of frames, and heads as h2 wants them. Only this file,
//! the two that speak to a client and to a server (`serve/http2.rs`, `ask/http2.rs`), and the checks' (`health/http/http2.rs`)
//! name h2.

use super::{
    http1::hop,
    message::{Fields, Length},
    pump::{Broken, Frame, Sink, Source},
};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Bytes that the other side had a reason to send.
pub(super) type Useful = Rc<Cell<u64>>;

fn count(useful: Option<&Useful>, bytes: usize) {
    if let Some(useful) = useful {
        useful.set(useful.get() + bytes as u64);
    }
}

/// A body that comes.
pub(super) struct Receiving {
    stream: RecvStream,
    /// Bytes that were taken and for which the other side has got no room again.
    taken: usize,
    ended: bool,
    useful: Option<Useful>,
}

impl Receiving {
    /// On that stream; what comes is counted in `useful`.
    pub(super) const fn new(stream: RecvStream, useful: Option<Useful>) -> Self {
        Self { stream, taken: 0, ended: false, useful }
    }

    /// How long it is, as far as the head tells.
    pub(super) fn length(stream: &RecvStream, fields: &Fields) -> Length {
        let length = fields.get("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        match length {
            _ if stream.is_end_stream() => Length::EMPTY,
            Some(length) => Length::Exact(length),
            None => Length::Chunked,
        }
    }
}

impl Source for Receiving {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Broken>> {
        // What was taken before has been passed on now.
        if self.taken > 0 {
            let taken = std::mem::take(&mut self.taken);
            self.stream.flow_control().release_capacity(taken).map_err(|_gone| Broken::Cut)?;
        }
        while !self.ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.taken = data.len();
                    count(self.useful.as_ref(), 2 * data.len());
                    return Poll::Ready(Ok(Some(Frame::Data(data))));
                }
                Some(Err(_reset)) => return Poll::Ready(Err(Broken::Cut)),
                None => self.ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => {
                let mut trailers = from_map(&trailers);
                hop::filter_trailers(&mut trailers);
                Poll::Ready(Ok(Some(Frame::Trailers(trailers))))
            }
            Ok(None) => Poll::Ready(Ok(None)),
            Err(_reset) => Poll::Ready(Err(Broken::Cut)),
        }
    }
}

/// A body that goes.
pub(super) struct Sending {
    /// `None`: it could not even begin.
    stream: Option<SendStream<Bytes>>,
    /// What waits for room.
    data: Bytes,
    trailers: Option<HeaderMap>,
    /// Whether nothing follows `data` and `trailers`.
    ending: bool,
    /// Whether the end was sent.
    ended: bool,
    /// There is a body that is not sent: the head was the end.
    mute: bool,
    sent: u64,
    useful: Option<Useful>,
    /// Where what was sent is counted too.
    written: Option<Rc<Cell<u64>>>,
}

impl Sending {
    /// On that stream, if there is one; `ended`: its head was its end. What the other side may answer to our bytes (windows)
    /// is counted in `useful`.
    pub(super) const fn new(stream: Option<SendStream<Bytes>>, ended: bool, useful: Option<Useful>) -> Self {
        Self {
            stream,
            data: Bytes::new(),
            trailers: None,
            ending: false,
            ended,
            mute: ended,
            sent: 0,
            useful,
            written: None,
        }
    }

    /// Counts what it sends there too.
    pub(super) fn counting(mut self, written: Rc<Cell<u64>>) -> Self {
        self.written = Some(written);
        self
    }

    /// Sends what was put, as far as there is room.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let stream = self.stream.as_mut().ok_or(Broken::Cut)?;
        while !self.data.is_empty() {
            stream.reserve_capacity(self.data.len());
            let Some(Ok(room)) = ready!(stream.poll_capacity(cx)) else { return Poll::Ready(Err(Broken::Cut)) };
            let part = self.data.split_to(room.min(self.data.len()));
            self.sent += part.len() as u64;
            count(self.useful.as_ref(), 2 * part.len() + 64);
            count(self.written.as_ref(), part.len());
            let ends = self.ending && self.data.is_empty() && self.trailers.is_none();
            stream.send_data(part, ends).map_err(|_gone| Broken::Cut)?;
            self.ended = ends;
        }
        if self.ending && !self.ended {
            let sent = match self.trailers.take() {
                Some(trailers) => stream.send_trailers(trailers),
                None => stream.send_data(Bytes::new(), true),
            };
            sent.map_err(|_gone| Broken::Cut)?;
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Sink for Sending {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_send(cx)
    }

    fn put(&mut self, frame: Frame) -> Result<(), Broken> {
        match frame {
            _ if self.mute => {}
            Frame::Data(data) => self.data = data,
            Frame::Trailers(trailers) => self.trailers = Some(to_map(&trailers)),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Broken> {
        self.ending = true;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.poll_send(cx))?;
        // Whoever waits for more to send wants to know that nobody does any more.
        let gone = !self.ended && self.stream.as_mut().is_some_and(|stream| stream.poll_reset(cx).is_ready());
        Poll::Ready(if gone { Err(Broken::Cut) } else { Ok(()) })
    }

    fn progress(&self) -> u64 {
        self.sent
    }
}

impl Drop for Sending {
    /// What has no end must not look as if it had one.
    fn drop(&mut self) {
        if let (Some(stream), false) = (&mut self.stream, self.ended) {
            stream.send_reset(Reason::CANCEL);
        }
    }
}

/// Fields for h2. What HTTP/2 cannot say, or says by its frames, is left out (RFC 9113 §8.2.2): h2 would refuse the whole message
/// for it, and rules may set it.
pub(crate) fn to_map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            && (!hop::is_of_one_hop(name.as_str().as_bytes()) || name == http::header::TE && value == "trailers")
        {
            map.append(name, value);
        }
    }
    map
}

/// Fields of h2's.
pub(crate) fn from_map(map: &HeaderMap) -> Fields {
    map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
