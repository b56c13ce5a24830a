//! A real OpenSSH, for commands and files. All machines have one host key, as servers behind one name must.

use super::unprivileged;
use crate::{client::ssh::Keys, lab::Machine, process::Process};
use anyhow::Result;
use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// The port that it serves.
pub const PORT: u16 = 22;

/// An sshd on a machine of the lab, at its address of IPv4. It has one user, [`USER`](crate::client::ssh::USER), in whose home
/// the file `who` has the machine's name.
#[derive(Debug)]
pub struct Ssh {
    home: PathBuf,
    #[expect(dead_code, reason = "runs as long as this value lives")]
    process: Process,
}

impl Ssh {
    /// Starts it for whoever has the key.
    pub fn start(machine: &Machine, keys: &Keys, directory: &Path) -> Result<Self> {
        // It may take a port below 1024 without rights.
        machine.namespace.sysctl("net.ipv4.ip_unprivileged_port_start", &PORT.to_string())?;
        let directory = unprivileged::directory(directory, &format!("ssh-{}", machine.name))?;
        let home = unprivileged::directory(&directory, "home")?;
        fs::write(home.join("who"), format!("{}\n", machine.name))?;
        let key = directory.join("host");
        fs::copy(keys.host(), &key)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        unprivileged::give(&key)?;
        let (users, file) = (directory.join("passwd"), directory.join("sshd_config"));
        fs::write(&users, keys.users(&home))?;
        fs::write(&file, configuration(machine, &key, &keys.authorized()))?;
        let mut serve = unprivileged::command_with(machine, &users, "/etc/passwd", "/usr/sbin/sshd");
        serve.args(["-D", "-e", "-f"]).arg(&file);
        let mut process = Process::spawn("sshd", &mut serve, &directory)?;
        let own = (machine.address, PORT);
        process.ready(Duration::from_secs(5), || machine.namespace.run(|| Ok(TcpStream::connect(own).is_ok()))?)?;
        Ok(Self { home, process })
    }

    /// Where its user's files are.
    pub fn home(&self) -> &Path {
        &self.home
    }
}

fn configuration(machine: &Machine, key: &Path, authorized: &Path) -> String {
    let (address, key, authorized) = (machine.address, key.display(), authorized.display());
    format!(
        "Port {PORT}\nListenAddress {address}\nHostKey {key}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
         AuthorizedKeysFile {authorized}\nStrictModes no\nSubsystem sftp internal-sftp\n"
    )
}
