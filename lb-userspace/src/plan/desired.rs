//! What the kernel should hold: configuration × standings × next hops → tables. Same inputs, same tables.

use super::{Ring, Tables, maglev::Owners, tables::Slots};
use crate::{
    model::{Backend, Model, Server, backend},
    servers::Registry,
};
use lb_common::{
    Be16, Be32, Forward, Return4, Return4Key, SLOTS, ServerEntry, ServerId, Slot, Vip, Vip4Key,
};
use std::{
    collections::BTreeMap,
    mem,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Rows in `NEXT_HOPS`, by the address of the server that is reached there.
pub type NextHops = BTreeMap<IpAddr, u16>;

/// What the kernel should hold. `registry` must have been [updated](Registry::update) with `model`; what it does not
/// know is left out. A loop that asks again and again keeps a [`Planner`].
pub fn desired(model: &Model, registry: &Registry, next_hops: &NextHops) -> Tables {
    Planner::default().desired(model, registry, next_hops)
}

/// Remembers the rings of the last plan. Changes how long a plan takes, never what it says.
#[derive(Debug, Default)]
pub struct Planner {
    rings: BTreeMap<String, KnownRing>,
}

/// A ring and all that it was made from.
#[derive(Debug)]
struct KnownRing {
    servers: Vec<Server>,
    base: Owners,
    available: Vec<bool>,
    ids: Vec<ServerId>,
    slots: Slots,
}

impl Planner {
    /// See [`desired`].
    pub fn desired(&mut self, model: &Model, registry: &Registry, next_hops: &NextHops) -> Tables {
        Tables {
            servers: servers(model, registry, next_hops),
            rings: self.rings(model, registry),
            vips: vips(model, registry),
            returns: returns(model, registry),
        }
    }

    fn rings(&mut self, model: &Model, registry: &Registry) -> BTreeMap<u16, Ring> {
        let mut known = mem::take(&mut self.rings);
        let mut rings = BTreeMap::new();
        for backend in model.kernel_backends().filter_map(|index| model.backends.get(index)) {
            let Some(id) = registry.ring_id(backend) else { continue };
            let ring = KnownRing::of(backend, registry, known.remove(&backend.name));
            rings.insert(
                id,
                Ring { identity: backend::identity(&backend.name), slots: Arc::clone(&ring.slots) },
            );
            self.rings.insert(backend.name.clone(), ring);
        }
        rings
    }
}

impl KnownRing {
    fn of(backend: &Backend, registry: &Registry, last: Option<Self>) -> Self {
        let available = registry.available(backend);
        let ids: Vec<_> = backend
            .servers
            .iter()
            .map(|server| registry.server_id(backend, server).unwrap_or(0))
            .collect();
        let (servers, base) = match last.filter(|last| last.servers == backend.servers) {
            Some(last) if last.available == available && last.ids == ids => return last,
            Some(last) => (last.servers, last.base),
            None => (backend.servers.clone(), Owners::base(&backend.servers)),
        };
        let slots = slots(&base.refilled(&available), &ids);
        Self { servers, base, available, ids, slots }
    }
}

/// The owners by their rows in `SERVERS`.
fn slots(owners: &Owners, ids: &[ServerId]) -> Slots {
    let mut slots = [Slot::default(); SLOTS];
    for (slot, owner) in slots.iter_mut().zip(owners.iter()) {
        slot.current = owner.and_then(|index| ids.get(index)).copied().unwrap_or(0);
    }
    Arc::new(slots)
}

/// The rows of `SERVERS` alone: what a verdict changes at once, before any ring. Servers of backends that no `l4`
/// frontend uses have rows too, because the maps are the daemon's memory across a restart.
pub fn servers(
    model: &Model,
    registry: &Registry,
    next_hops: &NextHops,
) -> BTreeMap<ServerId, ServerEntry> {
    let of_backend = |backend: &Backend| {
        let row = |server: &Server| {
            Some((
                registry.server_id(backend, server)?,
                entry(backend, server, registry, next_hops),
            ))
        };
        backend.servers.iter().filter_map(row).collect::<Vec<_>>()
    };
    model.backends.iter().flat_map(of_backend).collect()
}

fn entry(
    backend: &Backend,
    server: &Server,
    registry: &Registry,
    next_hops: &NextHops,
) -> ServerEntry {
    let identity = server.identity(&backend.name);
    let standing = registry.standing(identity);
    ServerEntry {
        identity,
        addr: ipv4(server).unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
        port: match backend.forward {
            Forward::Direct => Be16::new(0),
            Forward::Nat => Be16::new(server.address.port()),
        },
        next_hop: next_hops.get(&server.address.ip()).copied().unwrap_or(0),
        state: standing.kernel_state() as u8,
        admin: standing.admin as u8,
        health: standing.health as u8,
        reserved: [0; 5],
    }
}

/// `None` for an IPv6 server, which only `tcp` and `http` frontends can have.
fn ipv4(server: &Server) -> Option<Ipv4Addr> {
    match server.address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Each VIP, and an address entry for each of their addresses.
fn vips(model: &Model, registry: &Registry) -> BTreeMap<Vip4Key, Vip> {
    let mut vips = BTreeMap::new();
    for (key, id, backend) in known_vips(model, registry) {
        let Some(ring) = registry.ring_id(backend) else { continue };
        vips.insert(
            Vip4Key::address_entry(key.addr),
            Vip { id: 0, ring: 0, forward: 0, reserved: [0; 3] },
        );
        vips.insert(key, Vip { id, ring, forward: backend.forward as u8, reserved: [0; 3] });
    }
    vips
}

/// Where replies of `nat` servers come from. Of two VIPs that would need the same entry the lower address wins; the
/// configuration check refuses such a pair.
fn returns(model: &Model, registry: &Registry) -> BTreeMap<Return4Key, Return4> {
    let mut returns = BTreeMap::new();
    for (key, vip, backend) in
        known_vips(model, registry).filter(|(_, _, backend)| backend.forward == Forward::Nat)
    {
        for server in &backend.servers {
            let (Some(address), Some(id)) = (ipv4(server), registry.server_id(backend, server))
            else {
                continue;
            };
            let source = Return4Key {
                addr: Be32::from(address),
                port: Be16::new(server.address.port()),
                protocol: key.protocol,
                reserved: 0,
            };
            let seen_as =
                Return4 { vip_addr: key.addr, vip_port: key.port, vip, server: id, reserved: 0 };
            returns.entry(source).or_insert(seen_as);
        }
    }
    returns
}

fn known_vips<'a>(
    model: &'a Model,
    registry: &'a Registry,
) -> impl Iterator<Item = (Vip4Key, u16, &'a Backend)> {
    model.vips().into_iter().filter_map(|(key, backend)| {
        Some((key, registry.vip_id(key)?, model.backends.get(backend)?))
    })
}

#[cfg(test)]
mod tests;
