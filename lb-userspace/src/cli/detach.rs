//! `sluice detach`: takes the program and its maps out of the kernel.

use super::{Daemon, client::ask, print};
use crate::{
    admin::{protocol::Request, status::Status},
    dataplane::{
        attach::{self, Detached},
        pins::Pins,
    },
    supervisor::lock::Lock,
};
use anyhow::bail;
use serde_json::json;
use std::{path::Path, process::ExitCode};

pub(super) fn run(daemon: &Daemon, pins: &Path) -> anyhow::Result<ExitCode> {
    if let Ok(Status { pid, .. }) = ask(&daemon.socket, &Request::Status) {
        bail!("a daemon is running (process {pid}); stop it first: `on_stop` says what it leaves in the kernel");
    }
    // Its socket may be another one, or not answer yet.
    let _lock = if pins.exists() { Some(Lock::on(pins)?) } else { None };
    let Detached { interfaces, directories } = attach::detach(&Pins::new(pins))?;
    let mut lines: Vec<_> = interfaces.iter().map(|interface| format!("detached from {interface}")).collect();
    lines.extend(directories.iter().map(|directory| format!("removed {}", directory.display())));
    if lines.is_empty() {
        lines.push(format!("nothing is attached or pinned below {}", pins.display()));
    }
    print(&if daemon.json {
        serde_json::to_string_pretty(&json!({ "interfaces": interfaces, "directories": directories }))?
    } else {
        lines.join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
