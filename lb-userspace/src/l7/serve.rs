//! Serving a client: what an exchange needs of a client's connection, whichever version of HTTP it speaks.

pub(super) mod http1;
pub(super) mod http2;

use super::{
    message::{Length, Response},
    pump::{Broken, Sink, Source},
};
use crate::model::HeaderCase;
use std::{
    task::{Context, Poll},
    time::Duration,
};

/// What a client's connection is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Longest time for the head of a request.
    pub(super) request: Duration,
    /// Longest wait for the next request.
    pub(super) keep_alive: Duration,
    /// Whether a client that has closed its sending half counts as gone.
    pub(super) abort_on_close: bool,
    /// How names of header fields are written to it.
    pub(super) header_case: HeaderCase,
}

/// The body of a client's request.
pub(super) trait RequestBody: Source {
    /// From now on bytes come as they are: the server has agreed to another protocol.
    fn tunnel(&mut self);
}

/// Where the answer to one request goes.
pub(super) trait Respond: Sized {
    /// Where its body goes.
    type Sink: Sink;

    /// Sends an interim answer. Whoever does not know them (HTTP/1.0) gets none.
    fn interim(&mut self, response: &Response);

    /// Ready once what was sent so far has gone.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;

    /// Queues the head of the answer; it goes with the first bytes of its body. `drained`: the whole request has been read,
    /// so that another one may follow.
    fn respond(self, response: Response, length: Length, drained: bool) -> Self::Sink;
}

/// Ready once the client is gone that waits for an answer: as its body tells, or where the answer would go.
pub(super) fn poll_gone(body: &mut impl RequestBody, respond: &mut impl Respond, cx: &mut Context<'_>) -> Poll<()> {
    match respond.poll_flush(cx) {
        Poll::Ready(Err(_)) => Poll::Ready(()),
        Poll::Ready(Ok(())) | Poll::Pending => body.poll_gone(cx),
    }
}
