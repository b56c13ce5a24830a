//! A real HAProxy, whose checks are compared with ours.

use std::{
    collections::BTreeMap,
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

    /// The last result of each check that has ended, by the numbers that are the names of its backend and server.
    pub(super) fn results(&self) -> BTreeMap<(usize, usize), String> {
        let told = self.stat().unwrap_or_default();
        let rows = told.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let rows = rows.filter(|row| row.len() > 36 && row[1].parse::<usize>().is_ok() && row[36].starts_with('L'));
        rows.map(|row| ((row[0].parse().unwrap(), row[1].parse().unwrap()), row[36].to_owned())).collect()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
