//! What we know of the host's network, and where it sends a packet. Pure.

use super::event::{Link, Neighbour, On, Route, Way};
use ipnet::Ipv4Net;
use lb_common::{Mac, NextHop};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// Links, addresses, routes and neighbours.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Network {
    /// By number.
    pub links: BTreeMap<u32, Link>,
    /// IPv4 addresses of this host.
    pub addresses: BTreeSet<Ipv4Addr>,
    /// The best way for each prefix of table main. `None`: nowhere.
    routes: BTreeMap<Ipv4Net, Option<Way>>,
    neighbours: BTreeMap<On, Neighbour>,
}

impl Network {
    /// Takes what was read anew; the neighbours stay.
    pub fn reread(
        &mut self,
        links: BTreeMap<u32, Link>,
        addresses: BTreeSet<Ipv4Addr>,
        routes: impl IntoIterator<Item = Route>,
    ) {
        self.links = links;
        self.addresses = addresses;
        let mut best: BTreeMap<Ipv4Net, Route> = BTreeMap::new();
        for route in routes {
            if let Ok(prefix) = Ipv4Net::new(route.network, route.prefix_len) {
                let known = best.entry(prefix.trunc()).or_insert(route);
                if self.rank(&route) < self.rank(known) {
                    *known = route;
                }
            }
        }
        self.routes = best.into_iter().map(|(prefix, route)| (prefix, route.way)).collect();
    }

    /// Takes all neighbours anew.
    pub fn replace_neighbours(&mut self, neighbours: impl IntoIterator<Item = (On, Neighbour)>) {
        self.neighbours = neighbours.into_iter().collect();
    }

    /// Takes a neighbour's change. `false`: it changes nothing for us, as when an entry goes from reachable to stale.
    pub fn set_neighbour(&mut self, on: On, neighbour: Option<Neighbour>) -> bool {
        match neighbour {
            Some(neighbour) => self.neighbours.insert(on, neighbour) != Some(neighbour),
            None => self.neighbours.remove(&on).is_some(),
        }
    }

    /// The machine that a packet to `destination` goes to next: the destination itself or a gateway. `None`: no route.
    pub fn next_machine(&self, destination: Ipv4Addr) -> Option<On> {
        let lengths = (0..=32).rev();
        let mut prefixes = lengths.filter_map(|len| Some(Ipv4Net::new(destination, len).ok()?.trunc()));
        let way = prefixes.find_map(|prefix| self.routes.get(&prefix).copied())??;
        Some(On { ifindex: way.ifindex, address: way.gateway.unwrap_or(destination) })
    }

    /// The neighbour that `address` is, or would be: if the routes place it on a link of ours that frames can leave through.
    /// `None` for what lies behind a gateway or nowhere, and for this host itself.
    pub fn neighbour_at(&self, address: Ipv4Addr) -> Option<On> {
        let next = self.next_machine(address).filter(|next| next.address == address)?;
        (self.usable_link(next.ifindex).is_some() && !self.addresses.contains(&address)).then_some(next)
    }

    /// How a frame reaches a machine on a link. Not resolved: it cannot, now.
    pub fn next_hop(&self, on: On) -> NextHop {
        self.resolve(on).unwrap_or_default()
    }

    fn resolve(&self, on: On) -> Option<NextHop> {
        let source = self.usable_link(on.ifindex)?;
        let destination = self.neighbours.get(&on)?.mac?;
        Some(NextHop { destination, source, ifindex: on.ifindex, resolved: 1, ..NextHop::default() })
    }

    /// The Ethernet address of a link that frames can leave through now.
    fn usable_link(&self, ifindex: u32) -> Option<Mac> {
        let link = self.links.get(&ifindex)?;
        link.mac.filter(|_| link.up)
    }

    /// Whether the kernel should be asked to keep that neighbour alive.
    pub fn wants_managing(&self, on: On) -> bool {
        let known = self.neighbours.get(&on);
        self.usable_link(on.ifindex).is_some()
            && !known.is_some_and(|neighbour| neighbour.managed || neighbour.permanent)
    }

    /// Whether the kernel keeps that neighbour alive for someone.
    pub fn is_managed(&self, on: On) -> bool {
        self.neighbours.get(&on).is_some_and(|neighbour| neighbour.managed)
    }

    /// The best way for each prefix. `None`: nowhere, or out of a link that frames cannot leave through.
    pub fn ways(&self) -> impl Iterator<Item = (Ipv4Net, Option<Way>)> + '_ {
        self.routes.iter().map(|(prefix, way)| (*prefix, way.filter(|way| self.usable_link(way.ifindex).is_some())))
    }

    /// The neighbours that frames reach now, and that the routes place on their link.
    pub fn reachable(&self) -> impl Iterator<Item = On> + '_ {
        let reached = |on: &On| self.resolve(*on).is_some() && self.next_machine(on.address) == Some(*on);
        self.neighbours.keys().copied().filter(reached)
    }

    /// Lower is better: a route over a link that is up, then the metric, as the kernel has it.
    fn rank(&self, route: &Route) -> (bool, u32) {
        let dead = route.way.is_some_and(|way| !self.links.get(&way.ifindex).is_some_and(|link| link.up));
        (dead, route.metric)
    }
}
