//! Balance: which server of a backend takes the next request or connection.
//!
//! An [`Order`] is made once a configuration. A request asks it for its [`key`](Order::key) once, and then for a
//! [`Place`] at each attempt; the queue ([`BackendLive::enter`]) makes a slot of that. Only ways to balance that need a
//! global decision touch what threads share: the cursor, and the load of the servers.

mod flow;
mod hash;
mod key;
#[cfg(test)]
mod haproxy;
#[cfg(test)]
mod tests;

pub(super) use flow::Flow;

use super::{acl::Facts, message::Request};
use crate::{
    model::{
        Affinity, Backend, Balance,
        balance::{HashType, Keyed},
    },
    plan::maglev::Bases,
    servers::{Available, BackendLive, Place, turns::around},
};
use lb_common::hash::HashKey;
use std::sync::atomic::Ordering::Relaxed;

/// How a backend balances, with what that takes.
#[derive(Debug)]
pub(super) enum Order {
    /// By turns: the cursor is in the live state, for it outlives a reload.
    Turns,
    /// By turns, in HAProxy's static map.
    MapTurns,
    /// The least loaded.
    Least,
    /// The first with room.
    First,
    /// The least loaded of so many drawn by weight.
    Random { draws: u8 },
    /// By the hash of the flow, or of its client, in the ring that the kernel half would have of this backend too.
    Ring {
        /// Made once: who may take traffic now is looked up in each pick.
        bases: Bases,
        affinity: Affinity,
        key: HashKey,
    },
    /// By the hash of a key.
    Hash { by: Keyed, kind: HashType },
}

impl Order {
    pub(super) fn new(backend: &Backend, key: HashKey) -> Self {
        match &backend.balance {
            Balance::RoundRobin => Self::Turns,
            Balance::StaticRoundRobin => Self::MapTurns,
            Balance::LeastConn => Self::Least,
            Balance::First => Self::First,
            Balance::Random { draws } => Self::Random { draws: *draws },
            Balance::Maglev => {
                Self::Ring { bases: Bases::new(&backend.servers, backend.allbackups), affinity: backend.affinity, key }
            }
            Balance::Hash { by, kind } => Self::Hash { by: by.clone(), kind: *kind },
        }
    }

    /// Whether [`key`](Self::key) wants facts.
    pub(super) const fn wants_facts(&self) -> bool {
        matches!(self, Self::Hash { by: Keyed::Expression(_), .. })
    }

    /// What the server is picked by, if by a hash; the same for all attempts. `request` is that of `http`, `facts` what an
    /// expression looks at, if [it wants](Self::wants_facts) to.
    pub(super) fn key(&self, flow: &Flow, request: Option<&Request>, facts: Option<&Facts<'_>>) -> Option<u32> {
        match self {
            Self::Ring { affinity, key, .. } => Some(flow.hash(*affinity, *key)),
            Self::Hash { by, kind } => key::hashed(by, *kind, flow, request, facts),
            Self::Turns | Self::MapTurns | Self::Least | Self::First | Self::Random { .. } => None,
        }
    }

    /// The server for the next attempt, among those that take new traffic and were not tried; `None`: there is none.
    /// [`Place::Any`]: there are some, but all are full.
    pub(super) fn choose(&self, live: &BackendLive, key: Option<u32>, tried: &Tried) -> Option<Place> {
        let available = live.available.load();
        let is_new = |server: usize| !tried.contains(server);
        let is_open = |server: usize| is_new(server) && live.has_room(server, &available);
        let chosen = match (self, key) {
            (Self::Ring { bases, .. }, Some(hash)) => {
                return pick_in_ring(bases, hash, &available, |server| is_new(*server)).map(Place::Bound);
            }
            (Self::Hash { kind, .. }, Some(hash)) if kind.consistent => {
                return available.on_circle(hash, is_new).map(Place::Bound);
            }
            (Self::Hash { .. }, Some(hash)) => {
                return around(available.map(), hash as usize).find(|server| is_new(*server)).map(Place::Bound);
            }
            (Self::MapTurns, _) => turn(live, available.map(), is_open),
            // As HAProxy: where there is no key, what would have been hashed into is gone through.
            (Self::Hash { kind, .. }, None) => {
                turn(live, if kind.consistent { available.circle_turns() } else { available.map() }, is_open)
            }
            (Self::Turns | Self::Ring { .. }, _) => turn(live, available.turns(), is_open),
            (Self::Least, _) => least(live, &available, is_open),
            (Self::First, _) => available.servers().iter().map(|(server, _)| *server).find(|server| is_open(*server)),
            (Self::Random { draws }, _) => draw(live, &available, *draws, is_open),
        };
        let any = || available.servers().iter().any(|(server, _)| is_new(*server)).then_some(Place::Any);
        chosen.map(Place::Server).or_else(any)
    }
}

/// The next open server of a table. Whoever is passed over has had its turn: else the next one would have two.
fn turn(live: &BackendLive, table: &[usize], open: impl Fn(usize) -> bool) -> Option<usize> {
    let turn = live.turn.0.fetch_add(1, Relaxed);
    let (passed, server) = around(table, turn).enumerate().find(|(_, server)| open(*server))?;
    if passed > 0 {
        live.turn.0.fetch_add(passed, Relaxed);
    }
    Some(server)
}

/// The open server with the least to do for its weight. Of equals the one after the last that was picked, so that they
/// take turns.
fn least(live: &BackendLive, available: &Available, open: impl Fn(usize) -> bool) -> Option<usize> {
    let cursor = live.turn.0.load(Relaxed);
    let candidates = available.weights().iter().filter(|(server, _)| open(*server));
    let load = |server: usize| live.servers.get(server).map_or(0, |live| live.load.0.all());
    let (_, server) = candidates
        .map(|(server, weight)| {
            // HAProxy's key (lb_fwlc.c): one that has nothing to do is as good as any other such.
            let key = match load(*server) {
                0 => 0,
                load => (load as u64 + 1) * u64::from(u32::MAX) / u64::from(*weight),
            };
            ((key, *server < cursor, *server), *server)
        })
        .min()?;
    live.turn.0.store(server + 1, Relaxed);
    Some(server)
}

/// The least loaded of some servers drawn by weight; if none of these is open, any that is.
fn draw(live: &BackendLive, available: &Available, draws: u8, open: impl Fn(usize) -> bool) -> Option<usize> {
    let table = available.turns();
    let load = |server: usize| live.servers.get(server).map_or(0, |live| live.load.0.all() as u64);
    let weight = |server: usize| {
        let servers = available.weights();
        let place = servers.binary_search_by_key(&server, |(server, _)| *server).ok();
        place.and_then(|place| servers.get(place)).map_or(1, |(_, weight)| u64::from(*weight))
    };
    let drawn = (0..draws).filter_map(|_| table.get(fastrand::usize(..table.len().max(1))).copied());
    let lighter = |best: usize, next: usize| {
        // Compared as products, so that nothing is rounded.
        if load(next) * weight(best) < load(best) * weight(next) { next } else { best }
    };
    let best = drawn.filter(|server| open(*server)).reduce(lighter);
    best.or_else(|| around(table, fastrand::usize(..table.len().max(1))).find(|server| open(*server)))
}

/// The servers that one request or connection has tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Tried(Vec<usize>);

impl Tried {
    pub(super) fn add(&mut self, server: usize) {
        self.0.push(server);
    }

    pub(super) fn contains(&self, server: usize) -> bool {
        self.0.contains(&server)
    }

    pub(super) fn all(&self) -> &[usize] {
        &self.0
    }
}

/// The server of a flow among those of `available` that are `open`.
fn pick_in_ring(bases: &Bases, hash: u32, available: &Available, open: impl Fn(&usize) -> bool) -> Option<usize> {
    let mut servers = available.servers().iter().map(|(server, _)| *server).filter(&open);
    let first = servers.next()?;
    // The last one gets all there is: it may be a backup that owns no slot.
    if servers.next().is_none() {
        return Some(first);
    }
    available.ring().unwrap_or(bases).of(first).pick_among(hash, |server| open(&server) && available.contains(server))
}
