//! The Debian package on a machine with a systemd of its own: installed, reloaded, upgraded, removed and purged; and the
//! service in the sandbox of its unit.

use crate::scene::is_long;
use anyhow::{Context, Result, ensure};
use lb_tests::{binary, built, machine::Machine, process, turn::Turn, wait};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tokio::time::Instant;

/// Longest wait for the service to be as it should.
const SOON: Duration = Duration::from_secs(20);

/// An `l4` frontend on a device of the machine, and an `http` one that answers by itself and writes a log.
const CONFIG: &str = r#"
[global]
interfaces = ["cable"]
exec_checks = true
[frontend.kernel]
mode = "l4"
bind = "192.0.2.10:7"
default_backend = "kernel"
[backend.kernel]
forward = "direct"
check = { type = "exec", command = "/usr/bin/true", interval = "200ms" }
server = [{ name = "one", address = "192.0.2.21:7" }]
[frontend.proxy]
mode = "http"
bind = "127.0.0.1:8080"
monitor_uri = "/alive"
log = "file:/var/log/sluice/access.log"
[[frontend.proxy.rule]]
return = { status = 200, content_type = "text/plain", string = "here\n" }
"#;

/// What anything that is installed leaves, whoever it is; below `/`.
const LEFT_BY_OTHERS: [&str; 12] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/gshadow",
    "etc/.pwd.lock",
    "var/lib/dpkg",
    "var/log/dpkg.log",
    "var/log/journal",
    "var/cache",
    "var/lib/systemd",
    "var/lib/logrotate",
    "var/tmp",
];

fn package(version: &str, to: &Path) -> Result<PathBuf> {
    let mut xtask = Command::new(built("xtask")?);
    xtask.args(["package", "--debug", "--version", version, "--binary"]).arg(binary()?).arg("--to").arg(to);
    let printed = process::run(xtask.env("SOURCE_DATE_EPOCH", "1790000000"))?;
    Ok(printed.trim().into())
}

/// A property of the service.
fn property(machine: &Machine, name: &str) -> Result<String> {
    Ok(machine.run(&format!("systemctl show --property={name} --value sluice.service"))?.trim().to_owned())
}

fn wait_property(machine: &Machine, name: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let found = wait::until(name, SOON, || {
        let found = property(machine, name)?;
        ensure!(wanted(&found), "{name} is {found}");
        Ok(Some(found))
    });
    found.with_context(|| machine.run("journalctl --unit=sluice --no-pager | tail -n 40").unwrap_or_default())
}

/// What there is in the overlay of the machine and was not there before, but for what others leave.
fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    let listed = machine.run(
        "find /etc /usr /var /sys/fs/bpf /run/sluice -xdev -newer /packages/begun \\( ! -type d -o -name '*sluice*' \\) \
         2>/dev/null || true",
    )?;
    let is_left_by_others =
        |path: &&str| LEFT_BY_OTHERS.iter().any(|left| path.trim_start_matches('/').starts_with(left));
    Ok(listed.lines().filter(|path| !is_left_by_others(path)).map(str::to_owned).collect())
}

#[test]
fn the_package_installs_serves_upgrades_and_leaves_nothing() -> Result<()> {
    let directory = tempfile::Builder::new().prefix("sluice-package-").tempdir()?;
    let _turn = Turn::beside_others();
    let machine = Machine::boot(directory.path())?;
    let packages = machine.packages();
    let first = package("0.1.0~test1", &packages)?;
    if is_long() {
        let bytes = fs::read(&first)?;
        package("0.1.0~test1", &packages)?;
        ensure!(fs::read(&first)? == bytes, "the same source does not make the same bytes");
    }
    package("0.1.0~test2", &packages)?;
    machine.run("touch /packages/begun; sleep 0.05")?;

    println!("{}", machine.run("dpkg -i /packages/sluice_0.1.0~test1_*.deb")?);
    wait_property(&machine, "ActiveState", |state| state == "active")?;
    ensure!(property(&machine, "UnitFileState")? == "enabled");
    wait_property(&machine, "StatusText", |text| text == "configuration 1: 0 frontends, 0 of 0 servers up")?;
    machine.run("sluice status && getent passwd sluice sluice-exec")?;
    machine.run("test $(find /usr/share/man -name 'sluice*' | wc -l) -ge 11")?;
    unit_is_sound(&machine)?;
    serves_in_its_sandbox(&machine)?;
    a_refused_configuration_changes_nothing(&machine)?;
    logs_are_rotated(&machine)?;

    let before = property(&machine, "MainPID")?;
    let said = machine.run("dpkg -i /packages/sluice_0.1.0~test2_*.deb 2>&1")?;
    ensure!(said.contains("has taken over from the one before"), "{said}");
    wait_property(&machine, "MainPID", |pid| pid != before && pid != "0")?;
    wait_property(&machine, "ActiveState", |state| state == "active")?;
    wait::until("the next version to serve", SOON, || machine.run("curl -sf http://127.0.0.1:8080/").map(Some))?;
    ensure!(machine.run("dpkg-query --show sluice")?.contains("test2"));

    machine.run("dpkg -r sluice")?;
    let state = property(&machine, "ActiveState")?;
    ensure!(state == "inactive", "{state}: {}", machine.run("journalctl -u sluice --no-pager | tail -n 40")?);
    ensure!(!machine.run("ip -details link show cable")?.contains("prog/xdp"), "the program is still attached");
    machine.run("test ! -e /usr/sbin/sluice && test ! -e /sys/fs/bpf/sluice && test -e /etc/sluice/sluice.toml")?;
    machine.run("dpkg -P sluice")?;
    let left = files(&machine)?;
    ensure!(left.is_empty(), "left after purge: {left:#?}");
    Ok(())
}

/// `systemd-analyze` has nothing to say, and man pages and package keep the rules where their judges are there.
fn unit_is_sound(machine: &Machine) -> Result<()> {
    let said = machine.run("systemd-analyze verify --man=no /usr/lib/systemd/system/sluice.service 2>&1")?;
    ensure!(!said.contains("sluice"), "{said}");
    // Of the scale of 0 to 100 what is left is root, the network and netlink, of which the supervisor has need.
    let unit = "/usr/lib/systemd/system/sluice.service";
    let said = machine.run(&format!("systemd-analyze security --offline=yes --threshold=27 --no-pager {unit}"))?;
    println!("{}", said.lines().rfind(|line| line.contains("exposure")).unwrap_or_default());
    let pages = "/usr/share/man/man[58]/sluice*.gz";
    let judged =
        machine.run(&format!("for page in {pages}; do zcat $page | mandoc -T lint -W warning || exit 1; done"))?;
    ensure!(judged.is_empty(), "{judged}");
    if is_long() {
        println!(
            "{}",
            machine
                .run("! command -v lintian || lintian --allow-root --fail-on error,warning /packages/*test1_*.deb")?
        );
    }
    Ok(())
}

/// With the capabilities, the system calls and the files that the unit leaves it, the daemon does all that it is for.
fn serves_in_its_sandbox(machine: &Machine) -> Result<()> {
    machine.run(
        "ip link add cable type veth peer name end && ip addr add 192.0.2.10/24 dev cable && ip link set cable up && \
         ip link set end up",
    )?;
    machine.run(&format!("cat > /etc/sluice/sluice.toml <<'END'\n{CONFIG}\nEND"))?;
    machine.run("systemctl reload sluice")?;
    wait_property(machine, "StatusText", |text| text == "configuration 2: 2 frontends, 1 of 1 servers up")?;
    ensure!(machine.run("ip -details link show cable")?.contains("prog/xdp"), "nothing is attached");
    ensure!(machine.run("curl -sf http://127.0.0.1:8080/")? == "here\n");
    let who = machine.run("ps -o user:20= --ppid $(systemctl show -P MainPID sluice) | sort")?;
    ensure!(who.split_whitespace().eq(["sluice", "sluice-exec"]), "{who}");
    let environments =
        machine.run("for one in $(pgrep -P $(systemctl show -P MainPID sluice)); do cat /proc/$one/environ; done")?;
    ensure!(!environments.contains("NOTIFY_SOCKET") && !environments.contains("WATCHDOG"), "{environments:?}");
    ensure!(property(machine, "NRestarts")? == "0");
    // And not more: seen as the supervisor sees it, nothing can be written but what is the daemon's.
    let inside = "nsenter --target $(systemctl show -P MainPID sluice) --mount";
    for path in ["/usr/x", "/etc/x", "/home/x", "/root/x", "/sys/kernel/mm/ksm/run"] {
        ensure!(
            !machine.shell(&format!("{inside} sh -c 'echo 0 > {path}'"))?.status.success(),
            "{path} can be written"
        );
    }
    machine
        .run(&format!("{inside} sh -c 'test ! -e /proc/sys && mkdir /sys/fs/bpf/tried && rmdir /sys/fs/bpf/tried'"))?;
    Ok(())
}

fn a_refused_configuration_changes_nothing(machine: &Machine) -> Result<()> {
    let before = property(machine, "MainPID")?;
    machine.run("cp /etc/sluice/sluice.toml /tmp/good && echo 'nonsense = 1' >> /etc/sluice/sluice.toml")?;
    let reload = machine.shell("systemctl reload sluice")?;
    ensure!(!reload.status.success(), "a configuration that is refused was taken");
    // Refused by the daemon alone, as of a signal.
    ensure!(!machine.shell("sluice reload")?.status.success());
    ensure!(machine.run("curl -sf http://127.0.0.1:8080/")? == "here\n");
    wait_property(machine, "StatusText", |text| text.starts_with("configuration 2: 2 frontends"))?;
    ensure!(property(machine, "ActiveState")? == "active" && property(machine, "MainPID")? == before);
    machine.run("cp /tmp/good /etc/sluice/sluice.toml && systemctl reload sluice")?;
    Ok(())
}

fn logs_are_rotated(machine: &Machine) -> Result<()> {
    machine.run(
        "command -v logrotate && logrotate --force /etc/logrotate.d/sluice && test -e /var/log/sluice/access.log.1",
    )?;
    wait::until("a line in the new log", SOON, || {
        machine.run("curl -sf http://127.0.0.1:8080/ && grep -q 127.0.0.1 /var/log/sluice/access.log").map(Some)
    })?;
    Ok(())
}

#[test]
fn what_hangs_is_noticed() -> Result<()> {
    let directory = tempfile::Builder::new().prefix("sluice-hang-").tempdir()?;
    let _turn = Turn::beside_others();
    let machine = Machine::boot(directory.path())?;
    package("0.1.0~test1", &machine.packages())?;
    machine.run(
        "hasty=/etc/systemd/system/sluice.service.d && mkdir -p $hasty && \
         printf '[Service]\\nWatchdogSec=3s\\nTimeoutAbortSec=1s\\n' > $hasty/hasty.conf",
    )?;
    machine.run("dpkg -i /packages/sluice_0.1.0~test1_*.deb")?;
    let first = wait_property(&machine, "MainPID", |pid| pid != "0")?;

    // A worker: by the supervisor, in a third of what the watchdog bears, which hears nothing of it.
    let worker = machine.run("pgrep -P $(systemctl show -P MainPID sluice)")?;
    let began = Instant::now();
    machine.run(&format!("kill -STOP {worker}"))?;
    wait::until("another worker", SOON, || {
        let now = machine.run("pgrep -P $(systemctl show -P MainPID sluice)")?;
        Ok((now != worker).then_some(()))
    })?;
    println!("a worker that hung was replaced after {:?}", began.elapsed());
    wait::until("the next worker to answer", SOON, || machine.run("sluice status").map(Some))?;
    ensure!(property(&machine, "MainPID")? == first, "the supervisor went with it");

    // The supervisor: by systemd.
    let began = Instant::now();
    machine.run(&format!("kill -STOP {first}"))?;
    wait_property(&machine, "MainPID", |pid| pid != first && pid != "0")?;
    wait_property(&machine, "ActiveState", |state| state == "active")?;
    println!("a supervisor that hung was replaced after {:?}", began.elapsed());
    ensure!(property(&machine, "NRestarts")? == "1");

    // It stops at once when there is nothing to wait for, and says how long it may take.
    machine.run("systemctl stop sluice")?;
    ensure!(property(&machine, "Result")? == "success");
    Ok(())
}
