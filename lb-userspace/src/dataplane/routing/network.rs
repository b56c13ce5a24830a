//! What we know of the host's network, and where it sends a packet. Pure.

use super::{
    event::{Address, Link, Neighbour, On, Route, Way},
    prefixes::Prefixes,
    sources::Sources,
};
use ipnet::IpNet;
use lb_common::{Mac, NextHop, Tag};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Prefixes that no packet is forwarded to, whatever the routes say: multicast (RFC 5771, RFC 4291 §2.7) has no neighbour,
/// and link-local addresses (RFC 4291 §2.5.6) are there on every link and must not be carried to another.
const NOT_FORWARDED: [IpNet; 3] = [
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// Links, addresses, routes and neighbours.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Network {
    links: BTreeMap<u32, Link>,
    local: BTreeSet<IpAddr>,
    /// By link.
    sources: BTreeMap<u32, Sources>,
    /// The best way for each prefix of table main. `None`: nowhere.
    routes: Prefixes<Option<Way>>,
    neighbours: BTreeMap<On, Neighbour>,
}

/// What goes before an IP packet on a link, and where it leaves.
#[derive(Clone, Copy, Debug)]
struct Port {
    source: Mac,
    ifindex: u32,
    tags: u8,
    tag: [Tag; 2],
    mtu: u32,
}

impl Network {
    /// Takes what was read anew; the neighbours stay.
    pub fn reread(
        &mut self,
        links: BTreeMap<u32, Link>,
        addresses: impl IntoIterator<Item = Address>,
        routes: impl IntoIterator<Item = Route>,
    ) {
        self.links = links;
        let mut of_links: BTreeMap<u32, Vec<Address>> = BTreeMap::new();
        for address in addresses {
            of_links.entry(address.on.ifindex).or_default().push(address);
        }
        self.local = of_links.values().flatten().map(|address| address.on.address).collect();
        self.sources = of_links.iter().map(|(ifindex, addresses)| (*ifindex, Sources::new(addresses))).collect();
        let mut best: BTreeMap<IpNet, Route> = BTreeMap::new();
        for route in routes {
            let known = best.entry(route.prefix).or_insert(route);
            if self.rank(&route) < self.rank(known) {
                *known = route;
            }
        }
        best.retain(|prefix, _| !NOT_FORWARDED.iter().any(|never| never.contains(prefix)));
        let ways = best.into_iter().map(|(prefix, route)| (prefix, route.way));
        self.routes = ways.chain(NOT_FORWARDED.map(|never| (never, None))).collect();
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
    pub fn next_machine(&self, destination: IpAddr) -> Option<On> {
        self.way(destination).map(|way| next(way, destination))
    }

    fn way(&self, destination: IpAddr) -> Option<Way> {
        self.routes.find(destination).copied().flatten()
    }

    /// The neighbour that `address` is, or would be: if the routes place it on a link of ours that frames can leave through.
    /// `None` for what lies behind a gateway or nowhere, and for this host itself.
    pub fn neighbour_at(&self, address: IpAddr) -> Option<On> {
        let next = self.next_machine(address).filter(|next| next.address == address)?;
        (self.port(next.ifindex).is_some() && !self.local.contains(&address)).then_some(next)
    }

    /// How a frame reaches a server, and which source tunnels to it have. Not resolved: it does not, now.
    pub fn next_hop_to(&self, server: IpAddr) -> NextHop {
        let Some(way) = self.way(server) else { return NextHop::default() };
        let next = next(way, server);
        let next_hop = self.next_hop(next, way.mtu);
        let source = || self.sources.get(&way.ifindex)?.pick(server, next.address);
        match way.source.or_else(source).filter(|_| next_hop.resolved != 0) {
            Some(IpAddr::V4(source)) => NextHop { source4: source.into(), ..next_hop },
            Some(IpAddr::V6(source)) => NextHop { source6: source.into(), ..next_hop },
            None => next_hop,
        }
    }

    /// How a frame reaches a machine on a link, by a route with that MTU. Not resolved: it does not, now.
    pub fn next_hop(&self, on: On, mtu: Option<u32>) -> NextHop {
        let reached = self.port(on.ifindex).and_then(|port| Some((port, self.neighbours.get(&on)?.mac?)));
        let Some((port, destination)) = reached else { return NextHop::default() };
        let Port { source, ifindex, tags, tag, .. } = port;
        let smaller = [port.mtu, mtu.unwrap_or(0)].into_iter().filter(|mtu| *mtu != 0).min().unwrap_or(0);
        let mtu = u16::try_from(smaller).unwrap_or(u16::MAX);
        NextHop { destination, source, ifindex, resolved: 1, tags, mtu, tag, ..NextHop::default() }
    }

    /// Whether frames reach a machine on a link now.
    pub fn reaches(&self, on: On) -> bool {
        self.next_hop(on, None).resolved != 0
    }

    /// How frames leave by a link, if they can leave now: from a VLAN by the interface below it, with its tag.
    fn port(&self, ifindex: u32) -> Option<Port> {
        let mut link = self.links.get(&ifindex)?;
        let mut port = Port { source: link.mac?, ifindex, tags: 0, tag: Default::default(), mtu: link.mtu };
        while let Some(vlan) = link.vlan.filter(|_| link.up) {
            let [inner, _] = port.tag;
            if port.tags == 2 {
                return None; // more than a row holds
            }
            link = self.links.get(&vlan.lower)?;
            port = Port { ifindex: vlan.lower, tags: port.tags + 1, tag: [vlan.tag, inner], ..port };
        }
        (link.up && link.mac.is_some()).then_some(port)
    }

    /// Whether the kernel should be asked to keep that neighbour alive; also again, if it does and has given up: by itself it
    /// would try again after five seconds (`interval_probe_time_ms`).
    pub fn wants_managing(&self, on: On) -> bool {
        let seen_to = |known: &Neighbour| known.permanent || (known.managed && known.mac.is_some());
        self.port(on.ifindex).is_some() && !self.neighbours.get(&on).is_some_and(seen_to)
    }

    /// Whether the kernel keeps that neighbour alive for someone.
    pub fn is_managed(&self, on: On) -> bool {
        self.neighbours.get(&on).is_some_and(|neighbour| neighbour.managed)
    }

    /// Whether there is such an interface.
    pub fn has_link(&self, ifindex: u32) -> bool {
        self.links.contains_key(&ifindex)
    }

    /// The addresses of this host.
    pub fn local(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.local.iter().copied()
    }

    /// The best way for each prefix. `None`: nowhere, or out of a link that frames cannot leave through.
    pub fn ways(&self) -> impl Iterator<Item = (IpNet, Option<Way>)> + '_ {
        self.routes.iter().map(|(prefix, way)| (*prefix, way.filter(|way| self.port(way.ifindex).is_some())))
    }

    /// The neighbours that frames reach now, and that the routes place on their link, with the route's MTU.
    pub fn reachable(&self) -> impl Iterator<Item = (On, Option<u32>)> + '_ {
        let reached = self.neighbours.keys().copied().filter(|on| self.reaches(*on));
        reached.filter_map(|on| Some((on, self.way(on.address).filter(|way| next(*way, on.address) == on)?.mtu)))
    }

    /// Lower is better: a route over a link that is up, then the metric, then what its router says, as the kernel has it.
    fn rank(&self, route: &Route) -> (bool, u32, u8) {
        let dead = route.way.is_some_and(|way| !self.links.get(&way.ifindex).is_some_and(|link| link.up));
        (dead, route.metric, route.preference)
    }
}

fn next(way: Way, destination: IpAddr) -> On {
    On { ifindex: way.ifindex, address: way.gateway.unwrap_or(destination) }
}
