//! Programs in a terminal, with keys that are pressed there.

use anyhow::Result;
use lb_tests::{lab::Lab, process};
use std::process::Command;

const TERMINAL: &str = include_str!("terminal/terminal.py");

/// What a program shows while these keys are pressed, one after the other, without what only moves the cursor; then how it ended,
/// and whether the terminal is as it was. The last key must end it.
pub(crate) fn show(lab: &Lab, keys: &[&str], program: &Command) -> Result<String> {
    let mut command = lab.balancer.command("python3");
    command.args(["-c", TERMINAL, &keys.join(",")]).arg(program.get_program()).args(program.get_args());
    process::run(&mut command)
}
