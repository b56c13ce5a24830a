//! What is found on machines made up for the purpose.

use super::{
    Finding, all,
    device::Device,
    findings,
    host::{Host, Kernel, Link, Route, Way},
};
use crate::config::parse;

/// Clients by `eth0`, servers by `eth1`; with the VIPs and the source of the tests.
fn host() -> Host {
    let link = |name: &str, addresses: &[&str]| Link {
        name: name.to_owned(),
        up: true,
        mtu: 1_500,
        lower: None,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    };
    let route = |prefix: &str, link: &str, gateway: Option<&str>| Route {
        prefix: prefix.parse().unwrap(),
        way: Some(Way { link: link.to_owned(), gateway: gateway.map(|gateway| gateway.parse().unwrap()), mtu: None }),
    };
    Host {
        links: vec![
            link("lo", &["127.0.0.1/8", "::1/128"]),
            link("eth0", &["192.0.2.1/24", "192.0.2.10/32", "2001:db8::1/64", "2001:db8::10/128"]),
            link("eth1", &["10.1.1.1/24", "10.1.1.200/24"]),
        ],
        routes: vec![
            route("192.0.2.0/24", "eth0", None),
            route("2001:db8::/64", "eth0", None),
            route("10.1.1.0/24", "eth1", None),
            route("10.2.0.0/16", "eth1", Some("10.1.1.254")),
        ],
        ..Host::default()
    }
}

/// What is found on `host`: an `l4` frontend and its backend, each with these keys.
fn on(host: &Host, interfaces: &str, bind: &str, backend: &str) -> Vec<String> {
    let text = format!(
        "[global]\ninterfaces = {interfaces}\n[frontend.f]\nmode = \"l4\"\nbind = {bind}\ndefault_backend = \"b\"\n[backend.b]\n{backend}\n"
    );
    let model = parse(&text).unwrap_or_else(|errors| panic!("{errors}")).model;
    findings(&model, host).iter().map(Finding::to_string).collect()
}

fn servers(addresses: &[&str]) -> String {
    let server =
        |(number, address): (usize, &&str)| format!("{{ name = \"web{}\", address = \"{address}\" }}", number + 1);
    let servers: Vec<_> = addresses.iter().enumerate().map(server).collect();
    format!("server = [{}]", servers.join(", "))
}

/// With the VIP 192.0.2.10:80 and both interfaces.
fn found(forward: &str, addresses: &[&str]) -> Vec<String> {
    let backend = format!("forward = \"{forward}\"\n{}", servers(addresses));
    on(&host(), "[\"eth0\", \"eth1\"]", "\"192.0.2.10:80\"", &backend)
}

#[test]
fn of_a_network_that_fits_there_is_nothing_to_say() {
    assert!(found("direct", &["192.0.2.21"]).is_empty());
    assert!(found("nat", &["10.1.1.11:8080", "10.1.1.12"]).is_empty());
    let fullnat = format!("forward = \"fullnat\"\nsource = \"10.1.1.200\"\n{}", servers(&["10.1.1.11", "10.2.0.1"]));
    assert!(on(&host(), "[\"eth0\", \"eth1\"]", "\"192.0.2.10:80\"", &fullnat).is_empty());
    let mut jumbo = host();
    jumbo.links[2].mtu = 1_520;
    let ipip = format!("forward = \"ipip\"\n{}", servers(&["10.1.1.11", "10.2.0.1"]));
    assert!(on(&jumbo, "\"eth0\"", "[\"192.0.2.10:80\", \"[2001:db8::10]:80\"]", &ipip).is_empty());
}

#[test]
fn without_the_kernel_half_nothing_is_asked() {
    let text = "[frontend.f]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\nserver = [{ name = \"s\", address = \"10.9.9.9\" }]\n";
    assert!(findings(&parse(text).unwrap().model, &Host::default()).is_empty());
}

#[test]
fn interfaces_and_addresses_that_are_not_there_are_named() {
    let mut host = host();
    host.links[1].up = false;
    let backend = format!("forward = \"direct\"\n{}", servers(&["192.0.2.21"]));
    let expected = [
        "warning: interface `eth0` is down, or has no carrier; mend it: ip link set eth0 up",
        "warning: this machine has no interface `eth7`",
        "note: this machine does not have the VIP 192.0.2.11; packets for it must be routed here",
    ];
    let binds = "[\"192.0.2.11:80\", \"192.0.2.11:443\"]";
    assert_eq!(on(&host, "[\"eth0\", \"eth7\"]", binds, &backend), expected);
}

#[test]
fn a_source_that_nobody_has_gets_no_replies() {
    let fullnat =
        |source: &str| format!("forward = \"fullnat\"\nsource = [{source}]\n{}", servers(&["10.1.1.11", "10.2.0.1"]));
    let found = |source| on(&host(), "[\"eth0\", \"eth1\"]", "\"192.0.2.10:80\"", &fullnat(source));
    let absent = "warning: this machine does not have the source 10.1.1.201 of backend `b`: what servers answer to it does not arrive, unless it is routed here";
    assert_eq!(found("\"10.1.1.200\", \"10.1.1.201\""), [absent]);
    let elsewhere =
        "note: backend `b`, server web1: on 10.1.1.0/24, the source 192.0.2.1 is not: they need a route to it";
    assert_eq!(found("\"192.0.2.1\""), [elsewhere]);
    let own = "warning: backend `b`, servers web1, web2: the source 10.1.1.1 is what this machine's own packets to them come from";
    let found = found("\"10.1.1.1\"");
    assert!(found.len() == 1 && found[0].starts_with(own), "{found:?}");
}

#[test]
fn servers_without_a_route_are_named_up_to_three() {
    let lost = ["10.9.9.1", "10.9.9.2", "10.9.9.3", "10.9.9.4", "10.9.9.5"];
    assert_eq!(
        found("ipip", &lost[..1]),
        ["warning: backend `b`, server web1: no route leads there by an Ethernet interface that is up"]
    );
    assert_eq!(
        found("ipip", &lost[..2]),
        ["warning: backend `b`, servers web1, web2: no route leads there by an Ethernet interface that is up"]
    );
    assert_eq!(
        found("ipip", &lost),
        [
            "warning: backend `b`, servers web1, web2, web3 and 2 more: no route leads there by an Ethernet interface that is up"
        ]
    );
    let mut host = host();
    host.routes.push(Route { prefix: "10.1.1.11/32".parse().unwrap(), way: None });
    let backend = format!("forward = \"nat\"\n{}", servers(&["10.1.1.11", "10.1.1.12"]));
    let expected = ["warning: backend `b`, server web1: no route leads there by an Ethernet interface that is up"];
    assert_eq!(on(&host, "[\"eth0\", \"eth1\"]", "\"192.0.2.10:80\"", &backend), expected, "a blackhole is none");
}

#[test]
fn a_server_is_another_machine() {
    let expected = [
        "warning: backend `b`, server web1: this machine's own address: the kernel half sends to other machines alone",
    ];
    assert_eq!(found("nat", &["10.1.1.1", "10.1.1.11"]), expected);
}

#[test]
fn direct_wants_servers_on_a_link() {
    let found = found("direct", &["10.1.1.11", "10.2.0.1"]);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert!(
        one.starts_with("warning: backend `b`, server web2: `direct` reaches them through the router 10.1.1.254"),
        "{one}"
    );
}

#[test]
fn nat_wants_replies_back() {
    let beside = found("nat", &["192.0.2.21", "192.0.2.22", "10.1.1.11"]);
    let [one] = beside.as_slice() else { panic!("{beside:?}") };
    let expected = "warning: backend `b`, servers web1, web2: on the link of the VIP 192.0.2.10 (192.0.2.0/24): clients there get replies past this machine";
    assert!(one.starts_with(expected), "{one}");
    let behind = found("nat", &["10.2.0.1"]);
    let expected = "note: backend `b`, server web1: behind the router 10.1.1.254: their replies must come back through this machine";
    assert_eq!(behind, [expected]);
}

#[test]
fn replies_must_come_in_where_the_program_is() {
    let backend = format!("forward = \"nat\"\n{}", servers(&["10.1.1.11"]));
    let found = |host: &Host| on(host, "\"eth0\"", "\"192.0.2.10:80\"", &backend);
    let expected = "warning: backend `b`, server web1: replies come in by `eth1`, where the kernel half is not attached and does not translate them: add it to `interfaces`";
    assert_eq!(found(&host()), [expected]);
    let mut vlan = host();
    vlan.links[2].lower = Some("eth0".to_owned());
    assert!(found(&vlan).is_empty(), "a VLAN on an interface where it is");
    vlan.links[2].lower = Some("eth0.7".to_owned());
    vlan.links.push(Link { name: "eth0.7".to_owned(), lower: Some("eth0".to_owned()), ..vlan.links[0].clone() });
    assert!(found(&vlan).is_empty(), "a VLAN on a VLAN");
}

#[test]
fn a_tunnel_wants_room() {
    let tunnel = |forward: &str, vips: &str, mtu: u32, server: &str| {
        let mut host = host();
        host.links[2].mtu = mtu;
        host.routes.push(Route {
            prefix: "2001:db8:1::/48".parse().unwrap(),
            way: Some(Way { link: "eth1".to_owned(), gateway: None, mtu: Some(1_400) }),
        });
        on(&host, "\"eth0\"", vips, &format!("forward = \"{forward}\"\n{}", servers(&[server])))
    };
    let (four, six) = ("\"192.0.2.10:80\"", "\"[2001:db8::10]:80\"");
    let said = |overhead, fits, mtu, less: &str, raise| {
        format!(
            "warning: backend `b`, server web1: the tunnel takes {overhead} bytes, so that packets above {fits} bytes do not fit through `eth1` (mtu {mtu}): {less}raise the mtu of the links to the servers to {raise}"
        )
    };
    let less = |advmss| format!("let servers ask clients for less (advmss {advmss}), or ");
    assert_eq!(tunnel("ipip", four, 1_500, "10.1.1.11"), [said(20, 1_480, 1_500, &less(1_440), 1_520)]);
    assert_eq!(tunnel("gue", four, 1_500, "10.1.1.11"), [said(28, 1_472, 1_500, &less(1_432), 1_528)]);
    assert_eq!(tunnel("ipip", six, 1_519, "10.1.1.11"), [said(20, 1_499, 1_519, &less(1_439), 1_520)]);
    assert_eq!(tunnel("gue", four, 9_000, "2001:db8:1::1"), [said(48, 1_352, 1_400, &less(1_312), 1_548)]);
    assert_eq!(tunnel("ipip", six, 1_299, "10.1.1.11"), [said(20, 1_279, 1_299, "IPv6 needs 1280: ", 1_520)]);
    assert!(tunnel("ipip", four, 1_520, "10.1.1.11").is_empty());
}

/// What is said of the machine itself, with `nat` on both interfaces.
fn of_machine(host: &Host) -> Vec<String> {
    let text = "[global]\ninterfaces = [\"eth0\", \"eth1\"]\n[frontend.f]\nmode = \"l4\"\nbind = \"192.0.2.10:80\"\ndefault_backend = \"b\"\n[backend.b]\nforward = \"nat\"\n";
    let model = parse(&(text.to_owned() + &servers(&["10.1.1.11"]))).unwrap_or_else(|errors| panic!("{errors}")).model;
    let network = findings(&model, host).len();
    all(&model, host).iter().skip(network).map(Finding::to_string).collect()
}

fn device(driver: &str, queues: u32, features: &[&str]) -> Device {
    let features = features.iter().map(ToString::to_string).collect();
    Device { driver: driver.to_owned(), queues, features }
}

#[test]
fn of_a_machine_that_fits_there_is_nothing_to_say() {
    let mut host = host();
    assert!(of_machine(&host).is_empty(), "it does not say anything of itself");
    let card = device("mlx5_core", 8, &["rx-gro", "tx-checksum-ipv4"]);
    host.devices = [("eth0".to_owned(), card.clone()), ("eth1".to_owned(), card)].into();
    host.kernel = Kernel { jit: Some(true), forwards: [Some(true); 2], cpus: 8, ..Kernel::default() };
    assert!(of_machine(&host).is_empty(), "{:?}", of_machine(&host));
}

#[test]
fn cards_and_kernels_that_are_in_the_way_are_told_with_the_command_that_mends_it() {
    let mut host = host();
    let eth0 = device("ixgbe", 2, &["rx-lro", "rx-gro-hw", "rx-vlan-hw-parse"]);
    host.devices = [("eth0".to_owned(), eth0), ("eth1".to_owned(), device("veth", 1, &[]))].into();
    host.kernel = Kernel { jit: Some(false), forwards: [Some(false); 2], strict: ["eth1".to_owned()].into(), cpus: 8 };
    let mends = |host: &Host| -> Vec<String> {
        of_machine(host).iter().map(|line| line.split_once("; mend it: ").unwrap().1.to_owned()).collect()
    };
    let expected = [
        "sysctl -w net.core.bpf_jit_enable=1",
        "ethtool -K eth0 lro off",
        "ethtool -K eth0 rx-gro-hw off",
        "ethtool -L eth0 combined 8, as far as the card has so many",
        "at the other end: ethtool -K PEER gro on tx off",
        "sysctl -w net.ipv4.ip_forward=1",
        "sysctl -w net/ipv4/conf/eth1/rp_filter=2",
    ];
    assert_eq!(mends(&host), expected);
    // Tags matter once there are VLANs.
    host.links.push(Link { name: "eth0.7".to_owned(), lower: Some("eth0".to_owned()), ..host.links[1].clone() });
    assert_eq!(mends(&host)[3], "ethtool -K eth0 rxvlan off");
}
