//! Balance: which server of a backend takes the next request or connection.
//!
//! An [`Order`] is made once a configuration. A request asks it for its [`key`](Order::key) once, and then for a
//! [`Place`] at each attempt; the queue ([`BackendLive::enter`]) makes a slot of that. Only ways to balance that need a
//! global decision touch what threads share: the cursor, and the load of the servers.

mod flow;
#[cfg(test)]
mod haproxy;
mod hash;
mod key;

pub(super) use flow::Flow;

use super::message::Request;
use crate::{
    model::{
        Affinity, Backend, Balance,
        balance::{HashType, Keyed},
    },
    plan::maglev::Owners,
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
        base: Owners,
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
            Balance::Maglev => Self::Ring { base: Owners::base(&backend.servers), affinity: backend.affinity, key },
            Balance::Hash { by, kind } => Self::Hash { by: by.clone(), kind: *kind },
        }
    }

    /// What the server is picked by, if by a hash; the same for all attempts. `request` is that of `http`, `expression` what
    /// the expression of `hash` gives, if it was asked for.
    pub(super) fn key(&self, flow: &Flow, request: Option<&Request>, expression: Option<&[u8]>) -> Option<u32> {
        match self {
            Self::Ring { affinity, key, .. } => Some(flow.hash(*affinity, *key)),
            Self::Hash { by, kind } => key::hashed(by, *kind, flow, request, expression),
            Self::Turns | Self::MapTurns | Self::Least | Self::First | Self::Random { .. } => None,
        }
    }

    /// The server for the next attempt, among those that take new traffic and were not tried; `None`: there is none.
    /// [`Place::Any`]: there are some, but all are full.
    pub(super) fn choose(&self, live: &BackendLive, key: Option<u32>, tried: &Tried) -> Option<Place> {
        let available = live.available.load();
        let is_new = |server: usize| !tried.contains(server);
        let is_open = |server: usize| is_new(server) && live.has_room(server);
        let chosen = match (self, key) {
            (Self::Ring { base, .. }, Some(hash)) => {
                return pick_in_ring(base, hash, &available, |server| is_new(*server)).map(Place::Bound);
            }
            (Self::Hash { kind, .. }, Some(hash)) if kind.consistent => {
                return available.on_circle(hash, is_new).map(Place::Bound);
            }
            (Self::Hash { .. }, Some(hash)) => {
                return around(available.map(), hash as usize).find(|server| is_new(*server)).map(Place::Bound);
            }
            (Self::MapTurns, _) => turn(live, available.map(), is_open),
            // As HAProxy: where there is no key, what would have been hashed into is gone through.
            (Self::Hash { kind, .. }, None) if !kind.consistent => turn(live, available.map(), is_open),
            (Self::Turns | Self::Hash { .. } | Self::Ring { .. }, _) => turn(live, available.turns(), is_open),
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
    let candidates = available.servers().iter().filter(|(server, _)| open(*server));
    let load = |server: usize| live.servers.get(server).map_or(0, |live| live.load.0.all());
    let (_, server) = candidates
        .map(|(server, weight)| {
            // HAProxy's key (lb_fwlc.c): one that has nothing to do is as good as any other such.
            let key = match load(*server) {
                0 => 0,
                load => (load as u64 + 1) * u64::from(u16::MAX) / u64::from(*weight),
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
        let servers = available.servers();
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

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The server of a flow among those of `available` that are `open`.
fn pick_in_ring(base: &Owners, hash: u32, available: &Available, open: impl Fn(&usize) -> bool) -> Option<usize> {
    let mut servers = available.servers().iter().map(|(server, _)| *server).filter(&open);
    let first = servers.next()?;
    // The last one gets all there is: it may be a backup, which owns no slot.
    if servers.next().is_none() {
        return Some(first);
    }
    base.pick_among(hash, |server| open(&server) && available.contains(server))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::{
            Snapshot,
            connect::Attempts,
            snapshot::BackendRoute,
            tests::model::{backend, model},
            timer::Timer,
        },
        model::Backend,
        servers::Live,
    };
    use futures_util::FutureExt as _;
    use proptest::prelude::*;
    use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

    /// The servers that the attempts of one connection go to, where nobody has to wait.
    struct Tries<'a>(Attempts<'a>);

    impl<'a> Tries<'a> {
        fn new(backend: &'a BackendRoute, flow: Flow) -> Self {
            Self(Attempts::new(backend, flow, None, None))
        }
    }

    impl Iterator for Tries<'_> {
        type Item = usize;

        fn next(&mut self) -> Option<usize> {
            let mut timer = Timer::default();
            let slot = self.0.next(&mut timer, |_cx| std::task::Poll::Pending).now_or_never().expect("nobody waits");
            slot.ok().map(|slot| slot.server)
        }
    }

    pub(super) fn flow(client_port: u16) -> Flow {
        Flow { client: ([198, 51, 100, 7], client_port).into(), local: ([192, 0, 2, 10], 443).into() }
    }

    fn snapshot(balance: Balance, weights: &[u16]) -> Arc<Snapshot> {
        let addresses = (1..).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).take(weights.len());
        let mut backend: Backend = backend("web", addresses);
        backend.balance = balance;
        for (server, weight) in backend.servers.iter_mut().zip(weights) {
            server.weight = *weight;
        }
        let model = Arc::new(model(vec![], vec![backend]));
        let live = Arc::new(Live::default().for_model(&model));
        Arc::new(Snapshot::new(model, live).expect("snapshot"))
    }

    #[test]
    fn round_robin_shares_exactly_by_weight_even_over_two_threads() {
        let snapshot = snapshot(Balance::RoundRobin, &[3, 2, 1]);
        let pick_many = |snapshot: Arc<Snapshot>| {
            move || {
                (0..300)
                    .map(|_| Tries::new(snapshot.backend(0).expect("backend"), flow(1)).next().expect("server"))
                    .collect::<Vec<_>>()
            }
        };
        let threads = [0, 1].map(|_| std::thread::spawn(pick_many(Arc::clone(&snapshot))));
        let mut counts = BTreeMap::new();
        for server in threads.into_iter().flat_map(|thread| thread.join().expect("thread")) {
            *counts.entry(server).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([(0, 300), (1, 200), (2, 100)]));
    }

    #[test]
    fn no_server_is_tried_twice_and_no_more_than_four_are() {
        let snapshot = snapshot(Balance::RoundRobin, &[256, 1, 1, 1, 1, 1]);
        let route = snapshot.backend(0).expect("backend");
        let mut tried: Vec<_> = Tries::new(route, flow(1)).collect();
        assert_eq!(tried.len(), 4);
        tried.sort_unstable();
        tried.dedup();
        assert_eq!(tried.len(), 4);
    }

    #[test]
    fn only_available_servers_are_tried_and_having_none_is_counted() {
        for balance in [Balance::RoundRobin, Balance::Maglev] {
            let snapshot = snapshot(balance, &[1, 1, 1]);
            let route = snapshot.backend(0).expect("backend");
            route.live.available.store(Arc::new(Available::new([(1, 1)])));
            assert_eq!(Tries::new(route, flow(1)).collect::<Vec<_>>(), [1]);
            assert_eq!(route.live.no_server.0.value(), 0);
            route.live.available.store(Arc::default());
            assert_eq!(Tries::new(route, flow(1)).count(), 0);
            assert_eq!(route.live.no_server.0.value(), 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn by_hash_a_flow_finds_the_server_that_the_kernels_ring_gives_it(
            weights in proptest::collection::vec(1_u16..=256, 1..12), up: u16, ports: [u16; 8],
        ) {
            let snapshot = snapshot(Balance::Maglev, &weights);
            let (route, model) = (snapshot.backend(0).expect("backend"), snapshot.model());
            let mut up: Vec<_> = (0..weights.len()).map(|index| up >> index & 1 == 1).collect();
            publish(route, &weights, &up);
            let base = Owners::base(&model.backends[0].servers);
            for flow in ports.map(flow) {
                let kernel = base.refilled(&up).pick(flow.hash(Affinity::None, model.global.hash_key));
                prop_assert_eq!(Tries::new(route, flow).next(), kernel);
            }
            // The second try goes where the ring would send the flow if the first server were down.
            let tries: Vec<_> = Tries::new(route, flow(1)).collect();
            for tried in tries {
                prop_assert_eq!(base.refilled(&up).pick(flow(1).hash(Affinity::None, model.global.hash_key)), Some(tried));
                up[tried] = false;
            }
        }
    }

    fn publish(route: &BackendRoute, weights: &[u16], up: &[bool]) {
        let servers = weights.iter().copied().enumerate().filter(|(index, _)| up[*index]);
        route.live.available.store(Arc::new(Available::new(servers)));
    }

    #[test]
    fn by_hash_flows_are_shared_by_weight_and_only_those_of_a_lost_server_move() {
        let weights = [1, 1, 2];
        let snapshot = snapshot(Balance::Maglev, &weights);
        let route = snapshot.backend(0).expect("backend");
        let servers =
            || (0..1_024).map(|port| Tries::new(route, flow(port)).next().expect("server")).collect::<Vec<_>>();
        let before = servers();
        assert_eq!(before, servers());
        let share = before.iter().filter(|server| **server == 2).count();
        assert!((448..=576).contains(&share), "the server of weight 2 of 4 has {share} of 1024 flows");
        publish(route, &weights, &[true, false, true]);
        assert!(before.iter().zip(servers()).all(|(before, after)| *before == 1 || *before == after));
    }

    #[test]
    fn by_source_all_flows_of_a_client_meet_and_clients_are_spread() {
        let mut backend = backend("web", (1..=8).map(|port| SocketAddr::from(([10, 0, 0, 1], port))));
        (backend.balance, backend.affinity) = (Balance::Maglev, Affinity::Source);
        let model = Arc::new(model(vec![], vec![backend]));
        let live = Arc::new(Live::default().for_model(&model));
        let snapshot = Snapshot::new(model, live).expect("snapshot");
        let route = snapshot.backend(0).expect("backend");
        let pick = |flow| Tries::new(route, flow).next().expect("server");
        let first = pick(flow(1));
        assert!((2..200).all(|port| pick(flow(port)) == first));
        let client = |last| Flow { client: ([198, 51, 100, last], 1).into(), ..flow(1) };
        let servers: std::collections::BTreeSet<_> = (0..=255).map(|last| pick(client(last))).collect();
        assert_eq!(servers.len(), 8);
    }

    #[test]
    fn by_hash_a_backup_takes_every_flow_once_it_is_alone() {
        let mut backend = backend("web", [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port))));
        (backend.balance, backend.servers[1].backup) = (Balance::Maglev, true);
        let model = Arc::new(model(vec![], vec![backend]));
        let live = Arc::new(Live::default().for_model(&model));
        let snapshot = Snapshot::new(model, live).expect("snapshot");
        let route = snapshot.backend(0).expect("backend");
        assert_eq!(Tries::new(route, flow(1)).collect::<Vec<_>>(), [0]);
        publish(route, &[1, 1], &[false, true]);
        assert_eq!(Tries::new(route, flow(1)).collect::<Vec<_>>(), [1]);
    }
}
