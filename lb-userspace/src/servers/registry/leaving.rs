//! Servers of the kernel half that leave: they are removed, but flows that they have go on.

use super::Registry;
use crate::{
    model::{Backend, DownFlows, Model, OnEmpty, Server, Track},
    plan::Tables,
    servers::{Leaving, leaving::WITHIN, state::LEAVES},
};
use lb_common::{Forward, ServerEntry, ServerId, ServerState};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

impl Registry {
    /// Sees who leaves between `before` and `next`; who was found in the maps and is in neither leaves too.
    pub(super) fn part(&mut self, before: &Model, next: &Model) {
        let stay: BTreeSet<_> = of_kernel(next).map(|(identity, ..)| identity).collect();
        let reached = still_reached(before, next);
        let mut leaving = std::mem::take(&mut self.leaving);
        for (identity, backend, server) in of_kernel(before).filter(|(identity, ..)| !stay.contains(identity)) {
            if reached.contains(backend.name.as_str())
                && self.server_id(identity).is_some()
                && !leaving.contains_key(&identity)
                && self.may_hold(identity, backend)
            {
                let within = next.backend(&backend.name).unwrap_or(backend).drain_timeout;
                leaving.insert(identity, Leaving { within, ..self.leaves(identity, backend, server) });
            }
        }
        let known: BTreeSet<_> = before.identities().chain(next.identities()).collect();
        for (identity, address) in std::mem::take(&mut self.found) {
            let standing = self.standing(identity);
            if !known.contains(&identity) && self.server_id(identity).is_some() {
                leaving.entry(identity).or_insert(Leaving {
                    backend: String::new(),
                    server: String::new(),
                    address,
                    within: WITHIN,
                    until: None,
                    is_tracked: true,
                    standing,
                });
            }
        }
        leaving.retain(|identity, _| !stay.contains(identity));
        self.leaving = leaving;
    }

    /// Whether flows of a server go on as it stands.
    fn may_hold(&self, identity: u64, backend: &Backend) -> bool {
        let failover = &backend.failover;
        let clings = failover.flows == DownFlows::Keep || failover.on_empty == OnEmpty::FailOpen;
        self.standing(identity).keeps_existing() || clings
    }

    fn leaves(&self, identity: u64, backend: &Backend, server: &Server) -> Leaving {
        Leaving {
            backend: backend.name.clone(),
            server: server.name.clone(),
            address: server.address,
            within: WITHIN,
            until: None,
            is_tracked: backend.track == Track::Full || backend.forward == Forward::FullNat,
            standing: self.standing(identity),
        }
    }

    /// Those that keep their ids beside these servers: all that there is room for, the last to leave first.
    pub(super) fn still_leaving(&mut self, servers: &[u64]) -> Vec<u64> {
        let members: BTreeSet<_> = servers.iter().copied().collect();
        let room = self.servers.room().saturating_sub(members.len());
        let gone = self.leaving.iter().filter(|(identity, _)| !members.contains(identity));
        let mut gone: Vec<_> =
            gone.map(|(identity, leaving)| (leaving.until.unwrap_or(Duration::MAX), *identity)).collect();
        gone.sort_unstable();
        let cut = gone.len().saturating_sub(room);
        for (_, identity) in gone.drain(..cut) {
            self.leaving.remove(&identity);
        }
        gone.into_iter().map(|(_, identity)| identity).collect()
    }

    /// Who is in the kernel half again does not leave any more.
    pub(super) fn forget_returned(&mut self, model: &Model) {
        for (identity, ..) in of_kernel(model) {
            self.leaving.remove(&identity);
        }
    }

    /// Those that leave, by identity, with their rows.
    pub fn leaving(&self) -> impl Iterator<Item = (u64, ServerId, &Leaving)> {
        self.leaving.iter().filter_map(|(identity, leaving)| Some((*identity, self.server_id(*identity)?, leaving)))
    }

    /// Says that it is `now`, for those whose time has not begun.
    pub fn begin_leaving(&mut self, now: Duration) {
        for leaving in self.leaving.values_mut() {
            leaving.until = leaving.until.or_else(|| Some(now.saturating_add(leaving.within)));
        }
    }

    /// When the first of them must have gone.
    pub fn leaving_until(&self) -> Option<Duration> {
        self.leaving.values().filter_map(|leaving| leaving.until).min()
    }

    /// Those have left. The ids of those that are not in the `model` rest.
    pub fn left(&mut self, identities: &BTreeSet<u64>, model: &Model) {
        let members: BTreeSet<_> = model.identities().collect();
        for identity in identities {
            if self.leaving.remove(identity).is_some()
                && !members.contains(identity)
                && let Some(id) = self.servers.used.remove(identity)
            {
                self.servers.resting.push(id);
            }
        }
    }
}

/// Backends of `before` that packets can still be of: a VIP of theirs stays, if with another backend.
fn still_reached<'a>(before: &'a Model, next: &Model) -> BTreeSet<&'a str> {
    let stay = next.vips();
    let vips = before.vips().into_iter().filter(|(key, _)| stay.contains_key(key));
    vips.flat_map(|(_, vip)| before.with_fallbacks(vip.frontend.backend).map(|(_, backend)| backend.name.as_str()))
        .collect()
}

/// Servers that the kernel half sends packets to.
fn of_kernel(model: &Model) -> impl Iterator<Item = (u64, &Backend, &Server)> {
    model.kernel_backends().flat_map(|backend| {
        let resolved = backend.servers.iter().filter(|server| server.is_resolved());
        resolved.map(move |server| (server.identity(&backend.name), backend, server))
    })
}

/// Who was found in the maps and may have flows, with the address.
pub(super) fn found(tables: &Tables) -> BTreeMap<u64, SocketAddr> {
    let holds =
        |row: &&ServerEntry| row.next_hop != 0 && (ServerState::from_byte(row.state).forwards() || row.admin == LEAVES);
    let address = |row: &ServerEntry| (row.identity, SocketAddr::new(row.addr.ip(), row.port.host()));
    tables.servers.values().filter(holds).map(address).collect()
}
