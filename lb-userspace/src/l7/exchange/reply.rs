//! Answers of our own: counted, told, and sent as a whole.

use super::{Ended, place::Instead, talk::Why};
use crate::l7::{
    answer::{Answer, Files},
    client::{Client, Held},
    connect::NoPlace,
    log::termination::{Cause, Phase},
    message::{Length, Response},
    pump::{Frame, Sink as _},
    serve::Respond,
    snapshot::BackendRoute,
    tale::Tale,
    timer::{Timer, after},
};
use crate::servers::counts::BackendCounts;
use bytes::Bytes;
use std::{future::poll_fn, rc::Rc, task::Poll};
use tokio::time::Instant;

/// Counts and logs what was no request, or not in time, and whose fault that is; what it began with is told by `tale`. The
/// answer that it gets; `None`: nothing is said.
pub(in crate::l7) fn refused(
    client: &Client,
    tale: Tale,
    status: u16,
    cause: Cause,
    received: u64,
) -> Option<(Response, Bytes)> {
    let counts = client.counts();
    counts.request_errors.increment();
    counts.responses.of(status).increment();
    tale.ended_by(cause, Phase::Request);
    tale.note(|told| told.status = Some(status));
    tale.finish(client, 0, received);
    client.current().frontend()?.errors.answer(status)
}

/// What an answer of ours needs to know.
#[derive(Clone, Copy)]
pub(super) struct Replying<'a> {
    pub(super) client: &'a Rc<Client>,
    pub(super) held: &'a Held,
    pub(super) tale: &'a Tale,
    /// Where the request goes, once that is known.
    pub(super) backend: Option<&'a BackendRoute>,
}

impl Replying<'_> {
    /// Sends an answer of ours. `drained`: nothing of the request is left on the connection.
    pub(super) async fn reply<R: Respond>(self, answer: Answer, drained: bool, respond: R, timer: &mut Timer) -> Ended {
        if answer.is_of_request() {
            self.client.counts().request_errors.increment();
        }
        let (response, page) = answer.response();
        self.send(response, page, drained && !answer.is_of_request(), respond, timer).await
    }

    /// Tells the client why it has no answer of the server that was asked.
    pub(super) async fn failed<R: Respond>(self, why: Why, respond: R, timer: &mut Timer) -> Ended {
        let (cause, phase) = why.letters();
        self.tale.ended_by(cause, phase);
        let answer = match why {
            Why::Replaced { instead, drained } => {
                let Instead { response, body, .. } = *instead;
                return self.send(response, body, drained, respond, timer).await;
            }
            Why::Status(status) => {
                // It was the server's, and is no fault of the request.
                let (response, page) = Answer(status).response();
                return self.send(response, page, false, respond, timer).await;
            }
            Why::NoAnswer(_) => Answer::BAD_GATEWAY,
            Why::ServerLate => Answer::GATEWAY_TIMEOUT,
            Why::BadBody => Answer::BAD_REQUEST,
            Why::ClientLate => Answer::REQUEST_TIMEOUT,
            Why::Abort => return Ended::Cut,
        };
        self.reply(answer, false, respond, timer).await
    }

    /// Tells the client that no server was there for it.
    pub(super) async fn unserved<R: Respond>(
        self,
        none: NoPlace,
        drained: bool,
        respond: R,
        timer: &mut Timer,
    ) -> Ended {
        let (cause, phase) = match none {
            NoPlace::NoServer => (Cause::Server, Phase::Connect),
            NoPlace::Late => (Cause::ServerTimeout, Phase::Queue),
            NoPlace::Gone => (Cause::Client, Phase::Queue),
        };
        self.tale.ended_by(cause, phase);
        if none == NoPlace::Gone {
            return Ended::Cut;
        }
        self.count(|counts| counts.unserved.increment());
        self.reply(Answer::UNAVAILABLE, drained, respond, timer).await
    }

    /// Counts something of the backend, if there is one.
    pub(super) fn count(self, what: impl FnOnce(&BackendCounts)) {
        if let Some(backend) = self.backend {
            what(backend.live.counts.of(self.client.thread.index));
        }
    }

    /// Sends an answer that is whole: one of ours, or one that rules have made.
    pub(super) async fn send<R: Respond>(
        self,
        response: Response,
        page: Bytes,
        drained: bool,
        respond: R,
        timer: &mut Timer,
    ) -> Ended {
        self.client.counts().responses.of(response.status).increment();
        self.count(|counts| counts.responses.of(response.status).increment());
        self.tale.note(|told| told.response(&response));
        let frontend = self.held.frontend();
        let files = self.backend.map(|backend| &backend.errors).into_iter().chain(frontend.map(|it| &it.errors));
        let Some((response, page)) = Files::replace(files, (response, page)) else { return Ended::Cut };
        let timeout = frontend.map_or_else(Default::default, |frontend| frontend.timeout_client);
        send(response, page, drained, respond, timer, after(Instant::now(), timeout)).await
    }
}

/// Sends a whole answer until `deadline`.
pub(in crate::l7) async fn send<R: Respond>(
    response: Response,
    body: Bytes,
    drained: bool,
    respond: R,
    timer: &mut Timer,
    deadline: Instant,
) -> Ended {
    let mut sink = respond.respond(response, Length::Exact(body.len() as u64), drained);
    let mut body = Some(body).filter(|body| !body.is_empty());
    let sent = poll_fn(|cx| {
        if let Some(body) = body.take() {
            // A new sink has room, and the length is right.
            if sink.put(Frame::Data(body)).and_then(|()| sink.finish()).is_err() {
                return Poll::Ready(false);
            }
        }
        match sink.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
            Poll::Pending => timer.poll(cx, Some(deadline)).map(|()| false),
        }
    })
    .await;
    if sent && drained { Ended::Clean } else { Ended::Cut }
}
