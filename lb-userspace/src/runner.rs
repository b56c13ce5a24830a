//! The runner: the process that runs programs which check servers. There is one only while the configuration wants such checks.
//!
//! Neither of the other two may: the supervisor has rights, and the worker faces the network. The runner has an account of its
//! own, no capability and no way to get one. The supervisor tells it which programs it may run, and gives it a line to the
//! worker, which asks by these; so a worker that is somebody else's can run what the configuration names and nothing else, and
//! the supervisor never reads what a program prints. When a line to a worker ends, or another worker comes, what it asked for
//! ends; when the line to the supervisor ends, all does.

pub mod message;
pub mod processes;
mod program;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod testing;

use crate::{
    channel::{Channel, ChannelError, from_memory_file},
    model::check::ExecCheck,
};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use message::{Ended, How, JOBS, Job, ToRunner};
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{collections::BTreeSet, io, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::warn;

/// Programs that run at once. HAProxy has no such bound.
const AT_ONCE: usize = 64;
/// How long the end waits for programs that are about to start; the supervisor waits longer.
const END: Duration = Duration::from_millis(500);
/// Longest list of programs in bytes.
const LIST_LIMIT: u64 = 64 << 20;
/// Most open files of the runner, which needs a few for each program, and of each program.
const OPEN_FILES: u64 = 1_024;
/// Most processes of the account.
const PROCESSES: u64 = 1_024;

/// Runs the runner on the line to its supervisor until that ends. With `has_own_account`, the number of its processes is
/// bounded.
pub fn run(line: OwnedFd, has_own_account: bool) -> anyhow::Result<()> {
    let leader = rustix::process::setsid().context("it cannot have a session of its own")?;
    confine(has_own_account)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        // Who signals a whole service means the supervisor, and we hear of it by the line.
        let unheard =
            [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::interrupt(), SignalKind::terminate()];
        let _unheard = unheard.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?;
        serve(Channel::new(line)?).await
    });
    // Programs that are about to start then are killed; those that cannot, nobody waits for.
    runtime.shutdown_timeout(END);
    processes::sweep(leader);
    Ok(served?)
}

/// What every program inherits.
fn confine(has_own_account: bool) -> io::Result<()> {
    std::env::set_current_dir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // Nobody without rights may raise what is lower already.
    let limit = |resource, most: u64| {
        let most = Some(getrlimit(resource).maximum.map_or(most, |now| now.min(most)));
        setrlimit(resource, Rlimit { current: most, maximum: most })
    };
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, OPEN_FILES)?;
    if has_own_account {
        limit(Resource::Nproc, PROCESSES)?;
    }
    Ok(())
}

/// What all workers share.
struct Shared {
    allowed: ArcSwap<BTreeSet<ExecCheck>>,
    room: Arc<Semaphore>,
}

/// Does what the supervisor says until its line ends.
pub(crate) async fn serve(supervisor: Channel) -> Result<(), ChannelError> {
    let shared = Arc::new(Shared { allowed: ArcSwap::default(), room: Arc::new(Semaphore::new(AT_ONCE)) });
    let mut workers = JoinSet::new();
    loop {
        tokio::select! {
            message = supervisor.receive() => {
                let Some((message, mut descriptors)) = message? else { return Ok(()) };
                let descriptor = descriptors.pop().ok_or(ChannelError::DescriptorsLost)?;
                match message {
                    ToRunner::Allow => shared.allowed.store(Arc::new(from_memory_file(descriptor, LIST_LIMIT)?)),
                    ToRunner::Worker => {
                        // The one before is gone, though one of its children may still hold its line.
                        workers.abort_all();
                        workers.spawn(serve_worker(Channel::new(descriptor)?, Arc::clone(&shared)));
                    }
                }
            }
            Some(_ended) = workers.join_next() => {}
        }
    }
}

/// Runs what a worker asks for until its line ends; what runs then is killed.
async fn serve_worker(line: Channel, shared: Arc<Shared>) {
    let (line, mut jobs) = (Arc::new(line), JoinSet::new());
    loop {
        tokio::select! {
            biased;
            // What was answered is open no more, before anything else is asked for.
            Some(_ended) = jobs.join_next() => {}
            job = line.receive::<Job>() => match job {
                Ok(Some(_)) if jobs.len() >= JOBS => return warn!(most = JOBS, "a worker asks for too much at once"),
                Ok(Some((job, _))) => {
                    let is_allowed = shared.allowed.load().contains(&job.check);
                    let line = Arc::clone(&line);
                    if is_allowed {
                        jobs.spawn(answer(job, line, Arc::clone(&shared)));
                    } else {
                        // Of the job there is nothing left, however long the answer waits.
                        jobs.spawn(tell(Ended { number: job.number, how: How::Refused, said: Vec::new() }, line));
                    }
                }
                Ok(None) => return,
                Err(error) => return warn!(%error, "a worker breaks the line"),
            },
        }
    }
}

async fn answer(job: Job, line: Arc<Channel>, shared: Arc<Shared>) {
    let number = job.number;
    let (how, said) = run_in_turn(job, &shared).await;
    tell(Ended { number, how, said }, line).await;
}

/// A worker that is gone needs no answer, and the end of the line is seen where it is read.
async fn tell(ended: Ended, line: Arc<Channel>) {
    line.send(&ended, &[]).await.unwrap_or_default();
}

async fn run_in_turn(job: Job, shared: &Shared) -> (How, Vec<u8>) {
    let deadline = Instant::now() + job.timeout;
    match timeout_at(deadline, Arc::clone(&shared.room).acquire_owned()).await {
        Ok(Ok(place)) => program::run(job, deadline, place).await,
        Ok(Err(_)) | Err(_) => (How::Crowded, Vec::new()),
    }
}
