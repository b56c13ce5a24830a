//! Name servers: a real dnsmasq, whose records a test changes.

use crate::{lab::Machine, process::Process};
use anyhow::Result;
use rustix::process::Signal;
use std::{
    fmt::Write,
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where names of the lab end: dnsmasq knows all of them that there are.
pub const DOMAIN: &str = "sluice.test";

/// A dnsmasq on a machine of the lab. Every record may be believed for a second.
#[derive(Debug)]
pub struct Dnsmasq {
    process: Process,
    records: PathBuf,
}

impl Dnsmasq {
    /// Starts it at port 53 of the machine, with these names below [`DOMAIN`] and their addresses.
    pub fn start(machine: &Machine, directory: &Path, records: &[(&str, IpAddr)]) -> Result<Self> {
        let path = directory.join("records");
        fs::write(&path, lines(records)?)?;
        let mut command = machine.namespace.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--log-facility=-",
            "--user=root",
            "--conf-file=/dev/null",
            "--pid-file",
        ]);
        command.args(["--no-resolv", "--no-hosts", "--local-ttl=1", "--bind-interfaces", "--no-daemon"]);
        command.arg(format!("--local=/{DOMAIN}/")).arg(format!("--listen-address={}", machine.address));
        command.arg(format!("--addn-hosts={}", path.display()));
        let mut process = Process::spawn("dnsmasq", &mut command, directory)?;
        let address = address(machine);
        process
            .ready(Duration::from_secs(5), || machine.namespace.run(|| Ok(TcpStream::connect(address).is_ok()))?)?;
        Ok(Self { process, records: path })
    }

    /// Has other records from now on.
    pub fn set(&self, records: &[(&str, IpAddr)]) -> Result<()> {
        fs::write(&self.records, lines(records)?)?;
        self.process.signal(Signal::HUP)
    }

    /// Stops it in mid-air: questions are taken and not answered.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// SIGKILL: its port refuses questions from now on.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}

/// Where a name server on that machine is asked.
pub fn address(machine: &Machine) -> SocketAddr {
    (machine.address, 53).into()
}

fn lines(records: &[(&str, IpAddr)]) -> Result<String> {
    let mut text = String::new();
    for (name, ip) in records {
        writeln!(text, "{ip} {name}.{DOMAIN}")?;
    }
    Ok(text)
}
