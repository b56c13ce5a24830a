//! Asking a server: what an exchange needs of a connection to one, whichever version of HTTP it speaks.

pub(super) mod http1;
pub(super) mod http2;

use super::{
    client::Client,
    message::{Length, Request, Response},
    pump::{Sink, Source},
};
use std::task::{Context, Poll};

/// Our side of a connection to a server, for one exchange.
pub(super) trait Asking {
    /// Where the request's body goes.
    type Sink: Sink;
    /// Where the answer comes from.
    type Answer: Answering;

    /// Queues the head of a request; it goes with the first bytes of its body.
    fn ask(self, request: &Request, length: Length) -> (Self::Sink, Self::Answer);

    /// From now on bytes go as they are: the server has agreed to another protocol.
    fn tunnel(sink: &mut Self::Sink);

    /// Keeps the connection for another exchange, if both sides have had their say and the server keeps it too.
    fn keep(sink: Self::Sink, body: <Self::Answer as Answering>::Body, client: &Client);
}

/// The answer that a server owes us.
pub(super) trait Answering {
    /// Where its body comes from.
    type Body: Source;

    /// The head of the answer, or of an interim one, which another follows.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Response, Length), NoAnswer>>;

    /// The body of the answer whose head came last.
    fn into_body(self, length: Length) -> Self::Body;
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoAnswer {
    /// The connection ended before the first byte of it.
    Cut,
    /// It is not HTTP, or means different things to different readers.
    Invalid,
}
