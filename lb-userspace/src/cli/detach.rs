//! `sluice detach`: takes the program and its maps out of the kernel.

use super::{Daemon, client::ask, print};
use crate::{
    admin::{protocol::Request, status::Status},
    dataplane::{
        attach::{self, Detached},
        maps::KernelMaps,
        pins::Pins,
        routing,
        writer::MapWriter as _,
    },
    supervisor::lock::Lock,
};
use anyhow::bail;
use serde_json::json;
use std::{net::IpAddr, path::Path, process::ExitCode};
use tracing::warn;

pub(super) fn run(daemon: &Daemon, pins: &Path) -> anyhow::Result<ExitCode> {
    if let Ok(Status { pid, .. }) = ask(&daemon.socket, &Request::Status) {
        bail!("a daemon is running (process {pid}); stop it first: `on_stop` says what it leaves in the kernel");
    }
    // Its socket may be another one, or not answer yet.
    let _lock = if pins.exists() { Some(Lock::on(pins)?) } else { None };
    let (pins, path) = (Pins::new(pins), pins);
    // Only the maps know whom the kernel keeps alive for us.
    let servers = servers(&pins);
    let Detached { interfaces, directories } = attach::detach(&pins)?;
    if let Err(error) = release(servers) {
        warn!(error = format!("{error:#}"), "the kernel goes on keeping neighbours alive");
    }
    let mut lines: Vec<_> = interfaces.iter().map(|interface| format!("detached from {interface}")).collect();
    lines.extend(directories.iter().map(|directory| format!("removed {}", directory.display())));
    if lines.is_empty() {
        lines.push(format!("nothing is attached or pinned below {}", path.display()));
    }
    print(&if daemon.json {
        serde_json::to_string_pretty(&json!({ "interfaces": interfaces, "directories": directories }))?
    } else {
        lines.join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The servers in the maps, if these can be read.
fn servers(pins: &Pins) -> Vec<IpAddr> {
    let tables = KernelMaps::open(pins).ok().and_then(|mut maps| maps.read().ok()).unwrap_or_default();
    tables.servers.values().filter(|row| row.next_hop != 0).map(|row| row.addr.ip()).collect()
}

fn release(servers: Vec<IpAddr>) -> anyhow::Result<()> {
    if servers.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(routing::release(servers))?;
    Ok(())
}
