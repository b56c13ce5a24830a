//! `sluice run`, and the worker and the runner that it starts.

use super::colour;
use crate::{
    events,
    l7::memory::Gauge,
    runner,
    supervisor::{self, Options, upgrade},
    worker::{
        self,
        privileges::{self, Identity},
    },
};
use anyhow::Context;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub(super) fn run(
    config: PathBuf,
    single_process: bool,
    take_over: bool,
    confirm: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    start_log("supervisor");
    let binary = upgrade::started_from().context("cannot find out which program this is")?;
    supervisor::run(Options { config, single_process, binary, take_over, confirm })
}

/// The worker: standard input is its line to the supervisor.
pub(super) fn worker(identity: Option<(u32, u32)>) -> anyhow::Result<ExitCode> {
    let line = without_rights(identity, "worker").context("the worker cannot give up its rights")?;
    let gauge = Gauge::open(); // From now on it cannot open a file.
    let sandbox = privileges::confine_worker();
    worker::run(line, gauge, sandbox).context("the worker failed")?;
    Ok(ExitCode::SUCCESS)
}

/// The runner: likewise.
pub(super) fn runner(identity: Option<(u32, u32)>) -> anyhow::Result<ExitCode> {
    let line = without_rights(identity, "runner").context("the runner of checks cannot give up its rights")?;
    privileges::confine_runner();
    runner::run(line, identity.is_some()).context("the runner of checks failed")?;
    Ok(ExitCode::SUCCESS)
}

/// Gives up all rights; then there are a log, and the line to the supervisor.
fn without_rights(identity: Option<(u32, u32)>, process: &'static str) -> io::Result<OwnedFd> {
    match identity {
        Some((uid, gid)) => privileges::drop_all(Identity { uid, gid })?,
        None => privileges::give_up_capabilities()?,
    }
    privileges::keep_memory_private()?;
    start_log(process);
    io::stdin().as_fd().try_clone_to_owned()
}

/// Diagnostics go to standard error; `RUST_LOG` chooses, `info` is the default. What of them are events is noted whatever it says.
/// `process`: who we are.
fn start_log(process: &'static str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    let colour = colour::is_wanted();
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colour).with_target(false);
    tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(events::layer::layer(events::journal(), process))
        .init();
}
