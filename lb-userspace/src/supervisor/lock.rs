//! One daemon a control socket, and one a pin directory: locks that the kernel releases with the process, however it
//! ends.

use anyhow::{Context, bail};
use rustix::{fs::FlockOperation, io::Errno};
use std::{
    fs::{File, OpenOptions},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Held as long as the daemon lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// A lock that the binary before us has taken: it belongs to the open file, whoever holds that.
    pub fn inherited(file: OwnedFd) -> Self {
        Self { file: file.into() }
    }

    /// Takes the lock beside `control_socket`, or says that a daemon has it.
    pub fn beside(control_socket: &Path) -> anyhow::Result<Self> {
        let path = control_socket.with_extension("lock");
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make the directory {}", parent.display()))?;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        Self::take(file.with_context(|| format!("cannot make the lock file {}", path.display()))?, || {
            format!("a daemon with the control socket {} is running already", control_socket.display())
        })
    }

    /// Takes the lock on the pin directory itself, or says that a daemon has it: two planners must not write the same
    /// maps.
    pub fn on(pins: &Path) -> anyhow::Result<Self> {
        let directory = File::open(pins).with_context(|| format!("cannot open {}", pins.display()))?;
        Self::take(directory, || format!("a daemon that pins below {} is running", pins.display()))
    }

    fn take(file: File, taken: impl Fn() -> String) -> anyhow::Result<Self> {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(Errno::WOULDBLOCK) => bail!(taken()),
            Err(error) => Err(error).context("cannot lock"),
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
        let first = Lock::beside(&socket).unwrap();
        assert!(Lock::beside(&socket).unwrap_err().to_string().contains("running already"));
        drop(first);
        Lock::beside(&socket).unwrap();
    }

    #[test]
    fn a_pin_directory_has_one_daemon_whatever_its_control_socket() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::on(directory.path()).unwrap();
        assert!(Lock::on(directory.path()).unwrap_err().to_string().contains("is running"));
        drop(first);
        Lock::on(directory.path()).unwrap();
    }

    #[test]
    fn a_lock_that_is_handed_over_is_held_without_a_gap_until_the_last_holder_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::on(directory.path()).unwrap();
        let second = Lock::inherited(first.as_fd().try_clone_to_owned().unwrap());
        drop(first);
        assert!(Lock::on(directory.path()).is_err());
        drop(second);
        Lock::on(directory.path()).unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_lock_keeps_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cargo.lock");
        std::fs::write(&file, "precious").unwrap();
        Lock::beside(&directory.path().join("cargo.sock")).unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
    }
}
