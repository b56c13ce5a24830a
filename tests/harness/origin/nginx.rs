//! A real nginx. Says who it is in `X-Server`, and keeps one access log a site, so that requests can be counted.

use crate::{lab::Machine, process::Process};
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// One site of a server: where it listens, and the name of its access log.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Sent back as `X-Site`.
    pub site: &'static str,
    /// Its port.
    pub port: u16,
    /// Whether connections may carry more than one request. Without it, requests and connections are the same number.
    pub keep_alive: bool,
}

/// What else stands in the configuration of every site.
#[derive(Clone, Copy, Debug, Default)]
pub struct More<'a> {
    /// Options of `listen`.
    pub listen: &'a str,
    /// Directives, each with its semicolon.
    pub directives: &'a str,
}

/// An nginx on a machine of the lab. `/health` answers 200 and is not logged.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    directory: PathBuf,
}

impl Nginx {
    /// Starts nginx on a machine, its files below `directory`. Started again, it goes on with the same logs.
    pub fn start(machine: &Machine, directory: &Path, sites: &[Listen]) -> Result<Self> {
        Self::start_at(machine, machine.address, directory, sites, More::default())
    }

    /// The same on every address of the machine, such as the VIP on its loopback.
    pub fn start_everywhere(machine: &Machine, directory: &Path, sites: &[Listen]) -> Result<Self> {
        Self::start_at(machine, Ipv4Addr::UNSPECIFIED, directory, sites, More::default())
    }

    /// As [`start`](Self::start), with more in its configuration.
    pub fn start_with(machine: &Machine, directory: &Path, sites: &[Listen], more: More<'_>) -> Result<Self> {
        Self::start_at(machine, machine.address, directory, sites, more)
    }

    fn start_at(
        machine: &Machine,
        address: Ipv4Addr,
        directory: &Path,
        sites: &[Listen],
        more: More<'_>,
    ) -> Result<Self> {
        let address = |site: &Listen| SocketAddr::new(address.into(), site.port);
        let command = machine.namespace.command("nginx");
        let (directory, mut command) = prepare(machine.name, directory, sites, (address, more), command)?;
        let mut process = Process::spawn("nginx", &mut command, &directory)?;
        let last = sites.last().map(address).context("nginx without a site")?;
        process.ready(Duration::from_secs(5), || machine.namespace.run(|| Ok(TcpStream::connect(last).is_ok()))?)?;
        Ok(Self { process, directory })
    }

    /// Starts nginx on the loopback interface of this computer: needs no privilege.
    pub fn start_locally(name: &str, directory: &Path, sites: &[Listen]) -> Result<Self> {
        let address = |site: &Listen| SocketAddr::from(([127, 0, 0, 1], site.port));
        let served = (address, More::default());
        let (directory, mut command) = prepare(name, directory, sites, served, Command::new("nginx"))?;
        let mut process = Process::spawn("nginx", &mut command, &directory)?;
        let last = sites.last().map(address).context("nginx without a site")?;
        process.ready(Duration::from_secs(5), || Ok(TcpStream::connect(last).is_ok()))?;
        Ok(Self { process, directory })
    }

    /// Stops it in mid-air, as a server that hangs: its ports take connections, and nobody answers.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// SIGKILL: it closes nothing, answers nothing, and its ports refuse connections from now on.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Lets it run on after the end of this program.
    pub fn keep(self) {
        self.process.keep();
    }

    /// How many requests the site has logged since its first start.
    pub fn requests(&self, site: &str) -> Result<usize> {
        requests(&self.directory, site)
    }
}

/// How many requests the site of a server has logged, whether the server runs or not.
pub fn requests(directory: &Path, site: &str) -> Result<usize> {
    let log = directory.join(format!("{site}.access"));
    Ok(fs::read_to_string(&log).with_context(|| log.display().to_string())?.lines().count())
}

fn prepare(
    name: &str,
    directory: &Path,
    sites: &[Listen],
    served: (impl Fn(&Listen) -> SocketAddr, More<'_>),
    mut command: Command,
) -> Result<(PathBuf, Command)> {
    let directory = directory.join(name);
    fs::create_dir_all(directory.join("scratch"))?;
    let path = directory.join("nginx.conf");
    fs::write(&path, configuration(name, sites, served)?)?;
    // `-e` before the configuration is read: the compiled-in log may not be writable.
    command.args(["-p", &format!("{}/", directory.display()), "-e", "nginx.errors", "-c"]).arg(&path);
    Ok((directory, command))
}

fn configuration(
    name: &str,
    sites: &[Listen],
    (address, more): (impl Fn(&Listen) -> SocketAddr, More<'_>),
) -> Result<String> {
    let mut text = String::from(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents { worker_connections 4096; }\nhttp {\n\
         keepalive_requests 1000000000;\nlog_format line '$remote_addr $status $request';\n",
    );
    for scratch in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{scratch}_temp_path scratch/{scratch};")?;
    }
    for listen in sites {
        let Listen { site, keep_alive, .. } = listen;
        let More { listen: options, directives } = more;
        let address = address(listen);
        let timeout = if *keep_alive { 60 } else { 0 };
        write!(
            text,
            "server {{\n  listen {address} {options};\n  {directives}\n  keepalive_timeout {timeout};\n  \
             access_log {site}.access line;\n  default_type text/plain;\n  add_header X-Server {name} always;\n  add_header X-Site {site} always;\n  \
             location = /health {{ access_log off; return 200 \"ok\\n\"; }}\n  \
             location / {{ return 200 \"{name} {site}\\n\"; }}\n}}\n"
        )?;
    }
    text.push_str("}\n");
    Ok(text)
}
