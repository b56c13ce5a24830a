//! Who has which row in the kernel's maps, and how each server stands. Lives across reloads; a restart rebuilds it from
//! the maps.

use super::{
    Admin, By, Health, Leaving, LeavingVip, Quorums, Reserve, Stand, Standing, Weight, pools::Pools, said::Said,
    stands, state::IsBackup,
};
use crate::{
    model::{Backend, Endpoint, Frontend, Model, Server, backend},
    plan::{
        Tables,
        desired::{returns, vips},
    },
};
use lb_common::{
    Forward, RingId, ServerId, VipId,
    maps::{MAX_RINGS, MAX_SERVERS, MAX_SOURCES, MAX_VIPS},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Kernel ids and standings. What exists keeps its id; an id that was freed is given out again as late as possible, so
/// that counters and observers of the old owner have had time to go. That of a server *rests* first, until nothing is
/// remembered of its flows. So does that of a ring, which entries of the flow table name; then it is the next to be given out,
/// as each ring that was ever used has a map in the kernel, of 128 KiB.
#[derive(Clone, Debug)]
pub struct Registry {
    servers: Ids<u64>,
    rings: Ids<u64>,
    vips: Ids<Endpoint>,
    pools: Pools,
    standings: BTreeMap<u64, Standing>,
    /// What was said of servers at run time, of those of whom something was.
    said: BTreeMap<u64, Said>,
    /// Servers of the kernel half that are gone, or about to go, and may have flows, by identity.
    leaving: BTreeMap<u64, Leaving>,
    /// VIPs that are gone and may have connections, by the [endpoint](crate::model::KernelVip::counted_as) that names them.
    leaving_vips: BTreeMap<Endpoint, LeavingVip>,
    /// Where servers are that were found in the maps, until the first model.
    found: BTreeMap<u64, SocketAddr>,
    /// VIPs that were found in the maps, until the first model.
    found_vips: BTreeMap<Endpoint, LeavingVip>,
    quorums: Quorums,
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
    /// Servers' replies of a family to `nat` VIPs.
    Returns,
    /// Addresses of all source pools.
    Sources,
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Servers => "servers",
            Self::Rings => "backends of l4 frontends",
            Self::Vips => "VIPs",
            Self::VipEntries => "VIPs and VIP addresses",
            Self::Returns => "pairs of nat VIPs and servers",
            Self::Sources => "addresses of source pools",
        })
    }
}

impl Registry {
    /// What the last daemon left in the maps; empty tables give an empty registry.
    pub fn adopt(tables: &Tables) -> Self {
        Self::with_rows(tables, [MAX_SERVERS, MAX_RINGS, MAX_VIPS], MAX_VIPS)
    }

    /// As [`adopt`](Self::adopt), for one that ran without the maps until now: of its servers, and those that leave, it knows more
    /// than they.
    #[must_use]
    pub fn take_over(&self, tables: &Tables) -> Self {
        let mut adopted = Self::adopt(tables);
        adopted.standings.extend(&self.standings);
        adopted.said.retain(|identity, _| !self.standings.contains_key(identity));
        adopted.said.extend(&self.said);
        adopted.quorums.clone_from(&self.quorums);
        adopted.leave_on(&self.leaving);
        adopted.vips_leave_on(&self.leaving_vips);
        adopted
    }

    /// As [`adopt`](Self::adopt), with this many rows for servers, rings and VIPs (row 0 of each is unused).
    pub(crate) fn with_rows(tables: &Tables, rows: [u32; 3], vip_entries: u32) -> Self {
        let [servers, rings, vips] = rows;
        let said =
            tables.servers.values().map(|entry| (entry.identity, Said::of_admin(Admin::from_byte(entry.admin).1)));
        Self {
            servers: Ids { reuse: Reuse::WhenReleased, ..Ids::adopt(servers_of(tables), servers) },
            rings: Ids::adopt(tables.rings.iter().map(|(id, ring)| (ring.identity, *id)), rings).lowest_first(),
            vips: Ids::adopt(tables.counted_vips().into_iter().map(|(id, key)| (key, id)), vips),
            pools: Pools::adopt(tables),
            standings: tables.servers.values().map(|entry| (entry.identity, Standing::from_entry(entry))).collect(),
            said: said.filter(|(_, said)| !said.is_nothing()).collect(),
            leaving: BTreeMap::new(),
            leaving_vips: BTreeMap::new(),
            found: leaving::found(tables),
            found_vips: leaving_vips::found(tables),
            quorums: Quorums::default(),
            vip_entries: vip_entries as usize,
        }
    }

    /// Gives an id to everything of `model` that has none and frees the ids of what is gone. Standings stay, but a
    /// server that is no longer checked counts as up, one of which no address is known as down, and one that tracks another as
    /// what that is. Those that [leave](Self::follow) keep their ids as long as there is room for them. After an error nothing has
    /// changed.
    pub fn update(&mut self, model: &Model) -> Result<(), RegistryError> {
        let servers = servers_by_name(model);
        let server_ids: Vec<_> = servers.iter().map(|(identity, ..)| *identity).collect();
        let ring_ids: Vec<_> = model.kernel_backends().map(|kernel| backend::identity(&kernel.name)).collect();
        let vip_ids: BTreeSet<_> = model.vips().values().map(|vip| vip.counted_as).collect();
        let vip_ids: Vec<_> = vip_ids.into_iter().collect();
        let pools = pools(model);
        let needs = [
            (Rows::Servers, server_ids.len(), self.servers.room()),
            (Rows::Rings, ring_ids.len(), self.rings.room()),
            (Rows::Vips, vip_ids.len(), self.vips.room()),
            (Rows::VipEntries, largest_family(&vips::keys(model)), self.vip_entries),
            (Rows::Returns, largest_family(&returns::keys(model)), MAX_SERVERS as usize),
            (Rows::Sources, pools.iter().map(|(_, addresses)| addresses.len()).sum(), MAX_SOURCES as usize),
        ];
        if let Some((rows, wanted, room)) = needs.into_iter().find(|(_, wanted, room)| wanted > room) {
            return Err(RegistryError { rows, wanted, room });
        }

        let leaving = self.still_leaving(&server_ids);
        self.keep_leaving_vips(model, &ring_ids, &vip_ids);
        let (leaving_rings, leaving_vips) = self.leaving_vips.iter().map(|(key, vip)| (vip.backend, *key)).unzip();
        self.forget_agents(&server_ids);
        self.servers.assign(&[server_ids, leaving].concat());
        self.rings.assign(&[ring_ids, leaving_rings].concat());
        self.vips.assign(&[vip_ids, leaving_vips].concat());
        self.pools.assign(pools, MAX_SOURCES as usize);
        let standing = |(identity, backend, server): &(u64, &Backend, &Server)| {
            let known = self.standings.get(identity).copied().or_else(|| self.returning(*identity));
            let known_health = known.map(|known| known.health).filter(|health| *health != Health::Unresolved);
            let has_agent = server.agent().is_some();
            let health = match (server.check(backend), known_health) {
                _ if !server.is_resolved() => Health::Unresolved,
                (None, Some(known @ (Health::Up | Health::AgentDown))) if has_agent => known,
                (None, _) => Health::Unknown,
                (Some(_), Some(Health::AgentDown)) if !has_agent => Health::Down,
                (Some(_), Some(known)) => known,
                (Some(check), None) if check.init_state.is_up() => Health::Unknown,
                (Some(_), None) => Health::Pending,
            };
            let standing = Standing { health, ..known.unwrap_or_default() };
            (*identity, self.said_still((*identity, backend, server), standing))
        };
        self.standings = servers.iter().map(standing).collect();
        self.forget_returned(model);
        self.keep_said(&servers);
        for (identity, _, server) in servers.iter().filter(|(.., server)| server.is_resolved()) {
            if let Some(tracked) = server.track.as_ref().and_then(|tracked| model.identity(tracked)) {
                let health = self.standing(tracked).health.as_tracked();
                self.set_health(*identity, health);
            }
        }
        let mut quorums = std::mem::take(&mut self.quorums);
        quorums.update(model, |backend| self.takers(backend).count());
        self.quorums = quorums;
        Ok(())
    }

    /// The row of the server of that [identity](crate::model::Server::identity), if it is in the model last given to
    /// [`update`](Self::update).
    pub fn server_id(&self, identity: u64) -> Option<ServerId> {
        self.servers.id(identity)
    }

    /// Ids of servers that are gone, of which flows may still be remembered.
    pub fn resting(&self) -> impl Iterator<Item = ServerId> {
        self.servers.resting.iter().copied()
    }

    /// Nothing is remembered any more of the servers that had these ids.
    pub fn release(&mut self, ids: &BTreeSet<ServerId>) {
        self.servers.release(|id| ids.contains(&id));
    }

    /// Whether there are rings that are gone, of which flows may still be remembered.
    pub fn has_resting_rings(&self) -> bool {
        !self.rings.resting.is_empty()
    }

    /// Rings that are gone may be given out again if that is true of them.
    pub fn release_rings(&mut self, is_over: impl Fn(RingId) -> bool) {
        self.rings.release(is_over);
    }

    /// Flows are remembered of these rings, so none of them is given out before it was [released](Self::release_rings).
    pub fn rest_rings(&mut self, named: &BTreeSet<RingId>) {
        let Ids { free, resting, .. } = &mut self.rings;
        resting.extend(free.iter().filter(|id| named.contains(id)));
        free.retain(|id| !named.contains(id));
    }

    /// The ring of the backend of that [identity](backend::identity), if an `l4` frontend of that model uses it.
    pub fn ring_id(&self, identity: u64) -> Option<RingId> {
        self.rings.id(identity)
    }

    /// The counters of a VIP of that model; for a range of ports that of the lowest.
    pub fn vip_id(&self, vip: Endpoint) -> Option<VipId> {
        self.vips.id(vip)
    }

    /// First row and number of rows of the source pool of the backend of that [identity](backend::identity).
    pub fn pool(&self, backend: u64) -> (u16, u16) {
        self.pools.rows(backend)
    }

    /// All rows of `SOURCES`.
    pub fn sources(&self) -> BTreeMap<u16, IpAddr> {
        self.pools.table()
    }

    /// How the server of that [identity](crate::model::Server::identity) stands. A server that nobody knows is ready and unchecked.
    pub fn standing(&self, identity: u64) -> Standing {
        self.standings.get(&identity).copied().unwrap_or_default()
    }

    /// Notes what the checks found. Whether that is a change; a server that is not in the model has none.
    pub fn set_health(&mut self, identity: u64, health: Health) -> bool {
        self.change(identity, |standing| Standing { health, ..standing })
    }

    /// Servers that are known by their names may be elsewhere in `next`: what the operator wants of them goes with them. What the
    /// checks found of a machine says nothing of another, nor does the agent beside it; but one that has an address of its own is
    /// the same agent still. To be told before the [update](Self::update) with `next`.
    ///
    /// Those of the kernel half that it no longer has in `next` leave: they keep their rows for the flows that they have. So do VIPs.
    pub fn follow(&mut self, before: &Model, next: &Model) {
        self.part_vips(before, next);
        self.part(before, next);
        for backend in &next.backends {
            let Some(known) = before.backend(&backend.name) else { continue };
            let known: BTreeMap<_, _> = known.servers.iter().map(|server| (&*server.name, server)).collect();
            for server in &backend.servers {
                let Some(host) = &server.host else { continue };
                let was =
                    known.get(&*server.name).filter(|was| was.host.as_ref().is_some_and(|was| was.name == host.name));
                let Some(was) = was.filter(|was| was.address != server.address) else { continue };
                let agents = was.agent().zip(server.agent());
                let is_same_agent = agents.is_some_and(|(was, agent)| {
                    agent.address.is_some() && (was.address, was.port) == (agent.address, agent.port)
                });
                let (was, identity) = (was.identity(&backend.name), server.identity(&backend.name));
                if let Some(standing) = self.standings.get(&was).copied() {
                    // Of the machine there nothing is known yet; but one that was down stays so until it is probed, or its agent
                    // says otherwise.
                    let health = match standing.health {
                        Health::AgentDown if is_same_agent => Health::AgentDown,
                        Health::Down | Health::Pending | Health::AgentDown => Health::Pending,
                        Health::Unknown | Health::Up | Health::Stopping | Health::Unresolved => Health::Unresolved,
                    };
                    let is_wanted = is_same_agent || self.admin_by(was) == By::Operator;
                    let admin = if is_wanted { standing.admin } else { Admin::Ready };
                    self.standings.insert(identity, Standing { admin, health, ..standing });
                    let said = self.said.get(&was).copied();
                    let said = said.map(|said| if is_same_agent { said } else { said.by_operator() });
                    self.said.extend(said.map(|said| (identity, said)));
                }
            }
        }
    }

    fn change(&mut self, identity: u64, to: impl Fn(Standing) -> Standing) -> bool {
        let Some(standing) = self.standings.get_mut(&identity) else { return false };
        let before = std::mem::replace(standing, to(*standing));
        *standing != before
    }

    /// What each server of `backend` may be used for now, in its order; see [`stands`].
    pub fn stands(&self, backend: &Backend) -> Vec<Stand> {
        let standings: Vec<_> = backend
            .servers
            .iter()
            .map(|server| (self.standing(server.identity(&backend.name)), IsBackup(server.backup)))
            .collect();
        stands(&standings, Reserve::of(backend))
    }

    /// The servers of `backend` that take new traffic now, without those that do only because it fails open.
    pub fn takers<'a>(&'a self, backend: &'a Backend) -> impl Iterator<Item = (&'a Server, Standing)> {
        let standing = |server: &'a Server| (server, self.standing(server.identity(&backend.name)));
        let servers = self.stands(backend).into_iter().zip(&backend.servers).filter(|(stand, _)| stand.takes);
        servers.map(move |(_, server)| standing(server)).filter(|(_, standing)| standing.takes_new())
    }

    /// Counts the servers of `backend` for the frontends whose default it is; to be called whenever a standing has changed.
    /// The frontends that have lost or regained their quorum by that.
    pub fn count_quorums<'a>(&mut self, model: &'a Model, backend: &Backend) -> Vec<&'a Frontend> {
        let servers = self.takers(backend).count();
        self.quorums.count(model, backend, servers)
    }

    /// Whether the frontend of that name has its quorum.
    pub fn has_quorum(&self, frontend: &str) -> bool {
        self.quorums.is_met(frontend)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::adopt(&Tables::default())
    }
}

mod remembered;
mod leaving;
mod leaving_vips;
mod saying;

pub use remembered::Remembered;

fn servers_of(tables: &Tables) -> impl Iterator<Item = (u64, ServerId)> {
    tables.servers.iter().map(|(id, entry)| (entry.identity, *id))
}

/// The identities of all servers with their backends, by name: the order in the file does not decide about ids.
fn servers_by_name(model: &Model) -> Vec<(u64, &Backend, &Server)> {
    let mut by_name = BTreeMap::new();
    for backend in &model.backends {
        for server in &backend.servers {
            by_name.insert((&backend.name, &server.name), (server.identity(&backend.name), backend, server));
        }
    }
    by_name.into_values().collect()
}

/// The source pools of kernel backends, with whose they are.
fn pools(model: &Model) -> Vec<(u64, Vec<IpAddr>)> {
    let full_nat = model.kernel_backends().filter(|backend| backend.forward == Forward::FullNat);
    full_nat.map(|backend| (backend::identity(&backend.name), backend.sources.clone())).collect()
}

/// How many of these keys the family has that has more of them: each has a map of its own.
fn largest_family(keys: &BTreeSet<Endpoint>) -> usize {
    let v4 = keys.iter().filter(|key| key.address.is_ipv4()).count();
    v4.max(keys.len() - v4)
}

/// Ids from 1 on, one a key.
#[derive(Clone, Debug)]
struct Ids<K> {
    used: BTreeMap<K, u16>,
    /// The next one to be given out is at the front.
    free: VecDeque<u16>,
    /// Freed, and not to be given out again before somebody says so.
    resting: Vec<u16>,
    reuse: Reuse,
}

/// When an id that was freed is given out again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reuse {
    /// After all others.
    Late,
    /// After all others, and not before it was released.
    WhenReleased,
    /// When it was released, before all that are higher.
    WhenReleasedLowestFirst,
}

impl<K: Copy + Ord> Ids<K> {
    /// These are taken. Free ids above them come first: of the others some may have been freed a moment ago.
    fn adopt(used: impl Iterator<Item = (K, u16)>, rows: u32) -> Self {
        let used: BTreeMap<_, _> = used.collect();
        let taken: BTreeSet<_> = used.values().copied().collect();
        let last = taken.last().copied().unwrap_or(0);
        let ids = (1..=u16::MAX).take_while(|id| u32::from(*id) < rows).filter(|id| !taken.contains(id));
        let (above, below): (VecDeque<_>, VecDeque<_>) = ids.partition(|id| *id > last);
        Self { used, free: above.into_iter().chain(below).collect(), resting: Vec::new(), reuse: Reuse::Late }
    }

    fn lowest_first(mut self) -> Self {
        self.free.make_contiguous().sort_unstable();
        Self { reuse: Reuse::WhenReleasedLowestFirst, ..self }
    }

    /// Lets go of those that rest and of which that is true.
    fn release(&mut self, is_over: impl Fn(u16) -> bool) {
        self.free.extend(self.resting.extract_if(.., |id| is_over(*id)));
        if self.reuse == Reuse::WhenReleasedLowestFirst {
            self.free.make_contiguous().sort_unstable();
        }
    }

    fn room(&self) -> usize {
        self.used.len() + self.free.len()
    }

    fn id(&self, key: K) -> Option<u16> {
        self.used.get(&key).copied()
    }

    /// Frees the ids of all others.
    fn keep(&mut self, stays: impl Fn(&K) -> bool) {
        let stay: Vec<_> = self.used.keys().copied().filter(stays).collect();
        self.assign(&stay);
    }

    /// Frees what is not in `wanted`, then gives the rest of `wanted` ids in that order. An id freed here is given out
    /// here only when no other is left; [`diff`](mod@crate::plan::diff) copes with that.
    fn assign(&mut self, wanted: &[K]) {
        let keep: BTreeSet<_> = wanted.iter().copied().collect();
        let mut freed: VecDeque<_> = self.used.extract_if(.., |key, _| !keep.contains(key)).map(|(_, id)| id).collect();
        for key in wanted {
            if !self.used.contains_key(key)
                && let Some(id) = self.free.pop_front().or_else(|| freed.pop_front())
            {
                self.used.insert(*key, id);
            }
        }
        match self.reuse {
            Reuse::WhenReleased | Reuse::WhenReleasedLowestFirst => self.resting.extend(freed),
            Reuse::Late => self.free.extend(freed),
        }
    }
}

#[cfg(test)]
mod tests;
