//! Roll: the connections of clients that a thread has, for whoever asks who is there, and to cut one of them. Kept by the thread
//! alone: nothing of it is shared or allocated for a connection.

use super::balance::Flow;
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};
use tokio::time::Instant;

/// A connection of a client, as it is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Present {
    /// Of this connection alone, for as long as the process lives.
    pub id: u64,
    /// Who has connected; of whom a header of the PROXY protocol has told, once it has come.
    pub client: SocketAddr,
    /// Where to.
    pub local: SocketAddr,
    /// The frontend's name.
    pub frontend: String,
    /// Since it was accepted.
    pub age: Duration,
    /// So far.
    pub requests: u64,
    /// The [identity](crate::model::Server::identity) of the server that its connection, or its last request, went to.
    pub server: Option<u64>,
    /// Whether it speaks TLS, and the handshake is over.
    pub is_secure: bool,
}

/// Bits of an id that say whose thread's it is.
const THREAD: u32 = 16;

/// Whose thread's a connection is.
pub(super) fn thread_of(id: u64) -> usize {
    usize::try_from(id & ((1 << THREAD) - 1)).unwrap_or(usize::MAX)
}

/// Where a connection is listed. Another one may have the same place later, but not the same id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Listing {
    place: usize,
    id: u64,
}

/// The connections of one thread.
pub(super) struct Roll {
    entries: RefCell<Slab<Entry>>,
    next: Cell<u64>,
}

struct Entry {
    id: u64,
    flow: Flow,
    frontend: Rc<str>,
    since: Instant,
    requests: u64,
    server: Option<u64>,
    is_secure: bool,
    is_cut: bool,
}

impl Roll {
    /// Of a thread, by its index.
    pub(super) fn new(thread: usize) -> Self {
        Self { entries: RefCell::default(), next: Cell::new((1 << THREAD) | thread as u64) }
    }

    /// Somebody has come.
    pub(super) fn enter(&self, flow: Flow, frontend: Rc<str>) -> Listing {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1 << THREAD));
        let since = Instant::now();
        let entry = Entry { id, flow, frontend, since, requests: 0, server: None, is_secure: false, is_cut: false };
        Listing { place: self.entries.borrow_mut().insert(entry), id }
    }

    /// And has gone.
    pub(super) fn leave(&self, listing: Listing) {
        drop(self.entries.borrow_mut().try_remove(listing.place));
    }

    /// It has told who it is, in TLS or not.
    pub(super) fn is_known(&self, listing: Listing, flow: Flow, is_secure: bool) {
        self.note(listing, |entry| (entry.flow, entry.is_secure) = (flow, is_secure));
    }

    /// It has sent so many requests.
    pub(super) fn has_sent(&self, listing: Listing, requests: u64) {
        self.note(listing, |entry| entry.requests = requests);
    }

    /// It goes to that server.
    pub(super) fn goes_to(&self, listing: Listing, server: u64) {
        self.note(listing, |entry| entry.server = Some(server));
    }

    /// Streams of HTTP/2 may outlive their connection.
    fn note(&self, listing: Listing, note: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.borrow_mut().get_mut(listing.place).filter(|entry| entry.id == listing.id) {
            note(entry);
        }
    }

    /// Whether somebody wants it cut.
    pub(super) fn is_cut(&self, listing: Listing) -> bool {
        self.entries.borrow().get(listing.place).is_some_and(|entry| entry.is_cut)
    }

    /// Wants one cut. Whether it is there.
    pub(super) fn cut(&self, id: u64) -> bool {
        let mut entries = self.entries.borrow_mut();
        let found = entries.iter_mut().find(|(_, entry)| entry.id == id);
        found.map(|(_, entry)| entry.is_cut = true).is_some()
    }

    /// At most so many of those that are there, or the one that has this id.
    pub(super) fn present(&self, most: usize, id: Option<u64>) -> Vec<Present> {
        let present = |entry: &Entry| Present {
            id: entry.id,
            client: entry.flow.client,
            local: entry.flow.local,
            frontend: entry.frontend.to_string(),
            age: entry.since.elapsed(),
            requests: entry.requests,
            server: entry.server,
            is_secure: entry.is_secure,
        };
        let entries = self.entries.borrow();
        let wanted = entries.iter().map(|(_, entry)| entry).filter(|entry| id.is_none_or(|id| entry.id == id));
        wanted.take(most).map(present).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_is_told_and_no_id_comes_twice() {
        let roll = Roll::new(3);
        let flow = |port| Flow {
            client: SocketAddr::from(([192, 0, 2, 1], port)),
            local: SocketAddr::from(([192, 0, 2, 2], 80)),
        };
        let first = roll.enter(flow(1), "www".into());
        let second = roll.enter(flow(2), "www".into());
        roll.has_sent(second, 5);
        roll.goes_to(second, 7);
        roll.is_known(second, flow(9), true);
        let ids: Vec<_> = roll.present(9, None).iter().map(|present| present.id).collect();
        assert!(ids[0] != ids[1] && ids.iter().all(|id| thread_of(*id) == 3), "{ids:?}");
        let told = &roll.present(9, None)[1];
        assert_eq!((told.requests, told.server, told.client.port(), told.is_secure), (5, Some(7), 9, true));
        assert_eq!(
            (roll.present(1, None).len(), roll.present(9, Some(ids[1])).len(), roll.present(9, Some(0)).len()),
            (1, 1, 0)
        );
        assert!(roll.cut(ids[0]) && roll.is_cut(first) && !roll.is_cut(second) && !roll.cut(99));
        roll.leave(first);
        let third = roll.enter(flow(3), "www".into());
        assert!(first.place == third.place && !roll.is_cut(third), "whoever takes its place is not meant");
        roll.has_sent(first, 99);
        assert!(roll.present(9, None).iter().all(|present| present.requests != 99), "nor by what is late");
        assert!(roll.present(9, None).iter().all(|present| present.id != ids[0]));
    }
}
