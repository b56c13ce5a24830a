//! What a next hop says beside where it leads: how large packets may be, and where tunnels start.

use super::*;

fn mtu_of(next_hop: Option<NextHop>) -> u16 {
    next_hop.unwrap().mtu
}

#[test]
fn the_smaller_mtu_of_link_and_route_counts_and_changes_are_followed() {
    let mut host = Host::new();
    assert_eq!(mtu_of(host.next_hop(SERVER)), 1_500);
    let jumbo = || {
        let mut links = links();
        links.get_mut(&PRIVATE).unwrap().mtu = 9_000;
        links
    };
    host.reroute(jumbo(), routes());
    assert_eq!(mtu_of(host.next_hop(SERVER)), 9_000);
    let narrow = Way { mtu: Some(1_400), ..on_link(PRIVATE) };
    host.reroute(jumbo(), vec![route("10.0.0.0/24", 0, narrow)]);
    assert_eq!(mtu_of(host.next_hop(SERVER)), 1_400);
    assert_eq!(mtu_of(host.reply(SERVER)), 1_400, "also of replies to a neighbour");
    let wide = Way { mtu: Some(10_000), ..on_link(PRIVATE) };
    host.reroute(jumbo(), vec![route("10.0.0.0/24", 0, wide)]);
    assert_eq!(mtu_of(host.next_hop(SERVER)), 9_000);
}

#[test]
fn an_mtu_that_is_not_known_or_too_large_for_a_row_restricts_nothing() {
    for (mtu, row) in [(0, 0), (70_000, 65_535)] {
        let mut host = Host::new();
        let mut links = links();
        links.get_mut(&PRIVATE).unwrap().mtu = mtu;
        host.reroute(links, routes());
        assert_eq!(mtu_of(host.next_hop(SERVER)), row);
    }
}

#[test]
fn routes_of_different_mtu_by_one_gateway_have_rows_of_their_own() {
    let mut host = Host::new();
    let narrow = Way { mtu: Some(1_280), ..via(PUBLIC, ROUTER) };
    host.reroute(links(), [routes(), vec![route("203.0.113.0/24", 0, narrow)]].concat());
    assert_eq!(mtu_of(host.reply(ip("203.0.113.1"))), 1_280);
    assert_eq!(mtu_of(host.reply(ip("198.51.100.1"))), 1_500);
    let desired = host.table.desired();
    assert_eq!(desired.managed, BTreeSet::from([on(PUBLIC, ROUTER), on(PRIVATE, SERVER)]), "one machine all the same");
}

/// The source of tunnels to a server on `PUBLIC`, which is the only link with addresses.
fn source(server: IpAddr, way: Way, addresses: &[Address]) -> Option<IpAddr> {
    let mut host = Host::new();
    let default = if server.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    host.table.network.reread(links(), addresses.iter().copied(), [route(default, 0, way)]);
    host.table.network.set_neighbour(on(PUBLIC, way.gateway.unwrap_or(server)), Some(alive(1)));
    host.watch([server]);
    let next_hop = host.next_hop(server).unwrap();
    let (source4, source6) = (IpAddr::V4(next_hop.source4.ip()), next_hop.source6.ip());
    let given: Vec<IpAddr> = [source4, source6].into_iter().filter(|source| !source.is_unspecified()).collect();
    assert!(given.iter().all(|source| source.is_ipv4() == server.is_ipv4()), "{given:?}");
    given.first().copied()
}

fn public(text: &str) -> Address {
    address(PUBLIC, text)
}

#[test]
fn the_source_that_the_route_prefers_comes_first() {
    let addresses = [public("192.0.2.10/24"), public("2001:db8::10/64")];
    for (server, gateway, preferred) in
        [("203.0.113.9", "192.0.2.1", "198.51.100.1"), ("2001:db8:ffff::9", "fe80::1", "2001:db8:1::1")]
    {
        let way = Way { source: Some(ip(preferred)), ..via(PUBLIC, ip(gateway)) };
        assert_eq!(source(ip(server), way, &addresses), Some(ip(preferred)));
    }
}

#[test]
fn else_it_is_an_address_in_the_prefix_of_the_next_machine() {
    let addresses = ["172.16.0.2/12", "192.0.2.10/24", "10.0.0.2/8", "2001:db8:1::2/48", "2001:db8::2/64"].map(public);
    assert_eq!(source(FAR_SERVER, via(PUBLIC, ROUTER), &addresses), Some(ip("192.0.2.10")));
    assert_eq!(source(ip("192.0.2.99"), on_link(PUBLIC), &addresses), Some(ip("192.0.2.10")));
    assert_eq!(source(ip("2001:db8::99"), on_link(PUBLIC), &addresses), Some(ip("2001:db8::2")));
    let gateway = via(PUBLIC, ip("2001:db8::1"));
    assert_eq!(source(ip("2001:db8:ffff::9"), gateway, &addresses), Some(ip("2001:db8::2")));
}

#[test]
fn else_it_is_the_lowest_address_of_the_link_but_rather_no_vip() {
    let addresses =
        ["192.0.2.10/32", "198.51.100.3/24", "198.51.100.2/24", "2001:db8::1/128", "2001:db8::2/64"].map(public);
    assert_eq!(source(FAR_SERVER, via(PUBLIC, ROUTER), &addresses), Some(ip("198.51.100.2")));
    let far6 = ip("2001:db8:ffff::9");
    assert_eq!(source(far6, via(PUBLIC, ip("fe80::1")), &addresses), Some(ip("2001:db8::2")));
    assert_eq!(source(far6, via(PUBLIC, ip("fe80::1")), &[public("2001:db8::1/128")]), Some(ip("2001:db8::1")));
    let over6 = via(PUBLIC, ip("2001:db8::99"));
    assert_eq!(source(FAR_SERVER, over6, &addresses), Some(ip("198.51.100.2")), "a gateway of the other family");
}

#[test]
fn else_there_is_none() {
    let unfit = Address { source: false, ..public("2001:db8::2/64") };
    let addresses = [unfit, public("192.0.2.10/24"), address(PRIVATE, "2001:db8:1::2/64")];
    assert_eq!(source(ip("2001:db8:ffff::9"), via(PUBLIC, ip("fe80::1")), &addresses), None);
    assert_eq!(source(FAR_SERVER, via(PUBLIC, ROUTER), &[]), None);
}

#[test]
fn only_servers_have_a_source() {
    let mut host = Host::new();
    host.table.network.reread(links(), [public("192.0.2.10/24")], routes());
    assert_eq!(host.next_hop(FAR_SERVER).unwrap().source4.ip(), ip("192.0.2.10"));
    assert_eq!(host.reply(ip("198.51.100.1")), Some(hop(1, PUBLIC)));
}
