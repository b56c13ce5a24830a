//! A machine of its own with systemd as its first process: namespaces of every kind, and the files of this machine under an
//! overlay in memory. What happens there stays there.
//!
//! Needs root, systemd and dpkg. Neither the system's settings (`/proc/sys`) nor its devices can be changed from inside.

use crate::{process::Process, wait};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Longest wait for systemd to come up.
const BOOT: Duration = Duration::from_mins(1);

/// `$1`: a directory to work in; `$2`: the name of the machine. A cgroup of its own comes first, so that nothing that systemd
/// makes is left elsewhere.
const CGROUP: &str = r#"
set -e
mount -t cgroup2 cgroup2 "$1/cgroup"
mkdir "$1/cgroup/$2"
echo $$ > "$1/cgroup/$2/cgroup.procs"
exec unshare --cgroup --pid --fork --kill-child --net --uts --ipc --mount --propagation private sh -c "$3" sh "$1"
"#;

/// `$1`: the same directory. No way leads back to the files of this machine. Services that would touch the kernel for all are
/// masked; so is what asks whether packages may start services (`policy-rc.d`), which on a machine that builds says no.
const BOOT_SCRIPT: &str = r#"
set -e
root=$1/root
mount -t tmpfs tmpfs "$1/memory"
mkdir "$1/memory/upper" "$1/memory/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/memory/upper,workdir=$1/memory/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts" "$root/packages"
mount -t devpts -o ptmxmode=666,gid=5,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount --bind "$1/packages" "$root/packages"
rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/machine-id"
echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
for unit in systemd-sysctl.service systemd-modules-load.service systemd-journald-audit.socket systemd-udevd.service \
    systemd-binfmt.service systemd-update-utmp.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
printf '[Unit]\nDescription=What tests need\nRequires=sysinit.target\nAfter=sysinit.target\nAllowIsolate=yes\n' \
    > "$root/etc/systemd/system/tested.target"
mkdir "$root/run/before"
cd "$root"
pivot_root . run/before
exec chroot . sh -c 'umount -l /run/before; rmdir /run/before; exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=tested.target --show-status=no --log-target=journal'
"#;

/// `$1` and `$2` as above. Empty cgroups, and no others, can be removed.
const SWEEP: &str = r#"
mount -t cgroup2 cgroup2 "$1/cgroup"
find "$1/cgroup/$2" -depth -type d -exec rmdir {} +
"#;

/// The machine. Dropping it ends all that runs there, and nothing is left.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    directory: PathBuf,
    name: String,
    /// The first process, as this machine counts.
    first: u32,
}

impl Machine {
    /// Boots it. Inside `/packages` is the directory that is returned by [`packages`](Self::packages).
    pub fn boot(directory: &Path) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        for name in ["cgroup", "memory", "root", "packages"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let name = format!("sluice-machine-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", CGROUP, "sh"]);
        let process = Process::spawn("machine", command.arg(directory).args([&name, BOOT_SCRIPT]), directory)?;
        let mut machine = Self { process, directory: directory.to_owned(), name, first: 0 };
        let parent = machine.process.pid().as_raw_nonzero();
        let booted = wait::until("systemd", BOOT, || {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
            machine.first = children.trim().parse()?;
            let state = machine.command("systemctl").arg("is-system-running").output()?;
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            ensure!(["running", "degraded"].contains(&state.as_str()), "the machine is {state}");
            Ok(Some(()))
        });
        booted.with_context(|| machine.process.log())?;
        Ok(machine)
    }

    /// A directory that both machines see.
    pub fn packages(&self) -> PathBuf {
        self.directory.join("packages")
    }

    /// A command that will run inside, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.first.to_string();
        command
            .args(["--target", &target, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd"]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").arg(program);
        command
    }

    /// Runs a line of shell there.
    pub fn shell(&self, line: &str) -> Result<Output> {
        Ok(self.command("sh").args(["-c", line]).output()?)
    }

    /// Runs a line of shell that must succeed; returns what it printed, and what it complained about after that.
    pub fn run(&self, line: &str) -> Result<String> {
        let output = self.shell(line)?;
        let [printed, complaint] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        ensure!(output.status.success(), "{line}: {}\n{printed}{complaint}", output.status);
        Ok(printed + &complaint)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All else dies with the first process of its namespaces. One that has ended already is no failure.
        drop(self.process.kill());
        let mut sweep = Command::new("unshare");
        sweep
            .args(["--mount", "--propagation", "private", "sh", "-c", SWEEP, "sh"])
            .arg(&self.directory)
            .arg(&self.name);
        let swept = wait::until("cgroups to be empty", Duration::from_secs(5), || {
            ensure!(sweep.output()?.status.success());
            Ok(Some(()))
        });
        drop(swept); // What is left is empty, and bears the name of a test.
    }
}
