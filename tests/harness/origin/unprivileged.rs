//! Servers without rights: as `nobody`, with files of their own, and shared memory that ends with them.

use crate::{lab::Machine, process};
use anyhow::{Context, Result};
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

/// User and group of them: `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;

/// Another file for the program that follows: `$1` where others see `$2`.
const OVER: &str = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;

/// A command on a machine, without rights. What it makes by System V's IPC goes with it.
pub(super) fn command(machine: &Machine, program: impl AsRef<OsStr>) -> Command {
    let mut command = machine.namespace.command("unshare");
    command.arg("--ipc");
    give_up_rights(&mut command);
    command.arg(program);
    command
}

/// The same for a program that finds that file where others find `at`, such as `/etc/passwd`.
pub(super) fn command_with(machine: &Machine, file: &Path, at: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = machine.namespace.command("unshare");
    command.args(["--ipc", "--mount", "sh", "-c", OVER, "sh"]).arg(file).arg(at);
    give_up_rights(&mut command);
    command.arg(program);
    command
}

fn give_up_rights(command: &mut Command) {
    let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    command.arg("setpriv").args(ids).args(["--clear-groups", "--no-new-privs"]);
}

/// An empty directory that such programs may write to.
pub(super) fn directory(parent: &Path, name: &str) -> Result<PathBuf> {
    let path = parent.join(name);
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }
    fs::create_dir_all(&path)?;
    give(&path)?;
    Ok(path)
}

/// Lets such programs have a file.
pub(super) fn give(path: &Path) -> Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY)).with_context(|| path.display().to_string())
}

/// Runs one to its end.
pub(super) fn run(mut command: Command) -> Result<()> {
    process::run(&mut command).map(drop)
}
