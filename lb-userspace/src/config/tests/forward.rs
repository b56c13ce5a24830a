//! What each way to forward has and can: its own keys, ports, families, pools.

use super::{Format, assert_errors, l4, model, parse, said};
use crate::model::{Affinity, Balance, Track};
use lb_common::Forward;
use std::time::Duration;

const SERVER: &str = "server = [{ name = \"s\", address = \"10.0.0.1\" }]";

/// A backend of the VIP 192.0.2.10:80.
fn of_one_vip(backend: &str) -> String {
    l4("bind = \"192.0.2.10:80\"", backend)
}

#[test]
fn every_way_to_forward_is_a_word() {
    for (word, forward, more) in [
        ("direct", Forward::Direct, ""),
        ("nat", Forward::Nat, ""),
        ("ipip", Forward::Ipip, ""),
        ("gue", Forward::Gue, "gue_port = 6081"),
        ("fullnat", Forward::FullNat, "source = \"10.0.0.200\""),
    ] {
        let backend = &model(&of_one_vip(&format!("forward = \"{word}\"\n{more}\n{SERVER}"))).backends[0];
        assert_eq!(backend.forward, forward);
        assert_eq!(backend.gue_port, if forward == Forward::Gue { 6_081 } else { 6_080 });
        assert_eq!(backend.sources.len(), usize::from(forward == Forward::FullNat));
    }
}

#[test]
fn balance_track_and_transition_become_what_they_say() {
    let text = format!("forward = \"nat\"\nbalance = \"source\"\ntrack = \"full\"\ntransition = \"24h\"\n{SERVER}");
    let backend = &model(&of_one_vip(&text)).backends[0];
    assert_eq!((&backend.balance, backend.affinity), (&Balance::Maglev, Affinity::Source));
    assert_eq!((backend.track, backend.transition), (Track::Full, Duration::from_hours(24)));
    let backend = &model(&of_one_vip(&format!("forward = \"nat\"\n{SERVER}"))).backends[0];
    assert_eq!((&backend.balance, backend.affinity), (&Balance::Maglev, Affinity::None));
    assert_eq!((backend.track, backend.transition), (Track::Auto, Duration::from_mins(5)));
}

#[test]
fn keys_of_one_way_to_forward_mean_nothing_to_another() {
    let text = of_one_vip(&format!("forward = \"nat\"\ngue_port = 6081\nsource = \"10.0.0.200\"\n{SERVER}"));
    let expected = r#"error: `gue_port` has no meaning with forward = "nat"
  --> sluice.toml:12:12
   |
11 | forward = "nat"
   |           ----- the way to forward
12 | gue_port = 6081
   |            ^^^^
   |
   = help: it belongs to forward = "gue"

error: `source` has no meaning with forward = "nat"
  --> sluice.toml:13:10
   |
11 | forward = "nat"
   |           ----- the way to forward
12 | gue_port = 6081
13 | source = "10.0.0.200"
   |          ^^^^^^^^^^^^
   |
   = help: it belongs to forward = "fullnat"
"#;
    assert_errors(&text, expected);
}

#[test]
fn values_out_of_bounds_are_errors() {
    let backend = "forward = \"gue\"\ngue_port = 0\ntransition = \"25h\"\ndrain_timeout = \"0s\"\ntrack = \"some\"";
    let expected = [
        "`gue_port` must be from 1 to 65535",
        "`transition` must be from 1s to 1d",
        "`drain_timeout` must be from 1s to 7d",
        "`some` is not a way to track",
    ];
    assert_eq!(said(&of_one_vip(&format!("{backend}\n{SERVER}"))), expected);
}

#[test]
fn a_pool_of_sources_is_needed_in_each_family_and_taken_by_nobody() {
    let frontend = "bind = [\"192.0.2.10:80\", \"[2001:db8::10]:80\"]";
    let backend = |source: &str| {
        let servers =
            "server = [{ name = \"s\", address = \"10.0.0.1\" }, { name = \"t\", address = \"2001:db8::1\" }]";
        l4(frontend, &format!("forward = \"fullnat\"\n{source}\n{servers}"))
    };
    // That each VIP meets servers of the other family is another error.
    let of_pool = |source: &str| {
        let other = |said: &String| !said.starts_with("`fullnat` cannot bring packets");
        said(&backend(source)).into_iter().filter(other).collect::<Vec<_>>()
    };
    assert_eq!(of_pool(""), ["`fullnat` needs `source`: what servers answer to"]);
    assert_eq!(of_pool("source = []"), ["`fullnat` needs `source`: what servers answer to"]);
    assert_eq!(of_pool("source = \"10.0.0.200\""), ["`source` has no IPv6 address, but a VIP is of IPv6"]);
    assert_eq!(of_pool("source = \"2001:db8::200\""), ["`source` has no IPv4 address, but a VIP is of IPv4"]);
    assert!(of_pool("source = [\"10.0.0.200\", \"2001:db8::200\"]").is_empty());
    let taken = "source = [\"10.0.0.200\", \"2001:db8::200\", \"10.0.0.200\", \"192.0.2.10\", \"10.0.0.1\"]";
    assert_eq!(
        of_pool(taken),
        [
            "the source 10.0.0.200 is listed twice",
            "the source 192.0.2.10 is a VIP",
            "the source 10.0.0.1 is a server's"
        ]
    );
    let strange =
        "source = [\"10.0.0.200:80\", \"0.0.0.0\", \"pool\", \"::ffff:10.0.0.3\", \"10.0.0.4\", \"2001:db8::4\"]";
    assert_eq!(
        of_pool(strange),
        [
            "`10.0.0.200:80` has a port; only an address fits",
            "`0.0.0.0` is not the address of one machine",
            "`pool`: only servers may be known by a host name",
            "`::ffff:10.0.0.3` is an IPv4 address",
        ]
    );
}

#[test]
fn backends_may_share_a_pool_but_not_with_the_servers_of_another() {
    let text = of_one_vip(&format!("forward = \"fullnat\"\nsource = \"10.0.0.200\"\n{SERVER}"))
        + "[frontend.c]\nmode = \"l4\"\nbind = \"192.0.2.10:81\"\ndefault_backend = \"d\"\n[backend.d]\nforward = \"fullnat\"\nsource = \"10.0.0.200\"\n"
        + SERVER;
    assert_eq!(model(&text).backends[1].sources, model(&text).backends[0].sources);
    let proxied = text
        + "\n[frontend.e]\nmode = \"tcp\"\nbind = \"*:82\"\ndefault_backend = \"f\"\n[backend.f]\nserver = [{ name = \"x\", address = \"10.0.0.200:80\" }]\n";
    assert_eq!(said(&proxied), ["the source 10.0.0.200 is a server's"; 2]);
}

#[test]
fn only_tunnels_change_the_family() {
    let text = |forward: &str, more: &str| {
        let servers =
            "server = [{ name = \"s\", address = \"10.0.0.1\" }, { name = \"t\", address = \"2001:db8::1\" }]";
        l4("bind = [\"192.0.2.10:80\", \"[2001:db8::10]:80\"]", &format!("forward = \"{forward}\"\n{more}\n{servers}"))
    };
    for forward in ["ipip", "gue"] {
        assert!(said(&text(forward, "")).is_empty(), "{forward}");
    }
    let pool = "source = [\"10.0.0.200\", \"2001:db8::200\"]";
    for (forward, more) in [("direct", ""), ("nat", ""), ("fullnat", pool)] {
        assert_eq!(
            said(&text(forward, more)),
            [
                format!("`{forward}` cannot bring packets to the IPv6 VIP 2001:db8::10 to the IPv4 server 10.0.0.1"),
                format!("`{forward}` cannot bring packets to the IPv4 VIP 192.0.2.10 to the IPv6 server 2001:db8::1"),
            ]
        );
    }
    let errors = parse(&text("nat", "")).expect_err("errors").render(Format::Full);
    assert!(
        errors.contains("addresses are rewritten within their family: give the server an IPv6 address, or use forward = \"ipip\" or \"gue\""),
        "{errors}"
    );
}

#[test]
fn only_translation_maps_ports() {
    let text = |forward: &str, more: &str, port: u16| {
        let server = format!("server = [{{ name = \"s\", address = \"10.0.0.1:{port}\" }}]");
        of_one_vip(&format!("forward = \"{forward}\"\n{more}\n{server}"))
    };
    for (forward, more) in [("nat", ""), ("fullnat", "source = \"10.0.0.200\"")] {
        assert!(said(&text(forward, more, 8_080)).is_empty(), "{forward}");
    }
    for forward in ["direct", "ipip", "gue"] {
        assert!(said(&text(forward, "", 80)).is_empty(), "{forward}");
        let expected = format!("`{forward}` cannot map port 80 of the VIP to port 8080 of the server");
        assert_eq!(said(&text(forward, "", 8_080)), [expected]);
    }
}

#[test]
fn several_ports_of_a_vip_stay_as_they_are() {
    let text = |bind: &str, forward: &str, server: &str| {
        let server = format!("server = [{{ name = \"s\", address = \"{server}\" }}]");
        l4(&format!("bind = {bind}"), &format!("forward = \"{forward}\"\n{server}"))
    };
    for forward in ["direct", "nat"] {
        for (bind, port) in [
            ("[\"192.0.2.10:81\", \"192.0.2.10:80\"]", 80),
            ("\"192.0.2.10:8000-8100\"", 8_000),
            ("[\"192.0.2.10:*\"]", 0),
        ] {
            let server = &model(&text(bind, forward, "10.0.0.1")).backends[0].servers[0];
            assert_eq!((server.address.port(), server.keeps_port), (port, true), "{forward} {bind}");
        }
    }
    let refused = |bind, forward| said(&text(bind, forward, "10.0.0.1:8000"));
    let (range, all) = ("\"192.0.2.10:8000-8100\"", "\"192.0.2.10:*\"");
    assert_eq!(refused(range, "nat"), ["ports 8000-8100 of the VIP cannot all become port 8000 of the server"]);
    assert_eq!(refused(all, "nat"), ["all ports of the VIP cannot all become port 8000 of the server"]);
    assert_eq!(refused(range, "direct"), ["`direct` cannot map ports 8000-8100 of the VIP to port 8000 of the server"]);
    let given = &model(&text("\"192.0.2.10:80\"", "nat", "10.0.0.1:8000")).backends[0].servers[0];
    assert_eq!((given.address.port(), given.keeps_port), (8_000, false));
}

#[test]
fn a_server_is_somewhere_on_the_network() {
    let server =
        "server = [{ name = \"s\", address = \"127.0.0.1:80\" }, { name = \"t\", address = \"[fe80::1]:80\" }]";
    let text = l4(
        "bind = [\"192.0.2.10:80\", \"192.0.2.10:81\"]",
        &format!("forward = \"nat\"\nbalance = \"leastconn\"\n{server}"),
    );
    let said = said(&text);
    assert!(said.contains(&"the kernel half cannot send to 127.0.0.1".to_owned()), "{said:?}");
    assert!(said.contains(&"the kernel half cannot send to fe80::1".to_owned()), "{said:?}");
}

#[test]
fn keys_of_the_kernel_half_have_no_effect_without_it() {
    let text = format!(
        "[frontend.a]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\nbalance = \"source\"\nforward = \"gue\"\ngue_port = 1\ntrack = \"full\"\ntransition = \"1s\"\n{SERVER}\n"
    );
    let keys = ["forward", "gue_port", "track", "transition"];
    let expected = keys.map(|key| format!("no l4 frontend uses backend `b`: `{key}` has no effect"));
    assert_eq!(said(&text), expected);
    assert_eq!(model(&text).backends[0].affinity, Affinity::Source, "`source` balances in userspace too");
}
