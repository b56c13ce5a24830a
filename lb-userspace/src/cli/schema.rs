//! `sluice schema`: what editors check a configuration by.

use super::print;
use crate::config::schema::schema;
use std::process::ExitCode;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    print(&serde_json::to_string_pretty(&schema())?)?;
    Ok(ExitCode::SUCCESS)
}
