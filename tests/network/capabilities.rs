//! The worker, which faces the network, has no privilege at all, and still writes the kernel's maps.

use crate::scene::{Scene, WEBS};
use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use std::fs;

#[test]
fn every_thread_of_the_worker_is_without_capabilities_while_it_writes_health_changes() -> Result<()> {
    let mut scene = Scene::start("nat", &WEBS, "")?;
    let worker = scene.sluice.status()?.worker()?;
    ensure!(worker != scene.sluice.supervisor(), "supervisor and worker are one process");
    for _ in 0..3 {
        scene.lose("web2")?;
        ensure!(is_unprivileged(worker)? > 0);
        scene.regain("web2")?;
        ensure!(is_unprivileged(worker)? > 0);
    }
    ensure!(scene.sluice.status()?.worker()? == worker, "the worker was replaced on the way");
    scene.over()
}

/// Looks at each thread of a process; returns how many there are.
pub(crate) fn is_unprivileged(process: Pid) -> Result<usize> {
    let tasks = tasks(process)?;
    for status in &tasks {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            ensure!(field(status, set)?.bytes().all(|digit| digit == b'0'), "{set} of\n{status}");
        }
        ensure!(field(status, "NoNewPrivs")? == "1", "may gain privileges:\n{status}");
        for ids in ["Uid", "Gid"] {
            ensure!(field(status, ids)?.split_whitespace().all(|id| id != "0"), "{ids} of\n{status}");
        }
    }
    Ok(tasks.len())
}

/// What the kernel says of each thread of a process.
pub(crate) fn tasks(process: Pid) -> Result<Vec<String>> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()))?;
    tasks.map(|task| Ok(fs::read_to_string(task?.path().join("status"))?)).collect()
}

/// A field of that.
pub(crate) fn field<'a>(status: &'a str, name: &str) -> Result<&'a str> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(str::trim).with_context(|| format!("no {name} in\n{status}"))
}
