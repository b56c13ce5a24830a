//! What the serving threads read of backends and servers. Lives as long as the backend, across reloads.

use super::{
    Available, Room, ServerTotals,
    counts::{BackendCounts, Counter, FrontendLive, Padded, ServerCounts, Sharded},
    gate::{Gate, Load},
    observed::Observer,
    turns::Table,
};
use crate::model::{Backend, Balance, Limits, Model};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::{Notify, futures::Notified, mpsc};

/// Every frontend's and backend's live state, by name. A reload makes a new one that shares what went on existing.
#[derive(Debug, Default)]
pub struct Live {
    frontends: BTreeMap<String, Arc<FrontendLive>>,
    backends: BTreeMap<String, Arc<BackendLive>>,
    /// For connections of clients of all frontends.
    pub room: Arc<Room>,
    /// Frontends and servers that are gone and may have connections.
    removed: Vec<Removed>,
    /// Who is told of servers whose traffic fails.
    tell: Option<mpsc::Sender<u64>>,
}

impl Live {
    /// Nothing yet, but servers whose traffic fails will be told of by their identity.
    pub fn telling(tell: mpsc::Sender<u64>) -> Self {
        Self { tell: Some(tell), ..Self::default() }
    }

    /// The live state for `model`: that of `self` where frontend, backend and servers are still the same, new elsewhere.
    ///
    /// Who took new traffic before takes it still, who did not does not, and new servers do. That is right for nobody
    /// but those that stay: whoever knows the standings publishes them before anything is served with this.
    #[must_use]
    pub fn for_model(&self, model: &Model) -> Self {
        let threads = model.global.threads;
        let backend = |backend: &Backend| {
            let old = self.backends.get(&backend.name).map(Arc::as_ref);
            let mut live = BackendLive::new(backend, old, (threads, self.tell.as_ref()));
            let back: Vec<_> = live.servers.iter_mut().map(|server| self.give_back(server)).collect();
            live.gone = back.iter().fold(live.gone, ServerTotals::minus);
            (backend.name.clone(), Arc::new(live))
        };
        let frontend = |name: &String| {
            let known = self.frontends.get(name).or_else(|| self.removed_frontend(name)).map(Arc::clone);
            (name.clone(), known.unwrap_or_else(|| Arc::new(FrontendLive::new(threads))))
        };
        Self {
            frontends: model.frontends.iter().map(|it| frontend(&it.name)).collect(),
            backends: model.backends.iter().map(backend).collect(),
            room: Arc::clone(&self.room),
            removed: Vec::new(),
            tell: self.tell.clone(),
        }
    }

    /// Sets the limits of connections: those of the frontends, and `most` over all of them; `None`: any number. Said once the
    /// model is served: rooms are shared with the configuration before.
    pub fn limit(&self, model: &Model, most: Option<usize>) {
        self.room.set_limit(most.unwrap_or(0));
        for frontend in &model.frontends {
            if let Some(live) = self.frontends.get(&frontend.name) {
                live.room.set_limit(frontend.maxconn as usize);
            }
        }
    }

    /// Connections of clients that are open now.
    pub fn connections(&self) -> u64 {
        self.frontends.values().map(|frontend| frontend.connections()).sum()
    }

    /// The frontend of that name.
    pub fn frontend(&self, name: &str) -> Option<&Arc<FrontendLive>> {
        self.frontends.get(name)
    }

    /// The backend of that name.
    pub fn backend(&self, name: &str) -> Option<&Arc<BackendLive>> {
        self.backends.get(name)
    }
}

/// What the serving threads read and count of one backend.
#[derive(Debug)]
pub struct BackendLive {
    /// In the order of the model's servers.
    pub servers: Vec<Arc<ServerLive>>,
    /// The servers that may take new traffic. Replaced as a whole by each verdict, by [`publish`](Self::publish).
    pub available: ArcSwap<Available>,
    /// The cursor of `roundrobin`, shared by all threads: its order is a global promise.
    pub turn: Padded<AtomicUsize>,
    /// A line for each thread. Shared with the configurations before and after.
    pub counts: Arc<Sharded<BackendCounts>>,
    /// Requests or connections that found no server.
    pub no_server: Padded<Counter>,
    /// Places at the servers and who waits for one. Shared with the configurations before and after.
    pub gate: Arc<Gate>,
    /// Of each server, as configured.
    pub(super) limits: Vec<Limits>,
    /// Of each server, its [identity](crate::model::Server::identity).
    pub(super) identities: Arc<[u64]>,
    /// The load at which all servers may have their `maxconn`.
    pub(super) fullconn: usize,
    /// The table that servers are mostly looked up in.
    table: Option<Table>,
    /// Whether anyone asks how many requests a server has: else nothing is counted across threads.
    pub(super) counts_load: bool,
    /// Whether anyone asks how its traffic fares.
    pub(super) observer: Option<Observer>,
    /// What servers have counted that reloads have removed.
    pub(super) gone: ServerTotals,
}

impl BackendLive {
    fn new(backend: &Backend, old: Option<&Self>, (threads, tell): (usize, Option<&mpsc::Sender<u64>>)) -> Self {
        let (mut servers, mut takes) = (Vec::new(), Vec::new());
        for (index, server) in backend.servers.iter().enumerate() {
            let identity = server.identity(&backend.name);
            let known = old.and_then(|old| old.find(identity));
            // A backup is not known to be needed.
            if known.as_ref().map_or(!server.backup, |(_, took)| *took) {
                takes.push((index, server.weight));
            }
            servers.push(known.map_or_else(|| Arc::new(ServerLive::new(identity, threads)), |(server, _)| server));
        }
        let no_server = Counter::default();
        no_server.add(old.map_or(0, |old| old.no_server.0.value()));
        let limits: Vec<_> = backend.servers.iter().map(|server| server.limits).collect();
        let by_load = matches!(backend.balance, Balance::LeastConn | Balance::First | Balance::Random { .. });
        let live = Self {
            available: ArcSwap::from_pointee(Available::new(takes)),
            turn: Padded(AtomicUsize::new(old.map_or(0, |old| old.turn.0.load(Relaxed)))),
            counts: old.map_or_else(|| Arc::new(Sharded::new(threads)), |old| Arc::clone(&old.counts)),
            no_server: Padded(no_server),
            gate: old.map_or_else(Arc::default, |old| Arc::clone(&old.gate)),
            identities: servers.iter().map(|server| server.identity).collect(),
            fullconn: backend.fullconn(),
            table: table(&backend.balance),
            counts_load: by_load
                || backend.pressure.is_asked_for_load
                || limits.iter().any(|limits| limits.maxconn > 0)
                // It may say a limit at any time.
                || backend.servers.iter().any(|server| server.agent().is_some()),
            observer: Observer::new(backend, tell),
            gone: old.map(|old| old.gone(|identity| is_member(identity, &servers))).unwrap_or_default(),
            limits,
            servers,
        };
        // That of a backend that is served already goes on as it is until this configuration is published.
        if old.is_none() {
            live.gate.configure(&live);
        }
        live
    }

    /// Says which servers take traffic from now on. Who waits for one that does not is told so.
    pub fn publish(&self, available: Available) {
        self.available.store(Arc::new(available.with_table(self.table)));
        self.gate.configure(self);
    }

    /// A server and whether it takes new traffic.
    fn find(&self, identity: u64) -> Option<(Arc<ServerLive>, bool)> {
        let index = self.servers.iter().position(|server| server.identity == identity)?;
        Some((Arc::clone(self.servers.get(index)?), self.available.load().contains(index)))
    }
}

fn is_member(identity: u64, servers: &[Arc<ServerLive>]) -> bool {
    servers.iter().any(|server| server.identity == identity)
}

/// What servers are looked up in by that way to balance.
fn table(balance: &Balance) -> Option<Table> {
    match balance {
        Balance::RoundRobin | Balance::Random { .. } => Some(Table::Turns),
        Balance::Hash { kind, .. } if kind.consistent => Some(Table::Circle),
        Balance::StaticRoundRobin | Balance::Hash { .. } => Some(Table::Map),
        Balance::LeastConn | Balance::First | Balance::Maglev => None,
    }
}

/// What the serving threads count of one server.
#[derive(Debug)]
pub struct ServerLive {
    /// See [`Server::identity`](crate::model::Server::identity).
    pub identity: u64,
    /// A line for each thread.
    pub counts: Sharded<ServerCounts>,
    /// What it has to do, over all threads.
    pub load: Padded<Load>,
    /// Failures of its traffic in a row, if anyone asks.
    pub(super) errors: Padded<AtomicU32>,
    /// Tells connections to it that they are cut, if they ask.
    cut: Notify,
    /// Whether a reload has removed it, and its time is over.
    pub over: Over,
}

impl ServerLive {
    fn new(identity: u64, threads: usize) -> Self {
        Self {
            identity,
            counts: Sharded::new(threads),
            load: Padded::default(),
            errors: Padded::default(),
            cut: Notify::new(),
            over: Over::default(),
        }
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        // Closed first: a connection that ends in between must not make the difference negative.
        let closed = self.counts.sum(|counts| &counts.closed);
        self.counts.sum(|counts| &counts.opened).saturating_sub(closed)
    }

    /// Counts a connection or request that is sent to it, for as long as what is returned lives.
    pub fn serve(&self, thread: usize) -> Serving<'_> {
        let counts = self.counts.of(thread);
        counts.total.increment();
        Serving(counts)
    }

    /// Connections or requests that it has now.
    pub fn serving(&self) -> u64 {
        // Those that have ended first, as above.
        let done = self.counts.sum(|counts| &counts.done);
        self.counts.sum(|counts| &counts.total).saturating_sub(done)
    }

    /// Ends once the connections to it that there are now are to be cut.
    pub fn is_cut(&self) -> Notified<'_> {
        self.cut.notified()
    }

    /// Cuts the connections to it whose owners ask for that.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

/// A connection or request that a server has.
#[derive(Debug)]
pub struct Serving<'a>(&'a ServerCounts);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.done.increment();
    }
}

mod removed;

pub use removed::{Over, Removed, RemovedWhat};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::tests::model::{backend, model},
        model::Server,
    };

    fn available(live: &Live) -> Vec<(usize, u16)> {
        live.backend("web").expect("backend").available.load().servers().to_vec()
    }

    fn publish(live: &Live, servers: &[(usize, u16)]) {
        live.backend("web").expect("backend").publish(Available::new(servers.iter().copied()));
    }

    #[test]
    fn a_reload_keeps_counters_and_the_cursor() {
        let mut web = backend("web", ["10.0.0.1:80", "10.0.0.2:80"].map(|it| it.parse().expect("address")));
        let before = Live::default().for_model(&model(vec![], vec![web.clone()]));
        let live = before.backend("web").expect("backend");
        live.servers[0].counts.of(1).total.add(3);
        live.servers[0].counts.of(0).responses.of(503).increment();
        live.servers[1].counts.of(0).total.add(4);
        live.turn.0.store(7, Relaxed);
        live.no_server.0.add(2);
        web.servers.remove(0);
        let after = before.for_model(&model(vec![], vec![web]));
        let live = after.backend("web").expect("backend");
        assert_eq!(live.servers[0].counts.sum(|counts| &counts.total), 4);
        assert_eq!((live.turn.0.load(Relaxed), live.no_server.0.value()), (7, 2));
        let all = ServerTotals { total: 7, responses: [0, 0, 0, 0, 1, 0], ..ServerTotals::default() };
        assert_eq!(live.totals(), all, "what a server has counted that is gone goes on counting");
    }

    #[test]
    fn until_the_standings_are_published_no_server_takes_traffic_that_did_not_unless_it_is_new() {
        let addresses = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(|it| it.parse().expect("address"));
        let mut web = backend("web", addresses);
        web.servers[2].backup = true;
        let live = Live::default().for_model(&model(vec![], vec![web.clone()]));
        assert_eq!(available(&live), [(0, 1), (1, 1)]);

        publish(&live, &[(1, 1)]);
        let new = web.servers[0].clone();
        web.servers.insert(0, Server { name: "new".into(), weight: 9, ..new });
        web.servers[2].weight = 5;
        let live = live.for_model(&model(vec![], vec![web.clone()]));
        assert_eq!(available(&live), [(0, 9), (2, 5)], "s0 is down, s2 a backup");

        publish(&live, &[(3, 1)]);
        web.servers.remove(0);
        let live = live.for_model(&model(vec![], vec![web]));
        assert_eq!(available(&live), [(2, 1)], "the backup that stands in goes on");
    }
}
