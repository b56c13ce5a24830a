//! What follows from the host's network, case by case.

mod ipv6;
mod next_hops;
mod vlan;

use super::{
    event::{Address, Link, Neighbour, On, Route, Way},
    table::RoutingTable,
    tables::RoutingTables,
};
use ipnet::IpNet;
use lb_common::NextHop;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

const PUBLIC: u32 = 2;
const PRIVATE: u32 = 3;
const TUNNEL: u32 = 4;
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
const FAR_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn on(ifindex: u32, address: IpAddr) -> On {
    On { ifindex, address }
}

fn alive(last: u8) -> Neighbour {
    Neighbour { mac: Some([6, 0, 0, 0, 0, last]), managed: false, permanent: false }
}

fn route(prefix: &str, metric: u32, way: impl Into<Option<Way>>) -> Route {
    Route { prefix: net(prefix), metric, preference: 1, way: way.into() }
}

fn via(ifindex: u32, gateway: IpAddr) -> Way {
    Way { gateway: Some(gateway), ..on_link(ifindex) }
}

fn on_link(ifindex: u32) -> Way {
    Way { ifindex, gateway: None, mtu: None, source: None }
}

fn up(mac: impl Into<Option<lb_common::Mac>>) -> Link {
    Link { mac: mac.into(), up: true, mtu: 1_500, vlan: None }
}

/// An address with the length of its prefix, fit to be a source.
fn address(ifindex: u32, text: &str) -> Address {
    let prefix = net(text);
    Address { on: on(ifindex, prefix.addr()), prefix: prefix.trunc(), source: true }
}

/// A host with a public and a private link and a tunnel, and a default route to [`ROUTER`].
fn links() -> BTreeMap<u32, Link> {
    BTreeMap::from([(PUBLIC, up([2; 6])), (PRIVATE, up([3; 6])), (TUNNEL, up(None))])
}

/// The same with one of its links down.
fn links_but(down: u32) -> BTreeMap<u32, Link> {
    let mut links = links();
    links.get_mut(&down).unwrap().up = false;
    links
}

fn routes() -> Vec<Route> {
    vec![
        route("0.0.0.0/0", 0, via(PUBLIC, ROUTER)),
        route("192.0.2.0/24", 0, on_link(PUBLIC)),
        route("10.0.0.0/24", 0, on_link(PRIVATE)),
    ]
}

struct Host {
    table: RoutingTable,
    rows: BTreeMap<IpAddr, u16>,
}

impl Host {
    fn new() -> Self {
        let mut table = RoutingTable::new([PUBLIC, PRIVATE], &BTreeMap::new(), &BTreeMap::new());
        table.network.reread(links(), [], routes());
        table.network.replace_neighbours([(on(PUBLIC, ROUTER), alive(1)), (on(PRIVATE, SERVER), alive(5))]);
        let rows = table.watch(BTreeSet::from([SERVER, FAR_SERVER]));
        Self { table, rows }
    }

    fn watch<const N: usize>(&mut self, servers: [IpAddr; N]) {
        self.rows = self.table.watch(BTreeSet::from(servers));
    }

    fn reroute(&mut self, links: BTreeMap<u32, Link>, routes: Vec<Route>) {
        self.table.network.reread(links, [], routes);
    }

    fn next_hop(&mut self, server: IpAddr) -> Option<NextHop> {
        let row = self.rows[&server];
        self.table.desired().tables.next_hops.get(&row).copied()
    }

    /// Where a reply to `client` goes, as the kernel's trie would find it. `None`: it is dropped.
    fn reply(&mut self, client: IpAddr) -> Option<NextHop> {
        let RoutingTables { next_hops, routes, .. } = self.table.desired().tables;
        let matching = routes.iter().filter(|(prefix, _)| prefix.contains(&client));
        let (_, row) = matching.max_by_key(|(prefix, _)| prefix.prefix_len())?;
        next_hops.get(&u16::try_from(*row).unwrap()).copied()
    }
}

fn hop(last: u8, ifindex: u32) -> NextHop {
    let source = [u8::try_from(ifindex).unwrap(); 6];
    NextHop { destination: [6, 0, 0, 0, 0, last], source, ifindex, resolved: 1, mtu: 1_500, ..NextHop::default() }
}

#[test]
fn a_server_on_a_link_is_next_itself_and_one_far_away_is_behind_its_gateway() {
    let mut host = Host::new();
    assert_eq!(host.next_hop(SERVER), Some(hop(5, PRIVATE)));
    assert_eq!(host.next_hop(FAR_SERVER), Some(hop(1, PUBLIC)));
    assert_eq!(host.table.desired().unresolved, BTreeSet::new());
}

#[test]
fn a_row_follows_mac_gateway_and_link_and_stays_the_same_row() {
    let mut host = Host::new();
    host.table.network.set_neighbour(on(PRIVATE, SERVER), Some(alive(55)));
    assert_eq!(host.next_hop(SERVER), Some(hop(55, PRIVATE)));
    host.reroute(links(), [routes(), vec![route("203.0.113.0/24", 0, via(PRIVATE, SERVER))]].concat());
    assert_eq!(host.next_hop(FAR_SERVER), Some(hop(55, PRIVATE)), "a longer prefix wins");
    host.reroute(links_but(PRIVATE), routes());
    assert_eq!(host.next_hop(SERVER), None, "its link is down");
    assert_eq!(host.table.desired().unresolved, BTreeSet::from([SERVER]));
}

#[test]
fn a_neighbour_that_does_not_answer_is_no_next_hop() {
    let mut host = Host::new();
    let silent = Neighbour { mac: None, ..alive(0) };
    assert!(host.table.network.set_neighbour(on(PUBLIC, ROUTER), Some(silent)));
    assert_eq!(host.next_hop(FAR_SERVER), None);
    assert_eq!(host.reply(ip("198.51.100.1")), None);
    assert!(!host.table.network.set_neighbour(on(PUBLIC, ROUTER), Some(silent)), "nothing changed");
}

#[test]
fn a_reply_goes_by_the_routes_or_to_the_neighbour_itself() {
    let mut host = Host::new();
    let client = ip("192.0.2.77");
    assert_eq!(host.reply(ip("198.51.100.1")), Some(hop(1, PUBLIC)));
    assert_eq!(host.reply(client), None, "on the link, but not known");
    host.table.network.set_neighbour(on(PUBLIC, client), Some(alive(77)));
    assert_eq!(host.reply(client), Some(hop(77, PUBLIC)));
}

#[test]
fn no_reply_leaks_along_a_shorter_prefix() {
    let mut host = Host::new();
    let tunnel = route("198.51.100.0/24", 0, on_link(TUNNEL));
    let nowhere = route("203.0.113.0/24", 0, None);
    host.reroute(links(), [routes(), vec![tunnel, nowhere]].concat());
    assert_eq!(host.reply(ip("198.51.100.1")), None);
    assert_eq!(host.reply(FAR_SERVER), None);
    assert_eq!(host.next_hop(FAR_SERVER), None);
}

#[test]
fn a_neighbour_counts_only_where_the_routes_place_it() {
    let mut host = Host::new();
    let elsewhere = ip("198.51.100.1");
    host.table.network.set_neighbour(on(PRIVATE, elsewhere), Some(alive(66)));
    assert_eq!(host.reply(elsewhere), Some(hop(1, PUBLIC)));
}

#[test]
fn only_neighbours_are_asked_for_and_never_strangers_or_this_host() {
    let mut host = Host::new();
    let tunnel = route("198.51.100.0/24", 0, on_link(TUNNEL));
    let routes_now = [routes(), vec![tunnel, route("192.0.2.128/25", 0, None)]].concat();
    host.table.network.reread(links(), [address(PUBLIC, "192.0.2.10/24")], routes_now);
    let asked = |address| host.table.network.neighbour_at(address);
    assert_eq!(asked(ip("192.0.2.77")), Some(on(PUBLIC, ip("192.0.2.77"))));
    assert_eq!(asked(SERVER), Some(on(PRIVATE, SERVER)), "known or not");
    assert_eq!(asked(ip("203.0.113.9")), None, "behind a gateway");
    assert_eq!(asked(ip("198.51.100.1")), None, "not Ethernet");
    assert_eq!(asked(ip("192.0.2.200")), None, "a route that leads nowhere");
    assert_eq!(asked(ip("192.0.2.10")), None, "this host");
    host.reroute(links_but(PUBLIC), routes());
    assert_eq!(host.table.network.neighbour_at(ip("192.0.2.77")), None, "its link is down");
}

#[test]
fn the_lower_metric_wins_unless_its_link_is_down() {
    let mut host = Host::new();
    let other = ip("10.0.0.1");
    host.table.network.set_neighbour(on(PRIVATE, other), Some(alive(9)));
    let both = || [vec![route("0.0.0.0/0", 100, via(PRIVATE, other))], routes()].concat();
    host.reroute(links(), both());
    assert_eq!(host.next_hop(FAR_SERVER), Some(hop(1, PUBLIC)));
    host.reroute(links_but(PUBLIC), both());
    assert_eq!(host.next_hop(FAR_SERVER), Some(hop(9, PRIVATE)));
}

#[test]
fn servers_and_gateways_are_kept_alive_but_not_what_an_operator_wrote() {
    let mut host = Host::new();
    let managed = host.table.desired().managed;
    assert_eq!(managed, BTreeSet::from([on(PUBLIC, ROUTER), on(PRIVATE, SERVER)]));
    assert!(host.table.network.wants_managing(on(PRIVATE, SERVER)));
    for kept in [Neighbour { managed: true, ..alive(5) }, Neighbour { permanent: true, ..alive(5) }] {
        host.table.network.set_neighbour(on(PRIVATE, SERVER), Some(kept));
        assert!(!host.table.network.wants_managing(on(PRIVATE, SERVER)));
    }
    host.table.network.set_neighbour(on(PRIVATE, SERVER), None);
    assert!(host.table.network.wants_managing(on(PRIVATE, SERVER)), "flushed: ask again");
    host.table
        .network
        .set_neighbour(on(PRIVATE, SERVER), Some(Neighbour { managed: true, mac: None, permanent: false }));
    assert!(host.table.network.wants_managing(on(PRIVATE, SERVER)), "given up: ask again");
}

#[test]
fn frames_may_leave_through_what_is_attached_and_what_next_hops_use() {
    let mut table = RoutingTable::new([PUBLIC, 99], &BTreeMap::new(), &BTreeMap::new());
    table.network.reread(links(), [], routes());
    assert_eq!(table.desired().tables.devices, BTreeSet::from([PUBLIC]), "99 does not exist");
    table.network.set_neighbour(on(PRIVATE, SERVER), Some(alive(5)));
    assert_eq!(table.desired().tables.devices, BTreeSet::from([PUBLIC, PRIVATE]));
}

#[test]
fn all_addresses_of_the_host_are_local() {
    let mut host = Host::new();
    let unfit = Address { source: false, ..address(PRIVATE, "fe80::1/64") };
    host.table.network.reread(links(), [address(PUBLIC, "192.0.2.10/32"), unfit], routes());
    assert_eq!(host.table.desired().tables.local, BTreeSet::from([ip("192.0.2.10"), ip("fe80::1")]));
}

#[test]
fn a_restarted_daemon_goes_on_with_the_rows_that_forwarding_uses() {
    let old = BTreeMap::from([(net("0.0.0.0/0"), 1)]);
    let mut table = RoutingTable::new([PUBLIC], &BTreeMap::from([(SERVER, 7)]), &old);
    table.network.reread(links(), [], routes());
    table.network.replace_neighbours([(on(PRIVATE, SERVER), alive(5)), (on(PUBLIC, ROUTER), alive(1))]);
    let desired = table.desired();
    assert_eq!(
        desired.tables.next_hops.get(&7).copied(),
        Some(hop(5, PRIVATE)),
        "before anyone said which servers there are"
    );
    assert!(!desired.tables.next_hops.contains_key(&1), "the old default route still points to row 1");
    assert_eq!(table.watch(BTreeSet::from([SERVER])), BTreeMap::from([(SERVER, 7)]));
    assert_eq!(table.watch(BTreeSet::new()), BTreeMap::new());
    assert!(!table.desired().tables.next_hops.contains_key(&7));
}

#[test]
fn what_finds_no_room_is_counted_and_the_prefixes_stay() {
    let mut table = RoutingTable::new([PUBLIC], &BTreeMap::new(), &BTreeMap::new());
    table.network.reread(links(), [], [route("10.0.0.0/8", 0, on_link(PRIVATE))]);
    let machine = |host: u32| on(PRIVATE, Ipv4Addr::from(0x0a00_0000 + host).into());
    table.network.replace_neighbours((1..=20_000).map(|host| (machine(host), alive(1))));
    let desired = table.desired();
    assert_eq!((desired.left_out, desired.tables.next_hops.len()), (20_000 - 16_384, 16_384));
    assert!(desired.tables.routes.contains_key(&net("10.0.0.0/8")));
    assert_eq!(table.watch(BTreeSet::from([FAR_SERVER])).len(), 1, "servers always find a row");
}
