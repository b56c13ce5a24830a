//! Client: a connection of one as all that happens on it sees it, and the configuration that it is served by.

use super::{
    acl::{Connection, Payload, Scene},
    balance::Flow,
    io,
    numbers::Counted,
    own::Own,
    roll::Listing,
    snapshot::FrontendRoute,
    threads::{Loaded, Thread},
    tls::TlsFacts,
};
use crate::{
    model::{BackendIndex, FrontendKind},
    servers::{FrontendLive, ServerLive, counts::FrontendCounts},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};
use tokio::time::Instant;

/// A snapshot and the place of a frontend in it.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) snapshot: Rc<Loaded>,
    place: usize,
}

impl Held {
    fn new(snapshot: Rc<Loaded>, frontend: &str) -> Option<Self> {
        let place = snapshot.place_of(frontend)?;
        Some(Self { snapshot, place })
    }

    /// Of the frontend that has that address: until the thread hears of a reload, it may be another than the listener's.
    pub(super) fn at(snapshot: Rc<Loaded>, address: SocketAddr) -> Option<Self> {
        let place = snapshot.place_at(address)?;
        Some(Self { snapshot, place })
    }

    pub(super) fn frontend(&self) -> Option<&FrontendRoute> {
        self.snapshot.frontend(self.place)
    }

    /// Has rules and expressions look at a connection, and what else is `seen`.
    pub(super) fn with_scene<T>(
        &self,
        (flow, tls): (Flow, Option<&TlsFacts>),
        seen: Seen<'_>,
        look: impl FnOnce(&Scene<'_>) -> T,
    ) -> Option<T> {
        let Seen { payload, backend, unique_id } = seen;
        let connection = Connection { source: flow.client, destination: flow.local, tls };
        let numbers = Counted { snapshot: &self.snapshot, frontend: self.frontend()? };
        Some(look(&Scene { connection: &connection, payload, backend, numbers: &numbers, unique_id }))
    }
}

/// What rules and expressions see beside the connection and the message, as far as it is there already.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen<'a> {
    pub(super) payload: Option<&'a Payload<'a>>,
    pub(super) backend: Option<BackendIndex>,
    pub(super) unique_id: Option<&'a [u8]>,
}

/// A client's connection, as all that happens on it sees it.
pub(super) struct Client {
    pub(super) thread: Rc<Thread>,
    /// Where the thread lists it.
    listing: Listing,
    pub(super) flow: Flow,
    /// What is known of its TLS; `None`: clear text.
    pub(super) tls: Option<TlsFacts>,
    /// Of its frontend.
    pub(super) live: Arc<FrontendLive>,
    held: RefCell<Held>,
    /// Its frontend is gone.
    orphaned: Cell<bool>,
    /// Connections to servers that are its own, once it has had one.
    own: OnceCell<Rc<RefCell<Own>>>,
    /// Requests of it so far.
    requests: Cell<u64>,
    /// When it was accepted.
    pub(super) accepted: Instant,
    /// When it had told who it is and its TLS was there.
    pub(super) ready: Instant,
}

impl Client {
    /// One that was accepted then, of a frontend; whatever it had to tell of itself has been told.
    pub(super) fn new(
        (thread, listing): (Rc<Thread>, Listing),
        (held, live): (Held, Arc<FrontendLive>),
        flow: Flow,
        tls: Option<TlsFacts>,
        accepted: Instant,
    ) -> Self {
        thread.roll.is_known(listing, flow, tls.is_some());
        let ready = if tls.is_some() { Instant::now() } else { accepted };
        let (held, own) = (RefCell::new(held), OnceCell::new());
        let (orphaned, requests) = (Cell::new(false), Cell::new(0));
        Self { thread, listing, flow, tls, live, held, orphaned, own, requests, accepted, ready }
    }

    /// The newest snapshot that has the frontend still; the last one that had it if it is gone.
    ///
    /// An exchange keeps what it began with, but the next one on the same connection follows a reload: old live state
    /// would not learn which servers have failed since.
    pub(super) fn current(&self) -> Held {
        let mut held = self.held.borrow_mut();
        if let Some(snapshot) = self.thread.snapshot()
            && !Rc::ptr_eq(&snapshot, &held.snapshot)
        {
            let is_http =
                |held: &Held| held.frontend().is_some_and(|frontend| matches!(frontend.kind, FrontendKind::Http(_)));
            let name = held.frontend().map(|frontend| frontend.name.clone()).unwrap_or_default();
            match Held::new(snapshot, &name).filter(is_http) {
                Some(newer) => *held = newer,
                None => self.orphaned.set(true),
            }
        }
        held.clone()
    }

    /// Connections to servers that are its own.
    pub(super) fn own(&self) -> &RefCell<Own> {
        self.own.get_or_init(|| {
            let own = Rc::default();
            self.thread.owners.borrow_mut().add(&own);
            own
        })
    }

    /// The same, if it has had one.
    pub(super) fn has_own(&self) -> Option<&RefCell<Own>> {
        self.own.get().map(|own| &**own)
    }

    /// Whether it came by TLS.
    pub(super) const fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Where its bytes are counted.
    pub(super) fn counted(&self) -> (io::Counted, usize) {
        (io::Counted::Frontend(Arc::clone(&self.live)), self.thread.index)
    }

    /// What this thread counts of its frontend.
    pub(super) fn counts(&self) -> &FrontendCounts {
        self.live.counts.of(self.thread.index)
    }

    /// Counts a request whose head was complete.
    pub(super) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
        self.thread.roll.has_sent(self.listing, self.requests.get());
        self.counts().requests.increment();
    }

    /// It, or a request of it, goes to that server.
    pub(super) fn goes_to(&self, server: &ServerLive) {
        self.thread.roll.goes_to(self.listing, server.identity);
    }

    /// Which of its requests it is, from 0.
    pub(super) const fn number(&self) -> u64 {
        self.requests.get().saturating_sub(1)
    }

    /// Whether it has sent no request before the one that runs.
    pub(super) const fn is_first(&self) -> bool {
        self.requests.get() <= 1
    }

    /// Of its frontend.
    pub(super) fn frontend_name(&self) -> Rc<str> {
        self.held.borrow().frontend().map_or("", |frontend| &frontend.name).into()
    }

    /// Whether the connection should end after the exchange that runs.
    pub(super) fn should_close(&self) -> bool {
        self.orphaned.get() || self.thread.drain.is_cancelled()
    }
}
