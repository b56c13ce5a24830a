//! What is exported, line by line.

mod whole;

pub(crate) use whole::exported;

use super::*;
use crate::admin::{
    kernel::{CountedReport, CountersReport, ServerReport},
    ring::RingReport,
    rows,
    status::{AgentStatus, BackendStatus, FrontendStatus, HostStatus, LogStatus, ServerStatus, TableStatus},
};
use std::collections::BTreeSet;

/// What is exported by our names.
fn ours(status: Status, kernel: Option<KernelReport>) -> String {
    text((status, rows::Rows::default()), kernel, &latencies(), &[MetricNames::Sluice])
}

#[test]
fn a_server_is_exported_by_its_names() {
    let server = ServerStatus {
        name: "web1".to_owned(),
        available: true,
        total: 7,
        weight: 8,
        current_weight: 2,
        agent: Some(AgentStatus { silences: 3, ..AgentStatus::default() }),
        ..ServerStatus::default()
    };
    let backend = BackendStatus { name: "web".to_owned(), servers: vec![server], ..BackendStatus::default() };
    let text = ours(Status { backends: vec![backend], ..Status::default() }, None);
    assert!(text.contains("sluice_server_available{backend=\"web\",server=\"web1\"} 1\n"), "{text}");
    assert!(text.contains("sluice_server_requests_total{backend=\"web\",server=\"web1\"} 7\n"), "{text}");
    assert!(text.contains("sluice_server_weight_configured{backend=\"web\",server=\"web1\"} 8\n"), "{text}");
    assert!(text.contains("sluice_server_weight{backend=\"web\",server=\"web1\"} 2\n"), "{text}");
    assert!(text.contains("sluice_server_agent_silences_total{backend=\"web\",server=\"web1\"} 3\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn names_are_exported_of_servers_that_have_some() {
    let host = HostStatus { name: "db.test".to_owned(), age: None, failures: 4, problem: Some("none".to_owned()) };
    let named = ServerStatus { name: "db1".to_owned(), host: Some(host), ..ServerStatus::default() };
    let fixed = ServerStatus { name: "db2".to_owned(), ..ServerStatus::default() };
    let servers = vec![named, fixed];
    let backend = BackendStatus { name: "db".to_owned(), servers, ..BackendStatus::default() };
    let text = ours(Status { backends: vec![backend], ..Status::default() }, None);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("server_name") && !line.starts_with('#')).collect();
    let labels = "{backend=\"db\",server=\"db1\",name=\"db.test\"}";
    assert_eq!(
        lines,
        [format!("sluice_server_name_failing{labels} 1"), format!("sluice_server_name_failures_total{labels} 4")]
    );
}

#[test]
fn limits_of_connections_are_exported_where_there_are_any() {
    let frontend = |name: &str, mode: &str, maxconn| FrontendStatus {
        name: name.to_owned(),
        mode: mode.to_owned(),
        connections: 3,
        maxconn,
        ..FrontendStatus::default()
    };
    let frontends = vec![frontend("api", "http", 0), frontend("dns", "l4", 0), frontend("www", "tcp", 9)];
    let text = ours(Status { frontends, max_connections: 70, ..Status::default() }, None);
    let lines: Vec<_> =
        text.lines().filter(|line| line.contains("connections{") || line.contains("connections_limit{")).collect();
    assert_eq!(
        lines,
        [
            "sluice_connections{} 0",
            "sluice_connections_limit{} 70",
            "sluice_frontend_connections{frontend=\"api\"} 3",
            "sluice_frontend_connections{frontend=\"www\"} 3",
            "sluice_frontend_connections_limit{frontend=\"www\"} 9",
        ]
    );
}

#[test]
fn quorums_are_exported_of_frontends_with_a_backend() {
    let frontend = |name: &str, backend: Option<&str>| FrontendStatus {
        name: name.to_owned(),
        backend: backend.map(str::to_owned),
        servers: 1,
        quorum: 2,
        withdrawn: true,
        ..FrontendStatus::default()
    };
    let frontends = vec![frontend("redirects", None), frontend("shop", Some("web"))];
    let text = ours(Status { frontends, ..Status::default() }, None);
    for line in [
        "sluice_frontend_servers{frontend=\"shop\"} 1",
        "sluice_frontend_quorum{frontend=\"shop\"} 2",
        "sluice_frontend_has_quorum{frontend=\"shop\"} 0",
        "sluice_frontend_withdrawn{frontend=\"shop\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains("sluice_frontend_quorum{frontend=\"redirects\"}"), "{text}");
}

#[test]
fn lines_that_are_lost_are_exported() {
    let log = LogStatus { target: "unix:/dev/log".to_owned(), written: 5, lost: 3, failing: true };
    let text = ours(Status { logs: vec![log], ..Status::default() }, None);
    for line in [
        "sluice_log_lines_total{target=\"unix:/dev/log\"} 5",
        "sluice_log_lines_lost_total{target=\"unix:/dev/log\"} 3",
        "sluice_log_failing{target=\"unix:/dev/log\"} 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn what_the_kernel_half_remembers_is_exported() {
    let table = TableStatus { table: "flows".to_owned(), family: 6, entries: 7, capacity: 65_536 };
    let ring = RingReport { backend: Some("web".to_owned()), changing: 5, tracked: 9, ..RingReport::default() };
    let note = CountedReport { name: "track_budget_spent", help: "", packets: 3 };
    let kernel = KernelReport { rings: vec![ring], notes: vec![note], ..KernelReport::default() };
    let text = ours(Status { tables: vec![table], ..Status::default() }, Some(kernel));
    for line in [
        "sluice_flow_table_entries{table=\"flows\",family=\"6\"} 7",
        "sluice_flow_table_capacity{table=\"flows\",family=\"6\"} 65536",
        "sluice_ring_changing_slots{backend=\"web\"} 5",
        "sluice_ring_tracked_slots{backend=\"web\"} 9",
        "sluice_noted_packets_total{note=\"track_budget_spent\"} 3",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn no_series_is_exported_twice_not_even_of_servers_that_have_no_name_any_more() {
    let nameless = |id| ServerReport {
        id,
        backend: None,
        name: None,
        address: "10.0.0.1:80".parse().unwrap(),
        state: "up",
        next_hop: 1,
        counters: CountersReport::default(),
    };
    let kernel = KernelReport { servers: vec![nameless(1), nameless(2)], ..KernelReport::default() };
    let text = ours(Status::default(), Some(kernel));
    let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let names: BTreeSet<_> = series.iter().filter_map(|line| line.rsplit_once(' ')).collect();
    assert_eq!(names.len(), series.len(), "{text}");
}
