//! A real MariaDB. Its table `who` has the machine's name.

use super::unprivileged;
use crate::{
    client::sql,
    lab::{Machine, SERVER_GATEWAY},
    process::Process,
};
use anyhow::Result;
use std::{fs, path::Path, time::Duration};

/// A MariaDB on a machine of the lab, at its address of IPv4 and port 3306, for the user and password of [`sql`]. It believes
/// the balancer's headers of the PROXY protocol, and does without.
#[derive(Debug)]
pub struct MariaDb(Process);

const START: Duration = Duration::from_secs(30);
/// The files of its log of changes are written in full before it starts: 96 MiB, unless told otherwise.
const LOG_SIZE: &str = "--innodb-log-file-size=8M";

impl MariaDb {
    /// Makes its tables and starts it.
    pub fn start(machine: &Machine, directory: &Path) -> Result<Self> {
        let directory = unprivileged::directory(directory, &format!("mariadb-{}", machine.name))?;
        let (data, first) = (format!("--datadir={}/data", directory.display()), directory.join("first.sql"));
        let mut install = unprivileged::command(machine, "mariadb-install-db");
        install.args(["--no-defaults", &data, LOG_SIZE, "--auth-root-authentication-method=normal"]);
        install.args(["--skip-test-db", "--skip-name-resolve", "--force"]);
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

        let mut serve = unprivileged::command(machine, "mariadbd");
        serve.args(["--no-defaults", &data, LOG_SIZE, "--innodb-buffer-pool-size=32M", "--skip-name-resolve"]);
        serve.arg(format!("--bind-address={}", machine.address));
        serve.arg(format!("--proxy-protocol-networks={SERVER_GATEWAY}"));
        serve.arg(format!("--socket={}/socket", directory.display()));
        serve.arg(format!("--pid-file={}/pid", directory.display()));
        serve.arg(format!("--init-file={}", first.display()));
        let mut process = Process::spawn("mariadbd", &mut serve, &directory)?;
        let ask = || sql::mariadb(&machine.namespace, machine.address.into(), &["select name from who"]);
        process.ready(START, || Ok(ask().is_ok()))?;
        Ok(Self(process))
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()
    }
}
