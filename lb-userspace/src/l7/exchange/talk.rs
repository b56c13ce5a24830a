//! Talk: the request goes to one server and its answer to the client, both at the same time if need be.

use super::{Ended, place::Instead};
use crate::l7::{
    ask::{Answering, Asking, NoAnswer},
    client::Client,
    log::termination::{Cause, Phase},
    message::{Length, Request, Response},
    pump::{Awaited, Broken, Fault, Pump, Sink, Source},
    serve::{RequestBody, Respond},
    tale::Tale,
    timer::{Patience, Timer, after, earlier, silence},
};
use crate::{
    model::RetryOn,
    servers::{ServerLive, counts::ServerCounts},
};
use futures_util::future::OptionFuture;
use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// How long a server may leave a client waiting that asked whether it may send the body; then we tell it to.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a talk needs beside its two ends.
pub(super) struct Talk<'a> {
    pub(super) client: &'a Rc<Client>,
    pub(super) request: &'a Request,
    pub(super) length: Length,
    pub(super) patience: Patience,
    pub(super) timeout_tunnel: Option<Duration>,
    /// The server.
    pub(super) server: Option<&'a ServerLive>,
    /// Makes of the server's answer that of the client.
    pub(super) change: &'a Change<'a>,
    pub(super) tale: &'a Tale,
    /// Whether another server may be asked after that failure.
    pub(super) another: &'a dyn Fn(RetryOn) -> bool,
    /// The client waits to be told that it may send the body.
    pub(super) expects_continue: bool,
    pub(super) timer: &'a mut Timer,
}

/// Makes of a server's answer that of the client. `Some`: what goes to the client in its place.
pub(super) type Change<'a> = dyn Fn(&mut Response) -> Option<Instead> + 'a;

/// Why the client has no answer of the server's.
#[derive(Debug)]
pub(super) enum Why {
    /// The server has none, or none that can be understood.
    NoAnswer(NoAnswer),
    /// The server was silent for too long.
    ServerLate,
    /// The server's answer has a status that is worth another attempt.
    Status(u16),
    /// Rules have put this in the place of the server's answer. `drained`: the whole request has been read.
    Replaced { instead: Box<Instead>, drained: bool },
    /// The request's body is not one.
    BadBody,
    /// The client broke its request off.
    Abort,
    /// The rest of the request did not come in time.
    ClientLate,
}

impl Why {
    /// Whether it is the server's fault.
    pub(super) const fn is_of_server(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::ServerLate)
    }

    /// What `retry_on` calls it.
    pub(super) const fn retry(&self) -> Option<RetryOn> {
        Some(match self {
            Self::NoAnswer(NoAnswer::Cut) => RetryOn::EmptyResponse,
            Self::NoAnswer(NoAnswer::Invalid) => RetryOn::JunkResponse,
            Self::ServerLate => RetryOn::ResponseTimeout,
            Self::Status(status) => RetryOn::Status(*status),
            Self::Replaced { .. } | Self::BadBody | Self::Abort | Self::ClientLate => return None,
        })
    }

    /// HAProxy's letters for it.
    pub(super) const fn letters(&self) -> (Cause, Phase) {
        match self {
            Self::NoAnswer(NoAnswer::Cut) => (Cause::Server, Phase::Headers),
            Self::Replaced { instead, .. } if !instead.denied => (Cause::Local, Phase::Headers),
            Self::NoAnswer(NoAnswer::Invalid) | Self::Replaced { .. } => (Cause::Proxy, Phase::Headers),
            Self::ServerLate => (Cause::ServerTimeout, Phase::Headers),
            Self::Status(_) => (Cause::None, Phase::None),
            Self::BadBody => (Cause::Proxy, Phase::Request),
            Self::Abort => (Cause::Client, Phase::Headers),
            Self::ClientLate => (Cause::ClientTimeout, Phase::Data),
        }
    }
}

/// Nothing has gone to the client.
pub(super) struct Failed<B, R> {
    pub(super) why: Why,
    /// Whether something of the body was taken, so that it cannot be sent again.
    pub(super) begun: bool,
    pub(super) body: B,
    pub(super) respond: R,
}

impl Talk<'_> {
    /// Sends the request, and the answer to the client.
    pub(super) async fn run<A: Asking, B: RequestBody, R: Respond>(
        mut self,
        asking: A,
        body: B,
        mut respond: R,
    ) -> Result<Ended, Failed<B, R>> {
        let cuttable = self.server.map(|server| (server, server.over.begin()));
        let (sink, mut answer) = asking.ask(self.request, self.length);
        let mut up = Up { pump: Pump::new(body, sink), is_lost: false };
        let (mut response, length) = loop {
            match self.head(&mut up, &mut answer, &mut respond).await {
                // We may have said it already.
                Ok((response, _)) if response.status == 100 && !self.expects_continue => {}
                Ok((response, _)) if response.is_interim() => {
                    self.expects_continue &= response.status != 100;
                    respond.interim(&response);
                }
                Ok((response, _)) if !up.pump.has_begun() && (self.another)(RetryOn::Status(response.status)) => {
                    let why = Why::Status(response.status);
                    return Err(Failed { why, begun: false, body: up.pump.source, respond });
                }
                Ok(head) => break head,
                Err(why) => {
                    self.count_abort(&why);
                    return Err(Failed { why, begun: up.pump.has_begun(), body: up.pump.source, respond });
                }
            }
        };
        #[cfg(test)]
        crate::l7::tests::panics::panic_if_told(&response.fields);
        if let Some(instead) = (self.change)(&mut response) {
            if instead.denied {
                self.client.counts().denied_responses.increment();
                self.count(|counts| counts.denied_responses.increment());
            }
            let why = Why::Replaced { instead: Box::new(instead), drained: up.pump.is_done() };
            return Err(Failed { why, begun: true, body: up.pump.source, respond });
        }
        self.client.counts().responses.of(response.status).increment();
        self.count(|counts| counts.responses.of(response.status).increment());
        let tunnel = response.status == 101;
        let length = if tunnel { Length::UntilClose } else { length };
        let respond = respond.respond(response, length, up.pump.is_done());
        let mut down = Pump::new(answer.into_body(length), respond);
        if tunnel {
            self.patience.client = self.timeout_tunnel.unwrap_or(self.patience.client);
            self.patience.server = self.timeout_tunnel.unwrap_or(self.patience.server);
            up.pump.source.tunnel();
            A::tunnel(&mut up.pump.sink);
            up.pump.restart();
        }
        let (thread, server) = (Rc::clone(&self.client.thread), self.server.filter(|_| tunnel));
        // A tunnel may be silent for long; what else goes on and on looks by itself.
        let mut over = pin!(OptionFuture::from(server.map(|server| thread.over(&server.over))));
        let is_cut = || cuttable.is_some_and(|(server, begun)| server.over.is_over_since(begun));
        let is_over = |cx: &mut Context<'_>| matches!(over.as_mut().poll(cx), Poll::Ready(Some(()))) || is_cut();
        if let Err(cause) = self.bodies(&mut up, &mut down, tunnel, is_over).await {
            if let Some(cause) = cause {
                self.tale.ended_by(cause, Phase::Data);
                self.count(|counts| cause.count(counts));
            }
            return Ok(Ended::Cut);
        }
        A::keep(up.pump.sink, down.source, self.client);
        Ok(Ended::Clean)
    }

    /// Counts that the client has gone, if it has.
    fn count_abort(&self, why: &Why) {
        if matches!(why, Why::Abort) {
            self.count(|counts| counts.client_aborts.increment());
        }
    }

    /// Counts something of the server.
    fn count(&self, what: impl FnOnce(&ServerCounts)) {
        if let Some(server) = self.server {
            what(server.counts.of(self.client.thread.index));
        }
    }

    /// The next head of the server's, while the request's body goes there.
    async fn head<B: RequestBody, K: Sink, A: Answering, R: Respond>(
        &mut self,
        up: &mut Up<B, K>,
        answer: &mut A,
        respond: &mut R,
    ) -> Result<(Response, Length), Why> {
        let mut asked = None;
        let began = Instant::now();
        poll_fn(|cx| {
            // What is wrong with the request's body is told before what the server makes of it.
            up.poll(cx)?;
            if up.pump.is_done() && up.pump.source.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Why::Abort));
            }
            if let Poll::Ready(head) = answer.poll_head(cx) {
                return Poll::Ready(head.map_err(Why::NoAnswer));
            }
            if let Poll::Ready(Err(_)) = respond.poll_flush(cx) {
                return Poll::Ready(Err(Why::Abort));
            }
            if up.pump.has_begun() {
                self.expects_continue = false;
            }
            if self.expects_continue {
                // Some servers read the body without a word.
                let patient = after(began, PATIENCE);
                if self.timer.poll(cx, Some(patient)).is_ready() {
                    self.expects_continue = false;
                    respond.interim(&Response::new(100));
                    if let Poll::Ready(Err(_)) = respond.poll_flush(cx) {
                        return Poll::Ready(Err(Why::Abort));
                    }
                } else {
                    return Poll::Pending;
                }
            }
            let (deadline, late) = match up.waiting() {
                Some((Awaited::Source, since)) => (after(since, self.patience.client), Why::ClientLate),
                Some((Awaited::Sink, since)) => (after(since, self.patience.server), Why::ServerLate),
                None => {
                    let asked = *asked.get_or_insert_with(Instant::now);
                    (after(asked, self.patience.server), Why::ServerLate)
                }
            };
            self.timer.poll(cx, Some(deadline)).map(|()| Err(late))
        })
        .await
    }

    /// Both bodies, to the end of the answer; in a tunnel to the end of both. `Err`: not all has come and gone, and whose fault
    /// that is; nobody's if the answer was complete before the request.
    async fn bodies<B: RequestBody, K: Sink, S: Source, D: Sink>(
        &mut self,
        up: &mut Up<B, K>,
        down: &mut Pump<S, D>,
        tunnel: bool,
        mut is_over: impl FnMut(&mut Context<'_>) -> bool,
    ) -> Result<(), Option<Cause>> {
        poll_fn(|cx| {
            if is_over(cx) {
                return Poll::Ready(Err(Some(Cause::Killed)));
            }
            up.poll(cx).map_err(|why| Some(why.letters().0))?;
            if !tunnel && up.pump.is_done() && up.pump.source.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Some(Cause::Client)));
            }
            match down.poll(cx) {
                Poll::Ready(Ok(())) if !tunnel || up.is_over() => {
                    return Poll::Ready(if up.pump.is_done() { Ok(()) } else { Err(None) });
                }
                Poll::Ready(Err(Fault::Source(_))) => return Poll::Ready(Err(Some(Cause::Server))),
                Poll::Ready(Err(Fault::Sink)) => return Poll::Ready(Err(Some(Cause::Client))),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            let of_client = |waiting: Option<(Awaited, Instant)>, client| waiting.is_some_and(|(who, _)| who == client);
            let client = of_client(up.waiting(), Awaited::Source) || of_client(down.waiting(), Awaited::Sink);
            let timeouts = self.patience.now(tunnel && up.is_over(), tunnel && down.is_done());
            // Of the one who is waited for; it is the client if `client` is.
            let timeout = |awaited, client| if awaited == client { timeouts.0 } else { timeouts.1 };
            let up = up.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Source)));
            let down = down.waiting().map(|(awaited, since)| (since, timeout(awaited, Awaited::Sink)));
            let until = |waiting: Option<(Instant, Duration)>| waiting.map(|(since, timeout)| after(since, timeout));
            let deadline = if tunnel { silence(up, down) } else { earlier(until(up), until(down)) };
            let late = if client { Cause::ClientTimeout } else { Cause::ServerTimeout };
            self.timer.poll(cx, deadline).map(|()| Err(Some(late)))
        })
        .await
    }
}

/// The request's body on its way to the server.
struct Up<B, K> {
    pump: Pump<B, K>,
    /// The server takes no more of it. It may have answered all the same.
    is_lost: bool,
}

impl<B: Source, K: Sink> Up<B, K> {
    /// Moves what can be moved. `Err`: the body has no end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), Why> {
        if self.is_over() {
            return Ok(());
        }
        match self.pump.poll(cx) {
            Poll::Ready(Err(Fault::Source(Broken::Cut))) => Err(Why::Abort),
            Poll::Ready(Err(Fault::Source(Broken::Malformed))) => Err(Why::BadBody),
            Poll::Ready(Err(Fault::Sink)) => {
                self.is_lost = true;
                Ok(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn is_over(&self) -> bool {
        self.is_lost || self.pump.is_done()
    }

    fn waiting(&self) -> Option<(Awaited, Instant)> {
        if self.is_over() { None } else { self.pump.waiting() }
    }
}
