//! `sluice upgrade`: another binary takes over.

use super::{Daemon, client::ask, complain, print};
use crate::{admin::protocol::Request, channel::message::ReloadReport};
use std::{path::PathBuf, process::ExitCode};

pub(super) fn run(daemon: &Daemon, binary: Option<PathBuf>, drop_flows: bool) -> anyhow::Result<ExitCode> {
    let report: ReloadReport = ask(&daemon.socket, &Request::Upgrade { binary, drop_flows })?;
    if daemon.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        complain(&report.report);
        print(if report.done { "upgraded" } else { "not upgraded: the running daemon goes on" })?;
    }
    Ok(if report.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
