//! Balance: which server of a backend takes the next request or connection.

mod rendezvous;

use super::snapshot::BackendRoute;
use crate::model::Balance;
use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed};

/// Servers that one request or connection may try: the first and three retries, HAProxy's default.
const TRIES: usize = 4;

/// The tries of one request or connection. Each goes to a server that may take traffic and was not tried yet, at once:
/// waiting before the next one, as HAProxy does, helps nobody.
pub(super) struct Tries<'a> {
    backend: &'a BackendRoute,
    client: SocketAddr,
    tried: [Option<usize>; TRIES],
    count: usize,
}

impl<'a> Tries<'a> {
    pub(super) fn new(backend: &'a BackendRoute, client: SocketAddr) -> Self {
        Self { backend, client, tried: [None; TRIES], count: 0 }
    }

    fn pick(&self) -> Option<usize> {
        let available = self.backend.live.available.load();
        let is_new = |server: &usize| !self.tried.contains(&Some(*server));
        match self.backend.balance {
            Balance::RoundRobin => {
                let turn = self.backend.live.turn.0.fetch_add(1, Relaxed);
                available.from_turn(turn).find(is_new)
            }
            Balance::Maglev => {
                let open = available.servers().iter().copied().filter(|(server, _)| is_new(server));
                rendezvous::pick_maglev(self.client.ip(), open, self.backend)
            }
        }
    }
}

impl Iterator for Tries<'_> {
    /// Index of a server.
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.count == TRIES {
            return None;
        }
        let picked = self.pick();
        match (picked, self.tried.get_mut(self.count)) {
            (Some(_), Some(place)) => *place = picked,
            (None, _) if self.count == 0 => self.backend.live.no_server.0.increment(),
            (Some(_) | None, _) => {}
        }
        self.count += 1;
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::{
            Snapshot,
            tests::model::{backend, model},
        },
        model::Backend,
        servers::{Available, Live},
    };
    use std::{collections::BTreeMap, sync::Arc};

    fn client(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 40_000).into()
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
                    .map(|_| Tries::new(snapshot.backend(0).expect("backend"), client(1)).next().expect("server"))
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
        let mut tried: Vec<_> = Tries::new(route, client(1)).collect();
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
            assert_eq!(Tries::new(route, client(1)).collect::<Vec<_>>(), [1]);
            assert_eq!(route.live.no_server.0.value(), 0);
            route.live.available.store(Arc::default());
            assert_eq!(Tries::new(route, client(1)).count(), 0);
            assert_eq!(route.live.no_server.0.value(), 1);
        }
    }

    #[test]
    fn by_hash_a_client_keeps_its_server_and_only_clients_of_a_lost_server_move() {
        let snapshot = snapshot(Balance::Maglev, &[1, 1, 2]);
        let route = snapshot.backend(0).expect("backend");
        let servers =
            || (0..=255).map(|last| Tries::new(route, client(last)).next().expect("server")).collect::<Vec<_>>();
        let before = servers();
        assert_eq!(before, servers());
        let share = before.iter().filter(|server| **server == 2).count();
        assert!((96..=160).contains(&share), "the server of weight 2 of 4 has {share} of 256 clients");
        route.live.available.store(Arc::new(Available::new([(0, 1), (2, 2)])));
        assert!(before.iter().zip(servers()).all(|(before, after)| *before == 1 || *before == after));
    }
}
