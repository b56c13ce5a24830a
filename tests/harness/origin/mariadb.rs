//! A real MariaDB. Its table `who` has the machine's name.

use super::unprivileged;
use crate::{
    client::sql,
    lab::{Machine, SERVER_GATEWAY},
    process::{self, Process},
};
use anyhow::Result;
use rustix::process::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// A MariaDB on a machine of the lab, at its address of IPv4 and port 3306, for the user and password of [`sql`]. It believes
/// the balancer's headers of the PROXY protocol, and does without.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    socket: PathBuf,
}

const START: Duration = Duration::from_secs(30);
/// The files of its log of changes are written in full before it starts: 96 MiB, unless told otherwise.
const LOG_SIZE: &str = "--innodb-log-file-size=8M";

impl MariaDb {
    /// Makes its tables and starts it.
    pub fn start(machine: &Machine, directory: &Path) -> Result<Self> {
        Self::start_with(machine, directory, &["--skip-name-resolve"])
    }

    /// The same, with these options in place of the one not to look for clients' names: then it keeps count of hosts whose
    /// connections break off, and refuses those that have many.
    pub fn start_with(machine: &Machine, directory: &Path, options: &[&str]) -> Result<Self> {
        let directory = unprivileged::directory(directory, &format!("mariadb-{}", machine.name))?;
        let (data, first) = (format!("--datadir={}/data", directory.display()), directory.join("first.sql"));
        let mut install = unprivileged::command(machine, "mariadb-install-db");
        install.args(["--no-defaults", &data, LOG_SIZE, "--auth-root-authentication-method=normal"]);
        install.args(["--skip-test-db", "--skip-name-resolve", "--force"]);
        // One that starts removes what others have in a directory for all.
        install.env("TMPDIR", &directory);
        unprivileged::run(install)?;
        let (user, password, database) = (sql::USER, sql::PASSWORD, sql::DATABASE);
        // It reads a statement a line.
        let statements = [
            format!("create database {database};"),
            format!("create user {user}@'%' identified by '{password}';"),
            format!("grant all on {database}.* to {user}@'%';"),
            format!("create table {database}.who as select '{}' as name;", machine.name),
        ];
        fs::write(&first, statements.join("\n"))?;

        let (hosts, socket) = (directory.join("hosts"), directory.join("socket"));
        fs::write(&hosts, format!("{SERVER_GATEWAY} balancer\n{} {}\n", machine.address, machine.name))?;
        let mut serve = unprivileged::command_with(machine, &hosts, "/etc/hosts", "mariadbd");
        serve.args(["--no-defaults", &data, LOG_SIZE, "--innodb-buffer-pool-size=32M"]).args(options);
        serve.env("TMPDIR", &directory);
        serve.arg(format!("--bind-address={}", machine.address));
        serve.arg(format!("--proxy-protocol-networks={SERVER_GATEWAY}"));
        serve.arg(format!("--socket={}", socket.display()));
        serve.arg(format!("--pid-file={}/pid", directory.display()));
        serve.arg(format!("--init-file={}", first.display()));
        let mut process = Process::spawn("mariadbd", &mut serve, &directory)?;
        let ask = || sql::mariadb(&machine.namespace, machine.address.into(), &["select name from who"]);
        process.ready(START, || Ok(ask().is_ok()))?;
        Ok(Self { process, socket })
    }

    /// Asks it as its administrator, beside the network.
    pub fn admin(&self, statements: &str) -> Result<String> {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--user=root"]);
        command.arg(format!("--socket={}", self.socket.display())).arg(format!("--execute={statements}"));
        process::run(&mut command)
    }

    /// SIGSTOP: the kernel still takes connections for it.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}
