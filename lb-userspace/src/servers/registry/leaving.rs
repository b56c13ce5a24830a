//! Servers of the kernel half that leave: they are removed, but flows that they have go on.

use super::Registry;
use crate::{
    model::{Backend, DownFlows, Endpoint, KernelVip, Model, OnEmpty, Server, Track},
    plan::Tables,
    servers::{Admin, By, Health, Leaving, Standing, leaving::WITHIN, state::LEAVES},
};
use lb_common::{Forward, ServerEntry, ServerId, ServerState};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

impl Registry {
    /// Sees who leaves between `before` and `next`; who was found in the maps and is of the kernel half in
    /// neither leaves too.
    pub(super) fn part(&mut self, before: &Model, next: &Model) {
        let stay: BTreeSet<_> = of_kernel(next).map(|(identity, ..)| identity).collect();
        let reached = self.still_reached(before, next);
        let mut leaving = std::mem::take(&mut self.leaving);
        for (identity, backend, server) in of_kernel(before).filter(|(identity, ..)| !stay.contains(identity)) {
            if reached.contains(backend.name.as_str())
                && self.server_id(identity).is_some()
                && !leaving.contains_key(&identity)
                && self.may_hold(identity, backend)
            {
                let within = next.backend(&backend.name).unwrap_or(backend).drain_timeout;
                leaving.insert(identity, self.leaves(identity, (backend, server), within));
            }
        }
        let known: BTreeSet<_> = of_kernel(before).map(|(identity, ..)| identity).chain(stay.iter().copied()).collect();
        let mut found = std::mem::take(&mut self.found);
        found.retain(|identity, _| !known.contains(identity) && self.server_id(*identity).is_some());
        found.retain(|identity, _| !leaving.contains_key(identity));
        // Some may be servers of the proxy half still.
        let all = next.backends.iter().flat_map(|backend| backend.servers.iter().map(move |server| (backend, server)));
        let all = all.map(|(backend, server)| (server.identity(&backend.name), (backend, server)));
        let named: BTreeMap<_, _> = if found.is_empty() { BTreeMap::new() } else { all.collect() };
        for (identity, address) in found {
            let standing = self.standing(identity);
            let (backend, server, within) = named.get(&identity).map_or_else(
                || (String::new(), String::new(), WITHIN),
                |(backend, server)| (backend.name.clone(), server.name.clone(), backend.drain_timeout),
            );
            leaving.insert(
                identity,
                Leaving { backend, server, address, within, until: None, is_tracked: true, standing },
            );
        }
        self.leaving = leaving;
    }

    /// How a server begins that comes back while it leaves: as another that is new, since nobody has looked after it meanwhile; but
    /// one that was down stays so until it is probed. What the operator wants of it holds still.
    pub(super) fn returning(&self, identity: u64) -> Option<Standing> {
        let Standing { admin, health, .. } = self.leaving.get(&identity)?.standing;
        let health = match health {
            Health::Down | Health::Pending | Health::AgentDown => Some(Health::Pending),
            Health::Unknown | Health::Up | Health::Stopping | Health::Unresolved => None,
        };
        Some(Standing { admin, health: health.unwrap_or(Health::Unresolved), weightless: false })
    }

    /// Forgets what agents said of servers that come back, before they [return](Self::returning).
    pub(super) fn forget_agents(&mut self, servers: &[u64]) {
        for identity in servers.iter().filter(|identity| !self.standings.contains_key(identity)) {
            let (leaving, said) = (self.leaving.get_mut(identity), self.said.get_mut(identity));
            let Some((leaving, said)) = leaving.zip(said) else { continue };
            if said.admin == By::Agent {
                leaving.standing.admin = Admin::Ready;
            }
            *said = said.by_operator();
        }
    }

    /// Goes on with those of `known` that have rows still.
    pub(super) fn leave_on(&mut self, known: &BTreeMap<u64, Leaving>) {
        let with_rows = known.iter().filter(|(identity, _)| self.servers.id(**identity).is_some());
        self.leaving = with_rows.map(|(identity, leaving)| (*identity, leaving.clone())).collect();
    }

    /// Those that leave, with the time that is left `now`, for another process.
    pub(super) fn leaving_after(&self, now: Duration) -> BTreeMap<u64, Leaving> {
        let after = |leaving: &Leaving| {
            let within = time_left(leaving.until, leaving.within, now);
            Leaving { within, until: None, ..leaving.clone() }
        };
        self.leaving.iter().map(|(identity, leaving)| (*identity, after(leaving))).collect()
    }

    /// Backends of `before` that packets can still be of: a VIP of theirs stays, if with another backend, or leaves.
    fn still_reached<'a>(&self, before: &'a Model, next: &Model) -> BTreeSet<&'a str> {
        let stay = next.vips();
        let is_reached = |(key, vip): &(Endpoint, KernelVip)| {
            stay.contains_key(key) || self.leaving_vips.contains_key(&vip.counted_as)
        };
        let vips = before.vips().into_iter().filter(is_reached);
        vips.flat_map(|(_, vip)| before.with_fallbacks(vip.frontend.backend).map(|(_, backend)| backend.name.as_str()))
            .collect()
    }

    /// Whether flows of a server go on as it stands.
    fn may_hold(&self, identity: u64, backend: &Backend) -> bool {
        let failover = &backend.failover;
        let clings = failover.flows == DownFlows::Keep || failover.on_empty == OnEmpty::FailOpen;
        self.standing(identity).keeps_existing() || clings
    }

    fn leaves(&self, identity: u64, (backend, server): (&Backend, &Server), within: Duration) -> Leaving {
        Leaving {
            backend: backend.name.clone(),
            server: server.name.clone(),
            address: server.address,
            within,
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
        if cut > 0 {
            self.leaving_vips.clear(); // Their rings may name those that go now.
        }
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
        let servers = self.leaving.values_mut().map(|leaving| (&mut leaving.until, leaving.within));
        let vips = self.leaving_vips.values_mut().map(|leaving| (&mut leaving.until, leaving.within));
        for (until, within) in servers.chain(vips) {
            until.get_or_insert(now.saturating_add(within));
        }
    }

    /// When the first of servers and VIPs must have gone.
    pub fn leaving_until(&self) -> Option<Duration> {
        let vips = self.leaving_vips.values().filter_map(|leaving| leaving.until);
        self.leaving.values().filter_map(|leaving| leaving.until).chain(vips).min()
    }

    /// Those have left. The ids of those that are not in the `model` rest.
    pub fn left(&mut self, identities: &BTreeSet<u64>, model: &Model) {
        let members: BTreeSet<_> = model.identities().collect();
        for identity in identities {
            if self.leaving.remove(identity).is_none() || members.contains(identity) {
                continue;
            }
            self.said.remove(identity);
            if let Some(id) = self.servers.used.remove(identity) {
                self.servers.resting.push(id);
            }
        }
    }
}

/// How long what leaves may take from `now` on.
pub(super) fn time_left(until: Option<Duration>, within: Duration, now: Duration) -> Duration {
    until.map_or(within, |until| until.saturating_sub(now))
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
