//! How each way to balance shares, and what moves when servers come and go.

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
        Self(Attempts::new(backend, backend.order.key(&flow, None, None), None))
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
        let base = Bases::new(&model.backends[0].servers, false);
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
    let servers = || (0..1_024).map(|port| Tries::new(route, flow(port)).next().expect("server")).collect::<Vec<_>>();
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

#[test]
fn all_backups_share_by_weight_in_every_way_once_they_are_all_that_is_left() {
    let by = |kind| Balance::Hash { by: Keyed::Source, kind };
    let consistent = HashType { consistent: true, avalanche: true, ..HashType::default() };
    let ways = [
        Balance::RoundRobin,
        Balance::StaticRoundRobin,
        Balance::LeastConn,
        Balance::Maglev,
        by(HashType::default()),
        by(consistent),
    ];
    for balance in ways {
        let mut backend = backend("web", (1..=4).map(|port| SocketAddr::from(([10, 0, 0, 1], port))));
        (backend.balance, backend.affinity, backend.allbackups) = (balance.clone(), Affinity::Source, true);
        let weights = [1, 1, 3, 1];
        for (server, weight) in backend.servers.iter_mut().zip(weights) {
            (server.weight, server.backup) = (weight, server.name != "s0");
        }
        let model = Arc::new(model(vec![], vec![backend]));
        let live = Arc::new(Live::default().for_model(&model));
        let snapshot = Snapshot::new(model, live).expect("snapshot");
        let route = snapshot.backend(0).expect("backend");
        let client = |n: u16| Flow { client: ([198, 51, 100, n.to_be_bytes()[1]], 1).into(), ..flow(1) };
        assert_eq!(Tries::new(route, client(1)).collect::<Vec<_>>(), [0], "{balance:?}");
        publish(route, &weights, &[false, true, true, false]);
        let mut counts = [0; 4];
        for n in 0..256 {
            counts[Tries::new(route, client(n)).next().expect("server")] += 1;
        }
        assert_eq!((counts[0], counts[3]), (0, 0), "{balance:?}");
        let at_once = if balance == Balance::LeastConn { 112..=144 } else { 44..=84 };
        assert!(at_once.contains(&counts[1]), "{balance:?}: {counts:?}");
        let mut all: Vec<_> = Tries::new(route, client(1)).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2], "{balance:?}");
    }
}
