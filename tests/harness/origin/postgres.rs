//! A real PostgreSQL. Its table `who` has the machine's name.

use super::unprivileged;
use crate::{client::sql, lab::Machine, process::Process};
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// A PostgreSQL on a machine of the lab, at its address of IPv4 and port 5432, for the user and password of [`sql`]. Users `md5`,
/// `clear` and `trusted`, once they are made, log in by these ways.
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
        for (user, way) in [("md5", "md5"), ("clear", "password"), ("trusted", "trust"), ("all", "scram-sha-256")] {
            writeln!(access, "host all {user} samenet {way}")?;
        }
        writeln!(access, "host replication all samenet scram-sha-256")?;
        let server = Self::serve(machine, &directory, &[])?;
        let table = format!("create table who as select '{}' as name", machine.name);
        sql::psql(&machine.namespace, machine.address.into(), &[&table])?;
        Ok(server)
    }

    /// Starts one that follows another, with all that that has.
    pub fn follow(machine: &Machine, directory: &Path, primary: &Machine) -> Result<Self> {
        let directory = unprivileged::directory(directory, &format!("postgres-{}", machine.name))?;
        let mut copy = unprivileged::command(machine, programs()?.join("pg_basebackup"));
        copy.arg("--pgdata").arg(directory.join("data")).args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ]);
        copy.arg(format!("--host={}", primary.address)).arg(format!("--username={}", sql::USER));
        copy.env("PGPASSWORD", sql::PASSWORD);
        unprivileged::run(copy)?;
        Self::serve(machine, &directory, &[])
    }

    /// Starts it again, with all that it has; with a certificate and its key it speaks TLS.
    pub fn start_again(machine: &Machine, directory: &Path, tls: Option<(&str, &str)>) -> Result<Self> {
        let directory = directory.join(format!("postgres-{}", machine.name));
        let Some((certificate, key)) = tls else { return Self::serve(machine, &directory, &[]) };
        let files = [("certificate", certificate), ("key", key)].map(|(name, pem)| (directory.join(name), pem));
        for (file, pem) in &files {
            fs::write(file, pem)?;
            fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
            unprivileged::give(file)?;
        }
        let [(certificate, _), (key, _)] = files;
        let options = [
            "-cssl=on".to_owned(),
            format!("-cssl_cert_file={}", certificate.display()),
            format!("-cssl_key_file={}", key.display()),
        ];
        Self::serve(machine, &directory, &options)
    }

    fn serve(machine: &Machine, directory: &Path, options: &[String]) -> Result<Self> {
        let mut serve = unprivileged::command(machine, programs()?.join("postgres"));
        serve.arg("-D").arg(directory.join("data")).arg(format!("-clisten_addresses={}", machine.address));
        serve.args(["-cunix_socket_directories=", "-cfsync=off", "-cdynamic_shared_memory_type=mmap"]).args(options);
        let mut process = Process::spawn("postgres", &mut serve, directory)?;
        let ask = || sql::psql(&machine.namespace, machine.address.into(), &["select 1"]);
        process.ready(START, || Ok(ask().is_ok()))?;
        Ok(Self(process))
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.0.log()
    }

    /// SIGSTOP to the process that takes connections: the kernel still does so for it.
    pub fn freeze(&self) -> Result<()> {
        self.0.signal(Signal::STOP)
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.0.signal(Signal::CONT)
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
