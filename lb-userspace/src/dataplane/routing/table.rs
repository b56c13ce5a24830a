//! From the host's network and the servers to the rows that the kernel half should have. Pure.

use super::{
    event::{On, Way},
    network::Network,
    rows::{Owner, Rows},
    tables::{Counts, RoutingTables},
};
use ipnet::IpNet;
use lb_common::{
    NextHop,
    maps::{MAX_DEVICES, MAX_LOCAL, MAX_NEXT_HOPS, MAX_ROUTES, MAX_SERVERS},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Rows that machines on our links may take: the rest is for servers.
const MAX_MACHINES: usize = (MAX_NEXT_HOPS - MAX_SERVERS) as usize;

/// A machine on one of our links, and the MTU of the routes by which it is next.
type Machine = (On, Option<u32>);

/// What we know and what we give out.
#[derive(Debug)]
pub struct RoutingTable {
    /// The host's network.
    pub network: Network,
    /// Interfaces that the program is attached to.
    attached: BTreeSet<u32>,
    servers: BTreeSet<IpAddr>,
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
    pub unresolved: BTreeSet<IpAddr>,
    /// Entries that found no room.
    pub left_out: usize,
}

impl RoutingTable {
    /// `known`: the servers that the maps hold, with their rows. They are watched until [`watch`](Self::watch) says
    /// otherwise, so that forwarding goes on while the daemon restarts. `routes`: what `ROUTES4` and `ROUTES6` hold.
    pub fn new(
        attached: impl IntoIterator<Item = u32>,
        known: &BTreeMap<IpAddr, u16>,
        routes: &BTreeMap<IpNet, u32>,
    ) -> Self {
        let inherited = routes.values().filter_map(|row| u16::try_from(*row).ok()).collect();
        Self {
            network: Network::default(),
            attached: attached.into_iter().collect(),
            servers: known.keys().copied().collect(),
            rows: Rows::new(known, &inherited),
        }
    }

    /// The program is attached to these interfaces from now on.
    pub fn attach(&mut self, interfaces: BTreeSet<u32>) {
        self.attached = interfaces;
    }

    /// These are all servers from now on. Their rows; servers for which there is none are left out.
    pub fn watch(&mut self, servers: BTreeSet<IpAddr>) -> BTreeMap<IpAddr, u16> {
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
        let mut hops: BTreeMap<Owner, NextHop> = BTreeMap::new();
        for address in &self.servers {
            let next_hop = self.network.next_hop_to(*address);
            desired.managed.extend(self.network.next_machine(*address));
            if next_hop.resolved == 0 {
                desired.unresolved.insert(*address);
            }
            hops.insert(Owner::Server(*address), next_hop);
        }
        let routes = self.routes(&mut desired);
        let machines: BTreeSet<Machine> = routes.values().flatten().copied().collect();
        hops.extend(machines.into_iter().map(|(on, mtu)| (Owner::Machine(on, mtu), self.network.next_hop(on, mtu))));
        self.rows.retain(&hops.keys().copied().collect());
        for (owner, next_hop) in hops {
            match self.rows.row(owner) {
                Some(row) if next_hop.resolved != 0 => drop(desired.tables.next_hops.insert(row, next_hop)),
                Some(_) => {}
                None => desired.left_out += 1,
            }
        }
        for (prefix, machine) in routes {
            let row = machine.and_then(|(on, mtu)| self.rows.row(Owner::Machine(on, mtu)));
            desired.tables.routes.insert(prefix, row.map_or(0, u32::from));
        }
        self.fill_local_and_devices(&mut desired);
        desired
    }

    /// Where replies go, by prefix: to which machine, or `None` where no frame can be addressed.
    fn routes(&self, desired: &mut Desired) -> BTreeMap<IpNet, Option<Machine>> {
        let mut ways: Vec<(IpNet, Option<Way>)> = self.network.ways().collect();
        ways.sort_by_key(|(prefix, _)| prefix.prefix_len()); // where there is no room for all, the shortest matter most
        let (mut routes, mut machines, mut counts) = (BTreeMap::new(), BTreeSet::new(), Counts::default());
        for (prefix, way) in ways {
            if counts.add(prefix.addr(), MAX_ROUTES) {
                let machine = way.and_then(|way| Some((On { ifindex: way.ifindex, address: way.gateway? }, way.mtu)));
                desired.managed.extend(machine.map(|(gateway, _)| gateway));
                machines.extend(machine);
                routes.insert(prefix, machine);
            } else {
                desired.left_out += 1;
            }
        }
        for machine in self.network.reachable() {
            let (On { address, .. }, _) = machine;
            let has_row = machines.contains(&machine) || machines.len() < MAX_MACHINES;
            if has_row && counts.add(address, MAX_ROUTES) {
                machines.insert(machine);
                routes.insert(address.into(), Some(machine));
            } else {
                desired.left_out += 1;
            }
        }
        routes
    }

    fn fill_local_and_devices(&self, desired: &mut Desired) {
        let Desired { tables, left_out, .. } = desired;
        let mut counts = Counts::default();
        for address in self.network.local() {
            if counts.add(address, MAX_LOCAL) {
                tables.local.insert(address);
            } else {
                *left_out += 1;
            }
        }
        // An interface that is gone cannot be redirected to; the kernel would refuse the entry.
        let attached = self.attached.iter().copied().filter(|ifindex| self.network.has_link(*ifindex));
        let used = tables.next_hops.values().map(|next_hop| next_hop.ifindex);
        let devices: BTreeSet<u32> = attached.clone().chain(used).collect();
        tables.devices = attached.take(MAX_DEVICES as usize).collect();
        let room = MAX_DEVICES as usize - tables.devices.len();
        let others: Vec<_> = devices.difference(&tables.devices).copied().take(room).collect();
        tables.devices.extend(others);
        *left_out += devices.len() - tables.devices.len();
    }
}
