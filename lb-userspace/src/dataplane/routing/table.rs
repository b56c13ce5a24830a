//! From the host's network and the servers to the rows that the kernel half should have. Pure.

use super::{
    event::{On, Way},
    network::Network,
    rows::{Owner, Rows},
    tables::RoutingTables,
};
use lb_common::{
    Be32, Route4Key,
    maps::{MAX_DEVICES, MAX_LOCAL, MAX_NEXT_HOPS, MAX_ROUTES, MAX_SERVERS},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// Rows that machines on our links may take: the rest is for servers.
const MAX_MACHINES: usize = (MAX_NEXT_HOPS - MAX_SERVERS) as usize;

/// What we know and what we give out.
#[derive(Debug)]
pub struct RoutingTable {
    /// The host's network.
    pub network: Network,
    /// Interfaces that the program is attached to.
    attached: BTreeSet<u32>,
    servers: BTreeSet<Ipv4Addr>,
    rows: Rows,
}

/// What the kernel half should have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Desired {
    /// The rows.
    pub tables: RoutingTables,
    /// The neighbours that the kernel should keep alive: servers and gateways.
    pub managed: BTreeSet<On>,
    /// Servers that no frame reaches now.
    pub unresolved: BTreeSet<Ipv4Addr>,
    /// Entries that found no room.
    pub left_out: usize,
}

impl RoutingTable {
    /// `known`: the servers that the maps hold, with their rows. They are watched until [`watch`](Self::watch) says
    /// otherwise, so that forwarding goes on while the daemon restarts. `routes`: what `ROUTES4` holds.
    pub fn new(
        attached: impl IntoIterator<Item = u32>,
        known: &BTreeMap<Ipv4Addr, u16>,
        routes: &BTreeMap<Route4Key, u32>,
    ) -> Self {
        let inherited = routes.values().filter_map(|row| u16::try_from(*row).ok()).collect();
        Self {
            network: Network::default(),
            attached: attached.into_iter().collect(),
            servers: known.keys().copied().collect(),
            rows: Rows::new(known, &inherited),
        }
    }

    /// These are all servers from now on. Their rows; servers for which there is none are left out.
    pub fn watch(&mut self, servers: BTreeSet<Ipv4Addr>) -> BTreeMap<Ipv4Addr, u16> {
        self.servers = servers;
        self.servers.iter().filter_map(|address| Some((*address, self.rows.row(Owner::Server(*address))?))).collect()
    }

    /// The desired rows have been written; see [`Rows::release_inherited`].
    pub fn written(&mut self) {
        self.rows.release_inherited();
    }

    /// What the kernel half should have now.
    pub fn desired(&mut self) -> Desired {
        let mut desired = Desired::default();
        let mut owners: BTreeMap<Owner, Option<On>> = BTreeMap::new();
        for address in &self.servers {
            let next = self.network.next_machine(*address);
            desired.managed.extend(next);
            owners.insert(Owner::Server(*address), next);
        }
        let routes = self.routes(&mut desired);
        owners.extend(routes.values().flatten().map(|machine| (Owner::Machine(*machine), Some(*machine))));
        self.rows.retain(&owners.keys().copied().collect());
        for (owner, next) in &owners {
            self.place(*owner, *next, &mut desired);
        }
        for (prefix, machine) in routes {
            let row = machine.and_then(|machine| self.rows.row(Owner::Machine(machine)));
            desired.tables.routes.insert(prefix, row.map_or(0, u32::from));
        }
        self.fill_local_and_devices(&mut desired);
        desired
    }

    /// Where replies go, by prefix: to which machine, or `None` where no frame can be addressed.
    fn routes(&self, desired: &mut Desired) -> BTreeMap<Route4Key, Option<On>> {
        let mut routes = BTreeMap::new();
        let mut machines = BTreeSet::new();
        for (prefix, way) in self.network.ways() {
            let gateway = way.and_then(|Way { ifindex, gateway }| Some(On { ifindex, address: gateway? }));
            desired.managed.extend(gateway);
            machines.extend(gateway);
            routes.insert(key(prefix.prefix_len(), prefix.network()), gateway);
        }
        for machine in self.network.reachable() {
            machines.insert(machine);
            if machines.len() > MAX_MACHINES || routes.len() >= MAX_ROUTES as usize {
                machines.remove(&machine);
                desired.left_out += 1;
            } else {
                routes.insert(key(32, machine.address), Some(machine));
            }
        }
        let over = routes.len().saturating_sub(MAX_ROUTES as usize);
        desired.left_out += over;
        // Only a host with more prefixes than MAX_ROUTES gets here; the shortest ones matter most.
        for _ in 0..over {
            routes.pop_last();
        }
        routes
    }

    fn place(&mut self, owner: Owner, next: Option<On>, desired: &mut Desired) {
        let next_hop = next.map(|next| self.network.next_hop(next)).unwrap_or_default();
        if let (Owner::Server(address), 0) = (owner, next_hop.resolved) {
            desired.unresolved.insert(address);
        }
        let Some(row) = self.rows.row(owner) else {
            desired.left_out += 1;
            return;
        };
        if next_hop.resolved != 0 {
            desired.tables.next_hops.insert(row, next_hop);
        }
    }

    fn fill_local_and_devices(&self, desired: &mut Desired) {
        let Desired { tables, left_out, .. } = desired;
        tables.local = self.network.addresses.iter().take(MAX_LOCAL as usize).copied().map(Be32::from).collect();
        *left_out += self.network.addresses.len() - tables.local.len();
        // An interface that is gone cannot be redirected to; the kernel would refuse the entry.
        let attached = self.attached.iter().copied().filter(|ifindex| self.network.links.contains_key(ifindex));
        let used = tables.next_hops.values().map(|next_hop| next_hop.ifindex);
        let devices: BTreeSet<u32> = attached.clone().chain(used).collect();
        tables.devices = attached.take(MAX_DEVICES as usize).collect();
        let room = MAX_DEVICES as usize - tables.devices.len();
        let others: Vec<_> = devices.difference(&tables.devices).copied().take(room).collect();
        tables.devices.extend(others);
        *left_out += devices.len() - tables.devices.len();
    }
}

fn key(prefix_len: u8, network: Ipv4Addr) -> Route4Key {
    Route4Key { prefix_len: prefix_len.into(), addr: network.into() }
}
