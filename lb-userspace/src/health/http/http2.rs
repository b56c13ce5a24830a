//! A connection in HTTP/2 to a server that is probed: what h2 needs of it, within bounds.

use super::answer::Answer;
use crate::{
    health::{
        Code, Finding,
        finding::{Step, quote},
        wire::{Io, Wire},
    },
    l7::http2::from_map,
};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use std::{
    fmt,
    future::{Future as _, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, timeout_at},
};

/// Largest head of an answer, HAProxy's `tune.bufsize`.
const HEAD: u32 = 16 << 10;
/// What may come for one request, of whatever frames: a head, as much of a body as is looked at, and the rest of a window.
const MOST: usize = 128 << 10;
/// A frame begins with so many bytes (RFC 9113 §4.1).
const FRAME: usize = 9;
/// The type of the frame that a server begins with.
const SETTINGS: u8 = 4;
/// So many of the first bytes are kept, to say what came in place of HTTP/2.
const FIRST: usize = 256;
/// Most bytes of the description of an error.
const WORDS: usize = 160;

/// A connection in HTTP/2.
pub(in crate::health) struct Connection<'w> {
    sender: SendRequest<Bytes>,
    /// `None`: it has ended.
    driver: Option<h2::client::Connection<Metered<'w>, Bytes>>,
    meter: Arc<Meter>,
    deadline: Instant,
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl<'w> Connection<'w> {
    /// On a connection on which nothing was said.
    pub(in crate::health) async fn open(wire: &'w mut Wire) -> Step<Self> {
        let deadline = wire.deadline();
        let Some(io) = wire.io() else { return Err(Finding::strange("no connection")) };
        let meter = Arc::new(Meter::default());
        let metered = Metered { io, meter: Arc::clone(&meter) };
        let mut builder = Builder::new();
        builder.max_header_list_size(HEAD).enable_push(false);
        match timeout_at(deadline, builder.handshake(metered)).await {
            Ok(Ok((sender, driver))) => Ok(Self { sender, driver: Some(driver), meter, deadline }),
            Ok(Err(error)) => Err(meter.failed(&error)),
            Err(_elapsed) => Err(Finding::new(Code::L7Timeout, "sending")),
        }
    }

    /// Sends a request and reads the answer until `look` has seen enough of it.
    pub(in crate::health) async fn exchange(
        &mut self,
        request: http::Request<()>,
        body: Bytes,
        mut look: impl FnMut(&Answer) -> Option<Step<()>>,
    ) -> Step<Answer> {
        self.meter.left.store(MOST, Relaxed);
        let (sender, meter) = (self.sender.clone(), Arc::clone(&self.meter));
        let failed = |error: h2::Error| meter.failed(&error);
        let work = async {
            let mut sender = sender.ready().await.map_err(failed)?;
            let (response, mut sending) = sender.send_request(request, body.is_empty()).map_err(failed)?;
            if !body.is_empty() {
                sending.send_data(body, true).map_err(failed)?;
            }
            let (parts, mut receiving) = response.await.map_err(failed)?.into_parts();
            let mut answer = Answer::new(parts.status.as_u16(), Vec::new(), from_map(&parts.headers));
            answer.ended = receiving.is_end_stream();
            loop {
                if let Some(verdict) = look(&answer) {
                    return verdict.map(|()| answer);
                }
                if answer.ended {
                    return Err(Finding::strange(format!("{}, no end", answer.status())));
                }
                match receiving.data().await {
                    Some(Ok(data)) => {
                        answer.add(&data);
                        receiving.flow_control().release_capacity(data.len()).map_err(failed)?;
                    }
                    Some(Err(error)) => return Err(failed(error)),
                    None => {
                        if let Some(trailers) = receiving.trailers().await.map_err(failed)? {
                            answer.trailers = from_map(&trailers);
                        }
                        answer.ended = true;
                    }
                }
            }
        };
        let mut work = pin!(work);
        let driver = &mut self.driver;
        let both = poll_fn(|cx| {
            // The request is there before what comes is looked at: else an answer that came early would be one to nothing.
            if let done @ Poll::Ready(_) = work.as_mut().poll(cx) {
                return done;
            }
            if let Some(connection) = driver
                && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
            {
                // Dropped, it tells the exchange.
                *driver = None;
                if let Err(error) = ended {
                    meter.ended(&error);
                }
            }
            let done = work.as_mut().poll(cx);
            if done.is_pending() && driver.is_none() {
                return Poll::Ready(Err(Finding::strange("the connection ended")));
            }
            done
        });
        match timeout_at(self.deadline, both).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(Finding::new(Code::L7Timeout, "waiting for the answer")),
        }
    }
}

/// What is behind a lock that nobody else waits for: it is there because a probe may move between threads.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came by a connection.
#[derive(Debug)]
struct Meter {
    /// Bytes that may still come.
    left: AtomicUsize,
    /// The first ones that came.
    first: Mutex<Vec<u8>>,
    /// How it ended, if not well.
    error: Mutex<Option<Finding>>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { left: AtomicUsize::new(MOST), first: Mutex::default(), error: Mutex::default() }
    }
}

impl Meter {
    /// Notes how the connection ended.
    fn ended(&self, error: &h2::Error) {
        let found = self.finding(error);
        *held(&self.error) = Some(found);
    }

    /// What an error means: the first thing that went wrong.
    fn failed(&self, error: &h2::Error) -> Finding {
        held(&self.error).clone().unwrap_or_else(|| self.finding(error))
    }

    fn finding(&self, error: &h2::Error) -> Finding {
        let first = held(&self.first);
        let begins_well = first.len() < FRAME || first.get(3) == Some(&SETTINGS);
        match error.get_io() {
            _ if !begins_well => Finding::strange(format!("not HTTP/2: {}", quote(&first))),
            Some(_) if self.left.load(Relaxed) == 0 => {
                Finding::strange(format!("more than {MOST} bytes for one request"))
            }
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Finding::failed(error, Code::L7Response),
            Some(_) if first.is_empty() => Finding::strange("the answer: closed without a word"),
            Some(_) => Finding::strange("the answer: cut off"),
            None => Finding::strange(format!("HTTP/2: {}", error.to_string().chars().take(WORDS).collect::<String>())),
        }
    }
}

/// A connection of which a [`Meter`] counts what comes.
struct Metered<'w> {
    io: &'w mut dyn Io,
    meter: Arc<Meter>,
}

impl AsyncRead for Metered<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.meter.left.load(Relaxed);
        if left == 0 {
            return Poll::Ready(Err(io::Error::other("too much")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.io).poll_read(cx, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        self.meter.left.store(left.saturating_sub(came.len()), Relaxed);
        let mut first = held(&self.meter.first);
        let wanted = FIRST.saturating_sub(first.len());
        first.extend_from_slice(came.get(..wanted).unwrap_or(came));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}
