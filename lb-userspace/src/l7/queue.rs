//! Queue: the wait for a place at a server. Who waits where, and who is next, is [`Gate`](crate::servers::Gate)'s.

use crate::servers::{BackendLive, Place, Refusal, Slot, gate::Entry};
use std::{sync::Arc, time::Duration};

/// Why there is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum QueueError {
    /// None became free in time: 503, and `sQ` in the log.
    #[error("no place became free in time")]
    TimedOut,
    /// There will be none.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A place, after a wait of at most `timeout`. Dropped before, it gives up the wait; the slot, dropped, makes room for the
/// next one.
pub(super) async fn acquire(live: &Arc<BackendLive>, place: Place, timeout: Duration) -> Result<Slot, QueueError> {
    match live.enter(place)? {
        Entry::Slot(slot) => Ok(slot),
        Entry::Waiting(waiting) => match tokio::time::timeout(timeout, waiting).await {
            Ok(outcome) => Ok(outcome?),
            Err(_elapsed) => Err(QueueError::TimedOut),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        l7::tests::model::{backend, model},
        model::Limits,
        servers::Live,
    };

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_a_place_or_gives_up_in_time() {
        let mut web = backend("web", ["10.0.0.1:80".parse().expect("address")]);
        web.servers[0].limits = Limits { maxconn: 1, ..Limits::default() };
        let live = Live::default().for_model(&model(vec![], vec![web]));
        let live = live.backend("web").expect("backend");
        let first = acquire(live, Place::Server(0), LIMIT).await.expect("a place");
        let start = tokio::time::Instant::now();
        assert_eq!(acquire(live, Place::Bound(0), LIMIT).await.expect_err("full"), QueueError::TimedOut);
        assert_eq!((start.elapsed(), live.load()), (LIMIT, 1));
        let leave = async {
            tokio::time::sleep(LIMIT / 2).await;
            drop(first);
        };
        let (slot, ()) = tokio::join!(acquire(live, Place::Any, LIMIT), leave);
        assert_eq!(slot.expect("a place").server, 0);
        assert_eq!(live.load(), 0);
    }
}
