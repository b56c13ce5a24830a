//! The flows that the kernel half remembers one by one: what `sluice flows` shows.

use super::names::Names;
use crate::dataplane::flows::{Remembered, Table};
use serde::Serialize;
use std::net::SocketAddr;

/// Some of the flows that are remembered.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FlowsReport {
    /// Those seen last first.
    pub flows: Vec<FlowReport>,
    /// How many there are of those that were asked for, shown or not.
    pub found: usize,
}

/// A flow.
#[derive(Clone, Debug, Serialize)]
pub struct FlowReport {
    /// The client; port 0 where all its flows are one.
    pub client: SocketAddr,
    /// Whom it connected to. `None`: whomever.
    pub vip: Option<SocketAddr>,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `backend/name`, or `#row` when no daemon runs that knows it.
    pub server: String,
    /// Seconds since its last packet; up to 3 more than it was.
    pub idle: u64,
    /// `flow` (its slot changes hands, or did so lately) or `connection` (`track = "full"`, `fullnat`).
    pub kind: &'static str,
    /// FIN or RST was seen.
    pub closing: bool,
}

/// Which flows are asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those of that backend.
    pub backend: Option<String>,
    /// Those of that server: its name, `backend/name`, or `#row`.
    pub server: Option<String>,
}

impl Filter {
    /// Whether the flows of that server are asked for.
    fn takes(&self, id: u16, names: &Names) -> bool {
        let is_server = |wanted: &String| {
            let full = names.server(id);
            *wanted == full
                || full.rsplit_once('/').is_some_and(|(_, name)| name == wanted)
                || *wanted == format!("#{id}")
        };
        self.backend.as_ref().is_none_or(|backend| names.is_of(id, backend))
            && self.server.as_ref().is_none_or(is_server)
    }
}

impl FlowsReport {
    /// At most `limit` of the flows that are asked for.
    pub fn new(all: impl IntoIterator<Item = Remembered>, filter: &Filter, names: &Names, limit: usize) -> Self {
        let mut flows: Vec<_> = all.into_iter().filter(|flow| filter.takes(flow.server, names)).collect();
        flows.sort_by_key(|flow| (flow.idle, flow.client, flow.vip));
        let found = flows.len();
        flows.truncate(limit);
        Self { found, flows: flows.iter().map(|flow| FlowReport::new(flow, names)).collect() }
    }
}

impl FlowReport {
    fn new(flow: &Remembered, names: &Names) -> Self {
        Self {
            client: flow.client,
            vip: Some(flow.vip).filter(|vip| !vip.ip().is_unspecified()),
            protocol: flow.protocol.map(|protocol| protocol.to_string()).unwrap_or_default(),
            server: names.server(flow.server),
            idle: flow.idle.as_secs(),
            kind: match flow.table {
                Table::Flows => "flow",
                Table::Connections => "connection",
                Table::HalfOpen => "half_open",
            },
            closing: flow.closing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::{BackendStatus, ServerStatus, Status};
    use lb_common::Protocol;
    use std::time::Duration;

    fn names() -> Names {
        let backend = |name: &str, ids: [u16; 2]| BackendStatus {
            name: name.to_owned(),
            servers: ids.map(|id| ServerStatus { name: format!("s{}", id % 2), id, ..ServerStatus::default() }).into(),
            ..BackendStatus::default()
        };
        let backends = vec![backend("web", [1, 2]), backend("api", [3, 4])];
        Names::new(Some(&Status { backends, ..Status::default() }))
    }

    fn flows() -> impl Iterator<Item = Remembered> {
        (1..=5).map(|server| Remembered {
            client: SocketAddr::from(([198, 51, 100, 7], 40_000)),
            vip: SocketAddr::from(([192, 0, 2, 10], 80)),
            protocol: Some(Protocol::Tcp),
            server,
            idle: Duration::from_secs(60 - u64::from(server)),
            closing: false,
            table: Table::Flows,
        })
    }

    fn shown(backend: Option<&str>, server: Option<&str>, names: &Names) -> Vec<String> {
        let filter = Filter { backend: backend.map(str::to_owned), server: server.map(str::to_owned) };
        FlowsReport::new(flows(), &filter, names, 9).flows.into_iter().map(|flow| flow.server).collect()
    }

    #[test]
    fn those_seen_last_come_first_and_the_others_are_counted() {
        let report = FlowsReport::new(flows(), &Filter::default(), &names(), 2);
        assert_eq!(report.found, 5);
        let servers: Vec<_> = report.flows.iter().map(|flow| (flow.server.as_str(), flow.idle)).collect();
        assert_eq!(servers, [("#5", 55), ("api/s0", 56)]);
    }

    #[test]
    fn flows_are_asked_for_by_backend_and_server() {
        let names = names();
        assert_eq!(shown(Some("web"), None, &names), ["web/s0", "web/s1"]);
        assert_eq!(shown(None, Some("s1"), &names), ["api/s1", "web/s1"]);
        assert_eq!(shown(None, Some("web/s1"), &names), ["web/s1"]);
        assert_eq!(shown(Some("api"), Some("s1"), &names), ["api/s1"]);
        assert_eq!(shown(None, Some("#1"), &names), ["web/s1"]);
        assert_eq!(shown(Some("none"), None, &names), [""; 0]);
    }

    #[test]
    fn without_a_daemon_there_are_rows_in_place_of_names() {
        let nobody = Names::default();
        assert_eq!(shown(None, Some("#2"), &nobody), ["#2"]);
        assert_eq!(shown(Some("web"), None, &nobody), [""; 0]);
    }

    #[test]
    fn a_flow_that_is_known_by_its_client_alone_has_no_vip() {
        let by_client = flows().map(|flow| Remembered { vip: SocketAddr::from(([0; 4], 0)), ..flow });
        let report = FlowsReport::new(by_client, &Filter::default(), &names(), 1);
        assert_eq!(report.flows[0].vip, None);
    }
}
