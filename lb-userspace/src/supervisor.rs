//! The supervisor: the process with the rights. It reads files, opens sockets, loads and attaches the kernel half,
//! follows netlink, and keeps a worker alive to which it hands the rest. It never reads a byte from the network.
//!
//! Start and reload are one path: read the configuration whole, open what it needs beyond what is open, hand it all to
//! the worker, and keep it once the worker says that it runs. Whatever fails before that changes nothing.

pub mod account;
mod certificates;
mod configuration;
mod ending;
mod equipment;
pub mod kernel;
pub mod limits;
pub mod listeners;
pub mod lock;
pub mod log_files;
pub mod notify;
pub mod process;
mod pulse;
mod relay;
mod rights;
mod runner;
mod reload;
mod renewal;
mod signals;
mod stats_pages;
mod stats_sockets;
pub mod trial;
pub mod upgrade;

use crate::{
    admin,
    channel::{ToWorker, message::Part},
    exit::Exit,
    model::{Global, global::CONTROL_SOCKET},
    preflight,
};
use anyhow::Context;
use certificates::Watch;
use configuration::Configuration;
use kernel::{Kernel, undo};
use listeners::Listeners;
use lock::Lock;
use notify::Notify;
use process::{Heard, Worker};
use pulse::Pulse;
use relay::Relay;
use runner::Runner;
use signals::{Signals, Word};
use stats_pages::StatsPages;
use stats_sockets::StatsSockets;
use std::{
    collections::VecDeque,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tracing::{error, info, warn};
use trial::{Trial, Unconfirmed};
use upgrade::Wanted;

/// How the daemon was asked to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration: a file, or a directory of files.
    pub config: PathBuf,
    /// Run the worker as a thread of this process, with all its rights: for development.
    pub single_process: bool,
    /// The file that this program was started from.
    pub binary: PathBuf,
    /// Take over from the binary at the other end of standard input, which has started us.
    pub take_over: bool,
    /// Undo all of it and end, unless somebody confirms within this time that it works.
    pub confirm: Option<Duration>,
}

/// Pause before a worker that died is started again; doubles up to [`RESTART_PAUSE_MAX`] while it keeps dying.
const RESTART_PAUSE: Duration = Duration::from_millis(10);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A worker that ran this long was healthy: the pause starts small again.
const RESTART_FORGIVEN: Duration = Duration::from_mins(1);
/// Grace on top of `stop_timeout` before a worker that does not stop is killed.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to stop.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    rights::confine(&options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut signals = Signals::listen()?;
        let (mut supervisor, goes_on) = if options.take_over {
            (Supervisor::take_over(options).await?, true)
        } else {
            let (configuration, has_gone_back) = trial::begin_with(&options, Path::new(CONTROL_SOCKET))?;
            complain(&configuration.warnings);
            limits::raise_open_files(&configuration.model);
            complain(&limits::report(&configuration.model));
            let mut supervisor = Supervisor::open(options, configuration).await?;
            supervisor.has_gone_back = has_gone_back;
            match supervisor.begin(&mut signals).await {
                Ok(goes_on) => (supervisor, goes_on),
                Err(error) => {
                    supervisor.abandon().await;
                    return Err(error);
                }
            }
        };
        if goes_on && let Err(unconfirmed) = supervisor.work(&mut signals).await {
            complain(&format!("error: {unconfirmed}: everything is undone\n"));
            supervisor.withdraw(&mut signals).await;
            return Ok(Exit::Unconfirmed.into());
        }
        if supervisor.has_successor() {
            supervisor.retire(&mut signals).await;
        } else {
            supervisor.stop(&mut signals).await;
        }
        Ok(ExitCode::SUCCESS)
    })
}

struct Supervisor {
    options: Options,
    configuration: Configuration,
    /// `[global]` as it took effect; what a reload cannot change is as it was at the start.
    started: Global,
    generation: u64,
    kernel: Option<Kernel>,
    listeners: Listeners,
    control: UnixListener,
    metrics: Option<TcpListener>,
    stats: StatsSockets,
    pages: StatsPages,
    worker: Worker,
    runner: Runner,
    /// Reloads that the worker has asked for and that are not answered yet, in the order of asking.
    reloads_asked: VecDeque<Option<Part>>,
    /// Upgrades that the worker has asked for.
    upgrades_asked: VecDeque<Wanted>,
    /// The worker and the kernel half hold still, so that another binary can take over.
    is_held: bool,
    /// Another binary has taken over. It has no use for these addresses.
    successor: Option<Vec<SocketAddr>>,
    /// How long what the next reload takes up is on trial, if that is asked for.
    trial_asked: Option<Duration>,
    /// That of the configuration that runs.
    trial: Option<Trial>,
    /// What runs is what was confirmed last, and the files have another configuration, which nobody has confirmed.
    has_gone_back: bool,
    watch: Watch,
    notify: Notify,
    pulse: Pulse,
    relay: Relay,
    /// Where servers are that are known by their names: the worker's own memory, kept for the next one.
    addresses: Option<OwnedFd>,
    lock: Lock,
}

/// What a supervisor begins with.
struct Opened {
    kernel: Option<Kernel>,
    listeners: Listeners,
    control: UnixListener,
    metrics: Option<TcpListener>,
    stats: StatsSockets,
    pages: StatsPages,
    worker: Worker,
    runner: Runner,
    addresses: Option<OwnedFd>,
    lock: Lock,
}

/// What there is to do.
enum Cue {
    Worker(Heard),
    /// Asked for by a signal, or by the worker before.
    Reload,
    /// Another binary is to take over.
    Upgrade(Wanted),
    /// The files of access logs were renamed.
    ReopenLogs,
    /// The program runs on other interfaces, or differently.
    Interfaces,
    /// Files of certificates changed.
    Certificates,
    /// The worker does not know all that we have noted.
    Events,
    /// The runner of checks has ended, or another one is due.
    Runner,
    /// It is time to ask whether the worker lives.
    Beat,
    /// The configuration on trial was not confirmed.
    Unconfirmed,
}

impl Supervisor {
    /// Opens all that the configuration needs. The kernel half comes late: what fails before it leaves no trace there.
    async fn open(options: Options, configuration: Configuration) -> anyhow::Result<Self> {
        let global = &configuration.model.global;
        let lock = Lock::beside(&global.control_socket)?;
        complain(&preflight::read::report(&configuration.model).await);
        let listeners = Listeners::default().open_missing(&configuration.model)?;
        let metrics = global.metrics.map(bind_metrics).transpose()?;
        let pages = StatsPages::open(global, Vec::new())?;
        let mut runner = Runner::default();
        runner.follow(&[&configuration.model], global, None).await?;
        let kernel = kernel::start(&configuration.model).await?;
        let open = || {
            let control = open_control(global)?;
            let stats = StatsSockets::open(&global.stats_sockets, Vec::new(), |_| {})?;
            Ok((control, stats, spawn(&options, global)?))
        };
        let (control, stats, worker) = match open() {
            Ok(opened) => opened,
            Err(error) => {
                undo(kernel).await;
                return Err(error);
            }
        };
        let opened =
            Opened { kernel, listeners, control, metrics, stats, pages, worker, runner, addresses: None, lock };
        Ok(Self::new(options, configuration, 1, opened))
    }

    fn new(options: Options, configuration: Configuration, generation: u64, opened: Opened) -> Self {
        let Opened { kernel, listeners, control, metrics, stats, pages, worker, runner, addresses, lock } = opened;
        let notify = Notify::from_environment();
        Self {
            relay: Relay::new(options.single_process),
            options,
            started: configuration.model.global.clone(),
            configuration,
            generation,
            kernel,
            listeners,
            control,
            metrics,
            stats,
            pages,
            worker,
            runner,
            reloads_asked: VecDeque::new(),
            upgrades_asked: VecDeque::new(),
            is_held: false,
            successor: None,
            trial_asked: None,
            trial: None,
            has_gone_back: false,
            watch: Watch::default(),
            pulse: Pulse::new(notify.watchdog()),
            notify,
            addresses,
            lock,
        }
    }

    /// Gets the worker going. `false`: told to stop before that.
    async fn begin(&mut self, signals: &mut Signals) -> anyhow::Result<bool> {
        tokio::select! {
            biased;
            () = signals.stop() => Ok(false),
            equipped = self.begin_worker() => equipped.map(|()| true),
        }
    }

    /// Serves until told to stop, or until another binary has taken over. The word to stop is heard in the midst of everything.
    async fn work(&mut self, signals: &mut Signals) -> Result<(), Unconfirmed> {
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION"));
        info!(event = "start", pid, worker = self.worker.pid(), version, generation = self.generation, "running");
        self.notify.ready(&self.summary());
        let notify = self.notify.clone();
        self.trial = self.options.confirm.map(Trial::of_start);
        let mut pause = RESTART_PAUSE;
        while !self.has_successor() {
            // Whoever asked while the last reload ran may have a newer file in mind.
            let cue = if self.reloads_asked.front().is_some() {
                Cue::Reload
            } else if let Some(wanted) = self.upgrades_asked.pop_front() {
                Cue::Upgrade(wanted)
            } else {
                tokio::select! {
                    biased;
                    heard = self.worker.hear() => Cue::Worker(heard),
                    word = signals.next() => match word {
                        Word::Stop => return Ok(()),
                        Word::Reload => Cue::Reload,
                        Word::Upgrade => Cue::Upgrade(Wanted::default()),
                        Word::ReopenLogs => Cue::ReopenLogs,
                    },
                    () = Trial::over(self.trial.as_ref()) => Cue::Unconfirmed,
                    () = interfaces_changed(&mut self.kernel) => Cue::Interfaces,
                    () = self.runner.changed() => Cue::Runner,
                    () = self.pulse.due() => Cue::Beat,
                    () = self.relay.due() => Cue::Events,
                    () = self.watch.changed(&self.options.config, &self.configuration.bundle) => Cue::Certificates,
                }
            };
            tokio::select! {
                biased;
                () = signals.stop() => return Ok(()),
                acted = self.act(cue, &mut pause) => acted?,
                () = notify.one_step() => self.give_up("takes nothing any more").await,
            }
        }
        Ok(())
    }

    async fn act(&mut self, cue: Cue, pause: &mut Duration) -> Result<(), Unconfirmed> {
        match cue {
            Cue::Unconfirmed => return self.end_trial().await,
            Cue::Reload => self.reload().await,
            Cue::Upgrade(wanted) => self.upgrade(wanted).await,
            Cue::Certificates => drop(self.renew(Part::Certificates).await),
            Cue::ReopenLogs => match self.send_log_files(&self.configuration, true).await {
                Ok(()) => info!("access logs opened again"),
                Err(error) => error!(error = format!("{error:#}"), "cannot open access logs again; the old ones go on"),
            },
            Cue::Runner => self.runner.renew(&self.worker).await,
            Cue::Beat => self.beat().await,
            Cue::Events => self.relay().await,
            Cue::Interfaces => {
                if let Err(error) = self.worker.send(&ToWorker::Interfaces(self.interfaces()), &[]).await {
                    warn!(%error, "cannot tell the worker how the interfaces are");
                }
            }
            Cue::Worker(Heard::Gone(how)) => self.replace_worker(&how, pause).await,
            Cue::Worker(Heard::Said(message, descriptors)) => {
                if let Err(error) = self.serve_worker(message, descriptors).await {
                    warn!(error = format!("{error:#}"), "cannot do what the worker asks for");
                }
            }
        }
        Ok(())
    }
}

/// Standard error that is closed is no reason not to run.
fn complain(lines: &str) {
    _ = write!(io::stderr(), "{lines}");
}

/// Never, without a kernel half.
async fn interfaces_changed(kernel: &mut Option<Kernel>) {
    match kernel {
        Some(kernel) => kernel.interfaces_changed().await,
        None => std::future::pending().await,
    }
}

fn spawn(options: &Options, global: &Global) -> anyhow::Result<Worker> {
    if options.single_process {
        return Worker::thread();
    }
    let identity =
        if rustix::process::geteuid().is_root() { Some(account::identity(global.user.as_deref())?) } else { None };
    Worker::process(identity)
}

fn open_control(global: &Global) -> anyhow::Result<UnixListener> {
    let path = &global.control_socket;
    admin::socket::bind(path, admin::socket::Rights::OWNER)
        .with_context(|| format!("cannot make the control socket {}", path.display()))
}

fn bind_metrics(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot serve metrics on {address}"))
}
