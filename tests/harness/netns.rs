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

impl Namespace {
    /// Makes a namespace with the loopback interface up and IPv6 off, so that only the traffic of the test is on the wire.
    pub fn create(name: &str) -> Result<Self> {
        process::run(Command::new("ip").args(["netns", "add", name]))?;
        let made = Self { name: name.to_owned() };
        made.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        made.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        made.ip(["link set lo up"])?;
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

    /// Runs `ip` commands inside, in one process: `namespace.ip(["link set eth0 up"])`.
    pub fn ip<Line: AsRef<str>>(&self, lines: impl IntoIterator<Item = Line>) -> Result<()> {
        let lines: Vec<_> = lines.into_iter().map(|line| line.as_ref().to_owned()).collect();
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting ip")?;
        child.stdin.take().context("ip has no input")?.write_all(lines.join("\n").as_bytes())?;
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip in {}:\n{}\n{complaint}", self.name, lines.join("\n"));
        Ok(())
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
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        // /proc/sys/net shows the namespace of the thread that opens it.
        self.run(|| fs::write(&path, value))?.with_context(|| format!("{key} in {}", self.name))
    }

    /// The Ethernet address of a device inside.
    pub fn ethernet_address(&self, device: &str) -> Result<[u8; 6]> {
        let printed = process::run(self.command("ip").args(["-brief", "link", "show", "dev", device]))?;
        let text = printed.split_whitespace().nth(2).with_context(|| format!("no address in {printed:?}"))?;
        let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        bytes.try_into().ok().with_context(|| format!("not an Ethernet address: {text}"))
    }

    /// Makes the device send whole frames with whole checksums, as they would be on a real wire.
    pub fn disable_offloads(&self, device: &str) -> Result<()> {
        process::run(self.command("ethtool").args(["-K", device, "tx", "off", "gro", "off"])).map(drop)
    }
}
