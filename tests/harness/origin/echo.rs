//! The echo server: greets with its name and who it takes the client for, then sends back every byte. A process of its own, so that its thousands of
//! connections do not count against the limit of descriptors of the test.

use crate::{
    built,
    lab::{Family, Machine},
    process::Process,
};
use anyhow::Result;
use std::{fs, net::SocketAddr, path::Path, time::Duration};

/// An echo server on a machine of the lab, for TCP and UDP.
#[derive(Debug)]
pub struct Echo(Process);

impl Echo {
    /// Starts it on a port of all addresses of the machine: its own and, for `direct`, the VIPs.
    pub fn start(machine: &Machine, port: u16, directory: &Path) -> Result<Self> {
        let name = format!("echo-{}", machine.name);
        let mut command = machine.namespace.command(built("lab-echo")?);
        let addresses = Family::BOTH.into_iter().flat_map(|family| [machine.own(family), family.direct_vip()]);
        command.arg(machine.name).args(addresses.map(|address| SocketAddr::new(address, port).to_string()));
        let printed = || fs::read_to_string(directory.join(format!("{name}.log"))).unwrap_or_default();
        // An earlier one on this machine may have printed the same.
        let earlier = printed().len();
        let mut process = Process::spawn(&name, &mut command, directory)?;
        process.ready(Duration::from_secs(5), || Ok(printed().get(earlier..) == Some("ready\n")))?;
        Ok(Self(process))
    }

    /// SIGKILL: the kernel closes its connections and its port refuses new ones.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()
    }
}
