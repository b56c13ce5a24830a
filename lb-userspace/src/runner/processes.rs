//! Processes and their ends. All that a runner has started is in its session, unless it has left that by itself.

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::{fs, io, path::Path};
use tokio::{net::unix::pipe::Receiver, process::Child};

/// A child that was not waited for yet.
pub fn number(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id()?.cast_signed())
}

/// What is readable once a child has ended; until it is waited for, its number stays taken.
pub fn end_of(child: &Child) -> io::Result<Receiver> {
    let number = number(child).ok_or(io::ErrorKind::NotFound)?;
    // Tokio has no type for a pidfd; its pipe tells when it is ready, and is asked for nothing else.
    Receiver::from_owned_fd_unchecked(pidfd_open(number, PidfdFlags::NONBLOCK)?)
}

/// Kills all processes of a session but the one that leads it.
pub fn sweep(leader: Pid) {
    // What forks while it is looked for is found the next time.
    for _ in 0..LOOKS {
        match others(leader) {
            Ok(others) if !others.is_empty() => {
                for process in others {
                    // It may have ended by itself.
                    kill_process(process, Signal::KILL).unwrap_or_default();
                }
            }
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "cannot look for what checks have left behind"),
        }
    }
}

fn others(leader: Pid) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let process = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        let belongs = |process: &Pid| *process != leader && leader_of(&entry.path()) == Some(leader);
        found.extend(process.filter(belongs));
    }
    Ok(found)
}

/// Who leads the session of a process. proc(5): `pid (name) state parent group session …`, and a name may have anything in it.
/// `None`: it has ended, or nobody here does.
fn leader_of(process: &Path) -> Option<Pid> {
    let stat = fs::read(process.join("stat")).ok()?;
    let behind_name = stat.rsplit(|byte| *byte == b')').next()?;
    Pid::from_raw(std::str::from_utf8(behind_name).ok()?.split_ascii_whitespace().nth(3)?.parse().ok()?)
}

/// Those that were killed are still found until somebody has waited for them.
const LOOKS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::testing::executable;
    use std::{
        io::{BufRead as _, BufReader},
        os::unix::process::CommandExt as _,
        process::{Command, Stdio},
    };

    #[test]
    fn whatever_follows_a_leader_ends_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        // A name that looks like the fields behind it.
        let program = executable(directory.path(), ") S 1 1 1 (", "#!/bin/sh\nsleep 60 & wait\n");
        let script = "\"$0\" & echo $!; exec sleep 60";
        let mut begun = Command::new("setsid");
        begun.args(["sh", "-c", script]).arg(&program).stdout(Stdio::piped()).process_group(0);
        let mut begun = begun.spawn().unwrap();
        let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
        // `setsid` forks where it leads a group, and does not wait.
        let mut said = BufReader::new(begun.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        begun.wait().unwrap();
        let member = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let leader = leader_of(Path::new(&format!("/proc/{}", member.as_raw_nonzero()))).unwrap();
        assert_ne!(leader, rustix::process::getpid());
        sweep(leader);
        let alive = || others(leader).unwrap().into_iter().any(|process| !is_dead(process));
        let ended = (0..1_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            !alive()
        });
        assert!(ended, "{:?}", others(leader));
        assert!(bystander.try_wait().unwrap().is_none());
        assert!(!is_dead(leader), "the first one is not killed");
        kill_process(leader, Signal::KILL).unwrap();
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    fn is_dead(process: Pid) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
        stat.map_or(true, |stat| stat.contains(") Z "))
    }
}
