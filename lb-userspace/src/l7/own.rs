//! Own: a client's own connections to servers, which no other client uses and which end with it: because the servers are told who
//! it is (`send_proxy`), because clients share none (`http_reuse = "never"`), or because it has logged in on the connection
//! itself (NTLM, Negotiate).

use super::{
    ask::{http1, http2},
    idle::Key,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::{Rc, Weak},
    task::{Context, Waker},
};
use tokio::time::Instant;

/// Most that are kept, over all servers, while the client uses none: HAProxy's `max-session-srv-conns`.
const MOST: usize = 5;

/// The connections of one client.
#[derive(Default)]
pub(super) struct Own {
    http1: VecDeque<(Key, http1::Connection)>,
    pub(super) http2: http2::Connections,
}

impl Own {
    /// Keeps a connection; the oldest goes where there are too many.
    pub(super) fn put(&mut self, key: Key, connection: http1::Connection) {
        if self.http1.len() >= MOST {
            self.http1.pop_front();
        }
        self.http1.push_back((key, connection));
    }

    /// The connection of a key that was used last.
    pub(super) fn take(&mut self, key: &Key) -> Option<http1::Connection> {
        let place = self.http1.iter().rposition(|(known, _)| known == key)?;
        self.http1.remove(place).map(|(_, connection)| connection)
    }

    /// Closes what the server has closed, and what it has not used for long.
    fn sweep(&mut self, now: Instant) {
        let mut cx = Context::from_waker(Waker::noop());
        self.http1.retain_mut(|(_, connection)| connection.is_open(&mut cx));
        self.http2.sweep(now);
    }
}

/// Those of all clients of a thread that have any.
#[derive(Default)]
pub(super) struct Owners(Vec<Weak<RefCell<Own>>>);

impl Owners {
    /// One more.
    pub(super) fn add(&mut self, own: &Rc<RefCell<Own>>) {
        self.0.push(Rc::downgrade(own));
    }

    /// Closes what is of no use any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.0.retain(|own| {
            own.upgrade().is_some_and(|own| {
                own.borrow_mut().sweep(now);
                true
            })
        });
    }
}
