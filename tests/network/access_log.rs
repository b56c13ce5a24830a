//! The files of access logs: opened by the supervisor, held by the worker, which has no rights to open them.

use crate::scene::SOON;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{Lab, PROXY_VIP},
    sluice::{Sluice, complaint},
    wait,
};
use rustix::process::Signal;
use std::{fs, path::Path};

fn config(lab: &Lab, log: &Path) -> Result<String> {
    Ok(format!(
        r#"
[frontend.logged]
mode = "tcp"
bind = "{PROXY_VIP}:81"
default_backend = "logged"
log = "file:{}"
[backend.logged]
check = {{ type = "tcp", interval = "100ms" }}
{}"#,
        log.display(),
        lab.servers("logged", &["web1"], 8080)?
    ))
}

/// Whether the worker has that file open, and no other one that begins like it.
fn holds(sluice: &Sluice, path: &Path) -> Result<bool> {
    let worker = sluice.status()?.worker()?.as_raw_nonzero();
    let name = path.to_str().context("a name")?;
    let mut held = Vec::new();
    for entry in fs::read_dir(format!("/proc/{worker}/fd"))? {
        // A descriptor may be closed by now.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        held.extend(target.to_str().filter(|target| target.starts_with(name)).map(str::to_owned));
    }
    Ok(!held.is_empty() && held.iter().all(|held| held == name))
}

#[test]
fn a_log_is_handed_to_every_worker_and_opened_again_when_it_was_renamed() -> Result<()> {
    let lab = Lab::beside_others()?;
    let log = lab.directory().join("access.log");
    let sluice = Sluice::start(&lab, &config(&lab, &log)?)?;
    wait::until("the log at the start", SOON, || Ok(holds(&sluice, &log)?.then_some(())))?;

    fs::rename(&log, log.with_extension("log.1"))?;
    ensure!(!holds(&sluice, &log)?, "renamed, and nobody was told");
    sluice.signal(Signal::USR1)?;
    wait::until("the log after SIGUSR1", SOON, || Ok(holds(&sluice, &log)?.then_some(())))?;

    fs::rename(&log, log.with_extension("log.2"))?;
    sluice.command(&["reload"])?;
    wait::until("the log after a reload", SOON, || Ok(holds(&sluice, &log)?.then_some(())))?;

    let before = sluice.status()?;
    rustix::process::kill_process(before.worker()?, Signal::KILL)?;
    wait::until("another worker", SOON, || {
        Ok(sluice.status().ok().filter(|status| status.worker_pid != before.worker_pid))
    })?;
    wait::until("the log of another worker", SOON, || Ok(holds(&sluice, &log)?.then_some(())))?;

    // One that cannot be opened is an error of the reload, and what runs goes on.
    sluice.write_config(&lab, &config(&lab, &lab.directory().join("none/access.log"))?)?;
    let refused = sluice.cli(&["reload"])?;
    ensure!(complaint(&refused).contains("cannot log to"), "{}", complaint(&refused));
    ensure!(holds(&sluice, &log)?);
    Ok(())
}
