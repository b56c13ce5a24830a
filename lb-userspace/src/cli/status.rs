//! `sluice status`: how the daemon, its backends and servers stand.

use super::{Daemon, client::ask, print};
use crate::admin::{
    protocol::Request,
    status::{AgentStatus, Failover, FrontendStatus, LeavingStatus, LogStatus, ServerStatus, Status, TableStatus},
};
use crate::config::units::show_duration;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use std::{fmt::Write, process::ExitCode, time::Duration};

pub(super) fn run(daemon: &Daemon) -> anyhow::Result<ExitCode> {
    let status: Status = ask(&daemon.socket, &Request::Status)?;
    print(&if daemon.json { serde_json::to_string_pretty(&status)? } else { render(&status) })?;
    Ok(ExitCode::SUCCESS)
}

/// An empty table with these column heads; columns of numbers are flush right.
pub(super) fn table<const N: usize>(heads: [&str; N], numbers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heads);
    for (column, head) in table.column_iter_mut().zip(heads) {
        if numbers.contains(&head) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The lines of a table as they should be printed: nothing at all if it has no rows, and no blanks at the ends.
pub(super) fn lines(table: &Table) -> String {
    if table.is_empty() { String::new() } else { table.lines().map(|line| line.trim_end().to_owned() + "\n").collect() }
}

fn render(status: &Status) -> String {
    let Status {
        version,
        pid,
        worker_pid,
        generation,
        interfaces,
        frontends,
        backends,
        connections,
        max_connections,
        tables,
        failovers,
        logs,
        leaving,
        ..
    } = status;
    let most = if *max_connections > 0 { format!(" of {max_connections}") } else { String::new() };
    let mut text = format!(
        "sluice {version}, supervisor {pid}, worker {worker_pid}, configuration {generation}, {connections}{most} connections\n"
    );
    for interface in interfaces {
        let adopted = if interface.adopted { ", taken over from the daemon before" } else { "" };
        _ = match &interface.error {
            None => writeln!(text, "{}: {} XDP{adopted}", interface.name, interface.mode),
            Some(error) => writeln!(text, "{}: no XDP: {error}", interface.name),
        };
    }
    for TableStatus { table, family, entries, capacity } in tables.iter().filter(|table| table.entries > 0) {
        _ = writeln!(text, "table of {table}, IPv{family}: {entries} of {capacity} entries taken");
    }
    for LogStatus { target, written, lost, failing } in logs {
        let failing = if *failing { "; it takes none now" } else { "" };
        _ = writeln!(text, "log {target}: {written} lines written, {lost} lost{failing}");
    }
    _ = writeln!(text, "\n{}", frontend_rows(frontends).trim_end());
    let mut rows = table(
        ["SERVER", "ADDRESS", "STATE", "TAKES NEW", "WEIGHT", "OPEN", "FLOWS", "TOTAL", "LAST CHECK"],
        &["WEIGHT", "OPEN", "FLOWS", "TOTAL"],
    );
    for backend in backends {
        for server in &backend.servers {
            rows.add_row(server_row(&backend.name, server));
        }
    }
    _ = writeln!(text, "\n{}", lines(&rows).trim_end());
    if !leaving.is_empty() {
        _ = writeln!(text, "\n{}", lines(&leaving_rows(leaving)).trim_end());
    }
    if !failovers.is_empty() {
        text.push('\n');
    }
    for Failover { backend, server, to, reason, at_us: _, probe_to_map_us } in failovers.iter().rev().take(5) {
        _ = writeln!(
            text,
            "{backend}/{server} went {to} ({reason}); both halves knew {probe_to_map_us} µs after the probe"
        );
    }
    text
}

/// What reloads have removed and has something left.
fn leaving_rows(leaving: &[LeavingStatus]) -> Table {
    let mut rows = table(["LEAVING", "ADDRESS", "OPEN", "FLOWS", "AT MOST"], &["OPEN", "FLOWS", "AT MOST"]);
    rows.add_rows(leaving.iter().map(|it| {
        let name = if it.name.is_empty() { "(of a daemon before)" } else { &it.name };
        let address = it.address.clone().unwrap_or_default();
        let within = show_duration(Duration::from_secs(it.within));
        [format!("{} {name}", it.kind), address, it.connections.to_string(), it.flows.to_string(), within]
    }));
    rows
}

fn frontend_rows(frontends: &[FrontendStatus]) -> String {
    let heads = ["FRONTEND", "MODE", "ADDRESS", "BACKEND", "SERVERS", "QUORUM", "OPEN", "MAXCONN"];
    let mut rows = table(heads, &["SERVERS", "OPEN", "MAXCONN"]);
    rows.add_rows(frontends.iter().map(frontend_row));
    lines(&rows)
}

fn frontend_row(frontend: &FrontendStatus) -> [String; 8] {
    let binds = frontend.binds.iter().map(|bind| format!("{}/{}", bind.address, bind.protocol));
    let binds = binds.collect::<Vec<_>>().join(", ");
    // Of what the kernel half forwards nobody sees the end.
    let open = if frontend.mode == "l4" { String::new() } else { frontend.connections.to_string() };
    let most = if frontend.maxconn > 0 { frontend.maxconn.to_string() } else { String::new() };
    let backend = frontend.backend.clone().unwrap_or_default();
    let of_backend = |text: String| if backend.is_empty() { String::new() } else { text };
    let servers = of_backend(frontend.servers.to_string());
    let quorum = of_backend(match (frontend.has_quorum, frontend.withdrawn) {
        (true, _) => frontend.quorum.to_string(),
        (false, false) => format!("{} (lost)", frontend.quorum),
        (false, true) => format!("{} (withdrawn)", frontend.quorum),
    });
    [frontend.name.clone(), frontend.mode.clone(), binds, backend, servers, quorum, open, most]
}

fn server_row(backend: &str, server: &ServerStatus) -> [String; 9] {
    let backup = if server.backup { " (backup)" } else { "" };
    let problem = server.host.as_ref().and_then(|host| Some(format!("{}: {}", host.name, host.problem.as_ref()?)));
    let check = server.check.as_ref().and_then(|check| check.last.clone());
    let agent = server.agent.as_ref().and_then(agent);
    let last = check.into_iter().chain(agent).chain(problem).collect::<Vec<_>>().join("; ");
    [
        format!("{backend}/{}{backup}", server.name),
        server
            .host
            .as_ref()
            .filter(|host| !server.address.starts_with(&host.name))
            .map_or_else(|| server.address.clone(), |host| format!("{} ({})", server.address, host.name)),
        if server.drained { "drained".to_owned() } else { server.state.clone() },
        if server.available { "yes" } else { "no" }.to_owned(),
        weight(server),
        server.connections.to_string(),
        server.flows.to_string(),
        server.total.to_string(),
        last,
    ]
}

/// What an agent said last, if that says something; of one that is silent, how.
fn agent(agent: &AgentStatus) -> Option<String> {
    let code = agent.code.as_deref().filter(|code| !["L7OK", "L7STS", "CHECKED"].contains(code));
    let words = [code.map(|code| format!("agent {code}")), agent.last.clone()];
    Some(words.into_iter().flatten().collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty())
}

/// As it is now, what else is configured, and what part of it the server has while it rises.
fn weight(server: &ServerStatus) -> String {
    let ServerStatus { weight, current_weight, throttle, .. } = server;
    let configured = if weight == current_weight { String::new() } else { format!(" of {weight}") };
    let part = throttle.map(|part| format!(" ({part}%)")).unwrap_or_default();
    format!("{current_weight}{configured}{part}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::status::{BackendStatus, BindStatus, CheckStatus, HostStatus},
        channel::message::Interface,
        servers::Health,
    };

    /// One that runs the program, and one that went away.
    fn interfaces() -> Vec<Interface> {
        let gone = "there is no network interface eth1".to_owned();
        vec![
            Interface { name: "eth0".to_owned(), mode: "native".to_owned(), adopted: true, error: None },
            Interface { name: "eth1".to_owned(), mode: "none".to_owned(), adopted: false, error: Some(gone) },
        ]
    }

    fn frontends() -> Vec<FrontendStatus> {
        let bind = |address: &str| vec![BindStatus { address: address.to_owned(), protocol: "tcp".to_owned() }];
        let public = FrontendStatus {
            name: "public".to_owned(),
            mode: "http".to_owned(),
            binds: bind("192.0.2.1:80"),
            connections: 3,
            maxconn: 40,
            ..FrontendStatus::default()
        };
        let shop = FrontendStatus {
            name: "shop".to_owned(),
            mode: "l4".to_owned(),
            binds: bind("192.0.2.2:80"),
            backend: Some("web".to_owned()),
            servers: 1,
            quorum: 2,
            withdrawn: true,
            ..FrontendStatus::default()
        };
        vec![public, shop]
    }

    fn tables() -> Vec<TableStatus> {
        vec![
            TableStatus { table: "flows".to_owned(), family: 4, entries: 12, capacity: 262_144 },
            TableStatus { table: "flows".to_owned(), family: 6, entries: 0, capacity: 65_536 },
        ]
    }

    fn logs() -> Vec<LogStatus> {
        vec![LogStatus { target: "unix:/dev/log".to_owned(), written: 5, lost: 3, failing: true }]
    }

    fn failovers() -> Vec<Failover> {
        let (backend, server, reason) = ("web".to_owned(), "web1".to_owned(), "L4OK in 0.1 ms".to_owned());
        vec![Failover { backend, server, to: Health::Up, reason, at_us: 0, probe_to_map_us: 88 }]
    }

    fn checked() -> CheckStatus {
        CheckStatus { last: Some("L4OK in 0.1 ms".to_owned()), ..CheckStatus::default() }
    }

    /// One whose name has led to an address, and one whose name has not.
    fn named(server: &ServerStatus) -> [ServerStatus; 2] {
        let host = HostStatus { name: "web.test".to_owned(), age: Some(3), failures: 1, problem: None };
        let failing = HostStatus { problem: Some("no name server answers".to_owned()), ..host.clone() };
        let resolved = ServerStatus { host: Some(host), ..server.clone() };
        let (name, address, state) = ("web4".to_owned(), "web.test:80".to_owned(), "not resolved".to_owned());
        let nowhere = ServerStatus { name, address, state, host: Some(failing), check: None, ..server.clone() };
        [resolved, nowhere]
    }

    /// One whose agent speaks, and one whose agent does not.
    fn with_agents(server: &ServerStatus) -> [ServerStatus; 2] {
        let agent = |code: &str, last: Option<&str>| {
            let (last, code) = (last.map(str::to_owned), Some(code.to_owned()));
            Some(AgentStatus { last, code, ..AgentStatus::default() })
        };
        let (state, words) = ("down (agent)".to_owned(), Some("via agent : down (disk full)"));
        let speaks = ServerStatus { state, agent: agent("L7STS", words), ..server.clone() };
        let name = "web6".to_owned();
        [speaks, ServerStatus { name, agent: agent("L4CON", Some("connection refused")), ..server.clone() }]
    }

    #[test]
    fn status_is_shown_in_columns_with_numbers_flush_right_and_no_blanks_at_the_ends() {
        let server = |name: &str, total, backup: bool| ServerStatus {
            name: name.to_owned(),
            address: "10.0.0.1:80".to_owned(),
            state: "up".to_owned(),
            available: !backup,
            weight: 1,
            current_weight: 1,
            total,
            backup,
            check: (!backup).then(checked),
            ..ServerStatus::default()
        };
        let status = Status {
            version: "1.2.3".to_owned(),
            pid: 7,
            worker_pid: 8,
            generation: 2,
            interfaces: interfaces(),
            frontends: frontends(),
            backends: vec![BackendStatus {
                name: "web".to_owned(),
                servers: [
                    server("web1", 12_345, false),
                    ServerStatus { state: "drain".to_owned(), drained: true, weight: 8, ..server("web2", 9, false) },
                    ServerStatus { flows: 17, throttle: Some(5), ..server("sorry", 6, true) },
                ]
                .into_iter()
                .chain(named(&server("web3", 0, false)))
                .chain(with_agents(&server("web5", 0, false)))
                .collect(),
                ..BackendStatus::default()
            }],
            connections: 3,
            max_connections: 50,
            tables: tables(),
            logs: logs(),
            failovers: failovers(),
            ..Status::default()
        };
        let expected = "\
sluice 1.2.3, supervisor 7, worker 8, configuration 2, 3 of 50 connections
eth0: native XDP, taken over from the daemon before
eth1: no XDP: there is no network interface eth1
table of flows, IPv4: 12 of 262144 entries taken
log unix:/dev/log: 5 lines written, 3 lost; it takes none now

 FRONTEND  MODE  ADDRESS           BACKEND  SERVERS  QUORUM         OPEN  MAXCONN
 public    http  192.0.2.1:80/tcp                                      3       40
 shop      l4    192.0.2.2:80/tcp  web            1  2 (withdrawn)

 SERVER              ADDRESS                 STATE         TAKES NEW  WEIGHT  OPEN  FLOWS  TOTAL  LAST CHECK
 web/web1            10.0.0.1:80             up            yes             1     0      0  12345  L4OK in 0.1 ms
 web/web2            10.0.0.1:80             drained       yes        1 of 8     0      0      9  L4OK in 0.1 ms
 web/sorry (backup)  10.0.0.1:80             up            no         1 (5%)     0     17      6
 web/web3            10.0.0.1:80 (web.test)  up            yes             1     0      0      0  L4OK in 0.1 ms
 web/web4            web.test:80             not resolved  yes             1     0      0      0  web.test: no name server answers
 web/web5            10.0.0.1:80             down (agent)  yes             1     0      0      0  L4OK in 0.1 ms; via agent : down (disk full)
 web/web6            10.0.0.1:80             up            yes             1     0      0      0  L4OK in 0.1 ms; agent L4CON connection refused

web/web1 went up (L4OK in 0.1 ms); both halves knew 88 µs after the probe
";
        let shown = render(&status);
        assert_eq!(shown, expected, "\n{shown}");
    }
}
