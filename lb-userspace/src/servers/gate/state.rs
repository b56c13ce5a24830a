//! What is behind the lock of a gate. Knows nothing of threads and tasks, but whom to wake.

use super::{Place, Refusal};
use crate::{
    model::Limits,
    servers::{BackendLive, ServerLive},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering::SeqCst},
    task::Waker,
};

/// A number for each that waits, rising.
pub(super) type Ticket = u64;

/// The server that there is a place at, or why there is none.
pub(super) type Outcome = Result<Arc<ServerLive>, Refusal>;

#[derive(Debug, Default)]
pub(super) struct State {
    rows: BTreeMap<u64, Row>,
    fullconn: usize,
    dynamic: bool,
    next: Ticket,
    tickets: BTreeMap<Ticket, Held>,
    /// Those that wait for any server.
    any: BTreeSet<Ticket>,
    woken: Vec<Waker>,
}

/// A server.
#[derive(Debug)]
pub(super) struct Row {
    live: Arc<ServerLive>,
    limits: Limits,
    /// Whether it takes what is new.
    takes: bool,
    /// Whether it takes what is bound to it.
    keeps: bool,
    /// Those that wait for it alone.
    bound: BTreeSet<Ticket>,
}

/// One that waits, or has come to the end of its wait and does not know yet.
#[derive(Debug)]
struct Held {
    /// The servers that it may be given: those of its configuration, for it could not reach others of a later one, but for
    /// those that it has tried.
    known: Arc<[u64]>,
    waker: Option<Waker>,
    /// The server that it has a place at, or why not.
    outcome: Option<Outcome>,
}

impl State {
    pub(super) fn configure(&mut self, backend: &BackendLive) {
        let available = backend.available.load();
        let mut old = std::mem::take(&mut self.rows);
        let servers = backend.servers.iter().zip(&backend.limits).enumerate();
        let row = |(index, (live, limits)): (usize, (&Arc<ServerLive>, &Limits))| {
            let bound = old.remove(&live.identity).map(|row| row.bound).unwrap_or_default();
            let (takes, keeps) = (available.contains(index), available.keeps(index));
            let limits = available.limits(index, *limits);
            (live.identity, Row { live: Arc::clone(live), limits, takes, keeps, bound })
        };
        self.rows = servers.map(row).collect();
        self.fullconn = backend.fullconn;
        self.dynamic = backend.limits_now(&available).any(Limits::is_dynamic);
        for row in old.into_values() {
            row.live.load.0.queued.store(0, SeqCst);
            row.bound.into_iter().for_each(|ticket| self.end(ticket, Err(Refusal::Gone)));
        }
        let mut gone = Vec::new();
        for row in self.rows.values_mut().filter(|row| !row.keeps) {
            gone.extend(std::mem::take(&mut row.bound));
            row.live.load.0.queued.store(0, SeqCst);
        }
        for ticket in gone {
            self.end(ticket, Err(Refusal::Gone));
        }
        let known = |ticket: &Ticket| self.tickets.get(ticket).is_some_and(|held| self.any_takes(&held.known));
        let lost: Vec<_> = self.any.iter().copied().filter(|ticket| !known(ticket)).collect();
        for ticket in lost {
            self.any.remove(&ticket);
            self.end(ticket, Err(Refusal::NoServer));
        }
        self.give_on_everywhere();
    }

    /// Whether any of these servers takes what is new.
    fn any_takes(&self, identities: &[u64]) -> bool {
        identities.iter().any(|identity| self.rows.get(identity).is_some_and(|row| row.takes))
    }

    pub(super) fn waiting_for_any(&self) -> usize {
        self.any.len()
    }

    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    /// A place at once, or a ticket.
    pub(super) fn enter(&mut self, place: Place, tried: &[usize], backend: &BackendLive) -> Result<Entered, Refusal> {
        let identity = |server: usize| backend.servers.get(server).map(|live| live.identity);
        if let Place::Server(server) | Place::Bound(server) = place {
            let identity = identity(server).ok_or(Refusal::Gone)?;
            let load = self.load() + 1;
            let row = self.rows.get_mut(&identity).ok_or(Refusal::Gone)?;
            let full = usize::try_from(row.limits.maxqueue).unwrap_or(usize::MAX);
            match place {
                Place::Bound(_) if !row.keeps => return Err(Refusal::Gone),
                // Nobody overtakes: those that wait for any server wait for this one too.
                _ if row.bound.is_empty()
                    && row.has_room(load, self.fullconn)
                    && (self.any.is_empty() || !row.takes) =>
                {
                    row.live.load.0.served.fetch_add(1, SeqCst);
                    return Ok(Entered::At(Arc::clone(&row.live)));
                }
                Place::Bound(_) if full > 0 && row.bound.len() >= full => return Err(Refusal::QueueFull),
                Place::Bound(_) | Place::Server(_) | Place::Any => {}
            }
        }
        let known = match tried {
            [] => Arc::clone(&backend.identities),
            tried => {
                let new = backend.identities.iter().enumerate().filter(|(server, _)| !tried.contains(server));
                new.map(|(_, identity)| *identity).collect()
            }
        };
        if !matches!(place, Place::Bound(_)) && !self.any_takes(&known) {
            return Err(Refusal::NoServer);
        }
        let ticket = self.next;
        self.next += 1;
        self.tickets.insert(ticket, Held { known, waker: None, outcome: None });
        match place {
            Place::Bound(server) => {
                if let Some(row) = identity(server).and_then(|identity| self.rows.get_mut(&identity)) {
                    row.bound.insert(ticket);
                    row.live.load.0.queued.store(row.bound.len(), SeqCst);
                }
            }
            Place::Server(_) | Place::Any => {
                self.any.insert(ticket);
            }
        }
        // One more that waits may raise limits; and a server may have got room since it was found full.
        self.give_on_everywhere();
        match self.poll(ticket, Waker::noop()) {
            Some(outcome) => outcome.map(Entered::At),
            None => Ok(Entered::Waits(ticket)),
        }
    }

    /// What became of a ticket; else `waker` is woken once it is known.
    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Option<Outcome> {
        let held = self.tickets.get_mut(&ticket)?;
        if held.outcome.is_none() {
            held.waker.get_or_insert_with(|| waker.clone()).clone_from(waker);
            return None;
        }
        self.tickets.remove(&ticket)?.outcome
    }

    /// Who had that ticket has gone. What it was given is given on.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        let Some(held) = self.tickets.remove(&ticket) else { return };
        match held.outcome {
            Some(Ok(live)) => {
                live.load.0.served.fetch_sub(1, SeqCst);
                self.give_on(live.identity);
            }
            Some(Err(_)) => {}
            None => {
                self.any.remove(&ticket);
                for row in self.rows.values_mut() {
                    if row.bound.remove(&ticket) {
                        row.live.load.0.queued.store(row.bound.len(), SeqCst);
                    }
                }
            }
        }
    }

    /// A server may have room: gives it to those that wait longest.
    pub(super) fn give_on(&mut self, identity: u64) {
        if self.dynamic {
            self.give_on_everywhere();
        } else {
            while self.give_one(identity, 0) {}
        }
    }

    fn give_on_everywhere(&mut self) {
        if self.tickets.is_empty() {
            return;
        }
        let identities: Vec<_> = self.rows.keys().copied().collect();
        let load = self.load();
        // In turn, so that room at several servers is shared.
        while identities.iter().filter(|identity| self.give_one(**identity, load)).count() > 0 {}
    }

    /// Giving a place changes no load: who waited is served.
    fn give_one(&mut self, identity: u64, load: usize) -> bool {
        let Some(row) = self.rows.get_mut(&identity).filter(|row| row.has_room(load, self.fullconn)) else {
            return false;
        };
        let bound = row.bound.first().copied().filter(|_| row.keeps);
        let knows = |ticket: &&Ticket| self.tickets.get(ticket).is_some_and(|held| held.known.contains(&identity));
        let any = self.any.iter().find(knows).copied().filter(|_| row.takes);
        let ticket = match (bound, any) {
            (Some(bound), Some(any)) => bound.min(any),
            (Some(ticket), None) | (None, Some(ticket)) => ticket,
            (None, None) => return false,
        };
        if row.bound.remove(&ticket) {
            row.live.load.0.queued.store(row.bound.len(), SeqCst);
        } else {
            self.any.remove(&ticket);
        }
        row.live.load.0.served.fetch_add(1, SeqCst);
        let live = Arc::clone(&row.live);
        self.end(ticket, Ok(live));
        true
    }

    fn end(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some(held) = self.tickets.get_mut(&ticket) {
            held.outcome = Some(outcome);
            self.woken.extend(held.waker.take());
        }
    }

    /// All that is served and waits; only asked for where limits move with it.
    fn load(&self) -> usize {
        let of_row = |row: &Row| row.live.load.0.served.load(SeqCst) + row.bound.len();
        if self.dynamic { self.rows.values().map(of_row).sum::<usize>() + self.any.len() } else { 0 }
    }
}

impl Row {
    fn has_room(&self, load: usize, fullconn: usize) -> bool {
        self.live.load.0.served.load(SeqCst) < self.limits.at(load, fullconn)
    }
}

/// What came of asking for a place.
pub(super) enum Entered {
    /// A place at that server.
    At(Arc<ServerLive>),
    /// To be waited for.
    Waits(Ticket),
}
