//! A network and a BPF file system of the calling thread's own. Both vanish with the thread.
#![expect(unsafe_code, reason = "unshare may be unsafe with other flags")]

use anyhow::{Context as _, Result, ensure};
use lb_userspace::dataplane::{
    load::{Frozen, Loaded, load},
    object::object,
    pins::Pins,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::{
    fs,
    process::{Child, Command},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Two interfaces, `outside` and its other end `far`, and a place for pins.
pub(crate) struct World {
    pub(crate) pins: Pins,
    _directory: TempDir,
}

impl World {
    /// Moves the calling thread there, and every process and socket that it makes from now on.
    pub(crate) fn enter() -> Result<Self> {
        // SAFETY: namespaces of network and mounts concern neither memory nor descriptors of other threads.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }?;
        run("mount --make-rprivate /")?;
        let directory = tempfile::tempdir()?;
        run(&format!("mount -t bpf bpf {}", directory.path().display()))?;
        run("ip link set lo up")?;
        run("ip link add outside type veth peer name far")?;
        run("ip link set outside up")?;
        run("ip link set far up")?;
        Ok(Self { pins: Pins::new(directory.path().join("sluice")), _directory: directory })
    }

    /// Loads the object.
    pub(crate) fn load(&self) -> Result<Loaded> {
        Ok(load(object()?, &self.pins, Frozen { hash_key: [1, 2], track_budget: 20_000 })?)
    }
}

/// Runs a command that must succeed, and returns what it said.
pub(crate) fn run(line: &str) -> Result<String> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().context("no command")?).args(words).output().context(line.to_owned())?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Another machine: a network of its own, at the other end of the wire. Ends with this value.
pub(crate) struct Machine(Child);

impl Machine {
    /// A machine that has the interface `far`, with that address.
    pub(crate) fn behind(far: &str, address: &str) -> Result<Self> {
        let child = Command::new("unshare").args(["--net", "sleep", "600"]).spawn()?;
        let machine = Self(child);
        // The process starts here and moves then.
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
        let ours = fs::read_link("/proc/thread-self/ns/net")?;
        while network(&machine.pid()).is_ok_and(|theirs| theirs == ours) {
            thread::sleep(Duration::from_millis(2));
        }
        run(&format!("ip link set {far} netns {}", machine.pid()))?;
        machine.run(&format!("ip link set {far} up"))?;
        machine.run(&format!("ip address add {address} dev {far}"))?;
        Ok(machine)
    }

    /// Runs a command there.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        run(&format!("nsenter -t {} -n {line}", self.pid()))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
