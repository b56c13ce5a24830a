//! What the service manager hears of the daemon, in the words of sd_notify(3): that it runs, how it stands, that it
//! reloads or stops, and that it lives. Without `NOTIFY_SOCKET` nothing is said, and nothing is counted for it.
//!
//! The socket is the supervisor's alone: processes that it starts do not inherit its name ([`keep_from`]).

use std::{
    cell::{Cell, RefCell},
    env,
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    rc::Rc,
    time::Duration,
};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// Where the service manager listens: a path, or an abstract name after `@`.
const SOCKET: &str = "NOTIFY_SOCKET";
/// Longest silence in microseconds until it takes the daemon for dead.
const WATCHDOG: &str = "WATCHDOG_USEC";
/// The process that the line before is meant for.
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// Longest wait for a service manager that does not read: what it does not take then, it does not hear.
const PATIENCE: Duration = Duration::from_secs(1);

/// The line to the service manager; clones are the same line.
#[derive(Clone, Debug, Default)]
pub struct Notify(Option<Rc<Line>>);

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    /// Longest silence that the service manager bears.
    watchdog: Option<Duration>,
    /// When it heard last that we live.
    lived: Cell<Instant>,
    /// The last status: it is not said twice.
    status: RefCell<String>,
    /// The last word was not taken; said once in our own log.
    failing: Cell<bool>,
}

impl Notify {
    /// The line that the environment names, if it names one.
    pub fn from_environment() -> Self {
        let Some(name) = env::var_os(SOCKET) else { return Self::default() };
        let [silence, process] = [WATCHDOG, WATCHDOG_PROCESS].map(|name| env::var(name).ok());
        Self::to(&name, watchdog(silence.as_deref(), process.as_deref(), process::id())).unwrap_or_else(|error| {
            warn!(%error, socket = %name.display(), "the service manager that {SOCKET} names hears nothing of us");
            Self::default()
        })
    }

    fn to(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(Some(Rc::new(Line {
            socket,
            watchdog,
            lived: Cell::new(Instant::now()),
            status: RefCell::default(),
            failing: Cell::default(),
        }))))
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Longest silence that the service manager bears; `None`: any.
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// The configuration runs, and how it stands. Also the end of [`reloading`](Self::reloading), however it ended.
    pub fn ready(&self, status: &str) {
        self.live();
        self.say("READY=1", Some(status));
    }

    /// A reload begins, now by the monotonic clock.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()), None);
    }

    /// How the daemon stands, in one line.
    pub fn status(&self, status: &str) {
        let said = self.0.as_ref().is_none_or(|line| *line.status.borrow() == status);
        if !said {
            self.say("", Some(status));
        }
    }

    /// The daemon ends, at most so late: whatever the service manager's own patience is.
    pub fn stopping(&self, within: Duration) {
        let within_us = within.as_micros();
        self.say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={within_us}"), Some("stopping: open connections may end"));
    }

    /// Another process is the daemon from now on. Only the one that was it until now is believed.
    pub fn main_pid(&self, process: u32) {
        self.say(&format!("MAINPID={process}"), None);
    }

    /// The daemon lives. Said twice in each span that the watchdog bears; what comes more often than every `beat` is not passed
    /// on.
    pub fn alive(&self, beat: Duration) {
        let Some(line) = &self.0 else { return };
        if line.watchdog.is_some_and(|silence| line.lived.get().elapsed() + beat > silence / 2) {
            self.live();
        }
    }

    /// The daemon lives, for as long as this is waited for, at most so long: during a step that has bounds of its own.
    pub async fn keep_alive(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while let Some(silence) = self.watchdog().filter(|_| Instant::now() < end) {
            self.alive(silence / 4);
            sleep_until(end.min(Instant::now() + silence / 4)).await;
        }
        sleep_until(end).await;
    }

    fn live(&self) {
        let Some(line) = self.0.as_ref().filter(|line| line.watchdog.is_some()) else { return };
        line.lived.set(Instant::now());
        self.say("WATCHDOG=1", None);
    }

    fn say(&self, words: &str, status: Option<&str>) {
        let Some(line) = &self.0 else { return };
        let mut text = words.to_owned();
        if let Some(status) = status {
            let status = status.replace('\n', " ");
            _ = write!(text, "{}STATUS={status}", if text.is_empty() { "" } else { "\n" });
            *line.status.borrow_mut() = status;
        }
        let sent = line.socket.send(text.as_bytes());
        if let Err(error) = &sent
            && !line.failing.get()
        {
            warn!(%error, "the service manager does not take what we say");
        }
        line.failing.set(sent.is_err());
    }
}

/// The variables that a process which is not the daemon must not inherit.
pub const VARIABLES: [&str; 3] = [SOCKET, WATCHDOG, WATCHDOG_PROCESS];

/// Keeps a process that we start from speaking for us.
pub fn keep_from(command: &mut tokio::process::Command) {
    for name in VARIABLES {
        command.env_remove(name);
    }
}

/// Hands the line on to the process that will be the daemon after us: the watchdog counts for whoever that is.
pub fn hand_on(command: &mut tokio::process::Command) {
    command.env_remove(WATCHDOG_PROCESS);
}

/// As sd_watchdog_enabled(3): what is meant for another process is not for us.
fn watchdog(silence: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    let microseconds = silence?.parse().ok().filter(|microseconds| *microseconds > 0)?;
    process.is_none_or(|process| process.parse() == Ok(own)).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// What a service manager has heard since it looked last.
    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut packet = [0; 512];
        let next =
            || manager.recv(&mut packet).ok().map(|length| String::from_utf8(packet[..length].to_vec()).unwrap());
        std::iter::from_fn(next).collect()
    }

    fn manager(watchdog: Option<Duration>) -> (UnixDatagram, Notify) {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("@sluice-notify-{}-{number}", process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name[1..]).unwrap()).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notify = Notify::to(OsStr::new(&name), watchdog).unwrap();
        (manager, notify)
    }

    #[tokio::test]
    async fn a_service_manager_hears_it_at_a_path_and_at_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        at_path.set_nonblocking(true).unwrap();
        Notify::to(path.as_os_str(), None).unwrap().ready("generation 1");
        assert_eq!(heard(&at_path), ["READY=1\nSTATUS=generation 1"]);

        let (manager, notify) = manager(None);
        notify.reloading();
        notify.ready("two\nlines");
        notify.status("two lines");
        notify.status("another");
        notify.main_pid(77);
        notify.stopping(Duration::from_secs(32));
        let heard = heard(&manager);
        assert!(heard[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{heard:?}");
        assert!(heard[0].rsplit('=').next().unwrap().parse::<u64>().unwrap() > 0, "{heard:?}");
        assert_eq!(heard[1..4], ["READY=1\nSTATUS=two lines", "STATUS=another", "MAINPID=77"]);
        assert!(heard[4].starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=32000000\nSTATUS=stopping"), "{heard:?}");
        assert_eq!(heard.len(), 5);
    }

    #[tokio::test]
    async fn nobody_and_nonsense_cost_nothing() {
        let nobody = Notify::default();
        assert!(!nobody.is_heard() && nobody.watchdog().is_none());
        nobody.ready("unheard");
        nobody.alive(Duration::ZERO);
        assert!(Notify::to(OsStr::new("vsock:2:1"), None).is_err());
        assert!(Notify::to(OsStr::new("/nowhere/at/all"), None).is_err());
        let (manager, notify) = manager(Some(Duration::from_secs(1)));
        drop(manager);
        notify.ready("to one that is gone"); // Nothing but a line in the log.
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_twice_a_span_and_no_longer_than_the_limit() {
        let (manager, notify) = manager(Some(Duration::from_secs(8)));
        for _ in 0..8 {
            advance(Duration::from_secs(1)).await;
            notify.alive(Duration::from_secs(1));
        }
        assert_eq!(heard(&manager), ["WATCHDOG=1"; 2]);
        let from = Instant::now();
        notify.keep_alive(Duration::from_secs(20)).await;
        assert_eq!(from.elapsed(), Duration::from_secs(20));
        assert_eq!(heard(&manager), ["WATCHDOG=1"; 4]);
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(Some("1000000"), None, 7), second);
        assert_eq!(watchdog(Some("1000000"), Some("7"), 7), second);
        for (silence, process) in [
            (Some("1000000"), Some("8")),
            (Some("1000000"), Some("x")),
            (Some("0"), None),
            (Some("-1"), None),
            (None, None),
        ] {
            assert_eq!(watchdog(silence, process, 7), None);
        }
    }
}
