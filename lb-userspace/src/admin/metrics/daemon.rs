//! Metrics of the daemon itself.

use super::{Rows, counters, gauges};
use crate::admin::status::{LogStatus, Status, TableStatus};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

pub(super) fn encode(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Status { generation, ring_rebuilds, connections, max_connections, .. } = status;
    let none = |value| -> Rows<0> { vec![([], value)] };
    let version = vec![([("version", status.version.clone())], 1)];
    gauges(encoder, ("build_info", "1, with the version of the daemon"), version)?;
    let name = ("start_time_seconds", "When the part that serves was started, in seconds of the Unix epoch");
    gauges(encoder, name, none(status.started_at))?;
    gauges(encoder, ("threads", "Threads that serve connections"), none(status.threads as u64))?;
    counters(encoder, ("ring_rebuilds", "Times that rings of the kernel half were rebuilt"), none(*ring_rebuilds))?;
    gauges(encoder, ("config_generation", "Configurations taken up since the start"), none(*generation))?;
    gauges(encoder, ("connections", "Connections open now in the proxy"), none(*connections as u64))?;
    let most = if *max_connections > 0 { none(*max_connections as u64) } else { Rows::new() };
    gauges(encoder, ("connections_limit", "Most that there may be"), most)?;
    let events = status.events.iter().map(|it| ([("event", it.event.clone())], it.count)).collect();
    counters(encoder, ("events", "Events by kind: `sluice events` shows the last ones"), events)?;
    encode_sandbox(status, encoder)?;
    encode_interfaces(status, encoder)?;
    encode_tables(status, encoder)?;
    encode_logs(status, encoder)
}

fn encode_sandbox(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let sandbox = status.sandbox;
    let all = [("rights", sandbox.rights), ("landlock", sandbox.landlock), ("seccomp", sandbox.seccomp)];
    let rows = all.into_iter().map(|(mechanism, hold)| ([("mechanism", mechanism.to_owned())], hold as u64));
    let help =
        "How far the part that faces the network is held: 0 not at all, 1 as far as this kernel knows it, 2 wholly";
    gauges(encoder, ("sandbox_level", help), rows.collect())
}

fn encode_interfaces(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let level = |mode: &str| match mode {
        "native" => 2,
        "generic" => 1,
        _ => 0,
    };
    let rows = status.interfaces.iter().map(|it| ([("interface", it.name.clone())], level(&it.mode)));
    let help =
        "How the program runs on the interface: 0 not at all, 1 generic, which costs many times more, 2 in the driver";
    gauges(encoder, ("interface_attached", help), rows.collect())
}

fn encode_tables(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&TableStatus) -> usize| -> Rows<2> {
        let row = |table: &TableStatus| {
            let labels = [("table", table.table.clone()), ("family", table.family.to_string())];
            (labels, value(table) as u64)
        };
        status.tables.iter().map(row).collect()
    };
    let name = ("flow_table_entries", "Entries of the kernel half's tables of single flows that are taken");
    gauges(encoder, name, rows(|table| table.entries))?;
    gauges(encoder, ("flow_table_capacity", "Entries that there are"), rows(|table| table.capacity))
}

fn encode_logs(status: &Status, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rows = |value: fn(&LogStatus) -> u64| -> Rows<1> {
        let row = |log: &LogStatus| ([("target", log.target.clone())], value(log));
        status.logs.iter().map(row).collect()
    };
    counters(encoder, ("log_lines", "Lines of logs that the target took"), rows(|log| log.written))?;
    counters(encoder, ("log_lines_lost", "Lines that were lost on the way there"), rows(|log| log.lost))?;
    gauges(encoder, ("log_failing", "1 if the last attempt to write failed"), rows(|log| log.failing.into()))
}
