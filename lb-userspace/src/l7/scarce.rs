//! Scarce: descriptors run out. Connections take all but the last, which are for checks, operators and reloads.

use super::threads::Thread;
use crate::model::descriptors::reserved_from;
use rustix::{
    io::{Errno, fcntl_dupfd_cloexec},
    process::{Resource, getrlimit},
};
use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::Duration,
};
use tokio::time::{self, Instant};

/// From one look whether descriptors came back to the next.
const PAUSE: Duration = Duration::from_millis(50);
/// At most one warning in this time.
const QUIET: Duration = Duration::from_secs(10);

/// What a thread knows of descriptors.
#[derive(Debug)]
pub(super) struct Scarce {
    /// From this number on they are not for connections.
    ceiling: RawFd,
    warned: Cell<Option<Instant>>,
}

impl Scarce {
    /// By the limit of now, which stays as it is.
    pub(super) fn new() -> Self {
        let allowed = getrlimit(Resource::Nofile).current;
        let ceiling =
            allowed.map_or(RawFd::MAX, |allowed| RawFd::try_from(reserved_from(allowed)).unwrap_or(RawFd::MAX));
        Self { ceiling, warned: Cell::new(None) }
    }

    /// Whether that is one of the last.
    pub(super) fn is_last(&self, descriptor: impl AsFd) -> bool {
        descriptor.as_fd().as_raw_fd() >= self.ceiling
    }

    /// From which number on they are not for connections.
    pub(super) fn ceiling(&self) -> RawFd {
        self.ceiling
    }

    /// Whether there is one for a connection.
    fn has_any(&self, some: impl AsFd) -> bool {
        fcntl_dupfd_cloexec(some, 0).is_ok_and(|lowest| !self.is_last(lowest))
    }
}

impl Thread {
    /// There are no descriptors left for connections: those to servers that nobody uses are closed, and then it waits until there
    /// are some. Clients meanwhile wait in the socket, which is `some` descriptor.
    pub(super) async fn wait_for_descriptors(&self, some: impl AsFd) {
        self.spare_descriptors();
        while !self.scarce.has_any(some.as_fd()) {
            time::sleep(PAUSE).await;
        }
    }

    /// Closes connections to servers that nobody uses.
    pub(super) fn spare_descriptors(&self) {
        self.idle.borrow_mut().clear();
        let (now, warned) = (Instant::now(), &self.scarce.warned);
        if warned.get().is_none_or(|warned| now.saturating_duration_since(warned) > QUIET) {
            warned.set(Some(now));
            tracing::warn!(
                from = self.scarce.ceiling,
                "all descriptors for connections are taken; clients wait (raise the hard limit, LimitNOFILE, or lower \
                 `[global] max_connections`)"
            );
        }
    }
}

/// Whether an error says that there are no more descriptors.
pub(super) fn is_lack(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
