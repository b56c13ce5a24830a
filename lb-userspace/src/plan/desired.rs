//! What the kernel should hold: configuration × standings × next hops → tables. Same inputs, same tables.

mod leaving;
pub mod returns;
pub mod vips;

use super::{
    Ring, Tables,
    maglev::{Bases, Owners},
    tables::{Slots, empty_slots},
    transition::{self, Change, Moment, Transitions},
};
use crate::{
    model::{Affinity, Backend, DownFlows, Endpoint, Model, Server, backend},
    servers::{By, Registry, Reserve, Stand, Standing, stands, state::IsBackup},
};
use lb_common::{Be16, Family as _, Forward, RingId, ServerEntry, ServerId, ServerState, Slot, V4, V6, Vip};
use std::{collections::BTreeMap, mem, net::IpAddr, sync::Arc};

/// Rows in `NEXT_HOPS`, by the address of the server that is reached there.
pub type NextHops = BTreeMap<IpAddr, u16>;

/// What maps that are empty should hold. `registry` must have been [updated](Registry::update) with `model`; what it does
/// not know is left out.
pub fn desired(model: &Model, registry: &Registry, next_hops: &NextHops) -> Tables {
    Planner::default().desired(model, registry, next_hops, &Tables::default(), Moment::default())
}

/// Plans again and again. Remembers what the last plan worked out, which changes only how long the next one takes, and
/// since when slots change hands.
#[derive(Debug, Default)]
pub struct Planner {
    backends: BTreeMap<String, Known>,
    transitions: Transitions,
}

/// What is known of a backend as long as its servers stay the same.
#[derive(Debug)]
struct Known {
    servers: Vec<Server>,
    reserve: Reserve,
    identities: Vec<u64>,
    /// Of the weights in the configuration.
    bases: Option<Arc<Bases>>,
    /// Of others, which the servers had last.
    reweighed: Option<(Vec<u16>, Arc<Bases>)>,
    ring: Option<KnownRing>,
}

/// A ring and what it was made from.
#[derive(Debug)]
struct KnownRing {
    bases: Arc<Bases>,
    available: Vec<bool>,
    ids: Vec<ServerId>,
    slots: Slots,
}

impl Planner {
    /// What the maps should hold that hold `current`. `registry` must have been [updated](Registry::update) with `model`;
    /// what it does not know is left out.
    pub fn desired(
        &mut self,
        model: &Model,
        registry: &Registry,
        next_hops: &NextHops,
        current: &Tables,
        moment: Moment<'_>,
    ) -> Tables {
        self.learn(model);
        let mut servers = self.server_rows(model, registry, next_hops);
        leaving::add_rows(&mut servers, &current.servers, registry, next_hops);
        leaving::stay_down(&mut servers, current, (model, registry));
        let stands = transition::Servers::new(&current.servers, &servers);
        let mut vips = vips::rows(model, registry);
        leaving::add_vips(&mut vips, current, registry);
        let mut returns = returns::rows(model, registry, |backend, index| self.server_id(backend, index, registry));
        leaving::add_returns(&mut returns, &current.returns, registry, &vips);
        Tables {
            rings: self.rings(model, registry, (current, &vips), &stands, moment),
            servers,
            sources: registry.sources(),
            vips,
            returns,
        }
    }

    /// The rows of a backend's servers alone: what a verdict changes at once, before any ring.
    pub fn servers(
        &mut self,
        backend: &Backend,
        registry: &Registry,
        next_hops: &NextHops,
    ) -> BTreeMap<ServerId, ServerEntry> {
        let old = self.backends.remove(&backend.name);
        let known = Known::of(backend, old);
        let rows = known.rows(backend, registry, next_hops).collect();
        self.backends.insert(backend.name.clone(), known);
        rows
    }

    /// Who owns the slots of a backend's ring, if its servers have other weights than in the configuration.
    pub fn reweighed(&mut self, backend: &Backend, registry: &Registry) -> Option<Arc<Bases>> {
        let old = self.backends.remove(&backend.name);
        let mut known = Known::of(backend, old);
        let bases = known.reweighed(registry);
        self.backends.insert(backend.name.clone(), known);
        bases
    }

    /// The slots that change hands.
    pub fn transitions(&self) -> &Transitions {
        &self.transitions
    }

    /// The slots that change hands, to tell what the flow table refused.
    pub fn transitions_mut(&mut self) -> &mut Transitions {
        &mut self.transitions
    }

    /// Forgets backends that are gone and works out the identities of servers that are new.
    fn learn(&mut self, model: &Model) {
        let mut old = mem::take(&mut self.backends);
        let known = |backend: &Backend| (backend.name.clone(), Known::of(backend, old.remove(&backend.name)));
        self.backends = model.backends.iter().map(known).collect();
    }

    /// Servers of backends that no `l4` frontend uses have rows too, because the maps are the daemon's memory across a
    /// restart.
    fn server_rows(&self, model: &Model, registry: &Registry, next_hops: &NextHops) -> BTreeMap<ServerId, ServerEntry> {
        let known = model.backends.iter().filter_map(|backend| Some((backend, self.backends.get(&backend.name)?)));
        known.flat_map(|(backend, known)| known.rows(backend, registry, next_hops)).collect()
    }

    fn rings(
        &mut self,
        model: &Model,
        registry: &Registry,
        (current, vips): (&Tables, &BTreeMap<Endpoint, Vip>),
        servers: &transition::Servers,
        moment: Moment<'_>,
    ) -> BTreeMap<RingId, Ring> {
        let of_backend = |backend: &Backend| {
            let known = self.backends.get_mut(&backend.name)?;
            Some((backend.name.clone(), (known.owners(registry), known.takers().collect::<Vec<_>>())))
        };
        let owners: BTreeMap<_, _> = model.kernel_backends().filter_map(of_backend).collect();
        let heirs = leaving::heirs(current, vips, registry);
        let strays = moment.census.and_then(|(census, _)| census.strays(&current.rings));
        let strays = strays.as_deref();
        let mut rings = BTreeMap::new();
        for (index, backend) in model.backends.iter().enumerate() {
            let identity = backend::identity(&backend.name);
            let (Some(ring), Some(own)) = (registry.ring_id(identity), owners.get(&backend.name)) else {
                continue;
            };
            let mut chain = model.with_fallbacks(index).filter_map(|(_, backend)| owners.get(&backend.name));
            let (owners, takers) = chain.find(|(_, takers)| !takers.is_empty()).unwrap_or(own);
            let is_disturbed = takers.iter().any(|id| servers.is_down(*id));
            let transition = backend.transition;
            // By the client alone all flows move, as the packet path cannot tell which of them the server had.
            let clings = backend.failover.flows != DownFlows::Move && backend.affinity == Affinity::None;
            let change = Change { ring, identity, transition, moment, servers, is_disturbed, strays, clings };
            let before = current.rings.get(&ring).filter(|before| before.identity == identity);
            let before =
                before.cloned().or_else(|| heirs.get(&ring).map(|slots| Ring { identity, slots: Arc::clone(slots) }));
            let slots = self.transitions.next(&change, before.as_ref(), owners);
            rings.insert(ring, Ring { identity, slots });
        }
        self.transitions.retain(&rings);
        leaving::add_rings(&mut rings, &current.rings, registry);
        rings
    }

    /// The row of a server, by its place in the backend.
    fn server_id(&self, backend: &Backend, index: usize, registry: &Registry) -> Option<ServerId> {
        registry.server_id(*self.backends.get(&backend.name)?.identities.get(index)?)
    }
}

impl Known {
    /// What is known of `backend`; `old` if that is still so.
    fn of(backend: &Backend, old: Option<Self>) -> Self {
        let is_same = |known: &Self| known.servers == backend.servers && known.reserve == Reserve::of(backend);
        old.filter(is_same).unwrap_or_else(|| Self {
            servers: backend.servers.clone(),
            reserve: Reserve::of(backend),
            identities: backend.servers.iter().map(|server| server.identity(&backend.name)).collect(),
            bases: None,
            reweighed: None,
            ring: None,
        })
    }

    /// The rows of the servers.
    fn rows(
        &self,
        backend: &Backend,
        registry: &Registry,
        next_hops: &NextHops,
    ) -> impl Iterator<Item = (ServerId, ServerEntry)> {
        self.members().zip(self.stands(registry)).filter_map(|((server, identity), stand)| {
            let standing = (registry.standing(identity), registry.admin_by(identity), stand.state);
            let row = entry(backend.forward, (server, identity), standing, next_hops);
            Some((registry.server_id(identity)?, row))
        })
    }

    /// The servers with their identities.
    fn members(&self) -> impl Iterator<Item = (&Server, u64)> {
        self.servers.iter().zip(self.identities.iter().copied())
    }

    /// What each of the servers may be used for.
    fn stands(&self, registry: &Registry) -> Vec<Stand> {
        let standing = |(server, identity): (&Server, u64)| (registry.standing(identity), IsBackup(server.backup));
        stands(&self.members().map(standing).collect::<Vec<_>>(), self.reserve)
    }

    /// The servers that take new flows, as of the last [`owners`](Self::owners).
    fn takers(&self) -> impl Iterator<Item = ServerId> {
        let ring = self.ring.iter().flat_map(|ring| ring.ids.iter().zip(&ring.available));
        ring.filter_map(|(id, takes)| takes.then_some(*id))
    }

    fn bases(&mut self) -> Arc<Bases> {
        let new = || Arc::new(Bases::new(&self.servers, self.reserve.all_backups));
        Arc::clone(self.bases.get_or_insert_with(new))
    }

    /// See [`Planner::reweighed`].
    fn reweighed(&mut self, registry: &Registry) -> Option<Arc<Bases>> {
        let weights: Vec<_> =
            self.members().map(|(server, identity)| registry.weight(identity, server.weight)).collect();
        // One without weight takes nothing and keeps its slots, to be lent.
        let is_other = |(weight, server): (&u16, &Server)| *weight > 0 && *weight != server.weight;
        if !weights.iter().zip(&self.servers).any(is_other) {
            self.reweighed = None;
            return None;
        }
        if let Some((known, bases)) = &self.reweighed
            && *known == weights
        {
            return Some(Arc::clone(bases));
        }
        let bases = Arc::new(self.bases().reweighed(&self.servers, &weights));
        self.reweighed = Some((weights, Arc::clone(&bases)));
        Some(bases)
    }

    /// Whose each slot should be; the same as the last time, in the same place, if nothing has changed.
    fn owners(&mut self, registry: &Registry) -> Slots {
        let available: Vec<_> = self.stands(registry).into_iter().map(|stand| stand.takes).collect();
        let ids: Vec<_> = self.identities.iter().map(|identity| registry.server_id(*identity).unwrap_or(0)).collect();
        let bases = self.reweighed(registry).unwrap_or_else(|| self.bases());
        if let Some(ring) = &self.ring
            && (&ring.available, &ring.ids) == (&available, &ids)
            && Arc::ptr_eq(&ring.bases, &bases)
        {
            return Arc::clone(&ring.slots);
        }
        let slots = slots(&bases.refilled(&available), &ids);
        self.ring = Some(KnownRing { bases, available, ids, slots: Arc::clone(&slots) });
        slots
    }
}

/// The owners by their rows in `SERVERS`.
fn slots(owners: &Owners, ids: &[ServerId]) -> Slots {
    let mut slots = empty_slots();
    for (slot, owner) in Arc::make_mut(&mut slots).iter_mut().zip(owners.iter()) {
        *slot = Slot::of(owner.and_then(|index| ids.get(index)).copied().unwrap_or(0));
    }
    slots
}

fn entry(
    forward: Forward,
    (server, identity): (&Server, u64),
    (standing, by, state): (Standing, By, ServerState),
    next_hops: &NextHops,
) -> ServerEntry {
    let address = server.address.ip();
    ServerEntry {
        identity,
        addr: address.into(),
        port: Be16::new(if forward.translates() && !server.keeps_port { server.address.port() } else { 0 }),
        next_hop: next_hops.get(&address).copied().unwrap_or(0),
        state: state as u8,
        admin: standing.admin.to_byte(by),
        health: standing.health as u8,
        family: if address.is_ipv4() { V4::VERSION } else { V6::VERSION },
    }
}

#[cfg(test)]
mod tests;
