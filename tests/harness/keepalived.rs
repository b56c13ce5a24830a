//! A real keepalived, which moves floating addresses between balancers.

use crate::{binary, lab::Balancer, process::Process};
use anyhow::{Context, Result};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

/// Where the examples have the command line.
const INSTALLED: &str = "/usr/sbin/sluice";

/// keepalived on a balancer.
#[derive(Debug)]
pub struct Keepalived(Process);

impl Keepalived {
    /// Starts it with a configuration that asks an installed `sluice`; the one under test is asked instead.
    pub fn start(balancer: &Balancer, config: &str) -> Result<Self> {
        let directory = &balancer.directory;
        // keepalived runs nothing that somebody else could write, and so nothing below /tmp.
        let wrapper = directory.join("ask");
        let (program, socket) = (binary()?, directory.join("sluice.sock"));
        let script = format!("#!/bin/sh\nexec '{}' \"$@\" --socket '{}'\n", program.display(), socket.display());
        fs::write(&wrapper, script)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        let path = directory.join("keepalived.conf");
        fs::write(&path, config.replace(INSTALLED, wrapper.to_str().context("a path")?))?;
        let mut command = balancer.namespace.command("keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "--use-file"]).arg(&path);
        command.arg("--pid").arg(directory.join("keepalived.pid"));
        command.arg("--vrrp_pid").arg(directory.join("vrrp.pid"));
        let mut process = Process::spawn("keepalived", &mut command, directory)?;
        let log = directory.join("keepalived.log");
        let printed = || fs::read_to_string(&log).unwrap_or_default();
        process.ready(Duration::from_secs(10), || Ok(printed().contains("Entering BACKUP STATE")))?;
        Ok(Self(process))
    }

    /// SIGKILL: it says nothing to the others and leaves its addresses where they are.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()
    }

    /// Everything it printed.
    pub fn log(&self) -> String {
        self.0.log()
    }
}
