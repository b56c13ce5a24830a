//! Memory: what is let go before there is none. At nine tenths of what the process may use, clients wait in the sockets, those
//! that have nothing under way are sent away, and connections to servers that nobody uses are closed; at eight tenths all is as
//! before.

use super::threads::{Command, Thread};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::Duration,
};
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio_util::task::TaskTracker;

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(100);
/// So many connections of clients are served in any case: with these it is not they that fill the memory, and who sends them
/// away serves nobody.
const FEW: usize = 64;
/// Where groups of processes have their limits (cgroup v2).
const GROUPS: &str = "/sys/fs/cgroup";

/// How much memory is used, and how much may be. Opened while files may be opened.
#[derive(Debug)]
pub struct Gauge {
    /// `/proc/self/status`.
    process: Option<File>,
    /// Of the group of processes with the least room: what it may use, and its `memory.stat`.
    group: Option<(u64, File)>,
}

impl Gauge {
    /// Of this process. What the machine does not have is not looked at.
    pub fn open() -> Self {
        let group =
            fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| tightest(&groups, Path::new(GROUPS)));
        Self { process: File::open("/proc/self/status").ok(), group }
    }

    /// How far the memory is used, in thousandths of what may be: the worse of the process, which may use `limit`, and its group.
    fn used(&self, limit: Option<u64>) -> Option<u64> {
        let process = self.process.as_ref().zip(limit).and_then(|(status, limit)| {
            let kib = resident(&text(status).ok()?)?;
            Some((kib << 10).saturating_mul(1_000) / limit.max(1))
        });
        let group = self
            .group
            .as_ref()
            .and_then(|(limit, stat)| Some(held(&text(stat).ok()?).saturating_mul(1_000) / (*limit).max(1)));
        process.into_iter().chain(group).max()
    }
}

/// Resident memory in KiB, by `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The whole of a small file of /proc or /sys, from its beginning.
fn text(file: &File) -> io::Result<String> {
    let mut bytes = [0; 4_096];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned())
}

/// Of this process's group and those that it is in, the one that may use least, if any has a limit.
fn tightest(groups: &str, root: &Path) -> Option<(u64, File)> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |group: &Path| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    let all = root.join(own);
    let all = all.ancestors().take_while(|group| group.starts_with(root)).map(PathBuf::from);
    let (limit, group) = all.filter_map(|group| Some((limit(&group)?, group))).min()?;
    Some((limit, File::open(group.join("memory.stat")).ok()?))
}

/// What a group holds and cannot be taken from it, by its `memory.stat`: files that it has read are not among that.
fn held(stat: &str) -> u64 {
    let lines = stat.lines().filter_map(|line| line.split_once(' '));
    let held = lines.filter(|(name, _)| ["anon", "kernel", "sock", "shmem"].contains(name));
    held.filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).sum()
}

/// Whether memory is short, which it was or was not before, with so many connections of clients.
fn is_short(was: bool, used: u64, connections: usize) -> bool {
    used >= if was { 800 } else { 900 } && connections > FEW
}

/// A thread that looks how far the memory is used, as long as there is a limit.
#[derive(Debug)]
pub(super) struct Watch(Sender<Option<u64>>);

impl Watch {
    /// Starts it, for these serving threads and their connections.
    pub(super) fn start(gauge: Gauge, threads: Vec<(WeakUnboundedSender<Command>, TaskTracker)>) -> io::Result<Self> {
        let (limits, told) = channel();
        std::thread::Builder::new().name("memory".to_owned()).spawn(move || watch(&gauge, &threads, &told))?;
        Ok(Self(limits))
    }

    /// The limit of the configuration from now on.
    pub(super) fn limit(&self, limit: Option<u64>) {
        self.0.send(limit).unwrap_or_default(); // A thread that is gone needs none.
    }
}

fn watch(gauge: &Gauge, threads: &[(WeakUnboundedSender<Command>, TaskTracker)], limits: &Receiver<Option<u64>>) {
    let (mut limit, mut short) = (None, false);
    loop {
        let is_limited = limit.is_some() || gauge.group.is_some();
        let told = if is_limited || short {
            limits.recv_timeout(LOOK)
        } else {
            limits.recv().map_err(|_gone| RecvTimeoutError::Disconnected)
        };
        match told {
            Ok(next) => limit = next,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let used = gauge.used(limit).unwrap_or(0);
        let connections = threads.iter().map(|(_, connections)| connections.len()).sum();
        let now = is_short(short, used, connections);
        if now != short {
            short = now;
            let used_percent = used / 10;
            if short {
                tracing::warn!(used_percent, connections, "memory is short: clients wait, and idle ones are sent away");
            } else {
                tracing::warn!(used_percent, connections, "there is memory again: clients are let in");
            }
            for thread in threads.iter().filter_map(|(thread, _)| thread.upgrade()) {
                drop(thread.send(Command::Press(short))); // A thread that has ended holds no memory.
            }
        }
    }
}

impl Thread {
    /// Memory is short, or not any more.
    pub(super) fn press(&self, short: bool) {
        self.pressed.set(short);
        if short {
            self.shed.replace(self.drain.child_token()).cancel();
            self.idle.borrow_mut().clear();
        } else {
            self.eased.notify_waiters();
        }
    }

    /// Waits while memory is short.
    pub(super) async fn wait_for_memory(&self) {
        while self.pressed.get() {
            self.eased.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_short_stays_so_until_there_is_enough_and_few_are_always_served() {
        assert_eq!([700, 850, 900, 2_000].map(|used| is_short(false, used, 1_000)), [false, false, true, true]);
        assert_eq!([700, 799, 800, 2_000].map(|used| is_short(true, used, 1_000)), [false, false, true, true]);
        assert!(!is_short(true, 2_000, FEW) && !is_short(false, 2_000, FEW));
    }

    #[test]
    fn the_tightest_group_counts_and_of_it_what_cannot_be_taken_away() {
        let root = tempfile::tempdir().unwrap();
        let put = |group: &str, file: &str, text: &str| {
            fs::create_dir_all(root.path().join(group)).unwrap();
            fs::write(root.path().join(group).join(file), text).unwrap();
        };
        put("", "memory.max", "max\n");
        put("a", "memory.max", "1000\n");
        put("a", "memory.stat", "anon 400\nfile 5000\nkernel 100\nsock 50\n");
        put("a/b", "memory.max", "2000\n");
        let (limit, stat) = tightest("1:cpu:/x\n0::/a/b\n", root.path()).unwrap();
        assert_eq!((limit, held(&text(&stat).unwrap())), (1_000, 550));
        assert!(tightest("0::/\n", root.path()).is_none());
        let gauge = Gauge { process: None, group: Some((limit, stat)) };
        assert_eq!(gauge.used(Some(1)), Some(550));
    }

    #[test]
    fn a_process_knows_what_it_uses() {
        let gauge = Gauge { group: None, ..Gauge::open() };
        assert_eq!(gauge.used(None), None);
        let part = gauge.used(Some(1 << 40)).unwrap();
        assert!(part < 1_000 && gauge.used(Some(1 << 20)).unwrap() > 1_000, "{part}");
    }
}
