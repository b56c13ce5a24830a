//! A real HAProxy, whose checks are compared with ours.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// One that runs as long as this value lives.
pub(super) struct Haproxy {
    child: Child,
    socket: PathBuf,
}

impl Haproxy {
    /// Starts one with a configuration that goes on from `global`, its files in `directory`.
    pub(super) fn start(directory: &Path, configuration: &str) -> Self {
        let (socket, path) = (directory.join("socket"), directory.join("haproxy.cfg"));
        fs::write(&path, format!("global\n  stats socket {} level admin\n{configuration}", socket.display())).unwrap();
        let mut command = Command::new("haproxy");
        let child = command.arg("-db").arg("-f").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { child: child.expect("haproxy, which `cargo xtask setup` installs"), socket }
    }

    /// What `show stat` says; `None`: it does not listen yet.
    pub(super) fn stat(&self) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        let mut told = String::new();
        stream.write_all(b"show stat\n").ok()?;
        stream.read_to_string(&mut told).ok()?;
        Some(told)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
