//! VIPs: their ports and protocols, and what frontends of one address must agree on.

use super::{assert_errors, l4, model, said};
use crate::model::{DaemonDown, Fragments, FrontendKind, L4Frontend, Model, Ping, Ports};
use lb_common::Protocol;
use std::time::Duration;

const DIRECT: &str = "forward = \"direct\"\nserver = [{ name = \"s\", address = \"10.0.0.1\" }]";

fn binds(model: &Model) -> Vec<(String, Ports, Protocol)> {
    let binds = model.frontends.iter().flat_map(|frontend| &frontend.binds);
    binds.map(|bind| (bind.address.to_string(), bind.ports, bind.protocol)).collect()
}

fn kind(model: &Model) -> L4Frontend {
    match model.frontends[0].kind {
        FrontendKind::L4(kind) => kind,
        FrontendKind::Tcp(_) | FrontendKind::Http(_) => panic!("not l4"),
    }
}

#[test]
fn a_vip_has_one_port_several_or_all_and_one_protocol_or_both() {
    let bind = r#"bind = [
      { address = "192.0.2.10:53", protocol = ["tcp", "udp"] },
      { address = "192.0.2.10:8000-8100", protocol = "udp" },
      "192.0.2.10:80-80",
      "192.0.2.11:1-1024",
      "192.0.2.12:*",
    ]"#;
    let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
    let expected = [
        ("192.0.2.10:53", Ports::One(53), tcp),
        ("192.0.2.10:53", Ports::One(53), udp),
        ("192.0.2.10:8000", Ports::Range(8_000, 8_100), udp),
        ("192.0.2.10:80", Ports::One(80), tcp),
        ("192.0.2.11:1", Ports::Range(1, 1_024), tcp),
        ("192.0.2.12:0", Ports::All, tcp),
    ];
    let got = binds(&model(&l4(bind, DIRECT)));
    assert_eq!(got, expected.map(|(address, ports, protocol)| (address.to_owned(), ports, protocol)));
    let six = model(&l4(
        "bind = [\"[2001:db8::10]:80\", \"[2001:db8::10]:*\"]",
        "forward = \"direct\"\nserver = [{ name = \"s\", address = \"2001:db8::1\" }]",
    ));
    assert_eq!(binds(&six).iter().map(|bind| bind.1).collect::<Vec<_>>(), [Ports::One(80), Ports::All]);
}

#[test]
fn what_is_no_port_is_said() {
    let bind = r#"bind = ["192.0.2.10:1-1025", "192.0.2.10:90-80", "192.0.2.10:0-80", "192.0.2.10:80-+90", "192.0.2.10:", "192.0.2.10", "[::ffff:192.0.2.10]:80"]"#;
    let messages = [
        "`192.0.2.10:1-1025` has 1025 ports; a range has at most 1024",
        "`192.0.2.10:90-80` ends before it begins",
        "`192.0.2.10:0-80` has no port from 1 to 65535",
        "`192.0.2.10:80-+90` has no port from 1 to 65535",
        "`192.0.2.10:` has no port from 1 to 65535",
        "`192.0.2.10` has no port",
        "`[::ffff:192.0.2.10]:80` is an IPv4 address",
    ];
    assert_eq!(said(&l4(bind, DIRECT)), messages);
    let expected = r#"error: `192.0.2.10:1-1025` has 1025 ports; a range has at most 1024
 --> sluice.toml:7:8
  |
7 | bind = "192.0.2.10:1-1025"
  |        ^^^^^^^^^^^^^^^^^^^
  |
  = help: `*` takes all ports that no other bind of the address has
"#;
    assert_errors(&l4("bind = \"192.0.2.10:1-1025\"", DIRECT), expected);
}

#[test]
fn the_proxy_takes_ranges_too_as_far_as_sockets_go() {
    let text = |mode: &str, bind: &str| {
        format!("[frontend.f]\nmode = \"{mode}\"\nbind = {bind}\ndefault_backend = \"b\"\n[backend.b]\n{SERVER}")
    };
    for mode in ["tcp", "http"] {
        let model = model(&text(mode, "[\"192.0.2.10:21\", \"*:50000-50010\"]"));
        let ports: Vec<_> = binds(&model).into_iter().map(|(_, ports, _)| ports).collect();
        assert_eq!(ports, [Ports::One(21), Ports::Range(50_000, 50_010)]);
        let server = &model.backends[0].servers[0];
        assert_eq!((server.address.port(), server.keeps_port), (21, true), "checks go to the lowest");
        assert!(said(&text(mode, "[\"192.0.2.10:1-512\", \"[::]:1-512\"]")).is_empty());
        let message = format!("frontend `f` listens on 1025 ports; mode `{mode}` takes at most 1024");
        assert_eq!(said(&text(mode, "[\"192.0.2.10:1-512\", \"[::]:1-513\"]")), [message]);
    }
    let expected = r#"error: frontend `f` listens on 1025 ports; mode `tcp` takes at most 1024
 --> sluice.toml:1:11
  |
1 | [frontend.f]
  |           ^
  |
  = help: each is a socket a thread; mode "l4" has ranges and all ports of an address for nothing
"#;
    assert_errors(&text("tcp", "[\"*:1-1024\", \"*:2000\"]"), expected);
    let clash = text("tcp", "[\"192.0.2.10:8000-8100\", \"*:8100\"]");
    assert_eq!(said(&clash), ["`*:8100` is taken already, by `192.0.2.10:8000-8100` of frontend `f`"]);
}

/// Without a port.
const SERVER: &str = "server = [{ name = \"s\", address = \"10.0.0.1\" }]";

#[test]
fn protocols_are_named_once_and_at_all() {
    let bind = |protocol: &str| format!("bind = [{{ address = \"192.0.2.10:53\", protocol = {protocol} }}]");
    assert_eq!(said(&l4(&bind("[\"udp\", \"tcp\", \"udp\"]"), DIRECT)), ["`udp` is listed twice"]);
    assert_eq!(said(&l4(&bind("[]"), DIRECT)), ["`protocol` names none"]);
    assert_eq!(said(&l4(&bind("\"sctp\""), DIRECT)), ["`sctp` is not supported yet"]);
}

#[test]
fn an_address_that_no_router_brings_here_is_no_vip() {
    let bind =
        "bind = [\"*:1\", \"[::]:2\", \"127.0.0.1:3\", \"[::1]:4\", \"[fe80::1]:5\", \"[ff02::1]:6\", \"224.0.0.1:7\"]";
    let addresses = ["0.0.0.0", "::", "127.0.0.1", "::1", "fe80::1", "ff02::1", "224.0.0.1"];
    let expected = addresses.map(|address| format!("an l4 frontend needs one address of its own, not `{address}`"));
    let said = said(&l4(bind, "forward = \"ipip\"\nserver = [{ name = \"s\", address = \"10.0.0.1\" }]"));
    assert_eq!(said, expected);
}

/// Frontend `a` with the backend `b` and frontend `c` with `d`, or with `b` too.
fn two(a: &str, c: &str, backend: &str) -> String {
    l4(a, DIRECT)
        + &format!(
            "[frontend.c]\nmode = \"l4\"\n{c}\ndefault_backend = \"{backend}\"\n[backend.d]\nforward = \"direct\"\nserver = [{{ name = \"s\", address = \"10.0.0.2\" }}]\n"
        )
}

#[test]
fn two_frontends_share_no_port_but_all_ports_leave_some() {
    let both = |a: &str, c: &str| said(&two(&format!("bind = {a}"), &format!("bind = {c}"), "d"));
    let clash = |one: &str, other: &str| vec![format!("`{other}` is taken already, by `{one}` of frontend `a`")];
    let bind = |address: &str, ports: &str| format!("{address}:{ports}");
    for (one, other) in [("80", "80"), ("80-90", "90-99"), ("80-90", "85"), ("85", "80-90"), ("*", "*")] {
        let (one, other) = (bind("192.0.2.10", one), bind("192.0.2.10", other));
        assert_eq!(both(&format!("\"{one}\""), &format!("\"{other}\"")), clash(&one, &other));
    }
    for (one, other) in [("80", "81"), ("80-90", "91-99"), ("*", "80"), ("80-90", "*")] {
        let (one, other) = (bind("192.0.2.10", one), bind("192.0.2.10", other));
        assert!(both(&format!("\"{one}\""), &format!("\"{other}\"")).is_empty(), "{one} {other}");
    }
    assert!(both("\"192.0.2.10:80\"", "\"192.0.2.11:80\"").is_empty());
    assert!(both("\"192.0.2.10:80\"", "{ address = \"192.0.2.10:80\", protocol = \"udp\" }").is_empty());
    let twice = "{ address = \"192.0.2.10:80\", protocol = [\"tcp\", \"udp\"] }";
    assert_eq!(both(twice, twice), clash("192.0.2.10:80", "192.0.2.10:80"), "said once for both protocols");
}

#[test]
fn all_ports_of_a_vip_leave_none_to_the_proxy() {
    let text = l4("bind = \"192.0.2.10:*\"", DIRECT)
        + "[frontend.c]\nmode = \"tcp\"\nbind = \"*:443\"\ndefault_backend = \"d\"\n[backend.d]\nserver = [{ name = \"s\", address = \"10.0.0.2\" }]\n";
    assert_eq!(said(&text), ["`*:443` is taken already, by `192.0.2.10:*` of frontend `a`"]);
}

#[test]
fn l4_keys_become_what_they_say_and_have_defaults() {
    let one = "bind = \"192.0.2.10:80\"";
    let default = kind(&model(&l4(one, DIRECT)));
    assert_eq!((default.fragments, default.ping, default.mss), (Fragments::Track, Ping::Always, 0));
    let keys = |fragments: &str, ping: &str, mss: u16| {
        let text = format!("{one}\nfragments = \"{fragments}\"\nping = \"{ping}\"\nmss = {mss}");
        let kind = kind(&model(&l4(&text, DIRECT)));
        (kind.fragments, kind.ping, kind.mss)
    };
    assert_eq!(keys("drop", "up", 88), (Fragments::Drop, Ping::Up, 88));
    assert_eq!(keys("hash", "host", 9_000), (Fragments::Hash, Ping::Host, 9_000));
    assert_eq!(keys("track", "always", 1_400), (Fragments::Track, Ping::Always, 1_400));
    let wrong = format!("{one}\nfragments = \"drob\"\nping = \"never\"\nmss = 87");
    assert_eq!(
        said(&l4(&wrong, DIRECT)),
        [
            "`drob` is not a way to treat fragments",
            "`never` is not a way to answer pings",
            "`mss` must be from 88 to 9000"
        ]
    );
}

#[test]
fn keys_of_mode_l4_mean_nothing_elsewhere() {
    let text = "[frontend.a]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\nfragments = \"drop\"\nping = \"up\"\nmss = 1400\n[backend.b]\nserver = [{ name = \"s\", address = \"10.0.0.1\" }]\n";
    assert_eq!(said(text), ["fragments", "ping", "mss"].map(|key| format!("`{key}` has no meaning in mode `http`")));
}

#[test]
fn segments_are_of_tcp() {
    let text = l4("bind = { address = \"192.0.2.10:53\", protocol = \"udp\" }\nmss = 1400", DIRECT);
    assert_eq!(said(&text), ["no bind of this frontend is tcp: `mss` has no effect"]);
}

#[test]
fn one_address_has_one_ping() {
    let text = two("bind = \"192.0.2.10:80\"\nping = \"up\"", "bind = [\"192.0.2.10:81\", \"192.0.2.10:82\"]", "d");
    let expected = r#"error: frontends `a` and `c` of 192.0.2.10 differ in `ping`
  --> sluice.toml:16:9
   |
 7 | bind = "192.0.2.10:80"
   |        --------------- the same address
...
16 | bind = ["192.0.2.10:81", "192.0.2.10:82"]
   |         ^^^^^^^^^^^^^^^
   |
   = help: a ping is for an address, whatever its ports: say the same in both
"#;
    assert_errors(&text, expected);
    let elsewhere = two("bind = \"192.0.2.10:80\"\nping = \"up\"", "bind = \"192.0.2.11:80\"", "d");
    assert!(said(&elsewhere).is_empty());
}

#[test]
fn fragments_without_ports_go_one_way() {
    let bind = |port: u16, protocol: &str, more: &str| {
        format!("bind = {{ address = \"192.0.2.10:{port}\", protocol = \"{protocol}\" }}\n{more}")
    };
    let (hash, drop) = ("fragments = \"hash\"", "fragments = \"drop\"");
    let differ = ["frontends `a` and `c` of 192.0.2.10 differ in `fragments`"];
    let share = ["frontends `a` and `c` of 192.0.2.10 share `fragments`, but no backend"];
    assert_eq!(said(&two(&bind(53, "udp", hash), &bind(54, "udp", ""), "b")), differ);
    assert_eq!(said(&two(&bind(53, "udp", ""), &bind(54, "udp", hash), "d")), differ);
    assert_eq!(said(&two(&bind(53, "udp", hash), &bind(54, "udp", hash), "d")), share);
    for fine in
        [two(&bind(53, "udp", drop), &bind(54, "udp", ""), "d"), two(&bind(53, "udp", hash), &bind(53, "tcp", ""), "d")]
    {
        assert!(said(&fine).is_empty(), "{:?}", said(&fine));
    }
    let unused = ["no frontend uses backend `d`"];
    assert_eq!(said(&two(&bind(53, "udp", hash), &bind(54, "udp", hash), "b")), unused);
    let fullnat = "forward = \"fullnat\"\nsource = \"10.0.0.200\"\nserver = [{ name = \"s\", address = \"10.0.0.1\" }]";
    assert_eq!(
        said(&l4(&bind(53, "udp", hash), fullnat)),
        ["`hash` cannot bring fragments to the servers of `fullnat`"]
    );
}

#[test]
fn a_check_needs_a_port_where_nobody_has_one() {
    let text = |bind: &str, server: &str, check: &str| {
        l4(
            &format!("bind = {bind}"),
            &format!(
                "forward = \"nat\"\ncheck = {{ type = \"tcp\"{check} }}\nserver = [{{ name = \"s\", address = \"{server}\" }}]"
            ),
        )
    };
    assert_eq!(said(&text("\"192.0.2.10:*\"", "10.0.0.1", "")), ["this check needs a `port`"]);
    assert!(said(&text("\"192.0.2.10:*\"", "10.0.0.1", ", port = 22")).is_empty());
    assert!(said(&text("[\"192.0.2.10:*\", \"192.0.2.10:22\"]", "10.0.0.1", "")).is_empty());
}

#[test]
fn what_becomes_of_a_vip_without_a_daemon_can_be_said() {
    let text = |global: &str, mode: &str, frontend: &str| {
        format!(
            "[global]\ninterfaces = \"eth0\"\n{global}\n[frontend.a]\nmode = \"{mode}\"\nbind = \"192.0.2.10:80\"\n\
             default_backend = \"b\"\n{frontend}\n[backend.b]\nforward = \"direct\"\n\
             server = [{{ name = \"s\", address = \"10.0.0.1\" }}]\n"
        )
    };
    let of = |frontend: &str| kind(&model(&text("", "l4", frontend))).daemon_down;
    assert_eq!((of(""), of("daemon_down = \"forward\"")), (DaemonDown::Forward, DaemonDown::Forward));
    assert_eq!(of("daemon_down = \"withdraw\""), DaemonDown::Withdraw);
    assert_eq!(
        said(&text("", "l4", "daemon_down = \"serve\"")),
        ["`serve` is not what becomes of traffic without a daemon"]
    );
    let timeout = |global: &str| model(&text(global, "l4", "")).global.heartbeat_timeout;
    assert_eq!((timeout(""), timeout("heartbeat_timeout = \"3s\"")), (Duration::from_secs(10), Duration::from_secs(3)));
    for wrong in ["2s", "0s", "2h"] {
        let wrong = format!("heartbeat_timeout = \"{wrong}\"");
        assert_eq!(said(&text(&wrong, "l4", "")), ["`heartbeat_timeout` must be from 3s to 1h"]);
    }
    let said = said(&text("", "tcp", "daemon_down = \"withdraw\"").replace("forward = \"direct\"\n", ""));
    assert_eq!(said, ["`daemon_down` has no meaning in mode `tcp`"]);
}

#[test]
fn what_the_kernel_half_remembers_has_bounds() {
    let text = |global: &str| {
        format!(
            "[global]\n{global}\n[frontend.a]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1\" }}]\n"
        )
    };
    let global = model(&text("")).global;
    assert_eq!(
        (global.flow_timeout_tcp, global.flow_timeout_udp, global.track_budget),
        (Duration::from_hours(1), Duration::from_mins(3), 20_000)
    );
    let global = model(&text("flow_timeout_tcp = \"7d\"\nflow_timeout_udp = \"1s\"\ntrack_budget = 1000000")).global;
    assert_eq!(
        (global.flow_timeout_tcp, global.flow_timeout_udp, global.track_budget),
        (Duration::from_hours(168), Duration::from_secs(1), 1_000_000)
    );
    assert_eq!(
        said(&text("flow_timeout_tcp = \"8d\"\nflow_timeout_udp = \"1ms\"\ntrack_budget = 0")),
        [
            "`flow_timeout_tcp` must be from 1s to 7d",
            "`flow_timeout_udp` must be from 1s to 7d",
            "`track_budget` must be from 1 to 1000000",
        ]
    );
}
