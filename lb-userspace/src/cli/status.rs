//! `sluice status`: how the daemon, its backends and servers stand.

use super::{Daemon, client::ask, print};
use crate::admin::{
    protocol::Request,
    status::{Failover, FrontendStatus, ServerStatus, Status},
};
use comfy_table::{Table, presets::NOTHING};
use std::{fmt::Write, process::ExitCode};

pub(super) fn run(daemon: &Daemon) -> anyhow::Result<ExitCode> {
    let status: Status = ask(&daemon.socket, &Request::Status)?;
    print(&if daemon.json { serde_json::to_string_pretty(&status)? } else { render(&status) })?;
    Ok(ExitCode::SUCCESS)
}

/// An empty table with these column heads.
pub(super) fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heads);
    table
}

fn render(status: &Status) -> String {
    let Status { version, pid, worker_pid, generation, interfaces, frontends, backends, connections, failovers } =
        status;
    let mut text = format!(
        "sluice {version}, supervisor {pid}, worker {worker_pid}, configuration {generation}, {connections} connections\n"
    );
    for interface in interfaces {
        let adopted = if interface.adopted { ", taken over from the daemon before" } else { "" };
        _ = writeln!(text, "{}: {} XDP{adopted}", interface.name, interface.mode);
    }
    let mut rows = table(&["FRONTEND", "MODE", "ADDRESS", "BACKEND"]);
    for frontend in frontends {
        rows.add_row(frontend_row(frontend));
    }
    _ = writeln!(text, "\n{rows}");
    let mut rows = table(&["SERVER", "ADDRESS", "STATE", "TAKES NEW", "WEIGHT", "OPEN", "TOTAL", "LAST CHECK"]);
    for backend in backends {
        for server in &backend.servers {
            rows.add_row(server_row(&backend.name, server));
        }
    }
    _ = writeln!(text, "\n{rows}");
    for Failover { backend, server, to, reason, probe_to_map_us } in failovers.iter().rev().take(5) {
        let to = format!("{to:?}").to_lowercase();
        _ = writeln!(
            text,
            "{backend}/{server} went {to} ({reason}); both halves knew {probe_to_map_us} µs after the probe"
        );
    }
    text
}

fn frontend_row(frontend: &FrontendStatus) -> [String; 4] {
    let binds = frontend.binds.iter().map(|bind| format!("{}/{}", bind.address, bind.protocol));
    let binds = binds.collect::<Vec<_>>().join(", ");
    [frontend.name.clone(), frontend.mode.clone(), binds, frontend.backend.clone().unwrap_or_default()]
}

fn server_row(backend: &str, server: &ServerStatus) -> [String; 8] {
    let backup = if server.backup { " (backup)" } else { "" };
    [
        format!("{backend}/{}{backup}", server.name),
        server.address.clone(),
        server.state.clone(),
        if server.available { "yes" } else { "no" }.to_owned(),
        server.weight.to_string(),
        server.connections.to_string(),
        server.total.to_string(),
        server.last_check.clone().unwrap_or_default(),
    ]
}
