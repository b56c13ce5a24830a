//! The supervisor: the process with the rights. It reads files, opens sockets, loads and attaches the kernel half,
//! follows netlink, and keeps a worker alive to which it hands the rest. It never reads a byte from the network.
//!
//! Start and reload are one path: read the configuration whole, open what it needs beyond what is open, hand it all to
//! the worker, and keep it once the worker says that it runs. Whatever fails before that changes nothing.

pub mod account;
pub mod kernel;
pub mod limits;
pub mod listeners;
pub mod lock;
pub mod process;

use crate::{
    admin,
    channel::{
        ToSupervisor, ToWorker,
        message::{Interface, ReloadReport},
        to_memory_file,
    },
    config::{self, Bundle, Format},
    model::{Global, Model, OnStop},
};
use anyhow::{Context, anyhow, bail};
use kernel::Kernel;
use listeners::Listeners;
use lock::Lock;
use process::Worker;
use std::{
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tracing::{error, info, warn};

/// How the daemon was asked to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration: a file, or a directory of files.
    pub config: PathBuf,
    /// Run the worker as a thread of this process, with all its rights: for development.
    pub single_process: bool,
}

/// A worker must take up a configuration within this time.
const CONFIGURE_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause before a worker that died is started again; doubles up to [`RESTART_PAUSE_MAX`] while it keeps dying.
const RESTART_PAUSE: Duration = Duration::from_millis(10);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A worker that ran this long was healthy: the pause starts small again.
const RESTART_FORGIVEN: Duration = Duration::from_mins(1);
/// Grace on top of `stop_timeout` before a worker that does not stop is killed.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to stop.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::read(&options)?;
    for line in configuration.warnings.lines() {
        eprintln_line(line);
    }
    limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut supervisor = Supervisor::start(options, configuration).await?;
        supervisor.supervise().await?;
        supervisor.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

#[expect(clippy::print_stderr, reason = "warnings about the configuration are for the one who starts the daemon")]
fn eprintln_line(line: &str) {
    eprintln!("{line}");
}

/// A configuration as read: to use, and to hand on.
struct Configuration {
    bundle: Bundle,
    model: Model,
    warnings: String,
}

impl Configuration {
    fn read(options: &Options) -> anyhow::Result<Self> {
        let bundle = config::collect(&options.config)?;
        let loaded = config::load(&bundle).map_err(|diagnostics| {
            anyhow!("the configuration is refused\n{}", diagnostics.render(Format::default()))
        })?;
        let warnings = loaded.warnings.render(Format::default());
        Ok(Self { model: loaded.model, warnings, bundle })
    }
}

struct Supervisor {
    options: Options,
    configuration: Configuration,
    generation: u64,
    kernel: Option<Kernel>,
    listeners: Listeners,
    control: UnixListener,
    metrics: Option<TcpListener>,
    worker: Worker,
    _lock: Lock,
}

/// What woke the supervisor.
enum Event {
    Said(ToSupervisor),
    WorkerGone(String),
    Reload,
    Stop,
}

impl Supervisor {
    async fn start(options: Options, configuration: Configuration) -> anyhow::Result<Self> {
        let global = &configuration.model.global;
        let lock = Lock::take(&global.control_socket)?;
        let kernel = start_kernel(&configuration.model).await?;
        let listeners = Listeners::default().open_missing(&configuration.model)?;
        let control = admin::socket::bind(&global.control_socket)
            .with_context(|| format!("cannot make the control socket {}", global.control_socket.display()))?;
        let metrics = global.metrics.map(bind_metrics).transpose()?;
        let worker = spawn(&options, global)?;
        let mut this =
            Self { generation: 1, options, kernel, listeners, control, metrics, worker, configuration, _lock: lock };
        this.equip_worker().await?;
        info!(pid = std::process::id(), worker = this.worker.pid(), "running");
        Ok(this)
    }

    /// Serves until told to stop.
    async fn supervise(&mut self) -> anyhow::Result<()> {
        let mut reload = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut pause = RESTART_PAUSE;
        loop {
            let event = tokio::select! {
                event = self.worker.event() => event,
                _ = reload.recv() => Event::Reload,
                _ = terminate.recv() => Event::Stop,
                _ = interrupt.recv() => Event::Stop,
            };
            match event {
                Event::Said(ToSupervisor::Reload) => {
                    let report = self.reload().await;
                    self.answer_reload(&report).await;
                }
                Event::Said(message) => self.serve_worker(message).await,
                Event::Reload => _ = self.reload().await,
                Event::WorkerGone(how) => self.replace_worker(&how, &mut pause).await?,
                Event::Stop => return Ok(()),
            }
        }
    }

    /// Reads the configuration again and takes it up, whole or not at all.
    async fn reload(&mut self) -> ReloadReport {
        let report = match self.try_reload().await {
            Ok(warnings) => ReloadReport { done: true, report: warnings },
            Err(error) => ReloadReport { done: false, report: format!("{error:#}") },
        };
        if report.done {
            info!(generation = self.generation, warnings = report.report, "configuration reloaded");
        } else {
            error!(
                generation = self.generation,
                error = report.report,
                "configuration refused; the one before goes on"
            );
        }
        report
    }

    async fn try_reload(&mut self) -> anyhow::Result<String> {
        let configuration = Configuration::read(&self.options)?;
        let mut report = configuration.warnings.clone();
        report += &needs_restart(&self.configuration.model.global, &configuration.model.global);
        if self.kernel.is_none() {
            self.kernel = start_kernel(&configuration.model).await?;
            self.send_kernel().await?;
        }
        let opened = self.listeners.open_missing(&configuration.model)?;
        send_listeners(&self.worker, &opened).await?;
        self.generation += 1;
        self.configure(&configuration.bundle).await?;
        self.listeners.keep(opened, &configuration.model);
        self.configuration = configuration;
        Ok(report)
    }

    /// Gives a new worker all it needs, and the configuration last.
    async fn equip_worker(&mut self) -> anyhow::Result<()> {
        self.send_kernel().await?;
        send_listeners(&self.worker, &self.listeners).await?;
        let owner = rustix::process::geteuid().as_raw();
        self.worker.send(&ToWorker::ControlSocket { owner }, &[self.control.as_fd()]).await?;
        if let Some(metrics) = &self.metrics {
            self.worker.send(&ToWorker::MetricsSocket, &[metrics.as_fd()]).await?;
        }
        let bundle = to_memory_file(&self.configuration.bundle)?;
        self.configure_from(bundle).await
    }

    async fn configure(&mut self, bundle: &Bundle) -> anyhow::Result<()> {
        self.configure_from(to_memory_file(bundle)?).await
    }

    /// Sends the configuration and serves the worker until it says that it runs.
    async fn configure_from(&mut self, bundle: OwnedFd) -> anyhow::Result<()> {
        let (generation, interfaces) = (self.generation, self.interfaces());
        let message = ToWorker::Configure { generation, supervisor: std::process::id(), interfaces };
        self.worker.send(&message, &[bundle.as_fd()]).await?;
        let until_configured = async {
            loop {
                match self.worker.event().await {
                    Event::Said(ToSupervisor::Configured { generation, error }) if generation == self.generation => {
                        return error.map_or(Ok(()), |error| Err(anyhow!(error)));
                    }
                    Event::Said(message) => self.serve_worker(message).await,
                    Event::WorkerGone(how) => bail!("the worker {how} instead of taking up the configuration"),
                    Event::Reload | Event::Stop => {}
                }
            }
        };
        timeout(CONFIGURE_TIMEOUT, until_configured)
            .await
            .context("the worker did not take up the configuration in time")?
    }

    /// Does for the worker what it may ask for.
    async fn serve_worker(&mut self, message: ToSupervisor) {
        if let Err(error) = self.try_serve_worker(message).await {
            warn!(error = format!("{error:#}"), "cannot do what the worker asks for");
        }
    }

    async fn try_serve_worker(&mut self, message: ToSupervisor) -> anyhow::Result<()> {
        match (message, &mut self.kernel) {
            (ToSupervisor::Watch(addresses), Some(kernel)) => {
                let next_hops = kernel.watch(&addresses).await?;
                self.worker.send(&ToWorker::NextHops(next_hops), &[]).await?;
            }
            (ToSupervisor::CreateRing { ring }, Some(kernel)) => {
                let map = kernel.ring(ring)?;
                self.worker.send(&ToWorker::RingMap { ring }, &[map.as_fd()]).await?;
            }
            (ToSupervisor::Watch(_) | ToSupervisor::CreateRing { .. }, None) => bail!("there is no kernel half"),
            // A reload that is asked for during a reload is answered by the one that runs.
            (ToSupervisor::Configured { .. } | ToSupervisor::Reload, _) => {}
        }
        Ok(())
    }

    async fn answer_reload(&self, report: &ReloadReport) {
        let sent = async {
            let report = to_memory_file(report)?;
            self.worker.send(&ToWorker::Reloaded, &[report.as_fd()]).await
        };
        if let Err(error) = sent.await {
            warn!(%error, "cannot report the end of the reload");
        }
    }

    async fn replace_worker(&mut self, how: &str, pause: &mut Duration) -> anyhow::Result<()> {
        if self.worker.age() > RESTART_FORGIVEN {
            *pause = RESTART_PAUSE;
        }
        error!(how, pause = ?*pause, "the worker is gone; packets go on, connections wait for the next worker");
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(RESTART_PAUSE_MAX);
        self.worker = spawn(&self.options, &self.configuration.model.global)?;
        if let Err(error) = self.equip_worker().await {
            error!(error = format!("{error:#}"), "the new worker could not start");
        }
        Ok(())
    }

    async fn send_kernel(&self) -> anyhow::Result<()> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        let maps = kernel.worker_maps()?;
        let (names, descriptors): (Vec<_>, Vec<_>) = maps.named().into_iter().unzip();
        let names = names.into_iter().map(str::to_owned).collect();
        self.worker.send(&ToWorker::Maps(names), &descriptors).await?;
        for (ring, map) in &maps.tables.rings {
            self.worker.send(&ToWorker::RingMap { ring: *ring }, &[map.as_fd()]).await?;
        }
        Ok(())
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.kernel.as_ref().map_or_else(Vec::new, Kernel::interfaces)
    }

    /// Drains the worker, then leaves behind in the kernel what `on_stop` says.
    async fn stop(mut self) {
        let Global { stop_timeout, on_stop, control_socket, .. } = &self.configuration.model.global;
        info!(within = ?stop_timeout, ?on_stop, "stopping");
        if let Err(error) = self.worker.send(&ToWorker::Stop { within: *stop_timeout }, &[]).await {
            warn!(%error, "cannot tell the worker to stop");
        }
        self.worker.ended(*stop_timeout + STOP_GRACE).await;
        if let Err(error) = std::fs::remove_file(control_socket) {
            warn!(%error, path = %control_socket.display(), "cannot remove the control socket");
        }
        let Some(kernel) = self.kernel else { return };
        if let Err(error) = kernel.stop(*on_stop == OnStop::Keep).await {
            error!(error = format!("{error:#}"), "cannot leave the kernel as asked");
        }
    }
}

async fn start_kernel(model: &Model) -> anyhow::Result<Option<Kernel>> {
    if model.needs_kernel() { Kernel::start(&model.global).await.map(Some) } else { Ok(None) }
}

fn spawn(options: &Options, global: &Global) -> anyhow::Result<Worker> {
    if options.single_process {
        return Worker::thread();
    }
    let identity =
        if rustix::process::geteuid().is_root() { Some(account::identity(global.user.as_deref())?) } else { None };
    Worker::process(identity)
}

async fn send_listeners(worker: &Worker, listeners: &Listeners) -> anyhow::Result<()> {
    for (address, sockets) in listeners.iter() {
        let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        worker.send(&ToWorker::Listeners { address }, &descriptors).await?;
    }
    Ok(())
}

fn bind_metrics(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot serve metrics on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What a reload cannot change, one line each.
fn needs_restart(running: &Global, wanted: &Global) -> String {
    let fields = [
        ("interfaces", running.interfaces != wanted.interfaces),
        ("hash_key", running.hash_key != wanted.hash_key),
        ("user", running.user != wanted.user),
        ("control_socket", running.control_socket != wanted.control_socket),
        ("pin_dir", running.pin_dir != wanted.pin_dir),
        ("threads", running.threads != wanted.threads),
        ("metrics", running.metrics != wanted.metrics),
    ];
    let changed = fields.into_iter().filter(|(_, changed)| *changed);
    let lines: Vec<_> =
        changed.map(|(name, _)| format!("warning: `[global] {name}` takes effect at the next start\n")).collect();
    lines.concat()
}
