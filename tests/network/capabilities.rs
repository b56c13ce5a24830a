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
    let mut threads = 0;
    for entry in fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()))? {
        let path = entry?.path().join("status");
        let status = fs::read_to_string(&path)?;
        let field = |name: &str| -> Result<&str> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).with_context(|| format!("no {name} in {}", path.display()))
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            ensure!(field(set)?.bytes().all(|digit| digit == b'0'), "{set} of {} is {}", path.display(), field(set)?);
        }
        ensure!(field("NoNewPrivs")? == "1", "{} may gain privileges", path.display());
        for ids in ["Uid", "Gid"] {
            ensure!(field(ids)?.split_whitespace().all(|id| id != "0"), "{ids} of {}: {}", path.display(), field(ids)?);
        }
        threads += 1;
    }
    Ok(threads)
}
