//! The new side: takes over from the binary that started us.

use super::message::{Greeting, Report, ToNew, ToOld};
use crate::{
    channel::{Channel, ChannelError, ToWorker, to_memory_file},
    model::{Global, StatsSocket},
    preflight,
    supervisor::{
        Configuration, Opened, Options, Supervisor, bind_metrics, complain,
        kernel::{Kernel, Prepared, Running},
        limits,
        listeners::Listeners,
        lock::Lock,
        open_control,
        runner::Runner,
        spawn,
        stats_pages::StatsPages,
        stats_sockets::StatsSockets,
        trial,
    },
};
use anyhow::{Context, bail};
use rustix::process::{Pid, getppid};
use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// How long connections may go on that the worker of a failed upgrade has accepted.
const FAILED: Duration = Duration::from_secs(2);

/// How long the death of a process may take whose line has ended.
const DEATH: Duration = Duration::from_secs(5);
/// From one look at it to the next.
const LOOK: Duration = Duration::from_millis(10);

/// What the old binary hands over.
#[derive(Default)]
pub(in crate::supervisor) struct Inherited {
    listeners: BTreeMap<SocketAddr, Vec<TcpListener>>,
    control: Option<(PathBuf, UnixListener, Lock)>,
    metrics: Option<(SocketAddr, TcpListener)>,
    stats: Vec<(StatsSocket, UnixListener)>,
    pages: Vec<(SocketAddr, TcpListener)>,
    kernel: Option<(PathBuf, Lock)>,
    addresses: Option<OwnedFd>,
}

/// What is made ready beside the supervisor itself.
struct Preparation {
    kernel: Option<Prepared>,
    report: Report,
    new_sockets: NewSockets,
}

/// Sockets at other places than those of the old one. Dropped before they are [settled](Self::settle), they go.
#[derive(Default)]
struct NewSockets(Vec<PathBuf>);

impl NewSockets {
    fn settle(mut self) {
        self.0.clear();
    }
}

impl Drop for NewSockets {
    fn drop(&mut self) {
        for path in self.0.drain(..) {
            if let Err(error) = fs::remove_file(&path) {
                warn!(%error, path = %path.display(), "cannot remove a socket that was made in vain");
            }
        }
    }
}

impl Supervisor {
    /// Takes over from the binary that has started us, which waits at the other end of standard input. Afterwards all is ours.
    pub(in crate::supervisor) async fn take_over(options: Options) -> anyhow::Result<Self> {
        let line = Channel::new(io::stdin().as_fd().try_clone_to_owned()?)?;
        let parent = getppid(); // Before our answer, without which it goes no further: it lives.
        let heard = line.receive::<Greeting>().await.context("`--take-over` is not for people")?;
        let (greeting, _) = heard.context("there is nobody to take over from")?;
        let reply = greeting.reply();
        line.send(&reply, &[]).await?;
        if let Some(why) = reply.refused {
            bail!(why);
        }
        info!(event = "upgrade", from = greeting.version, to = env!("CARGO_PKG_VERSION"), "taking over");
        match Self::take(&line, parent, options, &greeting).await {
            Ok(supervisor) => Ok(supervisor),
            Err(error) => {
                let why = format!("{error:#}");
                line.send(&ToOld::Failed { why }, &[]).await.unwrap_or_default();
                Err(error)
            }
        }
    }

    async fn take(line: &Channel, parent: Option<Pid>, options: Options, greeting: &Greeting) -> anyhow::Result<Self> {
        let inherited = Inherited::receive(line).await?;
        let was_at = inherited.control.as_ref().map(|(path, ..)| path.clone());
        let (mut supervisor, Preparation { kernel: prepared, report, new_sockets }) =
            Self::prepare(options, inherited, greeting).await?;
        line.send(&ToOld::Prepared, &[]).await?;
        let taken = async {
            supervisor.take_up_all(line, prepared, report).await?;
            become_owner(line, parent).await
        };
        if let Err(error) = taken.await {
            supervisor.let_go().await;
            return Err(error);
        }
        new_sockets.settle();
        if let Some(kernel) = &mut supervisor.kernel {
            kernel.clear_up(&supervisor.started.interfaces);
        }
        // What an earlier one kept is no more what was taken for good last.
        let sockets = was_at.iter().chain([&supervisor.started.control_socket]);
        sockets.for_each(|socket| trial::forget(socket));
        if let Some(path) = was_at.filter(|path| *path != supervisor.started.control_socket)
            && let Err(error) = fs::remove_file(&path)
        {
            warn!(%error, path = %path.display(), "cannot remove the old control socket");
        }
        Ok(supervisor)
    }

    /// All that can fail and changes nothing.
    async fn prepare(
        options: Options,
        inherited: Inherited,
        greeting: &Greeting,
    ) -> anyhow::Result<(Self, Preparation)> {
        let configuration = Configuration::read(&options).context("the configuration on disk is refused")?;
        let (model, global) = (&configuration.model, &configuration.model.global);
        limits::raise_open_files(model);
        let warnings = configuration.warnings.clone() + &limits::report(model) + &preflight::read::report(model).await;
        complain(&warnings);
        let Inherited { listeners, control, metrics, stats, pages, kernel, addresses } = inherited;
        let (listeners, gone) = Listeners::default().with(listeners, model)?;
        let (control, lock, mut new_sockets) = match control {
            Some((path, control, lock)) if path == global.control_socket => (control, lock, NewSockets::default()),
            Some(_) | None => {
                let lock = Lock::beside(&global.control_socket)?;
                (open_control(global)?, lock, NewSockets(vec![global.control_socket.clone()]))
            }
        };
        let made = |path: &Path| new_sockets.0.push(path.to_owned());
        let stats = StatsSockets::open(&global.stats_sockets, stats, made)?;
        let metrics = match (metrics, global.metrics) {
            (Some((before, metrics)), Some(address)) if before == address => Some(metrics),
            (_, address) => address.map(bind_metrics).transpose()?,
        };
        let pages = StatsPages::open(global, pages)?;
        let mut runner = Runner::default();
        runner.follow(&[model], global, None).await?;
        let kernel = prepare_kernel(&configuration, kernel, greeting)?;
        let worker = spawn(&options, global)?;
        // The kernel half comes once the old one has let go.
        let opened =
            Opened { kernel: None, listeners, control, metrics, stats, pages, worker, runner, addresses, lock };
        let supervisor = Self::new(options, configuration, greeting.generation + 1, opened);
        Ok((supervisor, Preparation { kernel, report: Report { warnings, gone }, new_sockets }))
    }

    /// Takes the old one's place, once it has let go.
    async fn take_up_all(&mut self, line: &Channel, prepared: Option<Prepared>, report: Report) -> anyhow::Result<()> {
        let state = match line.receive().await? {
            Some((ToNew::Take, descriptors)) => {
                descriptors.into_iter().next().context("nothing is known of servers")?
            }
            Some(_) => bail!("the old binary spoke out of turn"),
            None => bail!("the old binary has gone before it let go"),
        };
        if let Some(prepared) = prepared {
            self.kernel = Some(prepared.follow(&self.started.interfaces).await?);
        }
        self.worker.send(&ToWorker::State, &[state.as_fd()]).await?;
        self.equip_worker().await?;
        if let Some(kernel) = &mut self.kernel {
            kernel.attach(&self.started.interfaces)?;
            let interfaces = Kernel::interfaces(kernel);
            self.worker.send(&ToWorker::Interfaces(interfaces), &[]).await?;
        }
        self.open_doors().await?;
        match line.send(&ToOld::Ready, &[to_memory_file(&report)?.as_fd()]).await {
            Err(error) if !error.is_end() => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Ends what was prepared, or half taken: the old one goes on, and has all of it.
    async fn let_go(mut self) {
        let stopped: Result<(), ChannelError> = self.worker.send(&ToWorker::Stop { within: FAILED }, &[]).await;
        stopped.unwrap_or_default();
        self.worker.ended(FAILED * 2).await;
        self.runner.stop().await;
    }
}

/// Waits until all is ours: because the old one says so, or because it is dead. One that is silent and lives goes on.
async fn become_owner(line: &Channel, parent: Option<Pid>) -> anyhow::Result<()> {
    match line.receive().await {
        Ok(Some((ToNew::Yours, _))) => Ok(()),
        Ok(Some(_)) => bail!("the old binary spoke out of turn"),
        Ok(None) | Err(_) if has_ended(parent).await => {
            warn!("the old binary has died after it had let go");
            Ok(())
        }
        Ok(None) | Err(_) => bail!("the old binary closed the line, and goes on"),
    }
}

/// Whether the process that has started us is dead, as is proven once we are the child of another one. The kernel closes the
/// files of a process that dies a moment before that.
async fn has_ended(parent: Option<Pid>) -> bool {
    let others = async {
        while getppid() == parent {
            sleep(LOOK).await;
        }
    };
    timeout(DEATH, others).await.is_ok()
}

/// The kernel half, loaded: that which runs, or the first one.
fn prepare_kernel(
    configuration: &Configuration,
    running: Option<(PathBuf, Lock)>,
    greeting: &Greeting,
) -> anyhow::Result<Option<Prepared>> {
    let global: &Global = &configuration.model.global;
    let lock = match running {
        Some((pin_dir, _)) if pin_dir != global.pin_dir => bail!(
            "`[global] pin_dir` is {} now, and what runs is pinned below {}: that changes only by a restart",
            global.pin_dir.display(),
            pin_dir.display()
        ),
        Some((_, lock)) => Some(lock),
        None if configuration.model.needs_kernel() => None,
        None => return Ok(None),
    };
    let Greeting { schema, drop_flows, .. } = *greeting;
    let running = Running { schema, may_carry: !greeting.has_other_rows(), drop_flows };
    Prepared::load(global, lock, &running).map(Some)
}

impl Inherited {
    async fn receive(line: &Channel) -> anyhow::Result<Self> {
        let mut inherited = Self::default();
        loop {
            let heard = line.receive().await.context("what the old binary hands over cannot be read")?;
            let (message, descriptors) = heard.context("the old binary has gone")?;
            let mut descriptors = descriptors.into_iter();
            let mut next = || descriptors.next().context("the old binary hands over too few descriptors");
            match message {
                ToNew::ControlSocket { path } => {
                    inherited.control = Some((path, UnixListener::from(next()?), Lock::inherited(next()?)));
                }
                ToNew::StatsSocket(socket) => inherited.stats.push((socket, UnixListener::from(next()?))),
                ToNew::PageSocket { address } => inherited.pages.push((address, TcpListener::from(next()?))),
                ToNew::MetricsSocket { address } => inherited.metrics = Some((address, TcpListener::from(next()?))),
                ToNew::Kernel { pin_dir } => inherited.kernel = Some((pin_dir, Lock::inherited(next()?))),
                ToNew::Addresses => inherited.addresses = Some(next()?),
                ToNew::Listeners { address } => {
                    inherited.listeners.entry(address).or_default().extend(descriptors.map(TcpListener::from));
                }
                ToNew::Prepare => return Ok(inherited),
                ToNew::Take | ToNew::Yours => bail!("the old binary spoke out of turn"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn owner_after(said: Option<ToNew>, parent: Option<Pid>) -> Result<(), String> {
        let (old, new) = Channel::pair().expect("a line");
        let (old, new) = (Channel::new(old).expect("the old end"), Channel::new(new).expect("the new end"));
        if let Some(said) = said {
            old.send(&said, &[]).await.expect("sent");
        }
        drop(old);
        become_owner(&new, parent).await.map_err(|error| error.to_string())
    }

    #[test]
    fn a_socket_that_was_made_in_vain_goes_and_another_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sluice.sock");
        let _listener = UnixListener::bind(&path).expect("a socket");
        NewSockets(vec![path.clone()]).settle();
        assert!(path.exists());
        drop(NewSockets(vec![path.clone()]));
        assert!(!path.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_line_gives_nothing_while_the_old_binary_lives() {
        let dead = Pid::from_raw(i32::MAX);
        assert_eq!(owner_after(Some(ToNew::Yours), getppid()).await, Ok(()));
        assert_eq!(owner_after(None, dead).await, Ok(()));
        assert!(owner_after(None, getppid()).await.is_err_and(|why| why.contains("goes on")));
        assert!(owner_after(Some(ToNew::Prepare), dead).await.is_err_and(|why| why.contains("out of turn")));
    }
}
