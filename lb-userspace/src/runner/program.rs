//! One program: started, listened to, and gone with all of its process group when this is done with it.

use super::{
    message::{How, Job, SAID},
    processes,
};
use rustix::{
    io::Errno,
    process::{Signal, kill_process_group},
};
use std::{
    ffi::OsStr,
    io::{self, pipe},
    os::{fd::AsFd as _, unix::process::ExitStatusExt as _},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    net::unix::pipe::Receiver,
    process::{Child, Command},
    sync::OwnedSemaphorePermit,
    task::{spawn_blocking, yield_now},
    time::{Instant, sleep_until, timeout, timeout_at},
};

/// A program that was killed may take so long to be gone; then others go on in its place.
const BURIAL: Duration = Duration::from_secs(1);

/// Runs a program to its end, at most until `deadline`, and says what it printed. What it started in its process group ends
/// with it.
pub(super) async fn run(job: Job, deadline: Instant, place: OwnedSemaphorePermit) -> (How, Vec<u8>) {
    let mut said = Vec::new();
    // It takes until the program is read, and the file system that it is on may hang. One that comes too late is killed.
    let starting = spawn_blocking(move || Running::start(&job, place));
    let how = match timeout_at(deadline, starting).await {
        Ok(Ok(Ok(running))) => running.end(deadline, &mut said).await,
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Ok(How::TimedOut),
    };
    (how.unwrap_or_else(|error| How::Failed(error.raw_os_error().unwrap_or_default())), said)
}

/// Dropped, it is killed.
struct Running {
    /// Among those that run at once: one that cannot be started keeps it until it can.
    _place: OwnedSemaphorePermit,
    child: Child,
    /// Readable once the program has ended.
    ended: Receiver,
    output: Receiver,
}

impl Running {
    fn start(job: &Job, place: OwnedSemaphorePermit) -> io::Result<Self> {
        let (output, input) = pipe()?;
        let output = Receiver::from_owned_fd(output.into())?;
        let child = match spawn(job, &job.check.command, None, input.try_clone()?) {
            // As execvp(3), and so HAProxy, does it with a script that does not say what it is for.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOEXEC) => {
                spawn(job, Path::new("/bin/sh"), Some(job.check.command.as_os_str()), input)?
            }
            spawned => spawned?,
        };
        match processes::end_of(&child) {
            Ok(ended) => Ok(Self { _place: place, child, ended, output }),
            Err(error) => {
                kill(&child);
                Err(error)
            }
        }
    }

    async fn end(mut self, deadline: Instant, said: &mut Vec<u8>) -> io::Result<How> {
        let in_time = tokio::select! {
            biased;
            ended = self.ended.readable() => ended.map(|()| true)?,
            () = listen(&self.output, said) => true,
            () = sleep_until(deadline) => false,
        };
        // Before it is waited for: until then nobody else can have its number.
        kill(&self.child);
        let status = timeout(BURIAL, self.child.wait()).await;
        hear_rest(&self.output, said);
        match status {
            Ok(status) if in_time => Ok(how(status?)),
            Ok(_) | Err(_) => Ok(How::TimedOut),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

fn spawn(job: &Job, program: &Path, script: Option<&OsStr>, output: io::PipeWriter) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(script).args(job.arguments()).env_clear().envs(job.environment()).process_group(0);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.spawn()
}

/// Kills all of the group of a program that was not waited for yet.
fn kill(child: &Child) {
    if let Some(group) = processes::number(child) {
        // It fails if there is nobody left.
        kill_process_group(group, Signal::KILL).unwrap_or_default();
    }
}

fn how(status: ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Exited(code),
        (None, signal) => How::Killed(signal.unwrap_or_default()),
    }
}

/// Hears what a program prints, for ever: that it closes its output does not mean that it has ended.
async fn listen(output: &Receiver, said: &mut Vec<u8>) {
    let mut heard = [0; 4_096];
    while output.readable().await.is_ok() {
        match output.try_read(&mut heard) {
            Ok(0) => break,
            Ok(length) => {
                keep(heard.get(..length), said);
                // One that prints faster than it is read would keep all else waiting, its own deadline too.
                yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    std::future::pending::<()>().await;
}

/// Hears what is left in the pipe, which nobody fills any more.
fn hear_rest(output: &Receiver, said: &mut Vec<u8>) {
    let mut heard = [0; SAID];
    while said.len() < SAID {
        match rustix::io::read(output.as_fd(), &mut heard) {
            Ok(length) if length > 0 => keep(heard.get(..length), said),
            Ok(_) | Err(_) => break,
        }
    }
}

fn keep(heard: Option<&[u8]>, said: &mut Vec<u8>) {
    let room = SAID.saturating_sub(said.len());
    said.extend(heard.unwrap_or_default().iter().take(room));
}
