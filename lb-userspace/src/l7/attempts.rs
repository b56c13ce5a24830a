//! Attempts: what follows when a server fails a request (`http`) or connection (`tcp`). Pure.
//!
//! HAProxy waits up to a second before it tries a server again, and stays with it until the last retry; here the next
//! attempt is at once and at another server, and where there is none that could do better, the client hears so at once.
//! Nothing that a server may have acted upon is sent twice, unless `retry_on` allows it and all of it was kept.

use super::balance::Tried;
use crate::{
    model::{Retry, RetryOn},
    servers::Place,
};

/// How an attempt failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// The server refused the connection, or its TLS failed.
    Refused,
    /// It did not answer the connection in time.
    ConnectTimeout,
    /// A kept connection was closed before any of the request was written.
    Stale,
    /// The connection ended before the answer began.
    Empty,
    /// What was answered is not HTTP.
    Junk,
    /// The answer did not begin in time.
    Silent,
    /// An answer of that status, none of which has been passed on.
    Status(u16),
}

impl Failure {
    fn retry_on(self) -> RetryOn {
        match self {
            Self::Refused | Self::ConnectTimeout | Self::Stale => RetryOn::ConnFailure,
            Self::Empty => RetryOn::EmptyResponse,
            Self::Junk => RetryOn::JunkResponse,
            Self::Silent => RetryOn::ResponseTimeout,
            Self::Status(status) => RetryOn::Status(status),
        }
    }

    /// Whether nothing of the request was sent.
    fn is_before_sending(self) -> bool {
        matches!(self, Self::Refused | Self::ConnectTimeout | Self::Stale)
    }

    /// What the client is told, and HAProxy's letters for it in the log.
    fn ending(self) -> Ending {
        let (status, flags) = match self {
            Self::Refused | Self::Stale => (503, "SC"),
            Self::ConnectTimeout => (503, "sC"),
            Self::Empty => (502, "SH"),
            Self::Junk => (502, "PH"),
            Self::Silent => (504, "sH"),
            Self::Status(_) => return Ending::PassOn,
        };
        Ending::Error { status, flags }
    }
}

/// What is known of the request of a failed attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Sent {
    /// Whether all of it is still here, body included, so that it could be sent again.
    pub(super) replayable: bool,
    /// Whether doing it twice is as good as once (RFC 9110 §9.2.2).
    pub(super) idempotent: bool,
    /// Whether the connection had served another request before.
    pub(super) reused: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Another attempt, on a new connection.
    Again {
        place: Place,
        /// Which counter of the server that failed.
        counted: Counted,
    },
    /// None.
    GiveUp(Ending),
}

/// The counter of a failed attempt that is followed by another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Counted {
    /// `wretr`: it is followed by one at the same server.
    Retried,
    /// `wredis`: by one elsewhere.
    Redispatched,
    /// None: a kept connection had ended, as they do.
    Nothing,
}

/// What the client gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// An answer of our own.
    Error {
        status: u16,
        /// The first two letters of the termination state.
        flags: &'static str,
    },
    /// The server's answer, whatever it is.
    PassOn,
}

/// The attempts of one request or connection.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    retry: &'a Retry,
    /// The server that persistence names.
    bound: Option<usize>,
    pub(super) tried: Tried,
    /// Attempts after the first: HAProxy's `%rc`.
    pub(super) retries: u32,
    /// Whether one went elsewhere: `+` before the number of retries in the log.
    pub(super) redispatched: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(retry: &'a Retry, bound: Option<usize>) -> Self {
        Self { retry, bound, tried: Tried::default(), retries: 0, redispatched: false }
    }

    /// `server` has failed. `choose` picks one of the others, as [`Order::choose`](super::balance::Order::choose).
    pub(super) fn after(
        &mut self,
        server: usize,
        failure: Failure,
        sent: Sent,
        mut choose: impl FnMut(&Tried) -> Option<Place>,
    ) -> Next {
        // A server may close a kept connection at any moment, also as the request is on its way (RFC 9112 §9.3.1).
        let was_closed = failure == Failure::Empty && sent.reused && sent.idempotent && sent.replayable;
        if failure == Failure::Stale || was_closed {
            return Next::Again { place: Place::Bound(server), counted: Counted::Nothing };
        }
        let may = self.retry.on.contains(&failure.retry_on()) && (failure.is_before_sending() || sent.replayable);
        if !may || self.retries >= self.retry.retries {
            return Next::GiveUp(failure.ending());
        }
        self.tried.add(server);
        let stays = self.bound == Some(server) && !self.retry.redispatch;
        let other = if stays { None } else { choose(&self.tried) };
        // One that cannot be reached is not there a moment later; one that answered may answer better.
        let again = stays || !failure.is_before_sending();
        let place = other.or_else(|| again.then_some(Place::Bound(server)));
        let Some(place) = place else { return Next::GiveUp(failure.ending()) };
        self.retries += 1;
        let counted = if place == Place::Bound(server) { Counted::Retried } else { Counted::Redispatched };
        self.redispatched |= counted == Counted::Redispatched;
        Next::Again { place, counted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const KEPT: Sent = Sent { replayable: true, idempotent: true, reused: false };
    const GONE: Sent = Sent { replayable: false, idempotent: true, reused: false };
    const SC: Next = Next::GiveUp(Ending::Error { status: 503, flags: "SC" });

    /// The first of so many servers that was not tried.
    fn of(servers: usize) -> impl FnMut(&Tried) -> Option<Place> {
        move |tried| (0..servers).find(|server| !tried.contains(*server)).map(Place::Server)
    }

    fn redispatched(server: usize) -> Next {
        Next::Again { place: Place::Server(server), counted: Counted::Redispatched }
    }

    fn retried(server: usize) -> Next {
        Next::Again { place: Place::Bound(server), counted: Counted::Retried }
    }

    fn retry(on: &[RetryOn]) -> Retry {
        Retry { on: on.iter().copied().collect(), ..Retry::default() }
    }

    #[test]
    fn one_that_refuses_is_left_at_once_and_alone_it_is_not_asked_twice() {
        let retry = Retry::default();
        let mut attempts = Attempts::new(&retry, None);
        assert_eq!(attempts.after(0, Failure::Refused, GONE, of(3)), redispatched(1));
        assert_eq!(attempts.after(1, Failure::Refused, GONE, of(3)), redispatched(2));
        assert_eq!(attempts.after(2, Failure::Refused, GONE, of(3)), SC);
        assert_eq!((attempts.retries, attempts.redispatched), (2, true));
        let ending = Next::GiveUp(Ending::Error { status: 503, flags: "sC" });
        assert_eq!(Attempts::new(&retry, None).after(0, Failure::ConnectTimeout, GONE, of(1)), ending);
    }

    #[test]
    fn no_more_attempts_than_retries_say() {
        let retry = Retry::default();
        let mut attempts = Attempts::new(&retry, None);
        let made = (0..9).take_while(|server| attempts.after(*server, Failure::Refused, GONE, of(9)) != SC).count();
        assert_eq!((made, attempts.retries), (3, 3));
        let none = Retry { retries: 0, ..Retry::default() };
        assert_eq!(Attempts::new(&none, None).after(0, Failure::Refused, GONE, of(9)), SC);
        let never = Retry { on: BTreeSet::new(), ..Retry::default() };
        assert_eq!(Attempts::new(&never, None).after(0, Failure::Refused, GONE, of(9)), SC);
    }

    #[test]
    fn a_client_stays_with_its_server_if_it_must() {
        let stay = Retry { redispatch: false, ..Retry::default() };
        let mut attempts = Attempts::new(&stay, Some(1));
        for _ in 0..3 {
            assert_eq!(attempts.after(1, Failure::Refused, GONE, of(3)), retried(1));
        }
        assert_eq!(attempts.after(1, Failure::Refused, GONE, of(3)), SC);
        assert!(!attempts.redispatched);
        let go = Retry::default();
        assert_eq!(Attempts::new(&go, Some(1)).after(1, Failure::Refused, GONE, of(3)), redispatched(0));
    }

    #[test]
    fn what_was_sent_is_sent_again_only_if_that_is_wanted_and_possible() {
        let plain = Retry::default();
        let all =
            retry(&[RetryOn::EmptyResponse, RetryOn::JunkResponse, RetryOn::ResponseTimeout, RetryOn::Status(503)]);
        for (failure, status, flags) in
            [(Failure::Empty, 502, "SH"), (Failure::Junk, 502, "PH"), (Failure::Silent, 504, "sH")]
        {
            let ending = Next::GiveUp(Ending::Error { status, flags });
            assert_eq!(Attempts::new(&plain, None).after(0, failure, KEPT, of(2)), ending);
            assert_eq!(Attempts::new(&all, None).after(0, failure, GONE, of(2)), ending);
            assert_eq!(Attempts::new(&all, None).after(0, failure, KEPT, of(2)), redispatched(1));
        }
        let mut attempts = Attempts::new(&all, None);
        assert_eq!(attempts.after(0, Failure::Status(503), KEPT, of(1)), retried(0), "it may answer better");
        assert_eq!(attempts.after(0, Failure::Status(500), KEPT, of(1)), Next::GiveUp(Ending::PassOn));
        assert_eq!(attempts.after(0, Failure::Status(503), GONE, of(1)), Next::GiveUp(Ending::PassOn));
    }

    #[test]
    fn kept_connections_end_without_costing_an_attempt() {
        let plain = Retry::default();
        let mut attempts = Attempts::new(&plain, None);
        let again = Next::Again { place: Place::Bound(0), counted: Counted::Nothing };
        assert_eq!(attempts.after(0, Failure::Stale, GONE, of(2)), again);
        assert_eq!(attempts.after(0, Failure::Empty, Sent { reused: true, ..KEPT }, of(2)), again);
        let ending = Next::GiveUp(Ending::Error { status: 502, flags: "SH" });
        let post = Sent { reused: true, idempotent: false, ..KEPT };
        assert_eq!(attempts.after(0, Failure::Empty, post, of(2)), ending);
        assert_eq!(attempts.retries, 0);
    }
}
