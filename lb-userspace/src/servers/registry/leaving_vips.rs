//! VIPs that leave: they are removed, but connections that they have go on.
//!
//! A VIP keeps its rows, its ring and its returns until its time is over, and takes nothing new. The maps remember all of it, so
//! a daemon that comes after this one goes on with it.

use super::{Registry, leaving::time_left};
use crate::{
    model::{Backend, Endpoint, KernelVip, Model, Track, backend},
    plan::{
        Tables,
        desired::{returns, vips},
    },
    servers::{LeavingVip, leaving::WITHIN},
};
use lb_common::{
    Forward, Protocol, RingId, Vip, VipId,
    maps::MAX_SERVERS,
    vip::flags::{FRAGMENTS_ONLY, TRACK_FULL},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

impl Registry {
    /// Sees which VIPs leave between `before` and `next`; those that were found in the maps and are in neither leave too.
    pub(super) fn part_vips(&mut self, before: &Model, next: &Model) {
        let (had, stay) = (by_name(before), by_name(next));
        let is_gone = |name: &Endpoint| had.contains_key(name) && !stay.contains_key(name);
        let staying: BTreeMap<u64, &Backend> =
            next.kernel_backends().map(|of| (backend::identity(&of.name), of)).collect();
        // Beside VIPs that stay there is one ring for all: it must not have to tell what it was from what it is.
        let is_same = |name: &Endpoint| {
            let first = had.get(name).and_then(|keys| keys.values().next());
            let Some(was) = first.and_then(|vip| before.backends.get(vip.frontend.backend)) else { return false };
            let Some(is) = staying.get(&backend::identity(&was.name)) else { return true };
            let servers =
                |of: &Backend| of.servers.iter().map(|server| server.identity(&of.name)).collect::<BTreeSet<_>>();
            is.forward == was.forward && servers(was).is_subset(&servers(is))
        };
        let gone =
            had.iter().filter(|(name, _)| is_gone(name) && is_same(name) && !self.leaving_vips.contains_key(name));
        let gone: Vec<_> =
            gone.filter_map(|(name, keys)| Some((*name, self.leaving_vip(*name, keys, before)?))).collect();
        let found = std::mem::take(&mut self.found_vips);
        let found = found.into_iter().filter(|(name, vip)| {
            !had.contains_key(name) && !stay.contains_key(name) && !staying.contains_key(&vip.backend)
        });
        for (name, vip) in gone.into_iter().chain(found) {
            self.leaving_vips.entry(name).or_insert(vip);
        }
    }

    fn leaving_vip(&self, name: Endpoint, keys: &BTreeMap<Endpoint, KernelVip>, before: &Model) -> Option<LeavingVip> {
        let (_, first) = keys.first_key_value()?;
        let of = before.backends.get(first.frontend.backend)?;
        let identity = backend::identity(&of.name);
        let (id, ring) = self.vip_id(name).zip(self.ring_id(identity))?;
        let row = |(key, vip): (&Endpoint, &KernelVip)| (*key, vips::row(id, ring, vip, of, self));
        let is_stateless = of.forward == Forward::Nat && of.track != Track::Full;
        Some(LeavingVip {
            frontend: before.frontends.get(first.index)?.name.clone(),
            within: of.drain_timeout,
            until: None,
            backend: identity,
            rows: keys.iter().map(row).collect(),
            returns: if is_stateless { returns::keys_of(before, name) } else { BTreeSet::new() },
        })
    }

    /// Keeps those that leave for which there is room beside `model`, and which nothing there takes the place of: a VIP, a listening
    /// socket, or somebody whom the same servers answer. `rings` and `vips` are those of the model.
    pub(super) fn keep_leaving_vips(&mut self, model: &Model, rings: &[u64], vips: &[Endpoint]) {
        if self.leaving_vips.is_empty() {
            return;
        }
        let (keys, claimed) = (vips::keys(model), returns::keys(model));
        let there = model.vips();
        // A packet goes by the VIP of its port before that of all ports, and by either before it reaches a socket.
        let is_served = |key: &Endpoint| {
            let is_vip = there.contains_key(key) || there.contains_key(&Endpoint { port: 0, ..*key });
            is_vip
                || if key.port == 0 {
                    model.is_served_at(key.address)
                } else {
                    model.frontend_for(key.socket()).is_some()
                }
        };
        let is_claimed =
            |source: &Endpoint| claimed.contains(source) || claimed.contains(&Endpoint { port: 0, ..*source });
        self.leaving_vips.retain(|_, vip| {
            !vip.rows.is_empty() && !vip.rows.keys().any(is_served) && !vip.returns.iter().any(is_claimed)
        });
        let other_rings: BTreeSet<_> =
            self.leaving_vips.values().map(|vip| vip.backend).filter(|backend| !rings.contains(backend)).collect();
        let rows = self.leaving_vips.values().flat_map(|vip| vip.rows.keys());
        let entries = keys.iter().copied().chain(rows.flat_map(|key| [*key, Endpoint::address_entry(key.address)]));
        let has_room = rings.len() + other_rings.len() <= self.rings.room()
            && vips.len() + self.leaving_vips.len() <= self.vips.room()
            && super::largest_family(&entries.collect()) <= self.vip_entries
            && claimed.len() + self.leaving_vips.values().map(|vip| vip.returns.len()).sum::<usize>()
                <= MAX_SERVERS as usize;
        if !has_room {
            self.leaving_vips.clear();
        }
    }

    /// Goes on with those of `known` that have rows still.
    pub(super) fn vips_leave_on(&mut self, known: &BTreeMap<Endpoint, LeavingVip>) {
        for (name, LeavingVip { frontend, within, until, .. }) in known {
            if let Some(found) = self.found_vips.remove(name) {
                let leaving = LeavingVip { frontend: frontend.clone(), within: *within, until: *until, ..found };
                self.leaving_vips.insert(*name, leaving);
            }
        }
    }

    /// Those that leave, with the time that is left `now`, for another process.
    pub(super) fn vips_leaving_after(&self, now: Duration) -> BTreeMap<SocketAddr, LeavingVip> {
        let after = |(name, leaving): (&Endpoint, &LeavingVip)| {
            let within = time_left(leaving.until, leaving.within, now);
            (name.socket(), LeavingVip { within, until: None, ..leaving.clone() })
        };
        self.leaving_vips.iter().map(after).collect()
    }

    /// Those that leave, by the endpoint that names them.
    pub fn leaving_vips(&self) -> impl Iterator<Item = (Endpoint, &LeavingVip)> {
        self.leaving_vips.iter().map(|(name, leaving)| (*name, leaving))
    }

    /// Those whose time is over `now` have left. Their numbers and rings, where the `model` has no use for them, are free.
    pub fn vips_left(&mut self, now: Duration, model: &Model) -> Vec<(Endpoint, LeavingVip)> {
        let is_over = |leaving: &mut LeavingVip| leaving.until.is_some_and(|until| until <= now);
        let left: Vec<_> = self.leaving_vips.extract_if(.., |_, leaving| is_over(leaving)).collect();
        if !left.is_empty() {
            let gone: BTreeSet<_> = left.iter().map(|(name, _)| *name).collect();
            let stay: BTreeSet<_> = model.kernel_backends().map(|of| backend::identity(&of.name)).collect();
            let stay: BTreeSet<_> = self.leaving_vips.values().map(|vip| vip.backend).chain(stay).collect();
            self.vips.keep(|name| !gone.contains(name));
            self.rings.keep(|ring| stay.contains(ring));
        }
        left
    }
}

/// The VIPs of TCP, by the endpoint that names them.
fn by_name(model: &Model) -> BTreeMap<Endpoint, BTreeMap<Endpoint, KernelVip>> {
    let mut by_name: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (key, vip) in model.vips().into_iter().filter(|(key, _)| key.protocol == Some(Protocol::Tcp)) {
        by_name.entry(vip.counted_as).or_default().insert(key, vip);
    }
    by_name
}

/// The VIPs of TCP that are in the maps, by the endpoint that names them.
pub(super) fn found(tables: &Tables) -> BTreeMap<Endpoint, LeavingVip> {
    let names = tables.counted_vips();
    let mut found: BTreeMap<Endpoint, LeavingVip> = BTreeMap::new();
    let is_vip = |(key, row): &(&Endpoint, &Vip)| key.protocol == Some(Protocol::Tcp) && !row.has(FRAGMENTS_ONLY);
    let ring = |id: RingId| tables.rings.get(&id).map(|ring| ring.identity);
    let mut returns: BTreeMap<VipId, BTreeSet<Endpoint>> = BTreeMap::new();
    for (key, entry) in tables.returns.iter().filter(|(_, entry)| entry.vip != 0) {
        returns.entry(entry.vip).or_default().insert(*key);
    }
    for (key, row) in tables.vips.iter().filter(is_vip) {
        let Some((name, backend)) = names.get(&row.id).zip(ring(row.ring)) else { continue };
        let vip = found.entry(*name).or_insert_with(|| {
            let is_stateless = row.forward == Forward::Nat as u8 && !row.has(TRACK_FULL);
            let returns = returns.remove(&row.id).filter(|_| is_stateless).unwrap_or_default();
            LeavingVip { within: WITHIN, backend, returns, ..LeavingVip::default() }
        });
        vip.rows.insert(*key, *row);
    }
    found
}
