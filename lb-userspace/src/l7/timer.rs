//! Timer: one timer for all deadlines of a task. It is moved lazily: deadlines move away much more often than they are met.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{self, Instant, Sleep};

/// One timer of the runtime, made when it is first needed.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready once `deadline` is over; without one never.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        let sleep = self.0.get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        loop {
            // An earlier one that fires for nothing costs less than moving it each time.
            if sleep.deadline() > deadline || sleep.is_elapsed() {
                sleep.as_mut().reset(deadline);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if sleep.deadline() >= deadline || Instant::now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

/// When what began at `now` is over.
pub(super) fn after(now: Instant, timeout: Duration) -> Instant {
    // A century stands for "never" where the sum has no room.
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_hours(24 * 365 * 100))
}

/// The earlier of two deadlines.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// How long the two ends of a flow of bytes may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The client, while the server may still say something to it.
    pub(super) client: Duration,
    pub(super) server: Duration,
    /// The client, once its server has ended its half; `None`: as before.
    pub(super) client_fin: Option<Duration>,
    pub(super) server_fin: Option<Duration>,
}

impl Patience {
    /// As it is now that these directions are over.
    pub(super) fn now(self, up_is_over: bool, down_is_over: bool) -> (Duration, Duration) {
        let client = self.client_fin.filter(|_| down_is_over).unwrap_or(self.client);
        let server = self.server_fin.filter(|_| up_is_over).unwrap_or(self.server);
        (client, server)
    }
}

/// Until when two directions of one flow of bytes may be silent, each since when and how long: what moves in one of them is a
/// sign of life of both.
pub(super) fn silence(one: Option<(Instant, Duration)>, other: Option<(Instant, Duration)>) -> Option<Instant> {
    match (one, other) {
        (Some((since, timeout)), Some((other_since, other_timeout))) => {
            Some(after(since.max(other_since), timeout.min(other_timeout)))
        }
        (Some((since, timeout)), None) | (None, Some((since, timeout))) => Some(after(since, timeout)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn deadlines_may_move_either_way() {
        let (start, mut timer) = (Instant::now(), Timer::default());
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            timer.poll(cx, if polls == 1 { at(5) } else { at(9) })
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 9);
        poll_fn(|cx| if timer.poll(cx, at(60)).is_ready() { Poll::Ready(()) } else { timer.poll(cx, at(12)) }).await;
        // Once it fired for the deadline that had moved away.
        assert_eq!((start.elapsed().as_secs(), polls), (12, 3));
        poll_fn(|cx| timer.poll(cx, at(1))).await;
        assert_eq!(start.elapsed().as_secs(), 12);
    }
}
