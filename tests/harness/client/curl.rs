//! A real client, as a user has it.

use anyhow::Result;
use std::process::Command;

/// Fetches a URL: `curl(lab.client.command("curl"), &["http://192.0.2.10/"])`. Returns the body; an error for any status
/// that is one, and when nothing comes for five seconds.
pub fn curl(mut command: Command, arguments: &[&str]) -> Result<String> {
    command.args(["--silent", "--show-error", "--fail", "--max-time", "5"]).args(arguments);
    crate::process::run(&mut command)
}
