//! `sluice preflight`: what a configuration asks of this machine, and how that falls short.

use super::{complain, print};
use crate::{
    config,
    exit::Exit,
    model::Model,
    preflight::{Finding, Severity, read::whole},
};
use anyhow::Context as _;
use std::{path::Path, process::ExitCode};

pub(super) fn run(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&config::collect(path)?)?;
    let found = found(&loaded.model)?;
    let warnings = found.iter().filter(|finding| finding.severity == Severity::Warning).count();
    print(&if json {
        serde_json::to_string_pretty(&found)?
    } else {
        lines(&found) + &format!("{warnings} warnings, {} notes", found.len() - warnings)
    })?;
    if !loaded.model.needs_kernel() {
        complain("no `l4` frontend: the kernel half has no part in this configuration, and asks for nothing");
    }
    Ok(if warnings == 0 { Exit::Suited } else { Exit::Unsuited }.into())
}

/// A line each.
pub(super) fn lines(found: &[Finding]) -> String {
    found.iter().map(|finding| finding.to_string() + "\n").collect::<Vec<_>>().concat()
}

/// What is found, the worst first.
pub(super) fn found(model: &Model) -> anyhow::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut found = runtime.block_on(whole(model)).context("the host's network cannot be read")?;
    found.sort_by_key(|finding| finding.severity);
    Ok(found)
}
