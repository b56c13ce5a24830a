//! Checks by programs: what they take out and bring back, who runs them, and that nothing of it stays.

use crate::{capabilities::is_unprivileged, scene::SOON};
use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    lab::{Lab, PROXY_VIP},
    sluice::{Sluice, complaint},
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// A lab with a script that fails while there is a file `NAME.down` for the server, and hangs, with something it has started,
/// while there is a file `NAME.hangs`.
struct Scripted {
    lab: Lab,
    script: PathBuf,
}

const SCRIPT: &str = r#"#!/bin/sh
echo "as $(id -u) for $HAPROXY_PROXY_NAME/$HAPROXY_SERVER_NAME at $3 $4"
if [ -e "$0.$HAPROXY_SERVER_NAME.hangs" ]; then
    sleep 1000 &
    sleep 1000
fi
test ! -e "$0.$HAPROXY_SERVER_NAME.down"
"#;

impl Scripted {
    fn new() -> Result<Self> {
        let lab = Lab::beside_others()?;
        // Whoever runs the script must be let in.
        fs::set_permissions(lab.directory(), fs::Permissions::from_mode(0o755))?;
        let script = lab.directory().join("check");
        fs::write(&script, SCRIPT)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(Self { lab, script })
    }

    /// The configuration with its check, which goes on from `global`.
    fn config(&self, global: &str) -> Result<String> {
        let check = format!(
            r#"{{ type = "exec", command = "{}", path = "/usr/bin:/bin", interval = "100ms", timeout = "3s", rise = 2, fall = 2 }}"#,
            self.script.display()
        );
        self.config_with(global, &check)
    }

    fn config_with(&self, global: &str, check: &str) -> Result<String> {
        Ok(format!(
            "{global}\n[frontend.web]\nmode = \"tcp\"\nbind = \"{PROXY_VIP}:80\"\ndefault_backend = \"web\"\n\
             [backend.web]\ncheck = {check}\n{}",
            self.lab.servers("web", &["web1", "web2"], 8080)?
        ))
    }

    fn start(&self) -> Result<Sluice> {
        Sluice::start(&self.lab, &self.config(OWN)?)
    }

    /// Makes the file of that ending for `web2`.
    fn make(&self, ending: &str) -> Result<()> {
        Ok(fs::write(self.file(ending), "")?)
    }

    fn remove(&self, ending: &str) -> Result<()> {
        Ok(fs::remove_file(self.file(ending))?)
    }

    fn file(&self, ending: &str) -> PathBuf {
        let mut path = self.script.clone().into_os_string();
        path.push(format!(".web2.{ending}"));
        path.into()
    }

    /// The script takes `web2` out and brings it back.
    fn takes_out_and_back(&self, sluice: &Sluice) -> Result<()> {
        self.make("down")?;
        let down = found(sluice, "down")?;
        ensure!(down.starts_with("PROCERR External check error, code: 1: \"as 1 for web/web2 at "), "{down}");
        ensure!(down.contains(" 8080\""), "{down}");
        self.remove("down")?;
        let up = found(sluice, "up")?;
        ensure!(up.starts_with("PROCOK External check passed: \"as 1 for web/web2 at "), "{up}");
        Ok(())
    }

    /// Has the program for `web2` hang, and waits until it does.
    fn hang(&self, runner: Pid) -> Result<Vec<Pid>> {
        self.make("hangs")?;
        wait::until("a program that hangs", SOON, || {
            let others: Vec<_> = of_runner(runner)?.into_iter().filter(|process| *process != runner).collect();
            // The shell and what it has started, twice.
            Ok((others.len() >= 3).then_some(others))
        })
    }
}

/// Another account than the worker's, which is `nobody`; its number is 1.
const OWN: &str = "exec_checks = true\nexec_user = \"daemon\"\n";

/// What the check of `web2` found last, once that is as wanted.
fn found(sluice: &Sluice, health: &str) -> Result<String> {
    let found = wait::until(&format!("web2 to be {health}"), SOON, || {
        let status = sluice.status()?;
        let servers = status.backends.iter().flat_map(|backend| &backend.servers);
        let web2 = servers.into_iter().find(|server| server.name == "web2").context("no web2")?;
        Ok(web2.check.as_ref().filter(|_| web2.health == health).and_then(|check| check.last.clone()))
    });
    found.with_context(|| sluice.log())
}

/// The process that runs checks, if there is one.
fn runner(sluice: &Sluice) -> Result<Option<Pid>> {
    let supervisor = sluice.supervisor().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))?;
    for child in children.split_whitespace() {
        let line = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        if line.starts_with("sluice\0runner\0") {
            return Ok(Pid::from_raw(child.parse()?));
        }
    }
    Ok(None)
}

fn a_runner(sluice: &Sluice) -> Result<Pid> {
    runner(sluice)?.with_context(|| format!("nobody runs checks\n{}", sluice.log()))
}

/// The processes of a runner's session that live.
fn of_runner(runner: Pid) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(process) = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else {
            continue;
        };
        let is_there = leader_of(&entry.path()) == Some(runner) && !is_dead(&entry.path());
        found.extend(Some(process).filter(|_| is_there));
    }
    Ok(found)
}

/// The fourth field behind the name.
fn leader_of(process: &Path) -> Option<Pid> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    Pid::from_raw(stat.rsplit(')').next()?.split_whitespace().nth(3)?.parse().ok()?)
}

/// Also a process that was not waited for is.
fn is_dead(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
}

fn gone(what: &str, processes: &[Pid]) -> Result<()> {
    wait::until(&format!("the end of {what}"), SOON, || {
        let dead = |process: &Pid| is_dead(Path::new(&format!("/proc/{}", process.as_raw_nonzero())));
        Ok(processes.iter().all(dead).then_some(()))
    })
}

fn identifiers(process: Pid) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))?;
    Ok(status.lines().find_map(|line| line.strip_prefix("Uid:")).context("no Uid")?.trim().to_owned())
}

#[test]
fn a_program_takes_a_server_out_and_back_whoever_of_the_daemon_dies_meanwhile() -> Result<()> {
    let scripted = Scripted::new()?;
    let mut sluice = scripted.start()?;
    scripted.takes_out_and_back(&sluice)?;
    let first = a_runner(&sluice)?;
    let worker = sluice.status()?.worker()?;
    ensure!(is_unprivileged(first)? > 0);
    ensure!(identifiers(first)? == "1\t1\t1\t1" && identifiers(first)? != identifiers(worker)?);
    ensure!(leader_of(&process_of(first)) == Some(first), "it shares a session");
    for process in scripted.hang(first)? {
        // One of a program that has just ended is nobody's.
        ensure!(is_unprivileged(process).is_ok_and(|threads| threads > 0) || is_dead(&process_of(process)));
    }
    let hanging = of_runner(first)?;

    kill_process(worker, Signal::KILL)?;
    scripted.remove("hangs")?;
    gone("what the worker has asked for", &hanging.into_iter().filter(|it| *it != first).collect::<Vec<_>>())?;
    wait::until("another worker", SOON, || {
        let status = sluice.status().ok();
        Ok(status.filter(|status| status.worker().is_ok_and(|next| next != worker)).map(|_| ()))
    })?;
    found(&sluice, "up")?;
    scripted.takes_out_and_back(&sluice)?;
    ensure!(a_runner(&sluice)? == first, "the runner was replaced with the worker");

    let hanging = scripted.hang(first)?;
    kill_process(first, Signal::KILL)?;
    scripted.remove("hangs")?;
    gone("what the runner has started", &hanging)?;
    let second = wait::until("another runner", SOON, || Ok(runner(&sluice)?.filter(|next| *next != first)))?;
    found(&sluice, "up")?;
    scripted.takes_out_and_back(&sluice)?;

    let hanging = scripted.hang(second)?;
    sluice.stop()?;
    gone("the runner", &[second])?;
    gone("what it has started", &hanging)
}

fn process_of(process: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", process.as_raw_nonzero()))
}

#[test]
fn with_the_supervisor_all_that_runs_for_it_dies() -> Result<()> {
    let scripted = Scripted::new()?;
    let sluice = scripted.start()?;
    let runner = a_runner(&sluice)?;
    let hanging = scripted.hang(runner)?;
    kill_process(sluice.supervisor(), Signal::KILL)?;
    gone("the runner", &[runner])?;
    gone("what it has started", &hanging)
}

#[test]
fn a_program_that_hangs_is_killed_with_what_it_has_started() -> Result<()> {
    let scripted = Scripted::new()?;
    let mut sluice = scripted.start()?;
    scripted.make("hangs")?;
    let found = wait::until("a timeout", SOON * 3, || {
        let found = found(&sluice, "up")?;
        Ok(Some(found).filter(|found| found.starts_with("PROCTOUT")))
    })?;
    ensure!(found.starts_with("PROCTOUT External check timeout: \"as 1 for web/web2"), "{found}");
    scripted.remove("hangs")?;
    sluice.stop()
}

#[test]
fn there_is_a_runner_only_while_a_check_wants_one() -> Result<()> {
    let scripted = Scripted::new()?;
    let none = scripted.config_with("", crate::scene::FAST_CHECK)?;
    let mut sluice = Sluice::start(&scripted.lab, &none)?;
    ensure!(runner(&sluice)?.is_none());

    sluice.write_config(&scripted.lab, &scripted.config("exec_checks = true\nexec_user = \"nobody\"\n")?)?;
    let output = sluice.cli(&["reload"])?;
    ensure!(complaint(&output).contains("is the worker's"), "{}", complaint(&output));
    ensure!(!output.status.success() && runner(&sluice)?.is_none() && sluice.status()?.generation == 1);

    sluice.write_config(&scripted.lab, &scripted.config(OWN)?)?;
    sluice.command(&["reload"])?;
    let first = a_runner(&sluice)?;
    found(&sluice, "up")?;
    scripted.takes_out_and_back(&sluice)?;
    sluice.command(&["reload"])?;
    ensure!(a_runner(&sluice)? == first, "a reload that changes nothing has replaced it");

    // As somebody else, whom the script lets out as another.
    sluice.write_config(&scripted.lab, &scripted.config(&OWN.replace("daemon", "bin"))?)?;
    sluice.command(&["reload"])?;
    let second = a_runner(&sluice)?;
    // It gives up its rights before it serves anyone, which is not before it is started.
    wait::until("the other account", SOON, || Ok((identifiers(second)? == "2\t2\t2\t2").then_some(())))?;
    gone("the first one", &[first])?;

    sluice.write_config(&scripted.lab, &none)?;
    sluice.command(&["reload"])?;
    gone("the second one", &[second])?;
    ensure!(runner(&sluice)?.is_none());
    sluice.stop()
}
