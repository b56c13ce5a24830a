//! What the serving threads read of backends and servers. Lives as long as the backend, across reloads.

use super::{
    Available, Standing, available,
    counts::{Counter, FrontendLive, Padded, ServerCounts, Sharded},
    state::{Health, IsBackup},
};
use crate::model::{Backend, Model};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Every frontend's and backend's live state, by name. A reload makes a new one that shares what went on existing.
#[derive(Debug, Default)]
pub struct Live {
    frontends: BTreeMap<String, Arc<FrontendLive>>,
    backends: BTreeMap<String, Arc<BackendLive>>,
}

impl Live {
    /// The live state for `model`: that of `self` where frontend, backend and servers are still the same, new elsewhere.
    #[must_use]
    pub fn for_model(&self, model: &Model) -> Self {
        let threads = model.global.threads;
        let backend = |backend: &Backend| {
            let adopted = BackendLive::adopt(backend, self.backends.get(&backend.name), threads);
            (backend.name.clone(), Arc::new(adopted))
        };
        let frontend = |name: &String| {
            let known = self.frontends.get(name).map(Arc::clone);
            (name.clone(), known.unwrap_or_else(|| Arc::new(FrontendLive::new(threads))))
        };
        Self {
            frontends: model.frontends.iter().map(|it| frontend(&it.name)).collect(),
            backends: model.backends.iter().map(backend).collect(),
        }
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
    /// The servers that may take new traffic. Replaced as a whole by each verdict.
    pub available: ArcSwap<Available>,
    /// The cursor of `roundrobin`, shared by all threads: its order is a global promise.
    pub turn: Padded<AtomicUsize>,
    /// Requests or connections that found no server.
    pub no_server: Padded<Counter>,
}

impl BackendLive {
    /// Servers of `old` keep their counters, and one that was out stays out; whoever knows more says so at once.
    fn adopt(backend: &Backend, old: Option<&Arc<Self>>, threads: usize) -> Self {
        let known = |identity| old?.servers.iter().position(|server| server.identity == identity);
        let was_out = |index| old.is_some_and(|old| !old.available.load().contains(index));
        let (mut servers, mut standings) = (Vec::new(), Vec::new());
        for server in &backend.servers {
            let identity = server.identity(&backend.name);
            let place = known(identity);
            let kept = place.and_then(|index| old?.servers.get(index)).map(Arc::clone);
            servers.push(kept.unwrap_or_else(|| Arc::new(ServerLive::new(identity, threads))));
            // A backup server is not available in good times: that says nothing of its health.
            let down = !server.backup && place.is_some_and(was_out);
            let health = if down { Health::Down } else { Health::Unknown };
            standings.push((Standing { health, ..Standing::default() }, IsBackup(server.backup)));
        }
        let can = available(&standings).into_iter().zip(&backend.servers).enumerate();
        let can = can.filter_map(|(index, (can, server))| can.then_some((index, server.weight)));
        let no_server = Counter::default();
        no_server.add(old.map_or(0, |old| old.no_server.0.value()));
        Self {
            available: ArcSwap::from_pointee(Available::new(can)),
            servers,
            turn: Padded(AtomicUsize::new(old.map_or(0, |old| old.turn.0.load(Relaxed)))),
            no_server: Padded(no_server),
        }
    }
}

/// What the serving threads count of one server.
#[derive(Debug)]
pub struct ServerLive {
    /// See [`Server::identity`](crate::model::Server::identity).
    pub identity: u64,
    /// A line for each thread.
    pub counts: Sharded<ServerCounts>,
}

impl ServerLive {
    fn new(identity: u64, threads: usize) -> Self {
        Self { identity, counts: Sharded::new(threads) }
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        // Closed first: a connection that ends in between must not make the difference negative.
        let closed = self.counts.sum(|counts| &counts.closed);
        self.counts.sum(|counts| &counts.opened).saturating_sub(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::tests::model::{backend, model};

    #[test]
    fn a_reload_keeps_counters_and_who_is_out_but_no_backup_is_taken_for_down() {
        let mut first =
            backend("web", ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(|it| it.parse().expect("address")));
        first.servers[2].backup = true;
        let before = Live::default().for_model(&model(vec![], vec![first.clone()]));
        let live = before.backend("web").expect("backend");
        assert_eq!(live.available.load().servers(), [(0, 1), (1, 1)]);
        live.available.store(Arc::new(Available::new([(1, 1)])));
        live.servers[1].counts.of(0).total.add(4);

        let mut second = first;
        second.servers.remove(0);
        second.servers[0].weight = 9;
        let after = before.for_model(&model(vec![], vec![second.clone()]));
        let live = after.backend("web").expect("backend");
        assert_eq!(live.available.load().servers(), [(0, 9)]);
        assert_eq!(live.servers[0].counts.sum(|counts| &counts.total), 4);

        live.available.store(Arc::new(Available::default()));
        let after = after.for_model(&model(vec![], vec![second]));
        assert_eq!(after.backend("web").expect("backend").available.load().servers(), [(1, 1)], "the backup steps in");
    }
}
