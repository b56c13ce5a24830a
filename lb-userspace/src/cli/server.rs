//! `sluice server` and `sluice reload`: the verbs that change something.

use super::{Daemon, client::ask, complain, print};
use crate::{admin::protocol::Request, channel::message::ReloadReport, servers::Admin};
use anyhow::Context;
use std::process::ExitCode;

pub(super) fn run(daemon: &Daemon, admin: Admin, server: &str) -> anyhow::Result<ExitCode> {
    let (backend, server) = server.split_once('/').context("a server is named BACKEND/NAME")?;
    let request = Request::Server { backend: backend.to_owned(), server: server.to_owned(), admin };
    let done: String = ask(&daemon.socket, &request)?;
    print(&if daemon.json { serde_json::to_string(&done)? } else { done })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn reload(daemon: &Daemon) -> anyhow::Result<ExitCode> {
    let report: ReloadReport = ask(&daemon.socket, &Request::Reload)?;
    if daemon.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        complain(&report.report);
        print(if report.done { "reloaded" } else { "not reloaded: the configuration before goes on" })?;
    }
    Ok(if report.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
