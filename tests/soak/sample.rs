//! What is looked at every few seconds: what the daemon's processes hold, and what lies in the kernel for them.

use crate::site::Site;
use anyhow::{Context, Result};
use serde::Serialize;
use std::{collections::BTreeSet, fmt, fs, path::Path, time::Duration};

/// How things stood at one moment.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Since the start.
    #[serde(serialize_with = "seconds")]
    pub(crate) at: Duration,
    /// Of the worker, bytes: what is its own and in memory.
    pub(crate) worker_memory: u64,
    /// The same of the supervisor.
    pub(crate) supervisor_memory: u64,
    pub(crate) worker_descriptors: u64,
    pub(crate) supervisor_descriptors: u64,
    pub(crate) threads: u64,
    /// Maps of the kernel that one of both processes holds.
    pub(crate) maps: u64,
    /// Files below the pin directory.
    pub(crate) pins: u64,
}

fn seconds<S: serde::Serializer>(at: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(at.as_secs_f64())
}

impl Sample {
    pub(crate) fn take(site: &Site, at: Duration) -> Result<Self> {
        let worker = Process::of(site.sluice.status()?.worker_pid)?;
        let supervisor = Process::of(site.sluice.supervisor().as_raw_nonzero().get())?;
        Ok(Self {
            at,
            worker_memory: worker.memory,
            supervisor_memory: supervisor.memory,
            worker_descriptors: worker.descriptors,
            supervisor_descriptors: supervisor.descriptors,
            threads: worker.threads + supervisor.threads,
            maps: count(worker.maps.union(&supervisor.maps).count()),
            pins: files(&site.lab.pins())?,
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "worker {} KiB, {} descriptors; supervisor {} KiB, {} descriptors; {} threads, {} maps, {} pins;",
            self.worker_memory / 1024,
            self.worker_descriptors,
            self.supervisor_memory / 1024,
            self.supervisor_descriptors,
            self.threads,
            self.maps,
            self.pins
        )
    }
}

struct Process {
    memory: u64,
    descriptors: u64,
    threads: u64,
    maps: BTreeSet<u32>,
}

impl Process {
    fn of(pid: i32) -> Result<Self> {
        let place = Path::new("/proc").join(pid.to_string());
        let status = fs::read_to_string(place.join("status"))?;
        let mut maps = BTreeSet::new();
        let mut descriptors = 0;
        for entry in fs::read_dir(place.join("fdinfo"))? {
            descriptors += 1;
            // One that is closed meanwhile counts all the same.
            let info = fs::read_to_string(entry?.path()).unwrap_or_default();
            maps.extend(field(&info, "map_id:").and_then(|id| u32::try_from(id).ok()));
        }
        Ok(Self {
            memory: field(&status, "RssAnon:").context("no RssAnon")? * 1024,
            descriptors,
            threads: field(&status, "Threads:").context("no Threads")?,
            maps,
        })
    }
}

/// The number behind a name, as in `RssAnon: 1234 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn files(place: &Path) -> Result<u64> {
    let mut found = 0;
    for entry in fs::read_dir(place).with_context(|| place.display().to_string())? {
        let entry = entry?;
        found += if entry.file_type()?.is_dir() { files(&entry.path())? } else { 1 };
    }
    Ok(found)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
