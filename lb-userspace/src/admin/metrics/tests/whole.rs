//! All that is exported, as promtool, HAProxy's own exporter, the alert rules and the dashboard see it.

use super::super::*;
use crate::{
    admin::{
        kernel::{CountedReport, CountersReport, ServerReport, VipReport},
        ring::{RingReport, ShareReport},
        rows::{Column, Kind, Row, Rows},
        status::{
            AgentStatus, BackendStatus, CheckStatus, EventStatus, FrontendStatus, HostStatus, LogStatus, ServerStatus,
            TableStatus,
        },
    },
    channel::message::Interface,
    health::haproxy::{Haproxy, free_addresses},
    servers::{Admin, FrontendTotals, Health},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

/// A name as nobody would choose it.
fn hostile(name: &str) -> String {
    name.to_owned() + "\"} 1\n# EOF\n\\\u{7f}\u{2028}é{"
}

/// All that there may be of the daemon and the proxy.
fn status() -> Status {
    let frontend = |mode: &str| FrontendStatus {
        name: hostile(mode),
        mode: mode.to_owned(),
        maxconn: 9,
        backend: Some(hostile("web")),
        totals: FrontendTotals { responses: [1, 2, 3, 4, 5, 6], ..FrontendTotals::default() },
        ..FrontendStatus::default()
    };
    let host = HostStatus { name: hostile("db.test"), age: Some(3), failures: 4, problem: None };
    let check = CheckStatus { code: Some("L7STS".to_owned()), took_us: Some(1_500), ..CheckStatus::default() };
    let server = |name: &str, admin, health| ServerStatus {
        name: hostile(name),
        admin,
        health,
        weight: 8,
        current_weight: 8,
        host: Some(host.clone()),
        check: Some(check.clone()),
        agent: Some(AgentStatus::default()),
        ..ServerStatus::default()
    };
    let servers = vec![
        server("a", Admin::Ready, Health::Up),
        server("b", Admin::Drain, Health::Up),
        server("c", Admin::Maint, Health::Up),
        server("d", Admin::Ready, Health::Down),
        server("e", Admin::Ready, Health::Stopping),
    ];
    let log = LogStatus { target: hostile("unix:/dev/log"), written: 5, lost: 3, failing: true };
    Status {
        version: "1.2.3".to_owned(),
        max_connections: 70,
        interfaces: vec![Interface { name: "eth0".to_owned(), mode: "native".to_owned(), ..Interface::default() }],
        frontends: ["l4", "tcp", "http"].map(frontend).to_vec(),
        backends: vec![BackendStatus { name: hostile("web"), servers, ..BackendStatus::default() }],
        tables: vec![TableStatus { table: "flows".to_owned(), family: 6, entries: 7, capacity: 65_536 }],
        logs: vec![log],
        events: vec![EventStatus { event: "reload".to_owned(), count: 3 }],
        ..Status::default()
    }
}

/// The same, in HAProxy's columns: every number that there may be.
fn rows() -> Rows {
    let row = |kind, iid, service: &str, status: &str| {
        let mut row = Row::new(kind, (&hostile("web"), iid), (service, 0));
        Column::ALL
            .iter()
            .filter(|column| row.get(**column).is_none())
            .copied()
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|column| row.set(column, 7_u64));
        row.set(Column::Mode, "http");
        row.set(Column::Status, status);
        row.set(Column::CheckStatus, "L7STS");
        row
    };
    let states = [
        ("a", "UP 1/3"),
        ("b", "DRAIN"),
        ("c", "MAINT (via x/y)"),
        ("d", "DOWN 1/2"),
        ("e", "NOLB"),
        ("f", "no check"),
    ];
    let servers = states.map(|(name, status)| row(Kind::Server, 3, &hostile(name), status));
    let mut rows = vec![row(Kind::Frontend, 2, "FRONTEND", "OPEN")];
    rows.extend(servers);
    rows.push(row(Kind::Backend, 3, "BACKEND", "UP"));
    Rows(rows)
}

/// All that there may be of the kernel half.
fn kernel() -> KernelReport {
    let share = ShareReport { server: hostile("a"), slots: 1, share: 0.25, leaving: 0 };
    let ring = RingReport { backend: Some(hostile("web")), shares: vec![share], ..RingReport::default() };
    let vip = VipReport {
        frontend: Some(hostile("l4")),
        address: "192.0.2.10:80".to_owned(),
        protocol: "tcp".to_owned(),
        forward: "nat",
        backend: Some(hostile("web")),
        ring: 1,
        withdrawn: false,
        counters: CountersReport::default(),
    };
    let row = ServerReport {
        id: 1,
        backend: Some(hostile("web")),
        name: Some(hostile("a")),
        address: "10.0.0.1:80".parse().unwrap(),
        state: "up",
        next_hop: 1,
        counters: CountersReport::default(),
    };
    let counted = |name| CountedReport { name, help: "", packets: 3 };
    KernelReport {
        vips: vec![vip],
        servers: vec![row],
        rings: vec![ring],
        stops: vec![counted("no_next_hop")],
        notes: vec![counted("track_budget_spent")],
        ..KernelReport::default()
    }
}

/// All of it, by these names, in the older format.
pub(crate) fn exported(names: &[MetricNames]) -> String {
    let latencies = latencies();
    latencies.observe(0.000_2);
    plain::from_open_metrics(&text((status(), rows()), Some(kernel()), &latencies, names))
}

/// Each metric that is declared, and its type.
fn declared(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// What promtool says to these arguments; nothing, if it has nothing to complain of.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool, which `cargo xtask setup` installs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap_or_default();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}

#[test]
fn promtool_has_nothing_to_say_of_all_that_is_exported() {
    for names in [&[MetricNames::Sluice][..], &[MetricNames::Haproxy], &[MetricNames::Haproxy, MetricNames::Sluice]] {
        let text = exported(names);
        assert_eq!(promtool(&["check", "metrics"], &text), "", "{text}");
    }
    assert_ne!(promtool(&["check", "metrics"], "# TYPE a counter\na 1\n"), "", "it looks at nothing");
}

#[test]
fn no_name_ends_a_label_or_a_line() {
    let text = exported(&[MetricNames::Sluice, MetricNames::Haproxy]);
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line:?}");
        let series = series.replace("\\\\", "").replace("\\\"", "");
        assert!(series.matches('"').count() % 2 == 0, "{line:?}");
    }
}

#[test]
fn whoever_has_one_state_of_several_is_one_series_by_our_names() {
    let text = exported(&[MetricNames::Sluice]);
    assert!(!text.contains("state=\""), "{text}");
    let of_servers = text.lines().filter(|line| line.contains("server=\"a")).count();
    assert!(of_servers < 40, "{of_servers} series a server");
}

#[test]
fn names_types_and_labels_of_haproxy_are_those_of_its_own_exporter() {
    let directory = tempfile::tempdir().unwrap();
    let [address, server] = free_addresses(2)[..] else { panic!("two addresses") };
    let haproxy = Haproxy::start(
        directory.path(),
        &format!(
            "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\nfrontend www\n  bind \
             {address}\n  http-request use-service prometheus-exporter\n  default_backend web\nbackend web\n  server a \
             {server} check\n"
        ),
    );
    let mut stream = haproxy.connect(address);
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut theirs = String::new();
    stream.read_to_string(&mut theirs).unwrap();
    let ours = exported(&[MetricNames::Haproxy]);
    let (known, labels) = (declared(&theirs), |text: &str| {
        // Of each metric the names of its labels; of those with a few values, these too.
        let mut all = BTreeMap::<String, BTreeSet<String>>::new();
        for line in text.lines().filter(|line| line.starts_with("haproxy_")) {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let entry = all.entry(name.to_owned()).or_default();
            for label in ["proxy", "server", "version"] {
                entry.extend(rest.contains(&format!("{label}=\"")).then(|| label.to_owned()));
            }
            for label in ["state", "code"] {
                let value = rest.split_once(&format!("{label}=\"")).and_then(|(_, rest)| rest.split_once('"'));
                entry.extend(value.map(|(value, _)| format!("{label}={value}")));
            }
        }
        all
    });
    let (our_labels, their_labels) = (labels(&ours), labels(&theirs));
    let names = declared(&ours);
    assert!(names.len() > 50, "{names:?}");
    for (name, kind) in names {
        assert_eq!(known.get(&name), Some(&kind), "{name}");
        assert_eq!(our_labels.get(&name), their_labels.get(&name), "{name}");
    }
}

#[test]
fn haproxys_words_for_states_are_there() {
    let text = exported(&[MetricNames::Haproxy]);
    let states = |server: &str| {
        let is = |line: &&str| {
            line.starts_with("haproxy_server_status{")
                && line.contains(&format!("server=\"{server}"))
                && line.ends_with(" 1")
        };
        let words = text.lines().filter(is).filter_map(|line| line.rsplit_once("state=\"")?.1.split('"').next());
        words.collect::<Vec<_>>()
    };
    let all = ["a", "b", "c", "d", "e", "f"].map(states);
    assert_eq!(all, [["UP"], ["DRAIN"], ["MAINT"], ["DOWN"], ["NOLB"], ["UP"]]);
}

/// What is written by hand for Prometheus and Grafana.
fn packaged(file: &str) -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/package/").to_owned() + file
}

/// The names of our metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sluice_")).collect()
}

#[test]
fn the_alert_rules_fire_when_they_should_and_name_what_is_exported() {
    let (rules, tests) = (packaged("alerts.yml"), packaged("alerts.test.yml"));
    let said = promtool(&["check", "rules", "--lint=all", "--lint-fatal", &rules], "");
    assert!(said.contains("SUCCESS: 4 rules found"), "{said}");
    let said = promtool(&["test", "rules", &tests], "");
    assert!(said.contains("SUCCESS"), "{said}");
    let known = declared(&exported(&[MetricNames::Sluice]));
    for file in [rules, tests] {
        let text = fs::read_to_string(&file).unwrap();
        let names = named(&text);
        assert!(names.len() >= 6, "{names:?}");
        for name in names {
            assert!(known.contains_key(name), "{file} names `{name}`, which nobody exports");
        }
    }
}

#[test]
fn the_dashboard_names_what_is_exported_and_no_panel_hides_another() {
    let text = fs::read_to_string(packaged("dashboard.json")).unwrap();
    let known = declared(&exported(&[MetricNames::Sluice]));
    let is_known = |name: &str| {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        known.contains_key(name) || whole.is_some_and(|whole| known.get(whole).is_some_and(|kind| kind == "histogram"))
    };
    let names = named(&text);
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(is_known(name), "the dashboard names `{name}`, which nobody exports");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut taken, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let number = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(number("x") + number("w") <= 24, "{panel}");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(taken.insert((x, y)), "{} lies upon another", panel["title"]);
            }
        }
        let queries = panel["targets"].as_array().map_or(&[][..], |targets| targets);
        assert_eq!(queries.is_empty(), panel["type"] == "row", "{panel}");
    }
    let queries: Vec<_> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m"))
        .collect();
    // promtool reads expressions of rules, and so those of panels as well.
    let rules: Vec<_> = queries.iter().map(|query| serde_json::json!({ "record": "a:b", "expr": query })).collect();
    let rules = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("panels.yml");
    fs::write(&file, rules).unwrap();
    let said = promtool(&["check", "rules", "--lint=none", file.to_str().unwrap()], "");
    assert!(said.contains(&format!("SUCCESS: {} rules found", queries.len())), "{said}");
}
