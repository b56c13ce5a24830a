//! Network namespaces: each is one machine of the lab.

use crate::process;
use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::fd::AsFd,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

/// A network namespace with a name, as `ip netns` makes them. Removed by the [reaper](crate::reaper), not by itself.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

/// IPv6 without what would put traffic of its own on the wire: duplicates of an address are not looked for, which both `all`
/// and the device must say, and routers neither asked for nor listened to.
const QUIET: [(&str, &str); 4] = [
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
];

impl Namespace {
    /// Makes namespaces of these names, in order.
    pub fn create(names: impl IntoIterator<Item = String>) -> Result<Vec<Self>> {
        let made: Vec<_> = names.into_iter().map(|name| Self { name }).collect();
        batch(Command::new("ip"), made.iter().map(|one| format!("netns add {}", one.name)))?;
        made.iter().try_for_each(|one| one.sysctls(&QUIET))?;
        Ok(made)
    }

    /// The name that `ip netns` knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// A command that will run inside. By `nsenter`: `ip netns exec` mounts another /sys, which hides the BPF file system.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg(program);
        command
    }

    /// The processes inside.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let pids = process::run(Command::new("ip").args(["netns", "pids", &self.name]))?;
        pids.lines().map(|pid| Ok(pid.parse()?)).collect()
    }

    /// Runs `ip` commands inside, in one process: `namespace.ip(["link set eth0 up"])`.
    pub fn ip<Line: AsRef<str>>(&self, lines: impl IntoIterator<Item = Line>) -> Result<()> {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name]);
        batch(ip, lines).with_context(|| format!("in {}", self.name))
    }

    /// Runs `work` on a thread that is inside. Sockets made there stay there, whoever uses them later.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| work()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    pub fn enter(&self) -> Result<()> {
        let file = File::open(self.path()).with_context(|| format!("namespace {}", self.name))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("entering namespace {}", self.name))
    }

    /// Sets a kernel parameter of the namespace: `sysctl("net.ipv4.ip_forward", "1")`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.sysctls(&[(key, value)])
    }

    /// Sets kernel parameters of the namespace.
    pub fn sysctls(&self, settings: &[(&str, &str)]) -> Result<()> {
        // /proc/sys/net shows the namespace of the thread that opens it.
        self.run(|| {
            settings.iter().try_for_each(|(key, value)| {
                let path = format!("/proc/sys/{}", key.replace('.', "/"));
                fs::write(path, value).with_context(|| format!("{key} in {}", self.name))
            })
        })?
    }

    /// The Ethernet address of a device inside.
    pub fn ethernet_address(&self, device: &str) -> Result<[u8; 6]> {
        let printed = process::run(self.command("ip").args(["-brief", "link", "show", "dev", device]))?;
        let text = printed.split_whitespace().nth(2).with_context(|| format!("no address in {printed:?}"))?;
        let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        bytes.try_into().ok().with_context(|| format!("not an Ethernet address: {text}"))
    }

    /// Makes devices send whole frames with whole checksums, and VLAN tags inside, as they would be on a real wire.
    pub fn disable_offloads(&self, devices: &[&str]) -> Result<()> {
        const EACH: &str =
            r#"for device; do ethtool -K "$device" tx off gro off txvlan off tx-vlan-stag-hw-insert off || exit; done"#;
        process::run(self.command("sh").args(["-c", EACH, "sh"]).args(devices)).map(drop)
    }
}

/// Runs `ip` with commands to read.
fn batch<Line: AsRef<str>>(mut ip: Command, lines: impl IntoIterator<Item = Line>) -> Result<()> {
    let lines: Vec<_> = lines.into_iter().map(|line| line.as_ref().to_owned()).collect();
    let mut child = ip
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting ip")?;
    child.stdin.take().context("ip has no input")?.write_all(lines.join("\n").as_bytes())?;
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip:\n{}\n{complaint}", lines.join("\n"));
    Ok(())
}
