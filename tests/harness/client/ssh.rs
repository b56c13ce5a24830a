//! SSH and scp, by the clients that people use.

use crate::{netns::Namespace, process};
use anyhow::{Context as _, Result};
use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// The one user of the servers. None of this computer: those have passwords, and some are locked.
pub const USER: &str = "files";

/// The keys of servers and client.
#[derive(Debug)]
pub struct Keys(PathBuf);

impl Keys {
    /// Makes new ones.
    pub fn make(directory: &Path) -> Result<Self> {
        let directory = directory.join("ssh-keys");
        fs::create_dir_all(&directory)?;
        let keys = Self(directory);
        for path in [keys.host(), keys.own()] {
            process::run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path))?;
        }
        Ok(keys)
    }

    /// That of the servers.
    pub fn host(&self) -> PathBuf {
        self.0.join("host")
    }

    /// The public one of the client.
    pub fn authorized(&self) -> PathBuf {
        self.0.join("own.pub")
    }

    fn own(&self) -> PathBuf {
        self.0.join("own")
    }

    /// What `/etc/passwd` must be where [`USER`] has that home.
    pub fn users(&self, home: &Path) -> String {
        format!("{USER}:x:65534:65534::{}:/bin/sh\n", home.display())
    }

    /// Runs a command on a server; what it printed.
    pub fn ssh(&self, client: &Namespace, server: IpAddr, remote: &str) -> Result<String> {
        process::run(self.command(client, "ssh", server)?.arg(format!("{USER}@{server}")).arg(remote))
    }

    /// Copies files: those of the server begin with a colon.
    pub fn scp(&self, client: &Namespace, server: IpAddr, from: &str, to: &str) -> Result<()> {
        let place = |path: &str| if path.starts_with(':') { format!("{USER}@{server}{path}") } else { path.to_owned() };
        process::run(self.command(client, "scp", server)?.arg("-q").args([place(from), place(to)])).map(drop)
    }

    /// Knows no server but by the servers' key.
    fn command(&self, client: &Namespace, program: &str, server: IpAddr) -> Result<Command> {
        let public = fs::read_to_string(self.host().with_extension("pub"))?;
        let known = self.0.join(format!("known-{server}"));
        let key = public.rsplit_once(' ').context("a public key with a comment")?.0;
        fs::write(&known, format!("{server} {key}\n"))?;
        let mut command = client.command(program);
        command.args(["-F", "none", "-oBatchMode=yes", "-oIdentitiesOnly=yes", "-oStrictHostKeyChecking=yes"]);
        command.args(["-oConnectTimeout=5", &format!("-oUserKnownHostsFile={}", known.display())]);
        command.arg("-i").arg(self.own());
        Ok(command)
    }
}
