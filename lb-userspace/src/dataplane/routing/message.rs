//! Netlink's messages in our words. What we do not need is left out here.

use super::event::{Address, Event, Link, Neighbour, On, Route, Vlan, Way};
use ipnet::IpNet;
use lb_common::{Be16, Mac, Tag};
use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::{InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, VlanProtocol},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
        RoutePreference, RouteType, RouteVia,
    },
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a message says. `None`: nothing that concerns us.
pub fn event(message: &RouteNetlinkMessage) -> Option<Event> {
    if let RouteNetlinkMessage::NewNeighbour(message) = message {
        return neighbour(message).map(|(on, neighbour)| Event::Neighbour(on, Some(neighbour)));
    }
    if let RouteNetlinkMessage::DelNeighbour(message) = message {
        return neighbour(message).map(|(on, _)| Event::Neighbour(on, None));
    }
    if matches!(message, RouteNetlinkMessage::NewLink(_)) {
        return Some(Event::LinkChanged);
    }
    if let RouteNetlinkMessage::DelLink(message) = message {
        return Some(Event::LinkGone(message.header.index));
    }
    let reread = matches!(
        message,
        RouteNetlinkMessage::NewAddress(_)
            | RouteNetlinkMessage::DelAddress(_)
            | RouteNetlinkMessage::NewRoute(_)
            | RouteNetlinkMessage::DelRoute(_)
    );
    reread.then_some(Event::Reread)
}

/// An interface, by its number.
pub fn link(message: &LinkMessage) -> (u32, Link) {
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let up = message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    let mut link = Link { mac: None, up, mtu: 0, vlan: None };
    let (mut lower, mut elsewhere, mut tag) = (0, false, None);
    for attribute in &message.attributes {
        if let LinkAttribute::Address(bytes) = attribute {
            link.mac = mac(bytes).filter(|_| ethernet);
        }
        if let LinkAttribute::Mtu(mtu) = attribute {
            link.mtu = *mtu;
        }
        if let LinkAttribute::Link(ifindex) = attribute {
            lower = *ifindex;
        }
        if let LinkAttribute::LinkNetNsId(_) = attribute {
            elsewhere = true;
        }
        if let LinkAttribute::LinkInfo(infos) = attribute {
            tag = infos.iter().find_map(vlan_tag);
        }
    }
    link.vlan = tag.map(|tag| Vlan { lower: if elsewhere { 0 } else { lower }, tag });
    (message.header.index, link)
}

/// The tag that a VLAN's frames carry. `None`: the link is no VLAN.
fn vlan_tag(info: &LinkInfo) -> Option<Tag> {
    let LinkInfo::Data(InfoData::Vlan(data)) = info else { return None };
    let mut tag = Tag { protocol: Be16::new(VlanProtocol::Ieee8021Q.into()), control: Be16::default() };
    for item in data {
        if let InfoVlan::Id(id) = item {
            tag.control = Be16::new(*id);
        }
        if let InfoVlan::Protocol(protocol) = item {
            tag.protocol = Be16::new((*protocol).into());
        }
    }
    Some(tag)
}

/// An address of this host. `None` also for one that another machine turned out to have (RFC 4862 §5.4).
pub fn address(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut peer) = (None, None);
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            local = Some(*address);
        }
        if let AddressAttribute::Address(address) = attribute {
            peer = Some(*address);
        }
        if let AddressAttribute::Flags(all) = attribute {
            flags = *all;
        }
    }
    // Of an IPv6 address without a peer only the one is told; on a link with a peer, the prefix is the peer's.
    let address = local.or(peer)?;
    let prefix = IpNet::new(peer.unwrap_or(address), message.header.prefix_len).ok()?.trunc();
    let unfit = AddressFlags::Secondary | AddressFlags::Deprecated | AddressFlags::Tentative;
    let source = message.header.scope == AddressScope::Universe && !flags.intersects(unfit);
    let ours = !flags.contains(AddressFlags::Dadfailed);
    ours.then_some(Address { on: On { ifindex: message.header.index, address }, prefix, source })
}

/// A route of table main that holds for every packet.
pub fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let mut network = all_of(header.address_family)?;
    let (mut table, mut metric, mut preference) = (header.table.into(), 0, rank(RoutePreference::Medium));
    for attribute in &message.attributes {
        if let RouteAttribute::Table(all) = attribute {
            table = *all; // more than the header can say
        }
        if let RouteAttribute::Destination(destination) = attribute {
            network = ip(destination)?;
        }
        if let RouteAttribute::Priority(priority) = attribute {
            metric = *priority;
        }
        if let RouteAttribute::Preference(said) = attribute {
            preference = rank(*said);
        }
    }
    let for_all = header.source_prefix_length == 0 && header.tos == 0;
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) || !for_all {
        return None;
    }
    let prefix = IpNet::new(network, header.destination_prefix_length).ok()?.trunc();
    let unicast = header.kind == RouteType::Unicast;
    Some(Route { prefix, metric, preference, way: way(&message.attributes).filter(|_| unicast) })
}

/// The default route's network.
fn all_of(family: AddressFamily) -> Option<IpAddr> {
    if family == AddressFamily::Inet {
        Some(Ipv4Addr::UNSPECIFIED.into())
    } else {
        (family == AddressFamily::Inet6).then_some(Ipv6Addr::UNSPECIFIED.into())
    }
}

fn rank(preference: RoutePreference) -> u8 {
    if preference == RoutePreference::High {
        0
    } else if preference == RoutePreference::Low {
        2
    } else {
        1
    }
}

/// Where a route leads; of several ways, the first that lives.
fn way(attributes: &[RouteAttribute]) -> Option<Way> {
    let (mut hop, mut mtu, mut source) = (None, None, None);
    for attribute in attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            let dead = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
            hop = hops.iter().find(|hop| !hop.flags.intersects(dead));
        }
        if let RouteAttribute::Metrics(metrics) = attribute {
            mtu = metrics.iter().find_map(|metric| if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None });
        }
        if let RouteAttribute::PrefSource(address) = attribute {
            source = ip(address);
        }
    }
    let (ifindex, gateway) = match hop {
        Some(RouteNextHop { interface_index, attributes, .. }) => machine(Some(*interface_index), attributes)?,
        None => machine(None, attributes)?,
    };
    Some(Way { ifindex, gateway, mtu, source })
}

/// The interface and the gateway. `None`: one that we cannot send to.
fn machine(mut ifindex: Option<u32>, attributes: &[RouteAttribute]) -> Option<(u32, Option<IpAddr>)> {
    let mut gateway = None;
    for attribute in attributes {
        if let RouteAttribute::Oif(index) = attribute {
            ifindex = Some(*index);
        }
        if let RouteAttribute::Gateway(address) = attribute {
            gateway = Some(ip(address)?);
        }
        if let RouteAttribute::Via(via) = attribute {
            gateway = Some(over(via)?);
        }
        if let RouteAttribute::Encap(_) = attribute {
            return None;
        }
    }
    Some((ifindex?, gateway))
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        Some(IpAddr::V4(*address))
    } else if let RouteAddress::Inet6(address) = address {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

/// A gateway of the other family.
fn over(via: &RouteVia) -> Option<IpAddr> {
    if let RouteVia::Inet(address) = via {
        Some(IpAddr::V4(*address))
    } else if let RouteVia::Inet6(address) = via {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

/// A neighbour. `None`: not one of IP.
pub fn neighbour(message: &NeighbourMessage) -> Option<(On, Neighbour)> {
    let (mut address, mut mac_found, mut managed) = (None, None, false);
    for attribute in &message.attributes {
        if let NeighbourAttribute::Destination(NeighbourAddress::Inet(destination)) = attribute {
            address = Some(IpAddr::V4(*destination));
        }
        if let NeighbourAttribute::Destination(NeighbourAddress::Inet6(destination)) = attribute {
            address = Some(IpAddr::V6(*destination));
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
mod tests;
