//! Servers that are known by their names, and who is asked for their addresses.

use super::parse;
use crate::{
    config::{Bundle, ConfigFile, Format, load},
    model::{Family, Model, Resolvers, ServerTls, Sni, resolvers::Hold, server::NOWHERE},
};
use std::{net::SocketAddr, time::Duration};

const WWW: &str = "[frontend.a]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n";

fn of_servers(servers: &str) -> String {
    format!("{WWW}[backend.b]\nserver = [{servers}]\n")
}

fn model(text: &str) -> Model {
    parse(text).unwrap_or_else(|errors| panic!("{errors}")).model
}

fn errors(text: &str) -> Vec<String> {
    parse(text).expect_err("errors").iter().map(|error| error.message.clone()).collect()
}

fn warnings(text: &str) -> Vec<String> {
    parse(text).expect("a model").warnings.iter().map(|warning| warning.message.clone()).collect()
}

#[test]
fn a_server_may_be_known_by_its_name_and_has_no_address_then() {
    let text = of_servers(
        r#"{ name = "s1", address = "DB1.Internal.:3306" },
           { name = "s2", address = "db2", resolve_prefer = "ipv4", resolve_opts = "allow-dup-ip" },
           { name = "s3", address = "10.0.0.1:3306" }"#,
    );
    let servers = &model(&text).backends[0].servers;
    let hosts: Vec<_> = servers
        .iter()
        .map(|server| server.host.as_ref().map(|host| (&*host.name, host.prefer, host.allow_dup_ip)))
        .collect();
    assert_eq!(hosts, [Some(("db1.internal", Family::V6, false)), Some(("db2", Family::V4, true)), None]);
    let addresses: Vec<_> = servers.iter().map(|server| (server.address, server.keeps_port)).collect();
    assert_eq!(
        addresses,
        [
            (SocketAddr::new(NOWHERE, 3306), false),
            (SocketAddr::new(NOWHERE, 80), true),
            ("10.0.0.1:3306".parse().expect("an address"), false)
        ]
    );
    assert_eq!([0, 1, 2].map(|index| servers[index].is_resolved()), [false, false, true]);
}

#[test]
fn what_cannot_be_a_host_name_is_refused_with_the_reason_and_the_place() {
    let rows = [
        ("db_1..x:80", "`db_1..x:80` has no host name: a part between dots has 1 to 63 characters"),
        (
            "-db:80",
            "`-db:80` has no host name: parts are of letters, digits, `-` and `_`, and neither begin nor end with `-`",
        ),
        ("db.1:80", "`db.1:80` has no host name: its last part is a number"),
        ("10.0.0.300:80", "`10.0.0.300:80` is not an address"),
        ("db one:80", "`db one:80` is not an address"),
        ("db:0", "`db:0` has no port from 1 to 65535"),
        ("db:80:90", "`db:80:90` is not an address"),
        ("unix@db", "`unix@db`: unix sockets and address families are not supported yet"),
    ];
    for (address, error) in rows {
        let text = of_servers(&format!("{{ name = \"s\", address = \"{address}\" }}"));
        assert_eq!(errors(&text), [error]);
        let short = parse(&text).expect_err("errors").render(Format::Short);
        assert!(short.starts_with("sluice.toml:6:35: error: "), "{short}");
    }
    let text = of_servers(
        r#"{ name = "s", address = "10.0.0.1:80", resolve_prefer = "ipv4", resolve_opts = "allow-dup-ip" }"#,
    );
    assert_eq!(
        errors(&text),
        ["`resolve_prefer`", "`resolve_opts`"].map(|key| format!("{key} has no meaning for a server by address"))
    );
    let bind = of_servers(r#"{ name = "s", address = "db:80" }"#).replace("*:80", "www.example.com:80");
    assert_eq!(errors(&bind), ["`www.example.com:80`: only servers may be known by a host name"]);
}

#[test]
fn several_servers_may_have_one_name_for_each_gets_an_address_of_its_own() {
    let text = of_servers(r#"{ name = "s1", address = "db:80" }, { name = "s2", address = "db:80" }"#);
    assert!(warnings(&text).is_empty());
}

#[test]
fn a_name_behind_vips_of_both_families_is_refused_unless_a_tunnel_takes_both() {
    let text = |forward: &str| {
        format!(
            "[global]\ninterfaces = \"eth0\"\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n[frontend.a]\nmode = \"l4\"\n\
             bind = [\"192.0.2.1:80\", \"[2001:db8::1]:80\"]\ndefault_backend = \"b\"\n[backend.b]\nforward = \"{forward}\"\n\
             server = [{{ name = \"s\", address = \"db\" }}]\n"
        )
    };
    let error = "cannot bring packets of both families to one server, but 192.0.2.1 and 2001:db8::1 are VIPs of its";
    assert_eq!(errors(&text("nat")), [format!("`nat` {error}")]);
    assert_eq!(errors(&text("direct")), [format!("`direct` {error}")]);
    assert!(parse(&text("gue")).is_ok());
}

#[test]
fn a_cookie_that_is_made_of_the_address_waits_for_one() {
    let text = of_servers(r#"{ name = "s1", address = "db:80" }, { name = "s2", address = "db:80", cookie = "own" }"#)
        .replace("tcp", "http")
        .replace("[backend.b]", "[backend.b]\ncookie = { name = \"SRV\", dynamic = true }\ndynamic_cookie_key = \"k\"");
    let by_address = text.replace("\"db:80\" }, ", "\"10.0.0.1:80\" }, ");
    let servers = model(&text).backends.remove(0).servers;
    assert_eq!((servers[0].cookie.as_deref(), servers[1].cookie.as_deref()), (None, Some("own")));
    let at = |index: usize| servers[index].at(Some([10, 0, 0, 1].into())).cookie;
    assert_eq!(at(0), model(&by_address).backends[0].servers[0].cookie);
    assert!(at(0).is_some());
    assert_eq!(at(1).as_deref(), Some("own"));
    assert_eq!(servers[0].at(Some([10, 0, 0, 1].into())).at(None).cookie, None);
}

#[test]
fn a_server_is_asked_for_the_name_that_it_is_known_by_unless_another_is_typed() {
    let sni = |tls: &str, own: &str| {
        let servers = format!("{{ name = \"s\", address = \"db.internal:443\"{own} }}");
        let text = of_servers(&servers).replace("[backend.b]", &format!("[backend.b]\n{tls}"));
        model(&text).backends[0].servers[0].tls.as_deref().map(|tls: &ServerTls| tls.sni.clone())
    };
    let named = |name: &str| Some(Sni::Name(name.to_owned()));
    assert_eq!(sni("tls = { verify = \"none\" }", ""), named("db.internal"));
    assert_eq!(sni("tls = { verify = \"none\", sni = \"host\" }", ""), Some(Sni::Host));
    assert_eq!(sni("tls = { verify = \"none\", sni = \"x.test\" }", ""), named("x.test"));
    assert_eq!(
        sni("tls = { verify = \"none\", sni = \"x.test\" }", ", tls = { verify = \"none\" }"),
        named("db.internal"),
        "the server's own `tls` is all that counts"
    );
    assert_eq!(sni("", ""), None);
}

#[test]
fn name_servers_are_those_that_are_typed_else_those_of_the_machine() {
    let text = of_servers(r#"{ name = "s", address = "db:80" }"#);
    let of = |resolvers: &str, resolv_conf: Option<&str>| {
        let file = ConfigFile { path: "sluice.toml".to_owned(), text: format!("{resolvers}{text}") };
        let bundle = Bundle {
            files: vec![file],
            cpus: 1,
            resolv_conf: resolv_conf.map(str::to_owned),
            hosts: Some("10.0.0.1 DB\n10.0.0.2 other\n".to_owned()),
            ..Bundle::default()
        };
        load(&bundle).expect("a model").model.resolvers
    };
    let asked = |resolvers: &str, resolv_conf| {
        of(resolvers, resolv_conf).nameservers.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let machine = "nameserver 192.0.2.53\nnameserver 2001:db8::53\n";
    assert_eq!(asked("", Some(machine)), ["192.0.2.53:53", "[2001:db8::53]:53"]);
    assert_eq!(asked("[resolvers]\nnameserver = \"10.0.0.53:5353\"\n", Some(machine)), ["10.0.0.53:5353"]);
    assert_eq!(asked("", Some("search example.com\n")), ["127.0.0.1:53"]);
    assert_eq!(asked("", None), ["127.0.0.1:53"]);
    let hosts = of("", None).hosts;
    assert_eq!(
        hosts.into_iter().collect::<Vec<_>>(),
        [("db".into(), ["10.0.0.1".parse().expect("an address")].into())]
    );
}

#[test]
fn times_have_haproxys_defaults_except_that_an_answer_stands_for_ever() {
    let with = |resolvers: &str| format!("{resolvers}{}", of_servers(r#"{ name = "s", address = "db:80" }"#));
    let second = Duration::from_secs(1);
    assert_eq!(model(&with("")).resolvers, Resolvers::default());
    let Resolvers { retries, timeout_retry, timeout_resolve, ttl_min, ttl_max, hold, .. } = Resolvers::default();
    assert_eq!((retries, timeout_retry, timeout_resolve), (3, second, second));
    assert_eq!((ttl_min, ttl_max, hold), (second, second * 3600, Hold::default()));
    let given = model(&with(
        "[resolvers]\nresolve_retries = 5\ntimeout_retry = \"200ms\"\ntimeout_resolve = \"2s\"\nttl_min = \"3s\"\nttl_max = \"4s\"\n\
         hold_nx = \"5s\"\nhold_refused = \"6s\"\nhold_timeout = \"7s\"\nhold_other = \"0s\"\nhold_obsolete = \"8s\"\n",
    ));
    let Resolvers { retries, timeout_retry, timeout_resolve, ttl_min, ttl_max, hold, .. } = given.resolvers;
    assert_eq!((retries, timeout_retry, timeout_resolve), (5, second / 5, second * 2));
    assert_eq!((ttl_min, ttl_max), (second * 3, second * 4));
    let Hold { nx, refused, timeout, other, obsolete } = hold;
    assert_eq!(
        (nx, refused, timeout, other, obsolete),
        (Some(second * 5), Some(second * 6), Some(second * 7), Some(Duration::ZERO), second * 8)
    );
    assert_eq!(
        errors(&with(
            "[resolvers]\nnameserver = [\"10.0.0.53:53\", \"10.0.0.53:53\", \"0.0.0.0:53\"]\nresolve_retries = 0\nttl_min = \"1h\"\nttl_max = \"1m\"\n"
        )),
        [
            "name server `10.0.0.53:53` is listed twice",
            "`0.0.0.0:53` is not the address of one machine",
            "`resolve_retries` must be from 1 to 10",
            "`ttl_max` must be from 1h to 7d",
        ]
    );
    assert_eq!(errors(&with("[resolvers]\nnameserver = []\n")), ["`nameserver` names none"]);
    let unused = format!("[resolvers]\nttl_min = \"1s\"\n{}", of_servers(r#"{ name = "s", address = "10.0.0.1:80" }"#));
    assert_eq!(warnings(&unused), ["no server has a host name: `[resolvers]` has no effect"]);
}
