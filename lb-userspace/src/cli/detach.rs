//! `sluice detach`: takes the program and its maps out of the kernel.

use super::{Daemon, client::ask, print};
use crate::{
    admin::{protocol::Request, status::Status},
    dataplane::attach,
};
use anyhow::bail;
use std::{path::Path, process::ExitCode};

pub(super) fn run(daemon: &Daemon, pins: &Path) -> anyhow::Result<ExitCode> {
    if let Ok(Status { pid, .. }) = ask(&daemon.socket, &Request::Status) {
        bail!("a daemon is running (process {pid}); stop it first: `on_stop` says what it leaves in the kernel");
    }
    let removed = attach::detach(pins)?;
    let names: Vec<String> = removed.iter().map(|path| path.display().to_string()).collect();
    print(&match (daemon.json, names.is_empty()) {
        (true, _) => serde_json::to_string_pretty(&names)?,
        (false, true) => format!("nothing is pinned below {}", pins.display()),
        (false, false) => names.iter().map(|name| format!("removed {name}\n")).collect(),
    })?;
    Ok(ExitCode::SUCCESS)
}
