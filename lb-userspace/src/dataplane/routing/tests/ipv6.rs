//! IPv6, and where the two families meet.

use super::*;

const ROUTER6: &str = "fe80::1";
const SERVER6: &str = "2001:db8:0:1::5";
const FAR_SERVER6: &str = "2001:db8:ffff::9";

fn routes6() -> Vec<Route> {
    vec![
        route("::/0", 1_024, via(PUBLIC, ip(ROUTER6))),
        route("2001:db8::/64", 256, on_link(PUBLIC)),
        route("2001:db8:0:1::/64", 256, on_link(PRIVATE)),
        route("fe80::/64", 256, on_link(PUBLIC)),
        route("fe80::/64", 256, on_link(PRIVATE)),
    ]
}

/// The host of the other tests, which speaks IPv6 too.
fn both() -> Host {
    let mut host = Host::new();
    host.reroute(links(), [routes(), routes6()].concat());
    host.table.network.set_neighbour(on(PUBLIC, ip(ROUTER6)), Some(alive(11)));
    host.table.network.set_neighbour(on(PRIVATE, ip(ROUTER6)), Some(alive(12))); // another machine of that name
    host.table.network.set_neighbour(on(PRIVATE, ip(SERVER6)), Some(alive(15)));
    host.watch([SERVER, FAR_SERVER, ip(SERVER6), ip(FAR_SERVER6)]);
    host
}

#[test]
fn servers_of_both_families_have_their_own_next_hops() {
    let mut host = both();
    let hops = [SERVER, FAR_SERVER, ip(SERVER6), ip(FAR_SERVER6)].map(|server| host.next_hop(server));
    assert_eq!(hops, [hop(5, PRIVATE), hop(1, PUBLIC), hop(15, PRIVATE), hop(11, PUBLIC)].map(Some));
    assert_eq!(host.table.desired().unresolved, BTreeSet::new());
}

#[test]
fn a_link_local_gateway_is_the_one_on_the_link_of_the_route() {
    let mut host = both();
    assert_eq!(host.next_hop(ip(FAR_SERVER6)), Some(hop(11, PUBLIC)));
    let elsewhere = vec![route("::/0", 1_024, via(PRIVATE, ip(ROUTER6)))];
    host.reroute(links(), [routes(), elsewhere].concat());
    assert_eq!(host.next_hop(ip(FAR_SERVER6)), Some(hop(12, PRIVATE)));
    assert!(host.table.desired().managed.contains(&on(PRIVATE, ip(ROUTER6))), "and it is kept alive");
}

#[test]
fn a_reply_goes_by_the_routes_or_to_the_neighbour_itself() {
    let mut host = both();
    let client = ip("2001:db8::77");
    assert_eq!(host.reply(ip("2001:db8:ffff::1")), Some(hop(11, PUBLIC)));
    assert_eq!(host.reply(client), None, "on the link, but not known");
    host.table.network.set_neighbour(on(PUBLIC, client), Some(alive(77)));
    assert_eq!(host.reply(client), Some(hop(77, PUBLIC)));
}

#[test]
fn nothing_is_forwarded_to_multicast_or_to_what_each_link_has() {
    let mut host = both();
    let wide = vec![route("ff00::/8", 256, on_link(PUBLIC)), route("224.0.0.0/4", 0, via(PUBLIC, ROUTER))];
    host.reroute(links(), [routes(), routes6(), wide].concat());
    host.table.network.set_neighbour(on(PUBLIC, ip("fe80::77")), Some(alive(77)));
    for never in ["fe80::77", "fe80::1", "ff02::1", "ff0e::1", "224.0.0.251", "239.1.1.1"].map(ip) {
        assert_eq!(host.reply(never), None, "{never}");
        assert_eq!(host.table.network.neighbour_at(never), None, "{never}");
    }
    host.watch([ip("fe80::77")]);
    assert_eq!(host.next_hop(ip("fe80::77")), None, "nobody said on which link");
}

#[test]
fn only_neighbours_are_asked_for_and_never_strangers_or_this_host() {
    let mut host = both();
    let routes = [routes(), routes6(), vec![route("2001:db8:0:0:8000::/65", 256, None)]].concat();
    host.table.network.reread(links(), [address(PUBLIC, "2001:db8::10/64")], routes);
    let asked = |address| host.table.network.neighbour_at(ip(address));
    assert_eq!(asked("2001:db8::77"), Some(on(PUBLIC, ip("2001:db8::77"))));
    assert_eq!(asked(SERVER6), Some(on(PRIVATE, ip(SERVER6))), "known or not");
    assert_eq!(asked(FAR_SERVER6), None, "behind a gateway");
    assert_eq!(asked("2001:db8::8000:0:0:1"), None, "a route that leads nowhere");
    assert_eq!(asked("2001:db8::10"), None, "this host");
}

#[test]
fn a_route_may_lead_to_a_gateway_of_the_other_family() {
    let mut host = both();
    let over6 = vec![route("203.0.113.0/24", 0, via(PRIVATE, ip(ROUTER6)))];
    host.reroute(links(), [routes(), routes6(), over6].concat());
    assert_eq!(host.next_hop(FAR_SERVER), Some(hop(12, PRIVATE)));
    assert_eq!(host.reply(FAR_SERVER), Some(hop(12, PRIVATE)));
    assert!(host.table.desired().managed.contains(&on(PRIVATE, ip(ROUTER6))));
}

#[test]
fn of_equal_routes_the_router_that_prefers_itself_wins() {
    let mut host = both();
    let more = Route { preference: 0, ..route("::/0", 1_024, via(PRIVATE, ip(ROUTER6))) };
    let less = Route { preference: 2, ..route("::/0", 1_024, via(PRIVATE, ip(ROUTER6))) };
    host.reroute(links(), [routes(), routes6(), vec![less]].concat());
    assert_eq!(host.next_hop(ip(FAR_SERVER6)), Some(hop(11, PUBLIC)));
    host.reroute(links(), [routes(), routes6(), vec![more]].concat());
    assert_eq!(host.next_hop(ip(FAR_SERVER6)), Some(hop(12, PRIVATE)));
    let metric = Route { metric: 512, ..less };
    host.reroute(links(), [routes(), routes6(), vec![metric]].concat());
    assert_eq!(host.next_hop(ip(FAR_SERVER6)), Some(hop(12, PRIVATE)), "the metric comes first");
}

#[test]
fn a_restarted_daemon_goes_on_with_the_rows_of_both_families() {
    let known = BTreeMap::from([(SERVER, 7), (ip(SERVER6), 8)]);
    let old = BTreeMap::from([(net("0.0.0.0/0"), 1), (net("::/0"), 2)]);
    let mut table = RoutingTable::new([PUBLIC], &known, &old);
    assert_eq!(table.watch(BTreeSet::from([SERVER, ip(SERVER6), ip(FAR_SERVER6)]))[&ip(FAR_SERVER6)], 3);
    assert_eq!(table.watch(BTreeSet::from([SERVER, ip(SERVER6)])), known);
}

#[test]
fn one_family_without_room_takes_none_from_the_other() {
    let mut host = both();
    let many =
        (0..70_000_u32).map(|n| route(&format!("{}/32", Ipv4Addr::from(0x0b00_0000 + n)), 0, via(PUBLIC, ROUTER)));
    host.reroute(links(), many.chain(routes()).chain(routes6()).collect());
    let desired = host.table.desired();
    let (v4, v6): (Vec<IpNet>, Vec<IpNet>) = desired.tables.routes.keys().partition(|prefix| prefix.addr().is_ipv4());
    assert_eq!((v4.len(), desired.left_out), (65_536, 70_000 + 4 - 65_536 + 2), "the prefixes, and two neighbours");
    assert!(v4.contains(&net("0.0.0.0/0")) && v4.contains(&net("10.0.0.0/24")), "short prefixes come first");
    assert!(v6.contains(&net("2001:db8:0:1::5/128")), "{v6:?}");
}
