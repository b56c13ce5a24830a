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
use tokio::{sync::mpsc::WeakUnboundedSender, time::Instant};
use tokio_util::task::TaskTracker;

/// From one look to the next. Some ten thousand clients may come in a second: whoever looks seldom comes too late.
const LOOK: Duration = Duration::from_millis(20);
/// Memory is short from there on, in thousandths, and is so until it is below [`ENOUGH`].
const SHORT: u64 = 900;
const ENOUGH: u64 = 800;
/// So many connections of clients are served in any case: with these it is not they that fill the memory, and who sends them
/// away serves nobody.
const FEW: usize = 64;
/// Once short, it stays so at least for so long.
const STAYS: Duration = Duration::from_secs(1);
/// At most one warning in this time.
const QUIET: Duration = Duration::from_mins(1);
/// If for so long no connection more has gone, there is nothing left to let go: it is not clients that wait who would fill the
/// memory, and they may wait for ever. From then on each thread lets one in at each look, and who has nothing under way is sent
/// away again each time that this is over.
const FRUITLESS: Duration = Duration::from_secs(10);
/// Where groups of processes have their limits (cgroup v2).
const GROUPS: &str = "/sys/fs/cgroup";

/// How much memory is used, and how much may be. Opened while files may be opened.
#[derive(Debug)]
pub struct Gauge {
    /// `/proc/self/status`.
    process: Option<File>,
    /// Of the group of processes with the least room.
    group: Option<Group>,
}

/// A group of processes that has a limit. It counts whether the configuration names one or not: who exceeds it is killed.
#[derive(Debug)]
struct Group {
    limit: u64,
    /// Its `memory.current`: all that it uses.
    current: File,
    /// Its `memory.stat`: what for. To read it is work for the kernel.
    stat: File,
}

impl Group {
    fn open(limit: u64, path: &Path) -> io::Result<Self> {
        let open = |name| File::open(path.join(name));
        Ok(Self { limit, current: open("memory.current")?, stat: open("memory.stat")? })
    }

    /// How far its memory is used, in thousandths. As long as that is little, what can be taken from it is among that.
    fn used(&self) -> Option<u64> {
        let part = |bytes: u64| bytes.saturating_mul(1_000) / self.limit.max(1);
        let all = part(text(&self.current).ok()?.trim().parse().ok()?);
        if all < ENOUGH { Some(all) } else { Some(part(held(&text(&self.stat).ok()?))) }
    }
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
        let group = self.group.as_ref().and_then(Group::used);
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
fn tightest(groups: &str, root: &Path) -> Option<Group> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |group: &Path| fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    let all = root.join(own);
    let all = all.ancestors().take_while(|group| group.starts_with(root)).map(PathBuf::from);
    let (limit, group) = all.filter_map(|group| Some((limit(&group)?, group))).min()?;
    Group::open(limit, &group).ok()
}

/// What a group holds and cannot be taken from it, by its `memory.stat`: files that it has read are not among that, nor what the
/// kernel only keeps in case it is wanted again.
fn held(stat: &str) -> u64 {
    let sum = |names: &[&str]| {
        let lines = stat.lines().filter_map(|line| line.split_once(' '));
        let bytes = lines.filter(|(name, _)| names.contains(name)).filter_map(|(_, bytes)| bytes.parse::<u64>().ok());
        bytes.sum::<u64>()
    };
    sum(&["anon", "kernel", "sock", "shmem"]).saturating_sub(sum(&["slab_reclaimable"]))
}

/// Whether memory is short, which it was or was not before, with so many connections of clients.
fn is_short(was: bool, used: u64, connections: usize) -> bool {
    let (most, few) = if was { (ENOUGH, FEW / 2) } else { (SHORT, FEW) };
    used >= most && connections > few
}

/// What the serving threads are to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Press {
    /// Let nobody in, and go of what nobody uses.
    On,
    /// Let one in.
    One,
    /// All is as usual.
    Off,
}

/// How it stands with the memory. Pure.
#[derive(Debug, Default)]
struct Pressure {
    short: bool,
    changed: Option<Instant>,
    /// The fewest connections since memory is short, and since when there are not fewer.
    fewest: Option<(usize, Instant)>,
    /// When those were sent away last that had nothing under way.
    shed: Option<Instant>,
}

impl Pressure {
    /// What there is to do, with that part of the memory used, and so many connections of clients.
    fn look(&mut self, used: u64, connections: usize, now: Instant) -> Option<Press> {
        let is_over = |since: Option<Instant>, time| since.is_none_or(|it| now.saturating_duration_since(it) >= time);
        let may_change = !self.short || is_over(self.changed, STAYS);
        if is_short(self.short, used, connections) != self.short && may_change {
            (self.short, self.changed) = (!self.short, Some(now));
            (self.fewest, self.shed) = (None, Some(now));
            return Some(if self.short { Press::On } else { Press::Off });
        }
        if !self.short {
            return None;
        }
        let (fewest, since) = *self.fewest.get_or_insert((connections, now));
        if connections < fewest {
            self.fewest = Some((connections, now));
        } else if is_over(Some(since), FRUITLESS) {
            if is_over(self.shed, FRUITLESS) {
                self.shed = Some(now);
                return Some(Press::On);
            }
            return Some(Press::One);
        }
        None
    }
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
    let (mut limit, mut pressure, mut warned) = (None, Pressure::default(), None::<Instant>);
    loop {
        let is_limited = limit.is_some() || gauge.group.is_some();
        let told = if is_limited || pressure.short {
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
        let (was_short, now) = (pressure.short, Instant::now());
        let Some(press) = pressure.look(used, connections, now) else { continue };
        let used_percent = used / 10;
        if press == Press::Off {
            tracing::info!(event = "memory", used_percent, connections, "there is memory again: clients are let in");
        } else if !was_short && warned.is_none_or(|warned| now.saturating_duration_since(warned) >= QUIET) {
            warned = Some(now);
            tracing::warn!(
                event = "memory",
                used_percent,
                connections,
                "memory is short: clients wait, and idle ones are sent away"
            );
        }
        for thread in threads.iter().filter_map(|(thread, _)| thread.upgrade()) {
            drop(thread.send(Command::Press(press))); // A thread that has ended holds no memory.
        }
    }
}

impl Thread {
    /// Memory is short, or not any more.
    pub(super) fn press(&self, press: Press) {
        self.pressed.set(press != Press::Off);
        self.lets_one_in.set(press == Press::One);
        if press == Press::On {
            self.shed.replace(self.drain.child_token()).cancel();
            self.idle.borrow_mut().clear();
        } else {
            self.eased.notify_waiters();
        }
    }

    /// Waits while memory is short.
    pub(super) async fn wait_for_memory(&self) {
        while self.pressed.get() && !self.lets_one_in.take() {
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
        assert!(is_short(true, 2_000, FEW) && !is_short(true, 2_000, FEW / 2) && !is_short(false, 2_000, FEW));
    }

    #[test]
    fn it_does_not_change_all_the_time_and_clients_do_not_wait_for_ever() {
        let (mut pressure, start) = (Pressure::default(), Instant::now());
        let mut look = |used, connections, ms| pressure.look(used, connections, start + Duration::from_millis(ms));
        assert_eq!(look(899, 1_000, 0), None);
        assert_eq!(look(950, 1_000, 100), Some(Press::On));
        assert_eq!(look(700, 1_000, 200), None, "too soon");
        assert_eq!(look(700, 1_000, 1_100), Some(Press::Off));
        assert_eq!(look(950, 1_000, 1_200), Some(Press::On), "what is short is so at once");
        assert_eq!(look(950, 1_000, 2_100), None);
        let going = [(3_000, 800), (5_000, 600), (11_000, 100)];
        assert_eq!(going.map(|(at, left)| look(950, left, at)), [None; 3], "connections go");
        assert_eq!(look(950, 100, 20_900), None);
        assert_eq!(look(950, 100, 22_000), Some(Press::On), "who is idle by now goes too");
        assert_eq!([22_100, 22_200, 31_900].map(|at| look(950, 101, at)), [Some(Press::One); 3]);
        assert_eq!(look(950, 101, 32_000), Some(Press::On));
        assert_eq!(look(950, 32, 32_100), Some(Press::Off));
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
        put("a", "memory.current", "900\n");
        put("a", "memory.stat", "anon 400\nfile 5000\nkernel 130\nsock 50\nslab_reclaimable 30\n");
        put("a/b", "memory.max", "2000\n");
        let group = tightest("1:cpu:/x\n0::/a/b\n", root.path()).unwrap();
        assert_eq!(group.limit, 1_000);
        assert!(tightest("0::/\n", root.path()).is_none());
        let gauge = Gauge { process: None, group: Some(group) };
        assert_eq!(gauge.used(Some(1)), Some(550));
        put("a", "memory.current", "790\n");
        assert_eq!(gauge.used(Some(1)), Some(790), "nobody asks what for");
    }

    #[test]
    fn a_process_knows_what_it_uses() {
        let gauge = Gauge { group: None, ..Gauge::open() };
        assert_eq!(gauge.used(None), None);
        let part = gauge.used(Some(1 << 40)).unwrap();
        assert!(part < 1_000 && gauge.used(Some(1 << 20)).unwrap() > 1_000, "{part}");
    }
}
