//! Metrics: each is declared once, with its help text, and collected when somebody asks.
//!
//! Names say the unit. A server is named by `backend` and `server`, a VIP by `frontend`, `address` and `protocol`.

mod kernel;
mod scrape;
mod servers;

pub use scrape::serve;

use super::{
    kernel::KernelReport,
    status::{FrontendStatus, LogStatus, Status, TableStatus},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use std::fmt;

/// All that is exported, as the text format of OpenMetrics.
pub fn text(status: Status, kernel: Option<KernelReport>, probe_to_map: &Histogram) -> String {
    let mut registry = Registry::with_prefix("sluice");
    let help = "From the end of the probe that decided until both halves had the verdict, in seconds";
    registry.register("probe_to_map_seconds", help, probe_to_map.clone());
    registry.register_collector(Box::new(Snapshot { status, kernel }));
    let mut text = String::new();
    // Writing to a string cannot fail; an empty answer would tell if it did.
    text::encode(&mut text, &registry).unwrap_or_default();
    text
}

/// An empty histogram of latencies inside this machine.
pub fn latencies() -> Histogram {
    Histogram::new([0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0])
}

/// One moment of the daemon.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    kernel: Option<KernelReport>,
}

/// A metric's name and help text.
type Name = (&'static str, &'static str);
/// Its rows: labels and value.
type Rows<const N: usize> = Vec<([(&'static str, String); N], u64)>;

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_daemon(&mut encoder)?;
        self.encode_servers(&mut encoder)?;
        self.encode_logs(&mut encoder)?;
        self.kernel.as_ref().map_or(Ok(()), |kernel| kernel::encode(kernel, &mut encoder))
    }
}

impl Snapshot {
    fn encode_daemon(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Status { generation, ring_rebuilds, connections, max_connections, .. } = &self.status;
        let none = |value| vec![([], value)];
        counters(encoder, ("ring_rebuilds", "Times that rings of the kernel half were rebuilt"), none(*ring_rebuilds))?;
        gauges(encoder, ("config_generation", "Configurations taken up since the start"), none(*generation))?;
        gauges(encoder, ("connections", "Connections open now in the proxy"), none(*connections as u64))?;
        let most = (*max_connections > 0).then_some(([], *max_connections as u64));
        gauges(encoder, ("connections_limit", "Most that there may be"), most.into_iter().collect())?;
        self.encode_frontends(encoder)?;
        self.encode_tables(encoder)
    }

    /// Those of the proxy: packets of the kernel half are counted by VIP.
    fn encode_frontends(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let proxied = || self.status.frontends.iter().filter(|frontend| frontend.mode != "l4");
        let open = proxied().map(|frontend| ([("frontend", frontend.name.clone())], frontend.connections));
        gauges(encoder, ("frontend_connections", "Connections of clients open now"), open.collect())?;
        let limited = proxied().filter(|frontend| frontend.maxconn > 0);
        let most = limited.map(|frontend| ([("frontend", frontend.name.clone())], frontend.maxconn as u64));
        gauges(encoder, ("frontend_connections_limit", "Most that there may be"), most.collect())?;
        self.encode_quorums(encoder)
    }

    fn encode_quorums(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let rows = |value: fn(&FrontendStatus) -> u64| -> Rows<1> {
            let counted = self.status.frontends.iter().filter(|frontend| frontend.backend.is_some());
            counted.map(|frontend| ([("frontend", frontend.name.clone())], value(frontend))).collect()
        };
        let name = ("frontend_servers", "Servers of the default backend that take new traffic now");
        gauges(encoder, name, rows(|frontend| frontend.servers as u64))?;
        gauges(encoder, ("frontend_quorum", "How many of them it needs"), rows(|frontend| frontend.quorum.into()))?;
        let name = ("frontend_has_quorum", "1 if it has them; `sluice ready` fails otherwise");
        gauges(encoder, name, rows(|frontend| frontend.has_quorum.into()))?;
        let name = ("frontend_withdrawn", "1 if new traffic is turned away, because it has not");
        gauges(encoder, name, rows(|frontend| frontend.withdrawn.into()))
    }

    fn encode_tables(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let rows = |value: fn(&TableStatus) -> usize| -> Rows<2> {
            let row = |table: &TableStatus| {
                let labels = [("table", table.table.clone()), ("family", table.family.to_string())];
                (labels, value(table) as u64)
            };
            self.status.tables.iter().map(row).collect()
        };
        let name = ("flow_table_entries", "Entries of the kernel half's tables of single flows that are taken");
        gauges(encoder, name, rows(|table| table.entries))?;
        gauges(encoder, ("flow_table_capacity", "Entries that there are"), rows(|table| table.capacity))
    }

    fn encode_logs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let rows = |value: fn(&LogStatus) -> u64| -> Rows<1> {
            let row = |log: &LogStatus| ([("target", log.target.clone())], value(log));
            self.status.logs.iter().map(row).collect()
        };
        counters(encoder, ("log_lines", "Lines of the access log that the target took"), rows(|log| log.written))?;
        counters(encoder, ("log_lines_lost", "Lines that were lost on the way there"), rows(|log| log.lost))?;
        gauges(encoder, ("log_failing", "1 if the last attempt to write failed"), rows(|log| log.failing.into()))
    }
}

fn counters<const N: usize>(encoder: &mut DescriptorEncoder<'_>, (name, help): Name, rows: Rows<N>) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in rows {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<const N: usize>(encoder: &mut DescriptorEncoder<'_>, (name, help): Name, rows: Rows<N>) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{
        kernel::{CountedReport, CountersReport, ServerReport},
        ring::RingReport,
        status::{AgentStatus, BackendStatus, FrontendStatus, HostStatus, ServerStatus},
    };

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
        let text = text(Status { backends: vec![backend], ..Status::default() }, None, &latencies());
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
        let text = text(Status { backends: vec![backend], ..Status::default() }, None, &latencies());
        let lines: Vec<_> =
            text.lines().filter(|line| line.contains("server_name") && !line.starts_with('#')).collect();
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
        let text = text(Status { frontends, max_connections: 70, ..Status::default() }, None, &latencies());
        let lines: Vec<_> =
            text.lines().filter(|line| line.contains("connections") && !line.starts_with('#')).collect();
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
        let text = text(Status { frontends, ..Status::default() }, None, &latencies());
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
        let text = text(Status { logs: vec![log], ..Status::default() }, None, &latencies());
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
        let text = text(Status { tables: vec![table], ..Status::default() }, Some(kernel), &latencies());
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
        let text = text(Status::default(), Some(kernel), &latencies());
        let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let names: std::collections::BTreeSet<_> = series.iter().filter_map(|line| line.rsplit_once(' ')).collect();
        assert_eq!(names.len(), series.len(), "{text}");
    }
}
