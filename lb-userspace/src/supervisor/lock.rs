//! One daemon a control socket, one a pin directory, and one worker that writes the maps: locks that the kernel releases with
//! the process, however it ends.

use anyhow::{Context, bail};
use rustix::{fs::FlockOperation, io::Errno};
use std::{
    fs::{File, OpenOptions},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};
use tokio::time::{sleep, timeout};

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

/// How long the worker of a daemon before us may take to notice that it is alone. It does so before anything else; one that is
/// in the middle of a change ends that first.
const NOTICED: Duration = Duration::from_secs(10);
/// From one try to the next.
const PAUSE: Duration = Duration::from_millis(10);

/// The right to write the maps that are pinned in `directory`: one worker has it, for as long as a descriptor of it is open, and
/// the next one gets it once that has ended or drains. It outlives the supervisor, as the lock on all pins does not.
pub async fn writing(directory: &Path) -> anyhow::Result<OwnedFd> {
    let file = File::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    let tries = async {
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => sleep(PAUSE).await,
                other => return other,
            }
        }
    };
    match timeout(NOTICED, tries).await {
        Ok(locked) => locked.context("cannot lock")?,
        Err(_) => bail!(
            "the worker of a daemon before this one still has the right to write the maps below {}, and does not give it back; \
             end that process (`sluice worker`)",
            directory.display()
        ),
    }
    Ok(file.into())
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

    #[tokio::test]
    async fn the_right_to_write_is_had_by_one_and_waited_for_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let first = writing(directory.path()).await.unwrap();
        let handed_over = first.try_clone().unwrap();
        drop(first);
        let next = tokio::spawn({
            let path = directory.path().to_owned();
            async move { writing(&path).await }
        });
        sleep(5 * PAUSE).await;
        assert!(!next.is_finished(), "whom it was handed to has it still");
        drop(handed_over);
        next.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_give_the_right_to_write_back_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let _first = writing(directory.path()).await.unwrap();
        let error = writing(directory.path()).await.unwrap_err().to_string();
        assert!(error.contains("still has the right to write") && error.contains("sluice worker"), "{error}");
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
