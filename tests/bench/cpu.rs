//! What the CPUs of the whole machine did, by `/proc/stat`: also what the kernel does for packets, which is no process's time.

use anyhow::{Context, Result};
use std::{fs, thread, time::Duration};

/// The share of a machine that nobody else is using.
const QUIET: f64 = 0.05;

/// Ticks a second: `USER_HZ`, which is 100 on every architecture that Sluice runs on.
pub(crate) const TICKS: u32 = 100;

/// The share of all CPUs that others keep busy before the first turn. Complains if it is much.
pub(crate) fn busy_before() -> Result<f64> {
    let busy = Cpu::busy_share(Duration::from_secs(1))?;
    if busy > QUIET {
        let percent = busy * 100.0;
        eprintln!(
            "others keep {percent:.0} % of this machine's CPUs busy: what a request costs will come out too high"
        );
    }
    Ok(busy)
}

/// Time since the machine started, of all CPUs together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cpu {
    /// Doing something.
    pub(crate) busy: Duration,
    /// Doing nothing, or waiting for a disk.
    pub(crate) idle: Duration,
}

impl Cpu {
    pub(crate) fn now() -> Result<Self> {
        parse(&fs::read_to_string("/proc/stat")?).context("/proc/stat has no line of all CPUs")
    }

    /// What passed between two looks.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { busy: self.busy.saturating_sub(before.busy), idle: self.idle.saturating_sub(before.idle) }
    }

    /// The share of all CPUs that is in use, over this time.
    fn busy_share(time: Duration) -> Result<f64> {
        let before = Self::now()?;
        thread::sleep(time);
        let used = Self::now()?.since(before);
        Ok(used.busy.as_secs_f64() / (used.busy + used.idle).as_secs_f64())
    }
}

/// Reads the first line: `cpu user nice system idle iowait irq softirq steal guest guest_nice`. Guests are counted in
/// `user` already, and what the hypervisor took is nobody's work here.
fn parse(stat: &str) -> Option<Cpu> {
    let fields = stat.lines().find_map(|line| line.strip_prefix("cpu "))?.split_whitespace();
    let fields: Vec<u32> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, idle, iowait, irq, softirq, ..] = *fields else { return None };
    let time = |ticks: u32| Duration::from_secs(1) * ticks / TICKS;
    Some(Cpu { busy: time(user + nice + system + irq + softirq), idle: time(idle + iowait) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_told_from_waiting_and_from_what_others_took() {
        let cpu = parse("cpu  100 20 300 4000 50 6 74 888 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n").unwrap();
        assert_eq!(cpu, Cpu { busy: Duration::from_secs(5), idle: Duration::from_millis(40_500) });
        let later = parse("cpu  200 20 300 4100 50 6 74 999 9 9\n").unwrap();
        assert_eq!(later.since(cpu), Cpu { busy: Duration::from_secs(1), idle: Duration::from_secs(1) });
    }

    #[test]
    fn what_is_no_stat_is_refused() {
        assert_eq!(parse("cpu0 1 2 3 4 5 6 7\n"), None);
        assert_eq!(parse("cpu  1 2 3\n"), None);
    }
}
