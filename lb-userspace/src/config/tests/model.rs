//! What good configurations become.

use super::{Format, certified, model, parse};
use crate::{
    config::{Loaded, file, shape::Key},
    model::{
        Backend, Balance, Check, CheckKind, FrontendKind, HttpFrontend, Model, OnStop, Secret,
        acl::{
            Condition, Expression, Fetch, Kind, Term, Test,
            expression::{Field, Side},
            patterns::{Lookup, Method, Texts},
        },
        check::{Expect, HttpCheck, HttpStep, InitState, Layer, Observe, OnError, Reach},
    },
};
use lb_common::{Forward, Protocol};
use proptest::prelude::*;
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../examples/sluice.toml");

/// The reference configuration, with a certificate where it names a directory.
fn example() -> Loaded {
    let loaded = certified(EXAMPLE, "certs", |bundle| {
        let page = b"HTTP/1.0 503 Sorry\n\nback soon".to_vec();
        let files = ["errors/403.http", "errors/503.http", "/dev/null"];
        for of in ["mysql", "pgsql", "redis"] {
            bundle.texts.insert(format!("secrets/{of}"), Ok(Secret::new("s3cret\n")));
        }
        bundle.error_files = files.map(|file| (file.to_owned(), Ok(page.clone()))).into();
    });
    loaded.expect("the reference configuration")
}

fn backend<'a>(model: &'a Model, name: &str) -> &'a Backend {
    model.backend(name).expect("a backend of that name")
}

fn http<'a>(model: &'a Model, name: &str) -> &'a HttpFrontend {
    let frontend = model.frontends.iter().find(|frontend| frontend.name == name).expect("a frontend of that name");
    match &frontend.kind {
        FrontendKind::Http(http) => http,
        FrontendKind::L4(_) | FrontendKind::Tcp(_) => panic!("not http"),
    }
}

const BACKENDS: [&str; 18] = [
    "admin_be",
    "anywhere_be",
    "api_be",
    "directory_be",
    "files_be",
    "git_be",
    "intern_be",
    "ledger_be",
    "legacy_be",
    "mail_be",
    "mysql_be",
    "pgsql_be",
    "queue_be",
    "redis_be",
    "resolvers",
    "shells_be",
    "time_be",
    "web_be",
];

#[test]
fn the_reference_configuration_loads_and_warns_only_of_its_placeholder_key() {
    let Loaded { model, warnings, .. } = example();
    let short = warnings.render(Format::Short);
    assert_eq!(warnings.len(), 1, "{short}");
    assert!(short.contains("without a `hash_key` of your own"), "{short}");
    let names: Vec<_> = model.backends.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, BACKENDS);
    let in_kernel: Vec<_> = model.kernel_backends().map(|backend| backend.forward).collect();
    let expected = [Forward::Gue, Forward::Nat, Forward::FullNat, Forward::Direct, Forward::Direct];
    assert_eq!(in_kernel, expected);
    let web = backend(&model, "web_be");
    assert_eq!(
        web.servers.iter().map(|server| (server.weight, server.backup)).collect::<Vec<_>>(),
        [(2, false), (1, false), (1, true)]
    );
    let (method, path) = ("GET".to_owned(), "/health".to_owned());
    let headers = [("Accept", "text/plain"), ("Accept", "text/html"), ("X-Probe", "1")];
    let step = HttpStep {
        method,
        path,
        host: Some("www.example.com".to_owned()),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        expect: vec![Expect::status([200, 202, 203, 204])],
        ..HttpStep::default()
    };
    let kind = CheckKind::Http(HttpCheck { disable_on_404: true, ..HttpCheck::from(step) });
    let expected = Check {
        kind,
        reach: Reach { address: Some([10, 1, 1, 1].into()), port: Some(8081), ..Reach::default() },
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_millis(500),
        down_interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        init_state: InitState::Down,
        observe: Some(Observe { layer: Layer::Requests, error_limit: 20, on_error: OnError::SuddenDeath, floor: 60 }),
        ..Check::default()
    };
    assert_eq!(web.check, Some(expected));
    let resolvers = backend(&model, "resolvers");
    assert_eq!((&resolvers.balance, resolvers.forward), (&Balance::Maglev, Forward::Direct));
    assert_eq!(resolvers.servers[0].address.to_string(), "192.0.2.21:53", "the port of the frontend");
    let frontend = |name| model.frontends.iter().find(|frontend| frontend.name == name).expect("a frontend");
    let (dns, public) = (frontend("dns"), frontend("public"));
    assert_eq!([0, 1].map(|bind| dns.binds[bind].protocol), [Protocol::Tcp, Protocol::Udp]);
    assert_eq!(public.binds[2].certificates.len(), 1);
    assert_eq!(http(&model, "public").routes.len(), 3);
}

#[test]
fn the_reference_configuration_shows_every_knob() {
    for place in file::layout().all() {
        for Key { knob, .. } in place.keys {
            let shown = EXAMPLE.lines().map(|line| line.trim_start_matches(['#', ' '])).any(|line| {
                let header = line.starts_with(&format!("[{}", knob.key));
                let path = line.starts_with('[') && line.contains(&format!(".{}]", knob.key));
                let dotted = line.starts_with(&format!("{}.", knob.key));
                let key = line.starts_with(&format!("{} = ", knob.key)) || line.contains(&format!(" {} = ", knob.key));
                header || path || dotted || key
            });
            assert!(shown, "[{}] {} is not in examples/sluice.toml", place.path, knob.key);
            assert!(!knob.doc.trim().is_empty());
        }
    }
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let model = model(
        "[frontend.a]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\ncheck = { type = \"http\" }\nserver = [{ name = \"s\", address = \"[2001:db8::1]\" }]\n",
    );
    let global = &model.global;
    assert_eq!((global.hash_key, global.threads, global.on_stop), ([0, 0], 1, OnStop::Detach));
    assert_eq!((global.stop_timeout, global.metrics), (Duration::from_secs(30), None));
    assert_eq!(global.hard_stop_after, None);
    assert_eq!(global.control_socket.to_str(), Some("/run/sluice/sluice.sock"));
    assert_eq!(global.pin_dir.to_str(), Some("/sys/fs/bpf/sluice"));
    let b = backend(&model, "b");
    assert_eq!(b.balance, Balance::RoundRobin);
    assert_eq!((b.timeout_connect, b.timeout_server), (Duration::from_secs(5), Duration::from_mins(1)));
    let check = b.check.as_ref().expect("a check");
    assert_eq!(*check, Check { kind: CheckKind::Http(HttpCheck::default()), ..Check::default() });
    assert_eq!(b.servers[0].address.to_string(), "[2001:db8::1]:80");
    assert_eq!((b.servers[0].weight, b.servers[0].backup), (1, false));
    let a = http(&model, "a");
    assert!(a.forwarded_for);
    assert_eq!((a.timeout_request, a.timeout_keep_alive), (Duration::from_secs(10), Duration::from_mins(1)));
}

#[test]
fn defaults_are_inherited_and_overridden() {
    let model = model(
        r#"
[defaults]
timeout_client = "7s"
timeout_server = "8s"
[frontend.a]
mode = "tcp"
bind = "*:80"
default_backend = "b"
[frontend.z]
mode = "tcp"
bind = "*:81"
timeout_client = "9s"
default_backend = "b"
[backend.b]
server = [{ name = "s", address = "10.0.0.1:80" }]
"#,
    );
    let clients: Vec<_> = model.frontends.iter().map(|frontend| frontend.timeout_client.as_secs()).collect();
    assert_eq!((clients.as_slice(), backend(&model, "b").timeout_server.as_secs()), ([7, 9].as_slice(), 8));
}

#[test]
fn a_backend_of_both_halves_balances_by_maglev() {
    let text = r#"
[global]
interfaces = ["eth0"]
[frontend.kernel]
mode = "l4"
bind = "192.0.2.10:80"
default_backend = "b"
[frontend.relay]
mode = "http"
bind = "192.0.2.11:80"
default_backend = "b"
[backend.b]
forward = "nat"
server = [{ name = "s", address = "10.0.0.1:8080" }]
"#;
    assert_eq!(backend(&model(text), "b").balance, Balance::Maglev);
}

#[test]
fn the_hash_key_is_two_numbers() {
    let text = "[global]\nhash_key = \"00000000000000010000000000000aBc\"\n[frontend.a]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\nserver = [{ name = \"s\", address = \"10.0.0.1:80\" }]\n";
    assert_eq!(model(text).global.hash_key, [1, 0xabc]);
}

fn rule(acl: &str, condition: &str) -> Condition {
    let text = format!(
        "[frontend.a]\nmode = \"http\"\nbind = \"*:80\"\nacl.x = '''{acl}'''\nacl.y = \"path /y\"\nacl.z = \"path /z\"\nrule = [{{ {condition}, use = \"b\" }}]\n[backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
    );
    http(&model(&text), "a").routes[0].condition.clone().expect("a condition")
}

/// A condition as text: `x` and `!y` of terms, known by the paths that they match.
fn shown(condition: &Condition) -> String {
    let term = |term: &Term| {
        let Test::Any(lookup) = &term.acl[0].test else { panic!("not of paths") };
        let path = ["/x", "/y", "/z"].into_iter().find(|path| lookup.matches_bytes(path.as_bytes()));
        format!("{}{}", if term.negated { "!" } else { "" }, path.expect("a path"))
    };
    let alternative = |terms: &Vec<Term>| terms.iter().map(term).collect::<Vec<_>>().join(" ");
    let any = condition.any.iter().map(alternative).collect::<Vec<_>>().join(" or ");
    if condition.negated { format!("unless {any}") } else { any }
}

#[test]
fn and_binds_closer_than_or_and_unless_is_the_opposite() {
    let condition = |condition| shown(&rule("path /x", condition));
    assert_eq!(condition("if = 'x !y or z'"), "/x !/y or /z");
    assert_eq!(condition("if = '!x || ! !y z'"), "!/x or /y /z");
    assert_eq!(condition("if = '!{ path /y } || { path /x } z'"), "!/y or /x /z");
    assert_eq!(condition("unless = 'x !y or z'"), "unless /x !/y or /z");
}

#[test]
fn acl_expressions_are_read_as_haproxy_does() {
    let acl = |text: &str| rule(text, "if = 'x'").any[0][0].acl[0].clone();
    let field = |name: &str| {
        let (side, kind) = (Side::Request, Kind::Text);
        Fetch::Field(Field { side, name: name.into(), split: true, occurrence: None, kind })
    };
    for (text, fetch, method, patterns) in [
        ("hdr(Host) -i API.example.com", field("host"), Method::Exact, &[("API.example.com", true)][..]),
        ("req.hdr(host) a -- B", field("host"), Method::Exact, &[("a", false), ("--", false), ("B", false)]),
        ("hdr_dom(host) -i x", field("host"), Method::Domain, &[("x", true)]),
        ("path_beg /a /b", Fetch::Path, Method::Prefix, &[("/a", false), ("/b", false)]),
        ("path -m sub -i -- -i", Fetch::Path, Method::Contains, &[("-i", true)]),
        ("method GET HEAD", Fetch::Method, Method::Exact, &[("GET", false), ("HEAD", false)]),
        (
            r#"hdr_sub(user-agent) "a b" 'c"d' e\ f"#,
            field("user-agent"),
            Method::Contains,
            &[("a b", false), ("c\"d", false), ("e f", false)],
        ),
    ] {
        let patterns: Vec<_> = patterns.iter().map(|(text, ignore)| ((*text).into(), *ignore)).collect();
        let test = Test::Any(Lookup::Text(Texts::new(method, &patterns).expect("patterns")));
        let expression = Expression { fetch, converters: Vec::new() };
        let read = acl(text);
        assert_eq!((read.expression, read.test), (expression, test), "{text}");
    }
    assert_eq!(acl("hdr(x-y) -m found").test, Test::Found);
}

proptest! {
    /// Whatever an editor leaves behind: `load` gives a model or errors, and every error has a place.
    #[test]
    fn no_damage_to_a_configuration_is_too_much(at in 0..EXAMPLE.len(), drop in 0_usize..200, put in ".{0,12}") {
        let start = EXAMPLE.floor_char_boundary(at);
        let end = EXAMPLE.floor_char_boundary((start + drop).min(EXAMPLE.len()));
        let text = format!("{}{put}{}", &EXAMPLE[..start], &EXAMPLE[end..]);
        let found = parse(&text).map_or_else(|errors| errors, |loaded| loaded.warnings);
        for diagnostic in found.iter() {
            prop_assert!(found.place(diagnostic).is_some());
        }
        prop_assert_eq!(found.render(Format::Short).lines().count(), found.len());
        prop_assert_eq!(found.render(Format::Full).is_empty(), found.is_empty());
    }
}

#[test]
fn a_server_without_a_port_may_serve_several_vips_and_a_relay() {
    let text = r#"
[global]
interfaces = ["eth0"]
[frontend.kernel]
mode = "l4"
bind = ["192.0.2.10:443", "192.0.2.10:80"]
default_backend = "b"
[backend.b]
forward = "direct"
server = [{ name = "s", address = "10.0.0.1" }]
"#;
    assert_eq!(backend(&model(text), "b").servers[0].address.to_string(), "10.0.0.1:80");
    let relayed =
        format!("{text}[frontend.relay]\nmode = \"tcp\"\nbind = \"192.0.2.11:81\"\ndefault_backend = \"b\"\n");
    let relayed = model(&relayed);
    let server = &backend(&relayed, "b").servers[0];
    assert_eq!((server.address.to_string(), server.keeps_port), ("10.0.0.1:80".to_owned(), true));
}
