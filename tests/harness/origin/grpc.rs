//! A real gRPC server, of Google's library. Its answers have the machine's name; what it can do `grpc/server.py` says.

use super::unprivileged;
use crate::{lab::Machine, process::Process};
use anyhow::Result;
use rustix::process::Signal;
use std::{fs, net::TcpStream, path::Path, time::Duration};

/// Debian's, which has the library.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// A gRPC server on a machine of the lab.
#[derive(Debug)]
pub struct Grpc(Process);

impl Grpc {
    /// Starts it on a port of all addresses of IPv4 of the machine.
    pub fn start(machine: &Machine, port: u16, directory: &Path) -> Result<Self> {
        Self::start_with(machine, port, directory, &[])
    }

    /// The same, with a directory whose files decide what it says of its health, and a file of key and certificate, if it is
    /// to be in TLS.
    pub fn start_with(machine: &Machine, port: u16, directory: &Path, more: &[&Path]) -> Result<Self> {
        let name = format!("grpc-{}-{port}", machine.name);
        let script = unprivileged::directory(directory, &name)?.join("server.py");
        fs::write(&script, include_str!("grpc/server.py"))?;
        let mut command = unprivileged::command(machine, PYTHON);
        command.arg("-B").arg(script).args([machine.name, &port.to_string()]).args(more);
        let mut process = Process::spawn(&name, &mut command, directory)?;
        let address = (machine.address, port);
        process.ready(Duration::from_secs(15), || machine.namespace.run(|| TcpStream::connect(address).is_ok()))?;
        Ok(Self(process))
    }

    /// Stops it in mid-air: its port takes connections, and nobody answers.
    pub fn freeze(&self) -> Result<()> {
        self.0.signal(Signal::STOP)
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.0.signal(Signal::CONT)
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.0.kill()
    }
}
