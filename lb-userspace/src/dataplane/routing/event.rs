//! Netlink's messages in our words. What we do not need is left out here, so that the core knows no netlink.

use lb_common::Mac;
use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags, RouteType},
};
use std::net::{IpAddr, Ipv4Addr};

/// What happened to the host's network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Links, addresses or routes changed: read all three again. The kernel does not announce every route that goes
    /// with a link or an address, so following single messages would drift.
    Reread,
    /// A neighbour changed (`Some`) or went (`None`).
    Neighbour(On, Option<Neighbour>),
}

/// An IPv4 address on a link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct On {
    /// The interface.
    pub ifindex: u32,
    /// The address.
    pub address: Ipv4Addr,
}

/// An interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its Ethernet address. `None`: frames cannot leave through it (loopback, tunnels).
    pub mac: Option<Mac>,
    /// Whether it is up and has a carrier.
    pub up: bool,
}

/// A route of table main.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// Its prefix.
    pub network: Ipv4Addr,
    /// Bits of the prefix.
    pub prefix_len: u8,
    /// Lower wins.
    pub metric: u32,
    /// Where to. `None`: nowhere (unreachable, blackhole, or by means that we do not follow).
    pub way: Option<Way>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Way {
    /// Out of this interface.
    pub ifindex: u32,
    /// To this machine. `None`: the destination is on the link.
    pub gateway: Option<Ipv4Addr>,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Neighbour {
    /// Its Ethernet address, while that may be used.
    pub mac: Option<Mac>,
    /// Whether the kernel keeps it alive for us.
    pub managed: bool,
    /// Whether someone wrote it down by hand. Not ours to manage.
    pub permanent: bool,
}

/// What a message says. `None`: nothing that concerns us.
pub fn event(message: &RouteNetlinkMessage) -> Option<Event> {
    if let RouteNetlinkMessage::NewNeighbour(message) = message {
        return neighbour(message).map(|(on, neighbour)| Event::Neighbour(on, Some(neighbour)));
    }
    if let RouteNetlinkMessage::DelNeighbour(message) = message {
        return neighbour(message).map(|(on, _)| Event::Neighbour(on, None));
    }
    let reread = matches!(
        message,
        RouteNetlinkMessage::NewLink(_)
            | RouteNetlinkMessage::DelLink(_)
            | RouteNetlinkMessage::NewAddress(_)
            | RouteNetlinkMessage::DelAddress(_)
            | RouteNetlinkMessage::NewRoute(_)
            | RouteNetlinkMessage::DelRoute(_)
    );
    reread.then_some(Event::Reread)
}

/// An interface, by its number.
pub fn link(message: &LinkMessage) -> (u32, Link) {
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let mac = message
        .attributes
        .iter()
        .find_map(|attribute| if let LinkAttribute::Address(bytes) = attribute { mac(bytes) } else { None });
    let up = message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    (message.header.index, Link { mac: mac.filter(|_| ethernet), up })
}

/// An IPv4 address of this host.
pub fn address(message: &AddressMessage) -> Option<Ipv4Addr> {
    let local = |attribute: &AddressAttribute| {
        if let AddressAttribute::Local(IpAddr::V4(address)) = attribute { Some(*address) } else { None }
    };
    message.attributes.iter().find_map(local)
}

/// An IPv4 route of table main.
pub fn route(message: &RouteMessage) -> Option<Route> {
    let table = message
        .attributes
        .iter()
        .find_map(|attribute| if let RouteAttribute::Table(table) = attribute { Some(*table) } else { None });
    let table = table.unwrap_or_else(|| message.header.table.into());
    if message.header.address_family != AddressFamily::Inet || table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return None;
    }
    let mut route = Route {
        network: Ipv4Addr::UNSPECIFIED,
        prefix_len: message.header.destination_prefix_length,
        metric: 0,
        way: None,
    };
    let mut multipath = None;
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(RouteAddress::Inet(network)) = attribute {
            route.network = *network;
        }
        if let RouteAttribute::Priority(metric) = attribute {
            route.metric = *metric;
        }
        if let RouteAttribute::MultiPath(hops) = attribute {
            multipath =
                hops.iter().find(|hop| !hop.flags.intersects(RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown));
        }
    }
    if message.header.kind == RouteType::Unicast {
        route.way = match multipath {
            Some(RouteNextHop { interface_index, attributes, .. }) => way(Some(*interface_index), attributes),
            None => way(None, &message.attributes),
        };
    }
    Some(route)
}

fn way(ifindex: Option<u32>, attributes: &[RouteAttribute]) -> Option<Way> {
    let (mut ifindex, mut gateway) = (ifindex, None);
    for attribute in attributes {
        if let RouteAttribute::Oif(index) = attribute {
            ifindex = Some(*index);
        }
        if let RouteAttribute::Gateway(RouteAddress::Inet(address)) = attribute {
            gateway = Some(*address);
        }
        if matches!(attribute, RouteAttribute::Via(_) | RouteAttribute::Encap(_)) {
            return None;
        }
    }
    Some(Way { ifindex: ifindex?, gateway })
}

/// An IPv4 neighbour.
pub fn neighbour(message: &NeighbourMessage) -> Option<(On, Neighbour)> {
    if message.header.family != AddressFamily::Inet {
        return None;
    }
    let (mut address, mut mac_found, mut managed) = (None, None, false);
    for attribute in &message.attributes {
        if let NeighbourAttribute::Destination(NeighbourAddress::Inet(destination)) = attribute {
            address = Some(*destination);
        }
        if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
            mac_found = mac(bytes);
        }
        if let NeighbourAttribute::ExtFlags(flags) = attribute {
            managed = flags.contains(NeighbourExtFlags::Managed);
        }
    }
    let state = message.header.state;
    let permanent = state == NeighbourState::Permanent;
    let usable = permanent
        || matches!(
            state,
            NeighbourState::Reachable | NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe
        );
    let neighbour = Neighbour { mac: mac_found.filter(|_| usable), managed, permanent };
    Some((On { ifindex: message.header.ifindex, address: address? }, neighbour))
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().filter(|mac: &Mac| *mac != [0; 6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::{neighbour::NeighbourHeader, route::RouteVia};

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn unicast(attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.kind = RouteType::Unicast;
        message.attributes = attributes;
        message
    }

    fn hop(ifindex: u32, flags: RouteNextHopFlags) -> RouteNextHop {
        let mut hop = RouteNextHop::default();
        hop.interface_index = ifindex;
        hop.flags = flags;
        hop.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(GATEWAY))];
        hop
    }

    fn way_of(message: &RouteMessage) -> Option<Way> {
        route(message).unwrap().way
    }

    #[test]
    fn only_table_main_is_followed() {
        let mut message = unicast(vec![RouteAttribute::Oif(2)]);
        assert_eq!(way_of(&message), Some(Way { ifindex: 2, gateway: None }));
        message.attributes.push(RouteAttribute::Table(1_000)); // more than the header can say
        assert_eq!(route(&message), None);
        message.attributes.clear();
        message.header.table = 255;
        assert_eq!(route(&message), None);
    }

    #[test]
    fn of_several_ways_the_first_that_lives_is_taken() {
        let hops = vec![
            hop(2, RouteNextHopFlags::Dead),
            hop(3, RouteNextHopFlags::Linkdown),
            hop(4, RouteNextHopFlags::empty()),
        ];
        let message = unicast(vec![RouteAttribute::MultiPath(hops)]);
        assert_eq!(way_of(&message), Some(Way { ifindex: 4, gateway: Some(GATEWAY) }));
    }

    #[test]
    fn what_we_cannot_follow_leads_nowhere() {
        let mut blackhole = unicast(vec![RouteAttribute::Oif(2)]);
        blackhole.header.kind = RouteType::BlackHole;
        let over_ipv6 =
            unicast(vec![RouteAttribute::Oif(2), RouteAttribute::Via(RouteVia::Inet6("fe80::1".parse().unwrap()))]);
        assert_eq!([blackhole, over_ipv6].map(|message| way_of(&message)), [None, None]);
    }

    #[test]
    fn a_mac_is_used_only_in_states_in_which_the_kernel_uses_it() {
        let mac_in = |state| {
            let mut message = NeighbourMessage::default();
            message.header =
                NeighbourHeader { family: AddressFamily::Inet, ifindex: 2, state, ..NeighbourHeader::default() };
            message.attributes = vec![
                NeighbourAttribute::Destination(NeighbourAddress::Inet(GATEWAY)),
                NeighbourAttribute::LinkLayerAddress(vec![2; 6]),
            ];
            neighbour(&message).unwrap().1.mac
        };
        let usable = [
            NeighbourState::Reachable,
            NeighbourState::Stale,
            NeighbourState::Delay,
            NeighbourState::Probe,
            NeighbourState::Permanent,
        ];
        assert!(usable.into_iter().all(|state| mac_in(state) == Some([2; 6])));
        let others = [NeighbourState::Incomplete, NeighbourState::Failed, NeighbourState::None, NeighbourState::Noarp];
        assert!(others.into_iter().all(|state| mac_in(state).is_none()));
    }
}
