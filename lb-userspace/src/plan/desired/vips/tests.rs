//! VIPs of both families and of every mode, what an address says beside them, and whose replies are whose.

use crate::{
    model::{
        Affinity, Backend, Bind, DaemonDown, DownFlows, Endpoint, Failover, Fragments, FrontendKind, L4Frontend, Model,
        OnEmpty, Ping, Ports, Quorum, QuorumDown, Track, backend,
    },
    plan::{
        Tables, desired,
        desired::{NextHops, returns},
        tables::Return,
        testing::{backend as direct, bind, model, server, servers},
    },
    servers::{Admin, By, Registry},
};
use lb_common::{Forward, Protocol, Vip, vip::flags};
use std::net::{IpAddr, SocketAddr};

fn registry(model: &Model) -> Registry {
    let mut registry = Registry::default();
    registry.update(model).unwrap();
    registry
}

fn tables(model: &Model) -> Tables {
    let tables = desired(model, &registry(model), &NextHops::new());
    assert!(tables.vips.keys().copied().eq(super::keys(model)), "room is kept for other rows than are written");
    assert!(tables.returns.keys().copied().eq(returns::keys(model)), "room is kept for other rows than are written");
    tables
}

fn key(address: &str) -> Endpoint {
    let address: SocketAddr = address.parse().unwrap();
    Endpoint::new(address.ip(), address.port(), Protocol::Tcp)
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn entry(tables: &Tables, address: &str) -> Vip {
    tables.vips[&Endpoint::address_entry(ip(address))]
}

fn l4(model: &mut Model, frontend: usize) -> &mut L4Frontend {
    let FrontendKind::L4(l4) = &mut model.frontends[frontend].kind else { panic!("not l4") };
    l4
}

/// One backend `web` behind these binds.
fn web(backend: Backend, binds: &[(&str, Ports)]) -> Model {
    let bind = |(address, ports): &(&str, Ports)| (Bind { ports: *ports, ..bind(address, Protocol::Tcp) }, "web");
    let mut model = model(vec![backend], binds.iter().map(bind).collect());
    for frontend in 0..model.frontends.len() {
        *l4(&mut model, frontend) = L4Frontend { fragments: Fragments::Drop, ping: Ping::Host, ..L4Frontend::of(0) };
    }
    model
}

fn web_of(forward: Forward) -> Backend {
    Backend { forward, ..direct("web", vec![server("a", "10.0.0.1:8080"), server("b", "10.0.0.2:8080")]) }
}

const HTTP: (&str, Ports) = ("192.0.2.1:80", Ports::One(80));

#[test]
fn servers_and_vips_of_ipv6_have_rows_as_those_of_ipv4() {
    let nat = Backend { forward: Forward::Nat, ..direct("web", vec![server("a", "[2001:db8:1::1]:8080")]) };
    let tables = tables(&web(nat, &[("[2001:db8::80]:80", Ports::One(80))]));
    let row = tables.servers.values().next().unwrap();
    assert_eq!((row.addr.ip(), row.port.host(), row.family), (ip("2001:db8:1::1"), 8080, 6));
    assert!(entry(&tables, "2001:db8::80").flags == 0 && tables.vips.contains_key(&key("[2001:db8::80]:80")));
    let expected = Return { vip: 1, address: ip("2001:db8::80"), port: 80, server: 1, mss: 0 };
    assert_eq!(tables.returns[&key("[2001:db8:1::1]:8080")], expected);
}

#[test]
fn a_vip_says_how_its_packets_travel() {
    for (forward, port) in [(Forward::Direct, 0), (Forward::Nat, 8080), (Forward::Ipip, 0), (Forward::Gue, 0)] {
        let gue = Backend { gue_port: 7_000, ..web_of(forward) };
        let mut model = web(gue, &[HTTP]);
        l4(&mut model, 0).mss = 1_400;
        let tables = tables(&model);
        let vip = tables.vips[&key("192.0.2.1:80")];
        let gue_port = if forward == Forward::Gue { 7_000 } else { 0 };
        assert_eq!((vip.forward, vip.mss, vip.gue_port.host()), (forward as u8, 1_400, gue_port), "{forward:?}");
        assert!(tables.servers.values().all(|row| row.port.host() == port), "{forward:?}");
        assert_eq!(tables.returns.len(), if forward == Forward::Nat { 2 } else { 0 }, "{forward:?}");
        assert!(tables.returns.values().all(|row| row.mss == 1_400), "{forward:?}");
    }
}

#[test]
fn what_a_backend_and_a_frontend_ask_for_are_flags_of_the_vip() {
    let asks = |affinity, track, fragments| {
        let mut model = web(Backend { affinity, track, ..web_of(Forward::Direct) }, &[HTTP]);
        l4(&mut model, 0).fragments = fragments;
        tables(&model).vips[&key("192.0.2.1:80")].flags
    };
    assert_eq!(asks(Affinity::None, Track::Auto, Fragments::Drop), 0);
    assert_eq!(asks(Affinity::Source, Track::Auto, Fragments::Drop), flags::AFFINITY);
    assert_eq!(asks(Affinity::None, Track::Full, Fragments::Track), flags::TRACK_FULL | flags::FRAGMENTS_TRACK);
    assert_eq!(asks(Affinity::None, Track::Auto, Fragments::Hash), flags::FRAGMENTS_HASH);
}

#[test]
fn what_becomes_of_packets_without_a_server_is_a_flag_of_the_vip() {
    let asks = |on_empty, flows| {
        let failover = Failover { on_empty, flows, ..Failover::default() };
        let model = web(Backend { failover, ..web_of(Forward::Nat) }, &[HTTP]);
        tables(&model).vips[&key("192.0.2.1:80")].flags
    };
    assert_eq!(asks(OnEmpty::Error, DownFlows::Move), 0);
    assert_eq!(asks(OnEmpty::FailOpen, DownFlows::Keep), flags::KEEPS);
    assert_eq!(asks(OnEmpty::Reset, DownFlows::Reset), flags::REFUSES | flags::RESETS);
}

#[test]
fn a_vip_that_takes_nothing_new_without_a_daemon_says_so() {
    let mut model = web(web_of(Forward::Nat), &[HTTP]);
    let asks = |model: &Model| tables(model).vips[&key("192.0.2.1:80")].flags;
    assert_eq!(asks(&model) & flags::NEEDS_DAEMON, 0);
    l4(&mut model, 0).daemon_down = DaemonDown::Withdraw;
    assert_eq!(asks(&model) & flags::NEEDS_DAEMON, flags::NEEDS_DAEMON);
}

#[test]
fn a_vip_that_is_withdrawn_neither_refuses_nor_resets() {
    let asks = |flows, admin| {
        let failover = Failover { on_empty: OnEmpty::Reset, flows, ..Failover::default() };
        let mut model = web(Backend { failover, ..web_of(Forward::Nat) }, &[HTTP]);
        model.frontends[0].quorum = Quorum { servers: 1, hysteresis: 0, down: QuorumDown::Withdraw };
        let mut registry = registry(&model);
        for server in &model.backends[0].servers {
            registry.set_admin(server.identity("web"), admin, By::Operator);
        }
        registry.count_quorums(&model, &model.backends[0]);
        desired(&model, &registry, &NextHops::new()).vips[&key("192.0.2.1:80")].flags
    };
    assert_eq!(asks(DownFlows::Reset, Admin::Ready), flags::REFUSES | flags::RESETS);
    assert_eq!(asks(DownFlows::Reset, Admin::Maint), flags::WITHDRAWN);
    assert_eq!(asks(DownFlows::Keep, Admin::Maint), flags::WITHDRAWN | flags::KEEPS);
}

#[test]
fn fragments_that_go_by_their_addresses_have_a_row_without_port() {
    let mut model = web(web_of(Forward::Direct), &[HTTP]);
    l4(&mut model, 0).fragments = Fragments::Hash;
    let tables = tables(&model);
    let [vip, fragments] = ["192.0.2.1:80", "192.0.2.1:0"].map(|address| tables.vips[&key(address)]);
    assert_eq!(fragments, Vip { flags: flags::FRAGMENTS_HASH | flags::FRAGMENTS_ONLY, ..vip });
    assert_eq!(entry(&tables, "192.0.2.1").flags, 0, "no VIP of all ports");
    let again = Registry::adopt(&tables);
    assert_eq!(again.vip_id(key("192.0.2.1:80")), Some(vip.id));
    assert_eq!(again.vip_id(key("192.0.2.1:0")), None);
}

#[test]
fn a_vip_of_all_ports_is_its_own_row_for_fragments_and_told_by_its_address() {
    let mut model = web(web_of(Forward::Direct), &[("192.0.2.1:0", Ports::All)]);
    l4(&mut model, 0).fragments = Fragments::Hash;
    let tables = tables(&model);
    assert_eq!(tables.vips.len(), 2);
    assert_eq!(tables.vips[&key("192.0.2.1:0")].flags, flags::FRAGMENTS_HASH);
    assert_eq!(entry(&tables, "192.0.2.1").flags, flags::ANY_PORT);
}

#[test]
fn the_ports_of_a_range_are_rows_of_their_own_and_counted_together() {
    let keeps = |mut backend: Backend| {
        backend.servers.iter_mut().for_each(|server| server.keeps_port = true);
        backend
    };
    let model = web(keeps(web_of(Forward::Nat)), &[("192.0.2.1:5000", Ports::Range(5_000, 5_002)), HTTP]);
    let tables = tables(&model);
    let rows = ["192.0.2.1:5000", "192.0.2.1:5001", "192.0.2.1:5002"].map(|address| tables.vips[&key(address)]);
    assert!(rows.iter().all(|row| *row == rows[0]) && rows[0].id != tables.vips[&key("192.0.2.1:80")].id);
    assert!(tables.servers.values().all(|row| row.port.host() == 0), "packets keep their port");
    let id = rows[0].id;
    let reply = |port| Return { vip: id, address: ip("192.0.2.1"), port, server: 1, mss: 0 };
    assert_eq!(tables.returns[&key("10.0.0.1:0")], reply(0));
    assert_eq!(tables.returns[&key("10.0.0.1:80")].port, 80);
    assert_eq!(tables.returns.len(), 4);
    assert_eq!(Registry::adopt(&tables).vip_id(key("192.0.2.1:5000")), Some(id));
}

#[test]
fn replies_that_the_table_of_connections_knows_name_no_vip() {
    let tables = tables(&web(Backend { track: Track::Full, ..web_of(Forward::Nat) }, &[HTTP]));
    assert_eq!(tables.returns.values().map(|row| row.vip).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn pings_follow_the_address_and_its_servers() {
    let ping = |first, second, up: bool| {
        let other = direct("api", servers(1));
        let mut model = model(
            vec![other, direct("web", servers(2))],
            vec![(bind("192.0.2.1:80", Protocol::Tcp), "web"), (bind("192.0.2.1:81", Protocol::Tcp), "api")],
        );
        l4(&mut model, 0).ping = first;
        l4(&mut model, 1).ping = second;
        let mut registry = registry(&model);
        if !up {
            for backend in &model.backends {
                for server in &backend.servers {
                    registry.set_admin(server.identity(&backend.name), Admin::Maint, By::Operator);
                }
                registry.count_quorums(&model, backend);
            }
        }
        let tables = desired(&model, &registry, &NextHops::new());
        let entry = entry(&tables, "192.0.2.1").flags;
        // One server of either backend is enough.
        let last = model.backends.iter().find(|backend| backend.name == "api").unwrap();
        registry.set_admin(last.servers[0].identity("api"), Admin::Ready, By::Operator);
        registry.count_quorums(&model, last);
        let tables = desired(&model, &registry, &NextHops::new());
        (entry, tables.vips[&Endpoint::address_entry(ip("192.0.2.1"))].flags)
    };
    let (answers, drops) = (flags::PING, flags::PING_DROP);
    assert_eq!(ping(Ping::Always, Ping::Host, false), (answers, answers));
    assert_eq!(ping(Ping::Host, Ping::Host, true), (0, 0));
    assert_eq!(ping(Ping::Up, Ping::Up, true), (answers, answers));
    assert_eq!(ping(Ping::Up, Ping::Up, false), (drops, answers));
    assert_eq!(ping(Ping::Up, Ping::Host, false), (drops, drops), "those of the other are not asked for");
    assert_eq!(ping(Ping::Always, Ping::Up, false), (answers, answers));
}

#[test]
fn a_vip_is_withdrawn_for_as_long_as_its_frontend_has_lost_its_quorum_if_so_wished() {
    let mut model = model(
        vec![direct("web", servers(3))],
        vec![(bind("192.0.2.1:80", Protocol::Tcp), "web"), (bind("192.0.2.2:80", Protocol::Tcp), "web")],
    );
    model.frontends[0].quorum = Quorum { servers: 2, hysteresis: 0, down: QuorumDown::Withdraw };
    model.frontends[1].quorum = Quorum { servers: 2, hysteresis: 0, down: QuorumDown::Serve };
    l4(&mut model, 1).ping = Ping::Up;
    let mut registry = registry(&model);
    let mut left = |admins: [Admin; 3]| {
        for (server, admin) in model.backends[0].servers.iter().zip(admins) {
            registry.set_admin(server.identity("web"), admin, By::Operator);
        }
        registry.count_quorums(&model, &model.backends[0]);
        let tables = desired(&model, &registry, &NextHops::new());
        ["192.0.2.1", "192.0.2.2"]
            .map(|ip| (tables.vips[&key(&format!("{ip}:80"))].has(flags::WITHDRAWN), entry(&tables, ip).flags))
    };
    let (up, out) = (Admin::Ready, Admin::Maint);
    assert_eq!(left([up, up, out]), [(false, flags::PING), (false, flags::PING)]);
    assert_eq!(left([up, out, out]), [(true, flags::PING_DROP), (false, flags::PING_DROP)]);
    assert_eq!(left([out; 3]), [(true, flags::PING_DROP), (false, flags::PING_DROP)]);
    assert_eq!(left([up, up, out]), [(false, flags::PING), (false, flags::PING)]);
}

#[test]
fn a_source_pool_has_rows_and_its_addresses_have_entries() {
    let pool = vec![ip("192.0.2.1"), ip("192.0.2.9")];
    let model = web(Backend { sources: pool.clone(), ..web_of(Forward::FullNat) }, &[HTTP]);
    let tables = tables(&model);
    let vip = tables.vips[&key("192.0.2.1:80")];
    assert_eq!((vip.sources_first, vip.sources_count), (0, 2));
    assert_eq!(tables.sources.values().copied().collect::<Vec<_>>(), pool);
    assert_eq!(["192.0.2.1", "192.0.2.9"].map(|address| entry(&tables, address).flags), [flags::POOL; 2]);
    assert!(tables.returns.is_empty() && tables.servers.values().all(|row| row.port.host() == 8080));

    let mut again = Registry::adopt(&tables);
    again.update(&model).unwrap();
    assert_eq!(again.pool(backend::identity("web")), (0, 2));
    assert_eq!(desired(&model, &again, &NextHops::new()), tables);
}
