//! One daemon a control socket: a lock that the kernel releases with the process, however it ends.

use anyhow::{Context, bail};
use rustix::{fs::FlockOperation, io::Errno};
use std::{fs::File, path::Path};

/// Held as long as the daemon lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock beside `control_socket`, or says that a daemon has it.
    pub fn take(control_socket: &Path) -> anyhow::Result<Self> {
        let path = control_socket.with_extension("lock");
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make the directory {}", parent.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("cannot make the lock file {}", path.display()))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => {
                bail!("a daemon with the control socket {} is running already", control_socket.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("deeper/sluice.sock");
        let first = Lock::take(&socket).unwrap();
        assert!(Lock::take(&socket).unwrap_err().to_string().contains("running already"));
        drop(first);
        Lock::take(&socket).unwrap();
    }
}
