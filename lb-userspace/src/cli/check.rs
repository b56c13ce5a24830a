//! `sluice check`: a configuration and all its errors, without running it.

use super::{complain, format_for_people, print};
use crate::{
    config::{self, Format},
    model::Model,
    preflight,
    servers::Registry,
};
use std::{path::Path, process::ExitCode};

pub(super) fn run(path: &Path, short: bool, host: bool) -> anyhow::Result<ExitCode> {
    let format = if short { Format::Short } else { format_for_people() };
    let bundle = config::collect(path)?;
    let loaded = match config::load(&bundle) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            complain(&diagnostics.render(format));
            return Ok(ExitCode::FAILURE);
        }
    };
    Registry::default().update(&loaded.model)?;
    complain(&loaded.warnings.render(format));
    complain(&loaded.notes.render(format));
    if host {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        complain(&runtime.block_on(preflight::read::report(&loaded.model)));
    }
    let Model { frontends, backends, .. } = &loaded.model;
    let servers: usize = backends.iter().map(|backend| backend.servers.len()).sum();
    print(&format!(
        "{}: {} frontends, {} backends, {servers} servers",
        path.display(),
        frontends.len(),
        backends.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}
