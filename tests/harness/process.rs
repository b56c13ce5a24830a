//! Programs that run beside a test: their output kept in a file, their end certain.

use crate::wait;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// A program in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    kept: bool,
}

impl Process {
    /// Starts a program. What it prints goes to `<directory>/<name>.log`, after what an earlier one printed.
    pub fn spawn(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log, kept: false })
    }

    /// The process id. A command of [`Namespace::command`](crate::netns::Namespace::command) keeps the id of `nsenter`.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Everything it printed, for error messages.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("({}: {error})", self.log.display()))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the process, not to its children.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid(), signal).with_context(|| format!("signalling {}", self.name))
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let Self { name, child, .. } = self;
        wait::until(&format!("the end of {name}"), limit, || Ok(child.try_wait()?))
    }

    /// SIGKILL to the whole group, as a machine that loses power.
    pub fn kill(&mut self) -> Result<()> {
        kill_process_group(self.pid(), Signal::KILL).with_context(|| format!("killing {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until `ready`; if it does not come, or the process ends first, the error holds what the process printed.
    pub fn ready(&mut self, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
        let Self { name, child, .. } = self;
        let reached = wait::until(&format!("{name} to be ready"), limit, || {
            let ended = child.try_wait()?;
            Ok(if ended.is_some() { Some(ended) } else { ready()?.then_some(None) })
        });
        match reached {
            Ok(None) => Ok(()),
            Ok(Some(status)) => bail!("{} ended too early, {status}:\n{}", self.name, self.log()),
            Err(error) => bail!("{error:#}; it printed:\n{}", self.log()),
        }
    }

    /// Lets it run on after the end of this program.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept && self.is_running() {
            // The process may end between the question and the kill; either way it is gone afterwards.
            drop(self.kill());
        }
    }
}

/// Runs a command to its end and returns what it printed; a failure carries what it complained about.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    bail!("{command:?}: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr))
}
