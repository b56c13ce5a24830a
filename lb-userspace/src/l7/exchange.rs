//! Exchange: one request of a client, from its head to the end of the answer, ours or a server's.

mod place;
mod reach;
mod reply;
mod talk;

use super::{
    answer::Answer,
    ask::{NoAnswer, http1::OnHttp1},
    client::{Client, Held},
    connect::{Attempts, NoPlace},
    cookie::{Binding, Persistence},
    forwarded,
    log::{
        record::Record,
        termination::{Cause, Phase, SetCookie},
    },
    message::{Length, Request, Response},
    serve::{RequestBody, Respond, poll_gone},
    snapshot::BackendRoute,
    tale::Tale,
    timer::{Patience, Timer, after},
    tls,
};
use crate::{
    model::{HttpFrontend, RetryOn},
    servers::{Seen, times::Times},
};
use place::{Answered, How, Instead, Place, Placed, place};
use reach::Reached;
use reply::Replying;
pub(super) use reply::{refused, send};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::{SystemTime, UNIX_EPOCH},
};
use talk::{Change, Talk, Why};
use tokio::time::Instant;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// The request came and the answer went as a whole: the connection may carry another exchange.
    Clean,
    /// Something is missing, or was left.
    Cut,
}

/// A request as it comes to an exchange.
pub(super) struct Incoming {
    /// Its head, without what belonged to the client's hop.
    pub(super) request: Request,
    /// Of its body.
    pub(super) length: Length,
    /// What the client would like to go on with.
    pub(super) upgrade: Option<Vec<u8>>,
}

/// Answers a request.
pub(super) async fn run<B: RequestBody, R: Respond>(
    client: &Rc<Client>,
    (held, tale): (Held, &Tale),
    Incoming { mut request, length, upgrade }: Incoming,
    mut body: B,
    mut respond: R,
    timer: &mut Timer,
) -> Ended {
    tale.note(|told| told.request(&request));
    let id = identify(client, &held, &mut request, tale);
    let mut told = Replying { client, held: &held, tale, backend: None };
    if is_misdirected(client, &request) {
        tale.ended_by(Cause::Proxy, Phase::Request);
        return told.reply(Answer::MISDIRECTED, false, respond, timer).await;
    }
    let place = match place(client, &held, &mut request, id.as_deref()) {
        Placed::At(place) => place,
        Placed::Nowhere => {
            tale.ended_by(Cause::Server, Phase::Connect);
            return told.reply(Answer::UNAVAILABLE, length.is_empty(), respond, timer).await;
        }
        Placed::Answered(answered) => {
            let Answered { response, body: page, how, backend } = *answered;
            tale.note(|told| backend.into_iter().for_each(|backend| told.backend(backend)));
            told.backend = backend;
            let (cause, phase) = match how {
                How::Tarpitted(_) => (Cause::Proxy, Phase::Tarpit),
                How::Denied => (Cause::Proxy, Phase::Request),
                How::Answered => (Cause::Local, Phase::Request),
            };
            tale.ended_by(cause, phase);
            told.count(|counts| counts.total.increment());
            if how != How::Answered {
                client.counts().denied_requests.increment();
                told.count(|counts| counts.denied_requests.increment());
            }
            if let How::Tarpitted(wait) = how {
                let until = Some(after(Instant::now(), wait));
                poll_fn(|cx| match poll_gone(&mut body, &mut respond, cx) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => timer.poll(cx, until),
                })
                .await;
            }
            return told.send(response, page, length.is_empty(), respond, timer).await;
        }
    };
    let (http, backend) = (place.http, place.backend);
    tale.note(|told| told.backend(backend));
    told.backend = Some(backend);
    told.count(|counts| counts.total.increment());
    let address = http.forwarded_for.then(|| client.flow.client.ip());
    forwarded::prepare(&mut request, address, client.is_secure(), upgrade.as_deref());
    // Only cookies have dates.
    let now = backend.persistence.as_ref().map_or(0, |_| UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()));
    let bind = |persistence: &'_ Persistence| persistence.read(&mut request, &backend.live.available.load(), now);
    let binding = backend.persistence.as_ref().map(bind);
    let upgrade = upgrade.is_some();
    let place = RefCell::new(place);
    let stops = Stops::begin();
    let exchange = Exchange { told, http, backend, request: &request, length, upgrade, binding, now, place, id, stops };
    exchange.ask(body, respond, timer).await
}

/// Whether the client asked for another host than in its handshake, where that decided something.
fn is_misdirected(client: &Client, request: &Request) -> bool {
    let host = request.host().and_then(|host| std::str::from_utf8(host).ok());
    client.tls.as_ref().zip(host).is_some_and(|(facts, host)| tls::misdirected(facts, host))
}

/// Gives a request its id, if its frontend does so.
fn identify(client: &Client, held: &Held, request: &mut Request, tale: &Tale) -> Option<Vec<u8>> {
    let frontend = held.frontend()?;
    let ids = frontend.ids.as_ref()?;
    let (source, destination) = (client.flow.client, client.flow.local);
    let mut record = Record::new(Instant::now(), SystemTime::now(), source, destination, &frontend.name);
    record.number = client.number();
    let id = ids.make(&mut client.thread.pen.borrow_mut(), &record);
    request.fields.set(ids.header(), &id);
    tale.note(|told| told.id = Some(id.clone()));
    Some(id)
}

/// A request that has a backend.
struct Exchange<'a> {
    told: Replying<'a>,
    http: &'a HttpFrontend,
    backend: &'a BackendRoute,
    request: &'a Request,
    length: Length,
    upgrade: bool,
    /// What the request's cookie says, where one binds clients to servers.
    binding: Option<Binding>,
    /// In seconds of the Unix epoch.
    now: u64,
    /// Where it goes by the rules, which look at the response as well.
    place: RefCell<Place<'a>>,
    /// Its identity, if it was given one.
    id: Option<Vec<u8>>,
    stops: Stops,
}

/// When it came where, on the way to the server that answers.
struct Stops {
    /// Its head was complete.
    came: Instant,
    /// It had a place at the server.
    placed: Cell<Instant>,
    /// It had a connection there.
    connected: Cell<Instant>,
    /// The head of the answer was there.
    answered: Cell<Option<Instant>>,
}

impl Stops {
    fn begin() -> Self {
        let now = Instant::now();
        Self { came: now, placed: Cell::new(now), connected: Cell::new(now), answered: Cell::new(None) }
    }

    /// It is over: the times of one that was answered are noted.
    fn end(&self, of: [&Times; 2]) {
        let Some(answered) = self.answered.get() else { return };
        let (placed, connected, ended) = (self.placed.get(), self.connected.get(), Instant::now());
        for times in of {
            times.queue.note(placed - self.came);
            times.connect.note(connected - placed);
            times.response.note(answered - connected);
            times.total.note(ended - self.came);
        }
    }
}

impl Exchange<'_> {
    /// Asks servers until one answers. Only a request of which no server can have seen anything goes to another server, unless
    /// the configuration says that it may be repeated (`retry_on`).
    async fn ask<B: RequestBody, R: Respond>(&self, mut body: B, mut respond: R, timer: &mut Timer) -> Ended {
        let bound = self.binding.and_then(|binding| binding.server);
        let key = self.place.borrow().key(self.told.client, self.told.held, self.request, self.id.as_deref());
        let (mut attempts, mut last) = (Attempts::new(self.backend, key, bound), None);
        let none = loop {
            let slot = match attempts.next(timer, |cx| poll_gone(&mut body, &mut respond, cx)).await {
                Ok(slot) => slot,
                Err(none) => break none,
            };
            let Some(live) = self.backend.live.servers.get(slot.server) else { continue };
            self.told.tale.note(|told| told.server(self.backend, slot.server));
            self.told.client.goes_to(live);
            let counts = live.counts.of(self.told.client.thread.index);
            let another = |failure| self.backend.retry.on.contains(&failure) && attempts.has_another();
            self.stops.placed.set(Instant::now());
            let failed = match self.ask_one(slot.server, &another, (body, respond), timer).await {
                Ok(ended) => {
                    self.stops.end([&counts.times, &self.backend.live.counts.of(self.told.client.thread.index).times]);
                    return ended;
                }
                Err((failed, unused)) => {
                    (body, respond) = unused;
                    failed
                }
            };
            let Some((why, begun)) = failed else {
                last = None;
                if another(RetryOn::ConnFailure) {
                    counts.redispatches.increment();
                    continue;
                }
                break NoPlace::NoServer;
            };
            if why.is_of_server() {
                counts.response_errors.increment();
                self.backend.live.saw(slot.server, Seen::NoResponse);
            } else if let Why::Status(status) = why {
                self.backend.live.saw(slot.server, Seen::Status(status));
            }
            // What was thrown away already needs another answer anyway.
            let is_worth = matches!(why, Why::Status(_)) || why.retry().is_some_and(another);
            if !is_worth || begun {
                return self.told.failed(why, respond, timer).await;
            }
            counts.redispatches.increment();
            last = Some(why);
        };
        match last.filter(|_| none == NoPlace::NoServer) {
            Some(why) => self.told.failed(why, respond, timer).await,
            None => self.told.unserved(none, self.length.is_empty(), respond, timer).await,
        }
    }

    /// Asks one server: on a kept connection, if there is one, else on a new one. `Err`: nothing has gone to the client, and
    /// why, and whether something of the body was taken; no reason: the server could not be reached.
    async fn ask_one<B: RequestBody, R: Respond>(
        &self,
        server: usize,
        another: &dyn Fn(RetryOn) -> bool,
        (mut body, mut respond): (B, R),
        timer: &mut Timer,
    ) -> Result<Ended, (Option<(Why, bool)>, (B, R))> {
        let mut may_reuse = true;
        loop {
            let Some(reached) = self.reach(server, may_reuse).await else { return Err((None, (body, respond))) };
            let proven = reached.is_proven();
            // To take one that was there takes no time.
            self.stops.connected.set(if proven { self.stops.placed.get() } else { Instant::now() });
            self.stops.answered.set(None);
            self.told.tale.note(|told| told.times.connect = Some(self.stops.connected.get()));
            let live = self.backend.live.servers.get(server);
            let _serving = live.map(|live| live.serve(self.told.client.thread.index));
            let change = |response: &mut Response| self.change(response, server);
            let talk = self.talk(server, another, &change, timer);
            let talked = async {
                match reached {
                    Reached::Http1(connection) => {
                        let asking = OnHttp1 { connection, upgrade: self.upgrade, case: self.http.header_case };
                        talk.run(asking, body, respond).await
                    }
                    Reached::Http2(asking) => talk.run(asking, body, respond).await,
                }
            };
            let failed = match self.unless_cut(server, talked).await {
                None => {
                    self.told.tale.ended_by(Cause::Down, Phase::Data);
                    return Ok(Ended::Cut);
                }
                Some(Ok(ended)) => return Ok(ended),
                Some(Err(failed)) => failed,
            };
            (body, respond) = (failed.body, failed.respond);
            // The server may close a kept connection just when we use it.
            let closed = matches!(failed.why, Why::NoAnswer(NoAnswer::Cut)) && proven && may_reuse;
            if !(closed && !failed.begun && self.is_repeatable()) {
                return Err((Some((failed.why, failed.begun)), (body, respond)));
            }
            may_reuse = false;
        }
    }

    /// What comes of talking to a server; `None`: connections to it are cut.
    async fn unless_cut<T>(&self, server: usize, talked: impl Future<Output = T>) -> Option<T> {
        let Some(live) = self.backend.live.servers.get(server).filter(|_| self.backend.failover.cuts()) else {
            return Some(talked.await);
        };
        let cut = live.is_cut();
        // It may have gone down while it was being reached.
        if self.backend.failover.cut_down && !self.backend.live.available.load().keeps(server) {
            return None;
        }
        tokio::select! {
            talked = talked => Some(talked),
            () = cut => None,
        }
    }

    /// Makes of a server's answer that of the client. `Some`: what goes to the client in its place.
    fn change(&self, response: &mut Response, server: usize) -> Option<Instead> {
        self.stops.answered.set(Some(Instant::now()));
        self.backend.live.saw(server, Seen::Status(response.status));
        let Replying { client, held, .. } = self.told;
        let instead = self.place.borrow_mut().respond(client, held, response, self.id.as_deref());
        if instead.is_some() {
            return instead;
        }
        if let (Some(persistence), Some(binding)) = (&self.backend.persistence, &self.binding) {
            let letter = persistence.write(response, binding, server, &self.request.method, self.now);
            self.told.tale.note(|told| {
                told.termination.cookie = binding.letter.into();
                told.termination.set_cookie = SetCookie::of(letter);
            });
        }
        self.told.tale.note(|told| {
            told.times.response = self.stops.answered.get();
            told.response(response);
        });
        None
    }

    fn talk<'t>(
        &'t self,
        server: usize,
        another: &'t dyn Fn(RetryOn) -> bool,
        change: &'t Change<'t>,
        timer: &'t mut Timer,
    ) -> Talk<'t> {
        let frontend = self.told.held.frontend();
        let patience = Patience {
            client: frontend.map_or_else(Default::default, |frontend| frontend.timeout_client),
            server: self.backend.timeout_server,
            client_fin: frontend.and_then(|frontend| frontend.timeout_client_fin),
            server_fin: self.backend.timeout_server_fin,
        };
        Talk {
            client: self.told.client,
            request: self.request,
            length: self.length,
            patience,
            timeout_tunnel: self.backend.timeout_tunnel,
            server: self.backend.live.servers.get(server).map(|live| &**live),
            change,
            tale: self.told.tale,
            another,
            expects_continue: !self.length.is_empty() && self.request.fields.lists("expect", "100-continue"),
            timer,
        }
    }

    /// Whether a request can be asked twice without harm (RFC 9110 §9.2.2).
    fn is_repeatable(&self) -> bool {
        self.request.method.is_idempotent()
    }
}
