//! The daemon under test, and its command line.

pub mod report;

pub use report::{Maps, Remembered, Status};

use crate::{
    binary,
    lab::{Balancer, DEVICE, Lab},
    process::Process,
    wait,
};
use anyhow::{Context, Result, ensure};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    time::Duration,
};

/// Longest wait for the daemon to be ready, or to be gone.
const START: Duration = Duration::from_secs(30);

/// How a daemon is started, where that is not as always.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner<'a> {
    /// A program, and what it is told, that becomes the daemon: `["prlimit", "--nofile=256"]`.
    pub through: &'a [&'a str],
    /// More arguments of `sluice run`.
    pub arguments: &'a [&'a str],
    /// The configuration is one file of a directory, which may have others: see [`Sluice::config`].
    pub in_directory: bool,
}

/// A daemon in the balancer's namespace.
#[derive(Debug)]
pub struct Sluice {
    process: Process,
    config: PathBuf,
    socket: PathBuf,
    pins: PathBuf,
}

impl Sluice {
    /// Writes the configuration and starts the daemon; returns when it answers and every server has been checked.
    ///
    /// `config` continues the `[global]` table: it may start with keys of that table.
    pub fn start(lab: &Lab, config: &str) -> Result<Self> {
        Self::start_on(&lab.first_balancer(), config)
    }

    /// As [`start`](Self::start), on one of several balancers.
    pub fn start_on(balancer: &Balancer, config: &str) -> Result<Self> {
        let Balancer { namespace, directory, pins, .. } = balancer;
        let (path, socket) = (directory.join("sluice.toml"), directory.join("sluice.sock"));
        fs::write(&path, complete_on(balancer, config))?;
        let mut command = namespace.command(binary()?);
        command.arg("run").arg("--config").arg(&path);
        let process = Process::spawn("sluice", &mut command, directory)?;
        let mut sluice = Self { process, config: path, socket, pins: pins.clone() };
        sluice.wait_ready()?;
        Ok(sluice)
    }

    /// As [`start`](Self::start), in that manner.
    pub fn start_as(lab: &Lab, config: &str, manner: Manner<'_>) -> Result<Self> {
        let (directory, socket) = (lab.directory(), lab.directory().join("sluice.sock"));
        let (path, named) = if manner.in_directory {
            let named = directory.join("conf.d");
            fs::create_dir_all(&named)?;
            (named.join("00-first.toml"), named)
        } else {
            let path = directory.join("sluice.toml");
            (path.clone(), path)
        };
        fs::write(&path, complete(lab, config))?;
        let program = binary()?;
        let mut words = manner.through.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = lab.balancer.command(words.next().context("a program")?);
        command.args(words).arg("run").arg("--config").arg(named).args(manner.arguments);
        let process = Process::spawn("sluice", &mut command, directory)?;
        let mut sluice = Self { process, config: path, socket, pins: lab.pins() };
        sluice.wait_ready()?;
        Ok(sluice)
    }

    /// Starts the daemon again, with the configuration as it is, after it was killed or stopped.
    pub fn start_again(&mut self, lab: &Lab) -> Result<()> {
        let mut command = lab.balancer.command(binary()?);
        command.arg("run").arg("--config").arg(&self.config);
        self.process = Process::spawn("sluice", &mut command, lab.directory())?;
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let (own, socket) = (self.process.pid(), self.socket.clone());
        self.process.ready(START, || {
            let status: Status = json(Command::new(binary()?).args(["status", "--json", "--socket"]).arg(&socket))?;
            // The socket of a daemon that was killed a moment ago must not pass for the new one.
            let same = status.pid == own.as_raw_nonzero().get();
            let checked =
                status.backends.iter().flat_map(|backend| &backend.servers).all(|server| server.health != "unknown");
            Ok(same && checked)
        })
    }

    /// The file it reads.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Writes another configuration; takes effect by a reload.
    pub fn write_config(&self, lab: &Lab, config: &str) -> Result<()> {
        Ok(fs::write(&self.config, complete(lab, config))?)
    }

    /// The process that was started: the supervisor.
    pub fn supervisor(&self) -> Pid {
        self.process.pid()
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// `kill -9` of supervisor and worker, at once.
    pub fn kill(&mut self) -> Result<()> {
        let worker = self.status()?.worker()?;
        self.process.kill()?;
        // The worker may share the supervisor's group, or have ended with it: then there is nothing left to kill.
        kill_process(worker, Signal::KILL).or_else(|error| if error == Errno::SRCH { Ok(()) } else { Err(error) })?;
        Ok(())
    }

    /// SIGTERM, and waits for the end, which must be a clean one.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.process.wait(START)?;
        ensure!(status.success(), "the daemon ended with {status}:\n{}", self.log());
        Ok(())
    }

    /// Waits until it ends by itself; how it ended.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait(limit)
    }

    /// Lets it run on after the end of this program.
    pub fn keep(self) {
        self.process.keep();
    }

    /// Everything the daemon printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Runs a verb of the command line against this daemon: `sluice.cli(&["server", "drain", "shop/web1"])`.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary()?);
        Ok(command.args(arguments).arg("--socket").arg(&self.socket).output()?)
    }

    /// Runs a verb that must succeed.
    pub fn command(&self, arguments: &[&str]) -> Result<()> {
        let output = self.cli(arguments)?;
        ensure!(output.status.success(), "sluice {arguments:?}: {}", complaint(&output));
        Ok(())
    }

    /// `sluice status`.
    pub fn status(&self) -> Result<Status> {
        json(Command::new(binary()?).args(["status", "--json", "--socket"]).arg(&self.socket))
    }

    /// `sluice maps`: the kernel's maps, read from the pins. Without a daemon it has no names.
    pub fn maps(&self) -> Result<Maps> {
        let mut command = Command::new(binary()?);
        json(command.args(["maps", "--json", "--pins"]).arg(&self.pins).arg("--socket").arg(&self.socket))
    }

    /// `sluice flows`: the flows that the kernel half remembers one by one, all of them.
    pub fn flows(&self) -> Result<Remembered> {
        const ALL: &str = "1000000";
        let mut command = Command::new(binary()?);
        command.args(["flows", "--json", "--limit", ALL, "--pins"]).arg(&self.pins).arg("--socket").arg(&self.socket);
        json(&mut command)
    }

    /// Waits until the shares of a backend's ring are as wanted.
    pub fn wait_shares(
        &self,
        backend: &str,
        limit: Duration,
        wanted: impl Fn(&BTreeMap<String, f64>) -> bool,
    ) -> Result<BTreeMap<String, f64>> {
        let what = format!("the ring of {backend} to change");
        let shares =
            wait::until(&what, limit, || Ok(Some(self.maps()?.shares(backend)?).filter(|shares| wanted(shares))));
        shares.with_context(|| format!("now: {:?}\n{}", self.maps().and_then(|maps| maps.shares(backend)), self.log()))
    }
}

/// A whole configuration for a lab: its `[global]` table, which `config` continues.
pub fn complete(lab: &Lab, config: &str) -> String {
    complete_on(&lab.first_balancer(), config)
}

fn complete_on(Balancer { directory, pins, .. }: &Balancer, config: &str) -> String {
    let (directory, pins) = (directory.display(), pins.display());
    format!(
        "[global]\ninterfaces = [\"{DEVICE}\"]\ncontrol_socket = \"{directory}/sluice.sock\"\npin_dir = \"{pins}\"\n\
         user = \"nobody\"\n{config}"
    )
}

/// What a verb complained about.
pub fn complaint(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", complaint(&output));
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?}: {}", complaint(&output)))
}
