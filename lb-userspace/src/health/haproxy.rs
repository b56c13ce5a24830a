//! A real HAProxy, which tests compare with us.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// Addresses that nobody listens at.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// One that runs as long as this value lives.
pub(crate) struct Haproxy {
    child: Child,
    socket: PathBuf,
}

impl Haproxy {
    /// Starts one with a configuration that goes on from `global`, its files in `directory`.
    pub(crate) fn start(directory: &Path, configuration: &str) -> Self {
        let (socket, path) = (directory.join("socket"), directory.join("haproxy.cfg"));
        fs::write(&path, format!("global\n  stats socket {} level admin\n{configuration}", socket.display())).unwrap();
        let mut command = Command::new("haproxy");
        let child = command.arg("-db").arg("-f").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { child: child.expect("haproxy, which `cargo xtask setup` installs"), socket }
    }

    /// A connection to a frontend of it, once it listens there.
    pub(crate) fn connect(&self, address: SocketAddr) -> TcpStream {
        let attempt = |_| {
            let stream = TcpStream::connect(address).ok();
            if stream.is_none() {
                sleep(Duration::from_millis(20));
            }
            stream
        };
        (0..500).find_map(attempt).unwrap_or_else(|| panic!("haproxy {} does not listen", self.child.id()))
    }

    /// What `show stat` says; `None`: it does not listen yet.
    pub(crate) fn stat(&self) -> Option<String> {
        self.ask("show stat\n")
    }

    /// What it answers to a line over its socket; `None`: it does not listen yet.
    pub(crate) fn ask(&self, line: &str) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        let mut told = String::new();
        stream.write_all(line.as_bytes()).ok()?;
        stream.read_to_string(&mut told).ok()?;
        Some(told)
    }

    /// The last result of each check that has ended, by the numbers that are the names of its backend and server.
    pub(crate) fn results(&self) -> BTreeMap<(usize, usize), String> {
        let told = self.stat().unwrap_or_default();
        let rows = told.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let rows = rows.filter(|row| row.len() > 36);
        // A star stands before it while the next check runs.
        let result = |row: &[&str]| Some(row[36].trim_start_matches("* ").to_owned()).filter(|it| it.starts_with('L'));
        rows.filter_map(|row| Some(((row[0].parse().ok()?, row[1].parse().ok()?), result(&row)?))).collect()
    }
}

/// The fields of a line of CSV.
pub(crate) fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
