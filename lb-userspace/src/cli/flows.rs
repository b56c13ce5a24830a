//! `sluice flows`: which flows the kernel half remembers one by one, and where they go. Read from the pins.

use super::{
    Daemon,
    client::ask,
    maps::{loaded, unless_named},
    print,
    status::{lines, table},
};
use crate::{
    admin::{
        flows::{Filter, FlowReport, FlowsReport},
        names::Names,
        protocol::Request,
        status::Status,
    },
    dataplane::flows::FlowTables,
};
use anyhow::Context;
use std::{fmt::Write, path::Path, process::ExitCode};

pub(super) fn run(daemon: &Daemon, pins: &Path, filter: &Filter, limit: usize) -> anyhow::Result<ExitCode> {
    let tables = FlowTables::open(&loaded(pins)?)?;
    let mut flows = Vec::new();
    tables.each(|flow| flows.push(flow)).context("cannot read the tables of flows")?;
    let status: Option<Status> = ask(&daemon.socket, &Request::Status).ok();
    let report = FlowsReport::new(flows, filter, &Names::new(status.as_ref()), limit);
    print(&if daemon.json { serde_json::to_string_pretty(&report)? } else { render(&report, status.is_some()) })?;
    Ok(ExitCode::SUCCESS)
}

fn render(report: &FlowsReport, named: bool) -> String {
    let mut text = unless_named(named);
    let mut rows = table(["CLIENT", "VIP", "SERVER", "IDLE", "KIND"], &["IDLE"]);
    for flow in &report.flows {
        rows.add_row(row(flow));
    }
    text.push_str(&lines(&rows));
    match report.found - report.flows.len() {
        0 if report.found == 0 => text.push_str("no flow is remembered\n"),
        0 => {}
        more => _ = writeln!(text, "and {more} more, seen earlier"),
    }
    text
}

fn row(flow: &FlowReport) -> [String; 5] {
    let FlowReport { client, vip, protocol, server, idle, kind, closing } = flow;
    let client = if client.port() == 0 { client.ip().to_string() } else { client.to_string() };
    let vip = vip.map_or_else(|| "*".to_owned(), |vip| vip.to_string());
    let closing = if *closing { ", closing" } else { "" };
    [client, format!("{vip}/{protocol}"), server.clone(), format!("{idle} s"), format!("{kind}{closing}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_shown_in_columns() {
        let flow = |client: &str, vip: &str, closing| FlowReport {
            client: client.parse().unwrap(),
            vip: vip.parse().ok(),
            protocol: "tcp".to_owned(),
            server: "web/web1".to_owned(),
            idle: 12,
            kind: "flow",
            closing,
        };
        let flows = vec![
            flow("198.51.100.7:40000", "192.0.2.10:80", false),
            flow("[2001:db8::7]:0", "nobody in particular", true),
        ];
        let expected = [
            " CLIENT              VIP                SERVER    IDLE  KIND",
            " 198.51.100.7:40000  192.0.2.10:80/tcp  web/web1  12 s  flow",
            " 2001:db8::7         */tcp              web/web1  12 s  flow, closing",
            "and 3 more, seen earlier\n",
        ];
        let expected = expected.join("\n");
        let shown = render(&FlowsReport { flows, found: 5 }, true);
        assert_eq!(shown, expected, "\n{shown}");
        assert_eq!(render(&FlowsReport::default(), true), "no flow is remembered\n");
    }
}
