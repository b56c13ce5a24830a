//! Messages as the kernel sends them, and what they say.

use super::*;
use rtnetlink::packet_route::{
    address::{AddressHeader, AddressHeaderFlags},
    link::{InfoKind, LinkHeader},
    neighbour::NeighbourHeader,
};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn ip6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn unicast(attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.kind = RouteType::Unicast;
    message.attributes = attributes;
    message
}

fn unicast6(attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut message = unicast(attributes);
    message.header.address_family = AddressFamily::Inet6;
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

fn on_link(ifindex: u32) -> Way {
    Way { ifindex, gateway: None, mtu: None, source: None }
}

fn via(ifindex: u32, gateway: impl Into<IpAddr>) -> Way {
    Way { gateway: Some(gateway.into()), ..on_link(ifindex) }
}

#[test]
fn only_table_main_is_followed_and_what_holds_for_every_packet() {
    let mut message = unicast(vec![RouteAttribute::Oif(2)]);
    assert_eq!(way_of(&message), Some(on_link(2)));
    message.attributes.push(RouteAttribute::Table(1_000)); // more than the header can say
    assert_eq!(route(&message), None);
    message.attributes.clear();
    message.header.table = 255;
    assert_eq!(route(&message), None);
    let mut of_one_source = unicast6(vec![RouteAttribute::Oif(2)]);
    of_one_source.header.source_prefix_length = 64;
    let mut of_one_class = unicast(vec![RouteAttribute::Oif(2)]);
    of_one_class.header.tos = 8;
    let mut not_ip = unicast(vec![RouteAttribute::Oif(2)]);
    not_ip.header.address_family = AddressFamily::Mpls;
    assert_eq!([of_one_source, of_one_class, not_ip].map(|message| route(&message)), [None, None, None]);
}

#[test]
fn a_route_is_read_whole_in_both_families() {
    let mut message = unicast6(vec![
        RouteAttribute::Destination(RouteAddress::Inet6(ip6("2001:db8:1::"))),
        RouteAttribute::Gateway(RouteAddress::Inet6(ip6("fe80::1"))),
        RouteAttribute::Oif(2),
        RouteAttribute::Priority(1_024),
        RouteAttribute::Preference(RoutePreference::High),
        RouteAttribute::PrefSource(RouteAddress::Inet6(ip6("2001:db8::10"))),
        RouteAttribute::Metrics(vec![RouteMetric::Hoplimit(3), RouteMetric::Mtu(1_400)]),
    ]);
    message.header.destination_prefix_length = 48;
    let way = Way { mtu: Some(1_400), source: Some(ip6("2001:db8::10").into()), ..via(2, ip6("fe80::1")) };
    let prefix = "2001:db8:1::/48".parse().unwrap();
    assert_eq!(route(&message), Some(Route { prefix, metric: 1_024, preference: 0, way: Some(way) }));
    let default = |message| route(&message).unwrap().prefix.to_string();
    assert_eq!([unicast(vec![]), unicast6(vec![])].map(default), ["0.0.0.0/0", "::/0"]);
}

#[test]
fn of_several_ways_the_first_that_lives_is_taken() {
    let hops =
        vec![hop(2, RouteNextHopFlags::Dead), hop(3, RouteNextHopFlags::Linkdown), hop(4, RouteNextHopFlags::empty())];
    let message = unicast(vec![
        RouteAttribute::MultiPath(hops),
        RouteAttribute::PrefSource(RouteAddress::Inet(Ipv4Addr::new(192, 0, 2, 10))),
    ]);
    let source = Some([192, 0, 2, 10].into());
    assert_eq!(way_of(&message), Some(Way { source, ..via(4, GATEWAY) }));
}

#[test]
fn a_gateway_may_be_of_the_other_family() {
    let over6 = RouteAttribute::Via(RouteVia::Inet6(ip6("fe80::1")));
    assert_eq!(way_of(&unicast(vec![RouteAttribute::Oif(2), over6.clone()])), Some(via(2, ip6("fe80::1"))));
    let mut of_several = hop(3, RouteNextHopFlags::empty());
    of_several.attributes = vec![over6];
    assert_eq!(way_of(&unicast(vec![RouteAttribute::MultiPath(vec![of_several])])), Some(via(3, ip6("fe80::1"))));
}

#[test]
fn what_we_cannot_follow_leads_nowhere() {
    let mut blackhole = unicast(vec![RouteAttribute::Oif(2)]);
    blackhole.header.kind = RouteType::BlackHole;
    let over_mpls = unicast(vec![RouteAttribute::Oif(2), RouteAttribute::Via(RouteVia::Packet(vec![2; 6]))]);
    let encapsulated = unicast6(vec![RouteAttribute::Oif(2), RouteAttribute::Encap(vec![])]);
    let dead = unicast(vec![RouteAttribute::MultiPath(vec![hop(2, RouteNextHopFlags::Dead)])]);
    assert_eq!([blackhole, over_mpls, encapsulated, dead].map(|message| way_of(&message)), [None; 4]);
}

#[test]
fn a_mac_is_used_only_in_states_in_which_the_kernel_uses_it() {
    let of = |address, state| {
        let mut message = NeighbourMessage::default();
        message.header = NeighbourHeader { ifindex: 2, state, ..NeighbourHeader::default() };
        message.attributes =
            vec![NeighbourAttribute::Destination(address), NeighbourAttribute::LinkLayerAddress(vec![2; 6])];
        neighbour(&message).unwrap()
    };
    let usable = [
        NeighbourState::Reachable,
        NeighbourState::Stale,
        NeighbourState::Delay,
        NeighbourState::Probe,
        NeighbourState::Permanent,
    ];
    let others = [NeighbourState::Incomplete, NeighbourState::Failed, NeighbourState::None, NeighbourState::Noarp];
    let v4 = (NeighbourAddress::Inet(GATEWAY), IpAddr::V4(GATEWAY));
    let v6 = (NeighbourAddress::Inet6(ip6("fe80::1")), IpAddr::V6(ip6("fe80::1")));
    for (raw, address) in [v4, v6] {
        assert!(usable.into_iter().all(|state| of(raw.clone(), state).1.mac == Some([2; 6])));
        assert!(others.into_iter().all(|state| of(raw.clone(), state).1.mac.is_none()));
        assert_eq!(of(raw, NeighbourState::Stale).0, On { ifindex: 2, address });
    }
}

fn address_message(prefix_len: u8, attributes: Vec<AddressAttribute>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header = AddressHeader { prefix_len, index: 2, ..AddressHeader::default() };
    message.attributes = attributes;
    message
}

#[test]
fn an_address_is_our_own_end_and_its_prefix_the_others() {
    let (own, peer) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([198, 51, 100, 1]));
    let both = |address| vec![AddressAttribute::Address(address), AddressAttribute::Local(own)];
    let expected =
        |prefix: &str| Address { on: On { ifindex: 2, address: own }, prefix: prefix.parse().unwrap(), source: true };
    assert_eq!(address(&address_message(24, both(own))), Some(expected("192.0.2.0/24")));
    assert_eq!(address(&address_message(32, both(peer))), Some(expected("198.51.100.1/32")));
    let v6 = address(&address_message(64, vec![AddressAttribute::Address(ip6("2001:db8::10").into())])).unwrap();
    assert_eq!((v6.on.address, v6.prefix), (ip6("2001:db8::10").into(), "2001:db8::/64".parse().unwrap()));
}

#[test]
fn tunnels_start_from_primary_valid_global_addresses() {
    let of = |scope, flags: AddressFlags| {
        let attributes = vec![AddressAttribute::Address(ip6("2001:db8::10").into()), AddressAttribute::Flags(flags)];
        let mut message = address_message(64, attributes);
        message.header.scope = scope;
        address(&message).map(|address| address.source)
    };
    assert_eq!(of(AddressScope::Universe, AddressFlags::Permanent), Some(true));
    for scope in [AddressScope::Link, AddressScope::Host] {
        assert_eq!(of(scope, AddressFlags::Permanent), Some(false), "{scope}");
    }
    for flags in [AddressFlags::Secondary, AddressFlags::Deprecated, AddressFlags::Tentative] {
        assert_eq!(of(AddressScope::Universe, flags | AddressFlags::Permanent), Some(false), "{flags:?}");
    }
    assert_eq!(of(AddressScope::Universe, AddressFlags::Dadfailed | AddressFlags::Tentative), None, "another's");
    let mut short = address_message(64, vec![AddressAttribute::Address(ip6("2001:db8::10").into())]);
    short.header.flags = AddressHeaderFlags::Tentative;
    assert!(!address(&short).unwrap().source, "flags of the header alone");
}

fn link_message(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header = LinkHeader {
        index: 5,
        link_layer_type: LinkLayerType::Ether,
        flags: LinkFlags::Up | LinkFlags::LowerUp,
        ..LinkHeader::default()
    };
    message.attributes = attributes;
    message
}

#[test]
fn a_link_is_ethernet_or_frames_cannot_leave_through_it() {
    let attributes = vec![LinkAttribute::Address(vec![2; 6]), LinkAttribute::Mtu(1_500)];
    let mut message = link_message(attributes);
    assert_eq!(link(&message), (5, Link { mac: Some([2; 6]), up: true, mtu: 1_500, vlan: None }));
    message.header.flags = LinkFlags::Up;
    assert!(!link(&message).1.up, "no carrier");
    message.header.link_layer_type = LinkLayerType::Loopback;
    assert_eq!(link(&message).1.mac, None);
}

#[test]
fn a_vlan_names_its_tag_and_the_interface_below() {
    let vlan =
        |data| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan), LinkInfo::Data(InfoData::Vlan(data))]);
    let of = |attributes| link(&link_message(attributes)).1.vlan;
    let tag = |protocol, id| Tag { protocol: Be16::new(protocol), control: Be16::new(id) };
    let service = vec![InfoVlan::Protocol(VlanProtocol::Ieee8021Ad), InfoVlan::Id(100)];
    assert_eq!(of(vec![LinkAttribute::Link(3), vlan(service)]), Some(Vlan { lower: 3, tag: tag(0x88a8, 100) }));
    let customer = vec![InfoVlan::Id(4_094)];
    assert_eq!(
        of(vec![vlan(customer.clone()), LinkAttribute::Link(3)]),
        Some(Vlan { lower: 3, tag: tag(0x8100, 4_094) })
    );
    let elsewhere = vec![LinkAttribute::Link(3), LinkAttribute::LinkNetNsId(0), vlan(customer)];
    assert_eq!(of(elsewhere), Some(Vlan { lower: 0, tag: tag(0x8100, 4_094) }), "in another namespace");
    let veth = vec![LinkAttribute::Link(3), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)])];
    assert_eq!(of(veth), None);
}
