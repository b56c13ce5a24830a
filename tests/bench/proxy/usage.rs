//! What a process and its descendants take: CPU time by `/proc/PID/stat`, memory by `/proc/PID/smaps_rollup`.

use crate::cpu::TICKS;
use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use std::{collections::BTreeMap, fs, time::Duration};

/// Taken until now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// In user mode and in the kernel, of all threads.
    pub(super) cpu: Duration,
    /// Proportional set size in bytes: memory that two processes share counts once.
    pub(super) memory: u64,
}

/// A line of `/proc/PID/stat`.
#[derive(Debug, Eq, PartialEq)]
struct Stat {
    parent: i32,
    /// Of user and system time.
    ticks: u32,
}

/// What the process and all its descendants have taken.
pub(super) fn of(root: Pid) -> Result<Usage> {
    let stats = all()?;
    let mut usage = Usage::default();
    let mut family = vec![root.as_raw_nonzero().get()];
    ensure!(stats.contains_key(&root.as_raw_nonzero().get()), "the balancer is gone");
    while let Some(pid) = family.pop() {
        family.extend(stats.iter().filter(|(_, stat)| stat.parent == pid).map(|(&pid, _)| pid));
        usage.cpu += stats.get(&pid).map_or(Duration::ZERO, |stat| Duration::from_secs(1) * stat.ticks / TICKS);
        usage.memory += memory(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?).context("no Pss")?;
    }
    Ok(usage)
}

/// Every process that there is. One that ends meanwhile is none.
fn all() -> Result<BTreeMap<i32, Stat>> {
    let mut stats = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stat) = fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(stat) {
            stats.insert(pid, stat);
        }
    }
    Ok(stats)
}

/// Reads `pid (name) state ppid …`, where the name may hold anything; `utime` and `stime` are the fields 14 and 15. Their sum
/// is exact to a tick: the kernel scales them to what the scheduler has counted in nanoseconds.
fn stat(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u32>().ok();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks: number(14)? + number(15)? })
}

/// Reads `Pss: 123 kB`.
fn memory(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_end_of_a_name() {
        let line = "12 (a) b) S 7 12 12 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 100 0 0\n";
        assert_eq!(stat(line), Some(Stat { parent: 7, ticks: 300 }));
        assert_eq!(stat("12 (a) S 7\n"), None);
    }

    #[test]
    fn memory_is_the_proportional_size_in_bytes() {
        assert_eq!(memory("Rss:  9 kB\nPss:     20 kB\nPss_Dirty: 3 kB\n"), Some(20 * 1024));
        assert_eq!(memory("Rss: 9 kB\n"), None);
    }

    #[test]
    fn children_count() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let own = of(rustix::process::getpid()).unwrap().memory;
        let alone = of(Pid::from_child(&child)).unwrap().memory;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(alone > 0 && own > alone, "{own} {alone}");
    }
}
