//! `sluice server`, `sluice reload` and `sluice confirm`: the verbs that change something.

use super::{Daemon, Wish, client::ask, complain, print};
use crate::{
    admin::protocol::Request,
    channel::message::{Part, ReloadReport},
    config::units::show_duration,
    servers::Weight,
};
use anyhow::{Context, bail};
use std::{process::ExitCode, time::Duration};

pub(super) fn run(daemon: &Daemon, server: &str, wish: Wish, weight: Option<Weight>) -> anyhow::Result<ExitCode> {
    let (backend, server) = server.split_once('/').context("a server is named BACKEND/NAME")?;
    let (backend, server) = (backend.to_owned(), server.to_owned());
    let request = match (wish, weight) {
        (Wish::Admin(admin), None) => Request::Server { backend, server, admin },
        (Wish::Weight, Some(weight)) => Request::Weight { backend, server, weight },
        (Wish::Admin(_), Some(weight)) => bail!("`{weight}` is too much: only `weight` has one"),
        (Wish::Weight, None) => bail!("which weight? such as `sluice server weight {backend}/{server} 50%`"),
    };
    let done: String = ask(&daemon.socket, &request)?;
    print(&if daemon.json { serde_json::to_string(&done)? } else { done })?;
    Ok(ExitCode::SUCCESS)
}

/// `only`: a part of it; `confirm`: how long all of it is on trial.
pub(super) fn reload(daemon: &Daemon, only: Option<Part>, confirm: Option<Duration>) -> anyhow::Result<ExitCode> {
    let request = confirm.map_or(Request::Reload { only }, |within| Request::Try { within });
    let report: ReloadReport = ask(&daemon.socket, &request)?;
    if daemon.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        complain(&report.report);
        let done = match confirm.map(show_duration) {
            Some(within) => format!("reloaded: unless `sluice confirm` comes within {within}, it is undone"),
            None => "reloaded".to_owned(),
        };
        print(match (only, report.done) {
            (_, true) => &done,
            (None, false) => "not reloaded: the configuration before goes on",
            (Some(_), false) => "not all reloaded: of what is named above, what was before goes on",
        })?;
    }
    Ok(if report.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn confirm(daemon: &Daemon) -> anyhow::Result<ExitCode> {
    let done: String = ask(&daemon.socket, &Request::Confirm)?;
    print(&if daemon.json { serde_json::to_string(&done)? } else { done })?;
    Ok(ExitCode::SUCCESS)
}
