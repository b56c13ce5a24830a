//! `sluice plan`: what a reload would change, beforehand.

use super::{Daemon, client::ask, complain, format_for_people, maps::loaded, print};
use crate::{
    admin::{
        plan::{FileChange, KeyChange, Plan, Removal, plan},
        protocol::Request,
        status::Status,
    },
    config::{
        self,
        outline::{Outline, outline},
    },
    dataplane::{maps::KernelMaps, writer::MapWriter},
    exit::Exit,
    model::{Model, Server},
    plan::preview::{Preview, RingChange, preview},
    servers::Registry,
};
use std::{fmt::Write, net::SocketAddr, path::Path, process::ExitCode};

pub(super) fn run(daemon: &Daemon, config: &Path, pins: &Path, exit_code: bool) -> anyhow::Result<ExitCode> {
    let bundle = config::collect(config)?;
    let config::Loaded { mut model, warnings, .. } = config::load(&bundle)?;
    let old: Outline = ask(&daemon.socket, &Request::Outline)?;
    let status: Status = ask(&daemon.socket, &Request::Status)?;
    complain(&warnings.render(format_for_people()));
    address(&mut model, &status);
    // What there would be no room for is an error of the reload too.
    Registry::default().update(&model)?;
    let (kernel, unread) = match in_kernel(&model, &status, pins) {
        Ok(kernel) => (kernel, None),
        Err(error) => (None, Some(format!("what changes in the kernel is not known: {error:#}"))),
    };
    complain(unread.as_deref().unwrap_or_default());
    let plan = plan((&old, &status), (&outline(&bundle, &old.salt), &model), kernel);
    print(&if daemon.json { serde_json::to_string_pretty(&plan)? } else { render(&plan) })?;
    Ok(if exit_code && plan.changes { Exit::WouldChange } else { Exit::Possible }.into())
}

/// Servers that are known by their names are where the daemon has found them.
fn address(model: &mut Model, status: &Status) {
    for backend in &mut model.backends {
        let known = status.backends.iter().find(|known| known.name == backend.name);
        let place = |server: &Server| {
            let known = known?.servers.iter().find(|known| known.name == server.name)?;
            let host =
                known.host.as_ref().filter(|host| server.host.as_ref().is_some_and(|now| *now.name == *host.name));
            host.and_then(|_| known.address.parse::<SocketAddr>().ok()).map(|address| address.ip())
        };
        for server in backend.servers.iter_mut().filter(|server| server.host.is_some()) {
            *server = server.at(place(server));
        }
    }
}

fn in_kernel(model: &Model, status: &Status, pins: &Path) -> anyhow::Result<Option<Preview>> {
    if status.interfaces.is_empty() {
        return Ok(None); // The kernel half does not run; a new one is said by its frontends.
    }
    let tables = KernelMaps::open(&loaded(pins)?)?.read()?;
    Ok(Some(preview(model, &tables)?))
}

fn render(plan: &Plan) -> String {
    if !plan.changes {
        return "nothing would change\n".to_owned();
    }
    let mut text = String::new();
    for added in &plan.added {
        _ = writeln!(text, "+ {added}");
    }
    for Removal { what, moves, connections, flows, drain_timeout } in &plan.removed {
        let moves = if *moves { " (at its old address)" } else { "" };
        _ = write!(text, "- {what}{moves}");
        let has = [(connections, "connections"), (flows, "flows")];
        let has: Vec<_> =
            has.iter().filter(|(count, _)| **count > 0).map(|(count, of)| format!("{count} {of}")).collect();
        if !has.is_empty() {
            _ = write!(text, ": has {}", has.join(" and "));
        }
        match drain_timeout {
            Some(timeout) => _ = writeln!(text, "; drains up to {timeout}"),
            None if what.starts_with("frontend ") => text.push_str("; ends at once\n"),
            None => text.push('\n'),
        }
    }
    for KeyChange { key, old, new, hidden, restart } in &plan.changed {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not said)".to_owned());
        let hidden = if *hidden { " (another one)" } else { "" };
        let restart = if *restart { "; takes effect at the next start" } else { "" };
        _ = writeln!(text, "~ {key}: {} → {}{hidden}{restart}", said(old), said(new));
    }
    for FileChange { file, change } in &plan.files {
        _ = writeln!(text, "~ {file}: {change}");
    }
    for (sign, binds) in [('+', &plan.binds_opened), ('-', &plan.binds_closed)] {
        for bind in binds {
            _ = writeln!(text, "{sign} bind {bind}");
        }
    }
    if let Some(kernel) = &plan.kernel {
        text.push_str(&render_kernel(kernel));
    }
    text
}

fn render_kernel(preview: &Preview) -> String {
    let mut text = String::new();
    for RingChange { backend, slots, of, is_new } in &preview.rings {
        let parts = slots.saturating_mul(1_000).checked_div(*of).unwrap_or_default();
        let new = if *is_new { " (a new ring)" } else { "" };
        _ = writeln!(
            text,
            "~ ring {backend}: {slots} of {of} slots get another owner, {}.{} %{new}",
            parts / 10,
            parts % 10
        );
    }
    let Preview { vips, servers, ring_writes, returns, sources, .. } = preview;
    let rows =
        [("VIPs", vips), ("servers", servers), ("rings", ring_writes), ("returns", returns), ("sources", sources)];
    let written = |(of, [put, removed]): (&str, &[usize; 2])| {
        (put + removed > 0).then(|| format!("{of} {put} written, {removed} removed"))
    };
    let rows: Vec<_> = rows.into_iter().filter_map(written).collect();
    if !rows.is_empty() {
        _ = writeln!(text, "kernel: {}", rows.join("; "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_line_by_line() {
        let removal = |what: &str, connections, drain: Option<&str>| Removal {
            what: what.to_owned(),
            connections,
            flows: connections,
            drain_timeout: drain.map(str::to_owned),
            ..Removal::default()
        };
        let plan = Plan {
            changes: true,
            added: vec!["server web/c".to_owned()],
            removed: vec![removal("server web/a", 3, Some("1h")), removal("frontend dns", 0, None)],
            changed: vec![KeyChange {
                key: "global.hash_key".to_owned(),
                old: Some("(secret)".to_owned()),
                new: Some("(secret)".to_owned()),
                hidden: true,
                restart: true,
            }],
            files: vec![FileChange { file: "certificate a.pem".to_owned(), change: "changed".to_owned() }],
            binds_closed: vec!["dns 192.0.2.1:53/udp".to_owned()],
            kernel: Some(Preview {
                rings: vec![RingChange { backend: "web".to_owned(), slots: 4_096, of: 16_384, is_new: false }],
                servers: [2, 0],
                ..Preview::default()
            }),
            ..Plan::default()
        };
        let expected = "+ server web/c\n\
                        - server web/a: has 3 connections and 3 flows; drains up to 1h\n\
                        - frontend dns; ends at once\n\
                        ~ global.hash_key: (secret) → (secret) (another one); takes effect at the next start\n\
                        ~ certificate a.pem: changed\n\
                        - bind dns 192.0.2.1:53/udp\n\
                        ~ ring web: 4096 of 16384 slots get another owner, 25.0 %\n\
                        kernel: servers 2 written, 0 removed\n";
        assert_eq!(render(&plan), expected);
        assert_eq!(render(&Plan::default()), "nothing would change\n");
    }
}
