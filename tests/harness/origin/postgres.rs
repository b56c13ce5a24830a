//! A real PostgreSQL. Its table `who` has the machine's name.

use super::unprivileged;
use crate::{client::sql, lab::Machine, process::Process};
use anyhow::{Context, Result};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// A PostgreSQL on a machine of the lab, at its address of IPv4 and port 5432, for the user and password of [`sql`].
#[derive(Debug)]
pub struct Postgres(Process);

/// Where Debian has versions.
const VERSIONS: &str = "/usr/lib/postgresql";
const START: Duration = Duration::from_secs(30);

impl Postgres {
    /// Makes a new cluster and starts it.
    pub fn start(machine: &Machine, directory: &Path) -> Result<Self> {
        let directory = unprivileged::directory(directory, &format!("postgres-{}", machine.name))?;
        let (data, password, programs) = (directory.join("data"), directory.join("password"), programs()?);
        fs::write(&password, sql::PASSWORD)?;
        let mut init = unprivileged::command(machine, programs.join("initdb"));
        init.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password).arg(format!("--username={}", sql::USER));
        init.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        unprivileged::run(init)?;
        let mut access = OpenOptions::new().append(true).open(data.join("pg_hba.conf"))?;
        writeln!(access, "host all all samenet scram-sha-256")?;

        let mut serve = unprivileged::command(machine, programs.join("postgres"));
        serve.arg("-D").arg(&data).arg(format!("-clisten_addresses={}", machine.address));
        serve.args(["-cunix_socket_directories=", "-cfsync=off", "-cdynamic_shared_memory_type=mmap"]);
        let mut process = Process::spawn("postgres", &mut serve, &directory)?;
        let ask = |query: &str| sql::psql(&machine.namespace, machine.address.into(), &[query]);
        process.ready(START, || Ok(ask("select 1").is_ok()))?;
        ask(&format!("create table who as select '{}' as name", machine.name))?;
        Ok(Self(process))
    }

    /// SIGKILL; those of its processes that serve a client see that it is gone, and end.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()
    }
}

/// The programs of the newest version.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).with_context(|| format!("{VERSIONS}: no PostgreSQL"))?;
    let versions = versions.filter_map(|version| version.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.max().with_context(|| format!("no version in {VERSIONS}"))?;
    Ok(Path::new(VERSIONS).join(newest.to_string()).join("bin"))
}
