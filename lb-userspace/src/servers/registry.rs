//! Who has which row in the kernel's maps, and how each server stands. Lives across reloads; a restart rebuilds it from
//! the maps.

use super::{Admin, Health, Standing, available, state::IsBackup};
use crate::{
    model::{Backend, Endpoint, Model, backend},
    plan::Tables,
};
use lb_common::{
    RingId, ServerId, VipId,
    maps::{MAX_RINGS, MAX_SERVERS, MAX_VIPS},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

/// Kernel ids and standings. What exists keeps its id; an id that was freed is given out again as late as possible, so
/// that flows, counters and observers of the old owner have had time to go.
#[derive(Clone, Debug)]
pub struct Registry {
    servers: Ids<u64>,
    rings: Ids<u64>,
    vips: Ids<Endpoint>,
    standings: BTreeMap<u64, Standing>,
    /// Entries of `VIPS4`, and as many again of `VIPS6`: VIPs and the address entries beside them.
    vip_entries: usize,
}

/// A model that needs more rows than a map of the kernel has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{wanted} {rows} are configured, there is room for {room}")]
pub struct RegistryError {
    /// Of what there is too much.
    pub rows: Rows,
    /// How many the model has.
    pub wanted: usize,
    /// How many there may be.
    pub room: usize,
}

/// What takes rows in the kernel's maps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rows {
    /// Servers of all backends.
    Servers,
    /// Backends of `l4` frontends.
    Rings,
    /// Addresses with port and protocol of `l4` frontends.
    Vips,
    /// VIPs of a family together with their distinct addresses: they share a map.
    VipEntries,
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Servers => "servers",
            Self::Rings => "backends of l4 frontends",
            Self::Vips => "VIPs",
            Self::VipEntries => "VIPs and VIP addresses",
        })
    }
}

impl Registry {
    /// What the last daemon left in the maps; empty tables give an empty registry.
    pub fn adopt(tables: &Tables) -> Self {
        Self::with_rows(tables, [MAX_SERVERS, MAX_RINGS, MAX_VIPS], MAX_VIPS)
    }

    /// As [`adopt`](Self::adopt), for one that ran without the maps until now: of its servers it knows more than they.
    #[must_use]
    pub fn take_over(&self, tables: &Tables) -> Self {
        let mut adopted = Self::adopt(tables);
        adopted.standings.extend(&self.standings);
        adopted
    }

    /// As [`adopt`](Self::adopt), with this many rows for servers, rings and VIPs (row 0 of each is unused).
    pub(crate) fn with_rows(tables: &Tables, rows: [u32; 3], vip_entries: u32) -> Self {
        let [servers, rings, vips] = rows;
        let vip_ids = tables.vips.iter().filter(|(key, _)| !key.is_address_entry());
        Self {
            servers: Ids::adopt(tables.servers.iter().map(|(id, entry)| (entry.identity, *id)), servers),
            rings: Ids::adopt(tables.rings.iter().map(|(id, ring)| (ring.identity, *id)), rings),
            vips: Ids::adopt(vip_ids.map(|(key, vip)| (*key, vip.id)), vips),
            standings: tables.servers.values().map(|entry| (entry.identity, Standing::from_entry(entry))).collect(),
            vip_entries: vip_entries as usize,
        }
    }

    /// Gives an id to everything of `model` that has none and frees the ids of what is gone. Standings stay, but a
    /// server that is no longer checked counts as up. After an error nothing has changed.
    pub fn update(&mut self, model: &Model) -> Result<(), RegistryError> {
        let servers = servers_by_name(model);
        let server_ids: Vec<_> = servers.iter().map(|(identity, _)| *identity).collect();
        let ring_ids: Vec<_> = model.kernel_backends().map(|kernel| backend::identity(&kernel.name)).collect();
        let vip_ids: Vec<_> = model.vips().into_keys().collect();
        self.check_room(&server_ids, &ring_ids, &vip_ids)?;

        self.servers.assign(&server_ids);
        self.rings.assign(&ring_ids);
        self.vips.assign(&vip_ids);
        let standing = |(identity, backend): &(u64, &Backend)| {
            let Standing { admin, health } = self.standing(*identity);
            let health = if backend.check.is_some() { health } else { Health::Unknown };
            (*identity, Standing { admin, health })
        };
        self.standings = servers.iter().map(standing).collect();
        Ok(())
    }

    fn check_room(&self, servers: &[u64], rings: &[u64], vips: &[Endpoint]) -> Result<(), RegistryError> {
        let entries_of = |is_v4: bool| {
            let vips = || vips.iter().filter(|key| key.address.is_ipv4() == is_v4);
            vips().count() + vips().map(|key| key.address).collect::<BTreeSet<_>>().len()
        };
        let entries = entries_of(true).max(entries_of(false));
        let needs = [
            (Rows::Servers, servers.len(), self.servers.room()),
            (Rows::Rings, rings.len(), self.rings.room()),
            (Rows::Vips, vips.len(), self.vips.room()),
            (Rows::VipEntries, entries, self.vip_entries),
        ];
        match needs.into_iter().find(|(_, wanted, room)| wanted > room) {
            Some((rows, wanted, room)) => Err(RegistryError { rows, wanted, room }),
            None => Ok(()),
        }
    }

    /// The row of the server of that [identity](crate::model::Server::identity), if it is in the model last given to
    /// [`update`](Self::update).
    pub fn server_id(&self, identity: u64) -> Option<ServerId> {
        self.servers.id(identity)
    }

    /// The ring of the backend of that [identity](backend::identity), if an `l4` frontend of that model uses it.
    pub fn ring_id(&self, identity: u64) -> Option<RingId> {
        self.rings.id(identity)
    }

    /// The counters of a VIP of that model.
    pub fn vip_id(&self, vip: Endpoint) -> Option<VipId> {
        self.vips.id(vip)
    }

    /// How the server of that [identity](crate::model::Server::identity) stands. A server that nobody knows is ready and unchecked.
    pub fn standing(&self, identity: u64) -> Standing {
        self.standings.get(&identity).copied().unwrap_or_default()
    }

    /// Notes what the operator wants. Whether that is a change; a server that is not in the model has none.
    pub fn set_admin(&mut self, identity: u64, admin: Admin) -> bool {
        self.change(identity, |standing| Standing { admin, ..standing })
    }

    /// Notes what the checks found. Whether that is a change; a server that is not in the model has none.
    pub fn set_health(&mut self, identity: u64, health: Health) -> bool {
        self.change(identity, |standing| Standing { health, ..standing })
    }

    fn change(&mut self, identity: u64, to: impl Fn(Standing) -> Standing) -> bool {
        let Some(standing) = self.standings.get_mut(&identity) else { return false };
        let before = std::mem::replace(standing, to(*standing));
        *standing != before
    }

    /// Which servers of `backend` may take new traffic now, in its order; see [`available`].
    pub fn available(&self, backend: &Backend) -> Vec<bool> {
        let standings: Vec<_> = backend
            .servers
            .iter()
            .map(|server| (self.standing(server.identity(&backend.name)), IsBackup(server.backup)))
            .collect();
        available(&standings)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::adopt(&Tables::default())
    }
}

/// The identities of all servers with their backends, by name: the order in the file does not decide about ids.
fn servers_by_name(model: &Model) -> Vec<(u64, &Backend)> {
    let mut by_name = BTreeMap::new();
    for backend in &model.backends {
        for server in &backend.servers {
            by_name.insert((&backend.name, &server.name), (server.identity(&backend.name), backend));
        }
    }
    by_name.into_values().collect()
}

/// Ids from 1 on, one a key.
#[derive(Clone, Debug)]
struct Ids<K> {
    used: BTreeMap<K, u16>,
    /// The next one to be given out is at the front.
    free: VecDeque<u16>,
}

impl<K: Copy + Ord> Ids<K> {
    /// These are taken. Free ids above them come first: of the others some may have been freed a moment ago.
    fn adopt(used: impl Iterator<Item = (K, u16)>, rows: u32) -> Self {
        let used: BTreeMap<_, _> = used.collect();
        let taken: BTreeSet<_> = used.values().copied().collect();
        let last = taken.last().copied().unwrap_or(0);
        let ids = (1..=u16::MAX).take_while(|id| u32::from(*id) < rows).filter(|id| !taken.contains(id));
        let (above, below): (VecDeque<_>, VecDeque<_>) = ids.partition(|id| *id > last);
        Self { used, free: above.into_iter().chain(below).collect() }
    }

    fn room(&self) -> usize {
        self.used.len() + self.free.len()
    }

    fn id(&self, key: K) -> Option<u16> {
        self.used.get(&key).copied()
    }

    /// Frees what is not in `wanted`, then gives the rest of `wanted` ids in that order. An id freed here is given out
    /// here only when no other is left; [`diff`](mod@crate::plan::diff) copes with that.
    fn assign(&mut self, wanted: &[K]) {
        let keep: BTreeSet<_> = wanted.iter().copied().collect();
        self.free.extend(self.used.extract_if(.., |key, _| !keep.contains(key)).map(|(_, id)| id));
        for key in wanted {
            if !self.used.contains_key(key)
                && let Some(id) = self.free.pop_front()
            {
                self.used.insert(*key, id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
