//! The logins of MySQL 8, which Debian does not have. Who may log in, and how, `mysql8/server.py` says.

use super::{grpc::PYTHON, unprivileged};
use crate::{lab::Machine, process::Process};
use anyhow::Result;
use std::{fs, net::TcpStream, path::Path, time::Duration};

/// Such a server on a machine of the lab, at port 3306 of all its addresses of IPv4, for the password of [`sql`](crate::client::sql).
#[derive(Debug)]
pub struct Mysql8(Process);

const PORT: u16 = 3306;

impl Mysql8 {
    /// Starts it; TLS is by that certificate and key.
    pub fn start(machine: &Machine, directory: &Path, certified: &str) -> Result<Self> {
        let directory = unprivileged::directory(directory, &format!("mysql8-{}", machine.name))?;
        let (script, certificate) = (directory.join("server.py"), directory.join("certificate.pem"));
        fs::write(&script, include_str!("mysql8/server.py"))?;
        fs::write(&certificate, certified)?;
        let mut command = unprivileged::command(machine, PYTHON);
        command.arg("-B").arg(script).arg(PORT.to_string()).arg(certificate);
        let mut process = Process::spawn("mysql8", &mut command, &directory)?;
        let address = (machine.address, PORT);
        process.ready(Duration::from_secs(15), || machine.namespace.run(|| TcpStream::connect(address).is_ok()))?;
        Ok(Self(process))
    }

    /// The logins so far, a line each: user, way, in clear text or TLS.
    pub fn logins(&self) -> String {
        self.0.log()
    }
}
