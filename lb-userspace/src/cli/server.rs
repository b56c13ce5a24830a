//! `sluice server` and `sluice reload`: the verbs that change something.

use super::{Daemon, Wish, client::ask, complain, print};
use crate::{
    admin::protocol::Request,
    channel::message::{Part, ReloadReport},
    servers::Weight,
};
use anyhow::{Context, bail};
use std::process::ExitCode;

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

pub(super) fn reload(daemon: &Daemon, only: Option<Part>) -> anyhow::Result<ExitCode> {
    let report: ReloadReport = ask(&daemon.socket, &Request::Reload { only })?;
    if daemon.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        complain(&report.report);
        print(match (only, report.done) {
            (_, true) => "reloaded",
            (None, false) => "not reloaded: the configuration before goes on",
            (Some(_), false) => "not all reloaded: of what is named above, what was before goes on",
        })?;
    }
    Ok(if report.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
