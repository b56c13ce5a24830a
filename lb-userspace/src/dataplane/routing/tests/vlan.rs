//! VLANs: frames leave by the interface below, with tags.

use super::*;
use crate::dataplane::routing::event::Vlan;
use lb_common::{Be16, Tag};

const SERVICE: u32 = 10;
const CUSTOMER: u32 = 11;

fn tag(protocol: u16, id: u16) -> Tag {
    Tag { protocol: Be16::new(protocol), control: Be16::new(id) }
}

fn vlan(mac: u8, lower: u32, tag: Tag) -> Link {
    Link { vlan: Some(Vlan { lower, tag }), mtu: 1_496, ..up([mac; 6]) }
}

/// `SERVICE` on the private link, and `CUSTOMER` on that.
fn with_vlans(service: Link, customer: Link) -> BTreeMap<u32, Link> {
    links().into_iter().chain([(SERVICE, service), (CUSTOMER, customer)]).collect()
}

fn tagged() -> BTreeMap<u32, Link> {
    with_vlans(vlan(10, PRIVATE, tag(0x88a8, 100)), vlan(11, SERVICE, tag(0x8100, 5)))
}

/// The next hop of a server on that link.
fn next_hop(links: BTreeMap<u32, Link>, ifindex: u32) -> Option<NextHop> {
    let mut host = Host::new();
    host.reroute(links, vec![route("10.0.0.0/24", 0, on_link(ifindex))]);
    host.table.network.set_neighbour(on(ifindex, SERVER), Some(alive(5)));
    host.next_hop(SERVER)
}

#[test]
fn one_tag_is_added_and_the_lower_interface_sends() {
    let (none, outer) = (Tag::default(), tag(0x88a8, 100));
    let expected = NextHop { source: [10; 6], mtu: 1_496, tags: 1, tag: [outer, none], ..hop(5, PRIVATE) };
    assert_eq!(next_hop(tagged(), SERVICE), Some(expected));
}

#[test]
fn of_two_tags_the_lower_link_has_the_outer_one() {
    let (inner, outer) = (tag(0x8100, 5), tag(0x88a8, 100));
    let expected = NextHop { source: [11; 6], mtu: 1_496, tags: 2, tag: [outer, inner], ..hop(5, PRIVATE) };
    assert_eq!(next_hop(tagged(), CUSTOMER), Some(expected));
}

#[test]
fn three_tags_or_a_circle_lead_nowhere() {
    let mut links = tagged();
    links.insert(12, vlan(12, CUSTOMER, tag(0x8100, 6)));
    assert_eq!(next_hop(links, 12), None);
    let circle = with_vlans(vlan(10, CUSTOMER, tag(0x8100, 1)), vlan(11, SERVICE, tag(0x8100, 2)));
    assert_eq!(next_hop(circle, CUSTOMER), None);
}

#[test]
fn a_vlan_is_as_good_as_what_is_below() {
    for (what, lower) in [("elsewhere", 0), ("no Ethernet", TUNNEL), ("not there", 99)] {
        let links = with_vlans(vlan(10, lower, tag(0x8100, 1)), up(None));
        assert_eq!(next_hop(links, SERVICE), None, "{what}");
    }
    let mut down = tagged();
    down.get_mut(&PRIVATE).unwrap().up = false;
    assert_eq!(next_hop(down, CUSTOMER), None);
    let mut down = tagged();
    down.get_mut(&SERVICE).unwrap().up = false;
    assert_eq!(next_hop(down, CUSTOMER), None);
}

#[test]
fn frames_may_leave_through_the_lower_interface_and_the_neighbour_is_asked_for_on_the_vlan() {
    let mut table = RoutingTable::new([], &BTreeMap::new(), &BTreeMap::new());
    table.network.reread(tagged(), [], [route("10.0.0.0/24", 0, on_link(CUSTOMER))]);
    assert_eq!(table.network.neighbour_at(SERVER), Some(on(CUSTOMER, SERVER)));
    table.network.set_neighbour(on(CUSTOMER, SERVER), Some(alive(5)));
    assert_eq!(table.desired().tables.devices, BTreeSet::from([PRIVATE]));
}
