//! Scarce: descriptors run out. Connections take all but the last, which are for checks, operators and reloads. Close to them,
//! accept loops take turns and ask first whether there is one: together they could take all of the last otherwise.

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
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};
use tokio::time::{self, Instant};

/// From one look whether descriptors came back to the next.
const PAUSE: Duration = Duration::from_millis(50);
/// At most one warning in this time.
const QUIET: Duration = Duration::from_secs(10);

/// So close to the last it is that one asks first, or an eighth of all: more than there are serving threads, each of which may
/// accept one before it has heard of it.
const MARGIN: RawFd = 64;

/// Whether the last descriptors are near. All threads know the same.
#[derive(Debug, Default)]
pub(super) struct Near {
    is_near: AtomicBool,
    /// Whose turn it is to ask and then accept.
    turn: Mutex<()>,
}

/// What a thread knows of descriptors.
#[derive(Debug)]
pub(super) struct Scarce {
    /// From this number on they are not for connections.
    ceiling: RawFd,
    near: Arc<Near>,
    warned: Cell<Option<Instant>>,
}

impl Scarce {
    /// By the limit of now, which stays as it is.
    pub(super) fn new(near: Arc<Near>) -> Self {
        let allowed = getrlimit(Resource::Nofile).current;
        let ceiling =
            allowed.map_or(RawFd::MAX, |allowed| RawFd::try_from(reserved_from(allowed)).unwrap_or(RawFd::MAX));
        Self { ceiling, near, warned: Cell::new(None) }
    }

    /// Whether that is one of the last.
    pub(super) fn is_last(&self, descriptor: impl AsFd) -> bool {
        descriptor.as_fd().as_raw_fd() >= self.ceiling
    }

    /// Accepts, by a way that does not block, from `some` descriptor. Errors: also that there is none for a connection; whoever
    /// got one of the last meanwhile is not served.
    pub(super) fn accept<T: AsFd, P>(
        &self,
        some: impl AsFd,
        accept: impl FnOnce() -> Poll<io::Result<(T, P)>>,
    ) -> Poll<io::Result<(T, P)>> {
        let turn =
            self.near.is_near.load(Relaxed).then(|| self.near.turn.lock().unwrap_or_else(PoisonError::into_inner));
        let margin = MARGIN.min(self.ceiling / 8);
        if turn.is_some() {
            let lowest = fcntl_dupfd_cloexec(some, 0)?;
            if self.is_last(&lowest) {
                return Poll::Ready(Err(Errno::MFILE.into()));
            }
            if lowest.as_raw_fd() < self.ceiling.saturating_sub(2 * margin) {
                self.near.is_near.store(false, Relaxed);
            }
        }
        let accepted = accept();
        if let Poll::Ready(Ok((stream, _))) = &accepted
            && stream.as_fd().as_raw_fd() >= self.ceiling.saturating_sub(margin)
        {
            self.near.is_near.store(true, Relaxed);
            if self.is_last(stream) {
                return Poll::Ready(Err(Errno::MFILE.into()));
            }
        }
        accepted
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn close_to_the_last_one_asks_first_and_none_of_them_is_kept() {
        let (near, any) = (Arc::new(Near::default()), File::open("/dev/null").unwrap());
        let scarce = |ceiling| Scarce { ceiling, near: Arc::clone(&near), warned: Cell::new(None) };
        let (plenty, none) = (scarce(RawFd::MAX), scarce(0));
        let accepts = |scarce: &Scarce| {
            let mut has_asked = false;
            let accepted = scarce.accept(&any, || {
                has_asked = true;
                Poll::Ready(any.try_clone().map(|stream| (stream, ())))
            });
            let Poll::Ready(accepted) = accepted else { panic!("it waits") };
            let is_in = accepted.map_or_else(|error| !is_lack(&error), |_| true);
            (has_asked, is_in, near.is_near.load(Relaxed))
        };
        assert_eq!(accepts(&plenty), (true, true, false));
        assert_eq!(accepts(&none), (true, false, true), "one of the last is not kept");
        assert_eq!(accepts(&none), (false, false, true), "then whoever wants one asks first");
        assert_eq!(accepts(&plenty), (true, true, false), "until there are enough again");
    }
}
