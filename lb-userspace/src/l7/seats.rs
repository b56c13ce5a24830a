//! Seats: what a thread's connections of clients take of the room that their frontend and the process have.
//!
//! Without a limit this touches nothing that threads share. Under one that the configuration asks for, each connection takes a
//! place of the room and gives it back, so that the limit holds to the last. Under the one that the process has anyway, by its
//! descriptors, threads take some at a time and keep a few: it need not be met to the last, and costs next to nothing.

use super::snapshot::Snapshot;
use crate::servers::Room;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
};

/// Places that a thread takes at a time at most.
const AT_A_TIME: usize = 64;

/// A reserve of all threads together is at most an eighth of the limit.
const RESERVE: usize = 16;

/// One thread's part of a room.
pub(super) struct Share {
    room: Arc<Room>,
    /// Places that are taken at a time.
    at_a_time: Cell<u32>,
    /// Connections.
    open: Cell<usize>,
    /// Places that were taken; none without a limit.
    held: Cell<usize>,
}

impl Share {
    fn new(room: &Arc<Room>) -> Rc<Self> {
        let (at_a_time, open, held) = (Cell::new(1), Cell::default(), Cell::default());
        Rc::new(Self { room: Arc::clone(room), at_a_time, open, held })
    }

    /// A seat, once there is one.
    async fn enter(self: &Rc<Self>) -> Seat {
        if self.room.is_limited() && self.open.get() >= self.held.get() {
            let taken = self.room.take(self.at_a_time.get()).await;
            self.held.set(self.held.get() + taken);
        }
        self.sit()
    }

    /// A seat, whether there is one or not.
    fn enter_at_once(self: &Rc<Self>) -> Seat {
        let seat = self.sit();
        self.count();
        seat
    }

    fn sit(self: &Rc<Self>) -> Seat {
        self.open.set(self.open.get() + 1);
        Seat(Rc::clone(self))
    }

    /// Places for all that are open, if there is a limit; else none.
    fn count(&self) {
        let missing = self.open.get().saturating_sub(self.held.get());
        if self.room.is_limited() && missing > 0 {
            self.held.set(self.open.get());
            self.room.take_at_once(missing);
        }
        self.settle();
    }

    /// Gives back what is too much to keep.
    fn settle(&self) {
        let spare =
            if self.room.is_limited() { self.held.get().saturating_sub(self.open.get()) } else { self.held.get() };
        let keeps = self.room.is_limited() && !self.room.is_wanted();
        let keep = if keeps { 2 * (self.at_a_time.get() as usize - 1) } else { 0 };
        if spare > keep {
            let back = spare - keep / 2;
            self.held.set(self.held.get() - back);
            self.room.give(back);
        }
    }
}

/// A connection's place. Dropped, it is the next one's.
pub(super) struct Seat(Rc<Share>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.settle();
    }
}

/// One thread's part of all rooms.
#[derive(Default)]
pub(super) struct Seats {
    process: RefCell<Option<Rc<Share>>>,
    frontends: RefCell<BTreeMap<String, Rc<Share>>>,
}

impl Seats {
    /// Takes up a configuration, whose limits are set already. Those that are in count from now on, where they did not.
    pub(super) fn apply(&self, snapshot: &Snapshot) {
        let live = snapshot.live();
        let mut process = self.process.borrow_mut();
        let share = process.take().filter(|share| Arc::ptr_eq(&share.room, &live.room));
        let share = share.unwrap_or_else(|| Share::new(&live.room));
        let global = &snapshot.model().global;
        let at_a_time = (live.room.limit() / RESERVE / global.threads.max(1)).clamp(1, AT_A_TIME);
        // One at a time where the limit was asked for.
        let at_a_time = if global.max_connections.is_some() { 1 } else { at_a_time };
        share.at_a_time.set(u32::try_from(at_a_time).unwrap_or(1));
        share.count();
        *process = Some(share);
        let mut frontends = self.frontends.borrow_mut();
        let mut before = std::mem::take(&mut *frontends);
        for frontend in &snapshot.model().frontends {
            let Some(live) = live.frontend(&frontend.name) else { continue };
            let share = before.remove(&frontend.name).filter(|share| Arc::ptr_eq(&share.room, &live.room));
            let share = share.unwrap_or_else(|| Share::new(&live.room));
            share.count();
            frontends.insert(frontend.name.clone(), share);
        }
    }

    /// Gives back what others wait for.
    pub(super) fn settle(&self) {
        if let Some(share) = &*self.process.borrow() {
            share.settle();
        }
    }

    /// What connections of a frontend need places of.
    pub(super) fn of(&self, frontend: &str) -> Shares {
        let frontend = self.frontends.borrow().get(frontend).map(Rc::clone);
        Shares { frontend, process: self.process.borrow().as_ref().map(Rc::clone) }
    }
}

/// What connections of a frontend need places of: the frontend's room, and the process's.
pub(super) struct Shares {
    frontend: Option<Rc<Share>>,
    process: Option<Rc<Share>>,
}

impl Shares {
    /// Seats for one connection, once there are both and the frontend lets anybody in.
    pub(super) async fn enter(&self) -> [Option<Seat>; 2] {
        if let Some(share) = &self.frontend {
            share.room.is_open().await;
        }
        let mut seats = [None, None];
        // In this order: a seat of the process is not kept from others for a frontend that is full.
        for (seat, share) in seats.iter_mut().zip([&self.frontend, &self.process]) {
            if let Some(share) = share {
                *seat = Some(share.enter().await);
            }
        }
        seats
    }

    /// The same, whether there are any or not.
    pub(super) fn enter_at_once(&self) -> [Option<Seat>; 2] {
        [&self.frontend, &self.process].map(|share| share.as_ref().map(Share::enter_at_once))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, pin::pin, task::Poll};

    /// A share that takes that many places at a time.
    fn share(room: &Arc<Room>, at_a_time: u32) -> Rc<Share> {
        let share = Share::new(room);
        share.at_a_time.set(at_a_time);
        share
    }

    /// Whether somebody gets in at once.
    async fn gets_in(share: &Rc<Share>) -> Option<Seat> {
        let mut enter = pin!(share.enter());
        poll_fn(|cx| {
            Poll::Ready(match enter.as_mut().poll(cx) {
                Poll::Ready(seat) => Some(seat),
                Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn a_reserve_is_given_up_for_those_that_wait() {
        let room = Arc::new(Room::default());
        room.set_limit(10);
        let (one, other) = (share(&room, 8), share(&room, 8));
        let first = gets_in(&one).await.expect("room");
        assert_eq!((one.open.get(), one.held.get()), (1, 8), "seven in reserve");
        let (second, third) = (gets_in(&other).await, gets_in(&other).await);
        assert!(second.is_some() && third.is_some());
        let mut fourth = pin!(other.enter());
        assert!(poll_fn(|cx| Poll::Ready(fourth.as_mut().poll(cx).is_pending())).await);
        one.settle();
        assert_eq!((one.open.get(), one.held.get()), (1, 1));
        let fourth = fourth.await;
        assert_eq!((other.open.get(), other.held.get()), (3, 3));
        drop((first, second, third, fourth));
        one.settle();
        for share in [&one, &other] {
            assert!(share.open.get() == 0 && share.held.get() <= 14, "a reserve has a bound");
        }
        room.set_limit(0);
        for share in [&one, &other] {
            share.count();
            assert_eq!(share.held.get(), 0);
        }
    }

    #[tokio::test]
    async fn who_is_in_counts_once_there_is_a_limit_and_no_place_is_made_up() {
        let room = Arc::new(Room::default());
        let (one, other) = (share(&room, 1), share(&room, 1));
        let mut seats: Vec<_> = (0..3).map(|_| one.enter_at_once()).collect();
        assert_eq!(one.held.get(), 0, "nothing is counted without a limit");
        room.set_limit(2);
        seats.extend([one.enter_at_once(), other.enter_at_once()]);
        one.count();
        assert_eq!((one.held.get(), other.held.get()), (4, 1));
        for _ in 0..3 {
            assert!(gets_in(&other).await.is_none());
            drop(seats.pop());
        }
        assert!(gets_in(&other).await.is_none(), "two of two");
        drop(seats.pop());
        let seat = gets_in(&other).await.expect("one of two");
        assert!(gets_in(&one).await.is_none());
        drop((seat, seats));
        assert_eq!((one.held.get(), other.held.get()), (0, 0));
    }
}
