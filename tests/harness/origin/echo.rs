//! The echo server: greets with its name, then sends back every byte. A process of its own, so that its thousands of
//! connections do not count against the limit of descriptors of the test.

use crate::{built, lab::Machine, process::Process};
use anyhow::Result;
use std::{net::Ipv4Addr, path::Path, time::Duration};

/// An echo server on a machine of the lab, for TCP and UDP.
#[derive(Debug)]
pub struct Echo(Process);

impl Echo {
    /// Starts it on addresses of the machine: its own and, for `direct`, the VIP.
    pub fn start(machine: &Machine, addresses: &[Ipv4Addr], port: u16, directory: &Path) -> Result<Self> {
        let name = format!("echo-{}", machine.name);
        let mut command = machine.namespace.command(built("lab-echo")?);
        command.arg(machine.name).args(addresses.iter().map(|address| format!("{address}:{port}")));
        let mut process = Process::spawn(&name, &mut command, directory)?;
        let log = process.log().len();
        let path = directory.join(format!("{name}.log"));
        process.ready(Duration::from_secs(5), || Ok(std::fs::read_to_string(&path)?.get(log..) == Some("ready\n")))?;
        Ok(Self(process))
    }

    /// SIGKILL: the kernel closes its connections and its port refuses new ones.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()
    }
}
