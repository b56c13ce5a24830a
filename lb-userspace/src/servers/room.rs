//! Room: how many connections of clients may be open at once, of one frontend or of the process, over all threads. HAProxy's
//! `maxconn`.
//!
//! Nothing is counted here while there is no limit. Under a limit threads take places and give them back; who finds none
//! waits, and places that are given back go to those that wait longest, so that none is lost. What was taken without
//! asking, or before there was a limit, makes a debt, which is paid by the places that come back first. Places that are free
//! and those that are taken always add up to the limit and the debt.

use super::Padded;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use tokio::sync::{Notify, Semaphore};

/// The limit where there is none: more than anybody takes.
const ANY: usize = u32::MAX as usize;

/// Places for connections of clients. Lives as long as its frontend, or the process, across reloads.
#[derive(Debug)]
pub struct Room {
    /// The places that are free.
    free: Padded<Semaphore>,
    /// Places that were taken beyond the limit.
    debt: Padded<AtomicUsize>,
    /// How many wait for a place. Read wherever one may be kept in reserve.
    waiting: Padded<AtomicUsize>,
    limit: AtomicUsize,
    /// Nobody gets in, whatever room there is: HAProxy's `disable frontend`.
    shut: AtomicBool,
    /// Tells those who wait that it is not shut any more.
    opened: Notify,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            free: Padded(Semaphore::new(ANY)),
            debt: Padded::default(),
            waiting: Padded::default(),
            limit: AtomicUsize::new(ANY),
            shut: AtomicBool::new(false),
            opened: Notify::new(),
        }
    }
}

impl Room {
    /// The limit; 0: there is none.
    pub fn limit(&self) -> usize {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit < ANY).unwrap_or(0)
    }

    /// Changes the limit; 0: there is none. Who waits gets in as far as there is room now; of those that are in nobody is
    /// sent away.
    pub fn set_limit(&self, limit: usize) {
        let limit = if limit == 0 { ANY } else { limit.min(ANY) };
        let before = self.limit.swap(limit, SeqCst);
        if limit > before {
            self.give(limit - before);
        } else {
            self.take_at_once(before - limit);
        }
    }

    /// Lets nobody in any more, or again. Whether that changes anything; who is in stays.
    pub fn shut(&self, shut: bool) -> bool {
        let before = self.shut.swap(shut, SeqCst);
        if !shut {
            self.opened.notify_waiters();
        }
        before != shut
    }

    /// Whether nobody gets in.
    pub fn is_shut(&self) -> bool {
        self.shut.load(Relaxed)
    }

    /// Ends once it is not shut.
    pub(crate) async fn is_open(&self) {
        while self.is_shut() {
            let opened = self.opened.notified();
            // It may have been opened since.
            if self.shut.load(SeqCst) {
                opened.await;
            }
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit.load(Relaxed) != ANY
    }

    /// Whether anybody waits for a place.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.0.load(Relaxed) > 0
    }

    /// Takes that many places if they are free, else one once there is one; how many. Dropped while it waits, it has taken
    /// none.
    pub(crate) async fn take(&self, wanted: u32) -> usize {
        for wanted in [wanted, 1] {
            if let Ok(places) = self.free.0.try_acquire_many(wanted) {
                places.forget();
                return wanted as usize;
            }
        }
        let _waiting = Waiting::new(&self.waiting.0);
        // Nobody closes it.
        self.free.0.acquire().await.map_or(0, |place| {
            place.forget();
            1
        })
    }

    /// Takes that many places whether they are free or not.
    pub(crate) fn take_at_once(&self, wanted: usize) {
        let free = self.free.0.forget_permits(wanted);
        self.debt.0.fetch_add(wanted - free, SeqCst);
    }

    /// Gives back that many places.
    pub(crate) fn give(&self, places: usize) {
        let pay = |debt: usize| (debt > 0).then(|| debt.saturating_sub(places));
        let paid = self.debt.0.fetch_update(SeqCst, SeqCst, pay).map_or(0, |debt| debt.min(places));
        self.free.0.add_permits(places - paid);
    }
}

/// Counted as waiting while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, task::Poll};

    /// Whether a place can be had at once; it is kept.
    async fn has_place(room: &Room) -> bool {
        let mut take = pin!(room.take(1));
        std::future::poll_fn(|cx| Poll::Ready(take.as_mut().poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_limit_holds_moves_and_goes() {
        let room = Room::default();
        assert!(!room.is_limited() && room.limit() == 0 && has_place(&room).await);
        room.set_limit(3);
        assert_eq!(room.limit(), 3);
        assert!(has_place(&room).await && has_place(&room).await, "one was taken before");
        assert!(!has_place(&room).await);
        room.set_limit(1);
        room.give(2);
        assert!(!has_place(&room).await, "one is still in");
        room.give(1);
        assert!(has_place(&room).await && !has_place(&room).await);
        room.set_limit(0);
        assert!(has_place(&room).await && has_place(&room).await);
    }

    #[tokio::test]
    async fn nobody_gets_in_while_it_is_shut() {
        let room = std::sync::Arc::new(Room::default());
        assert!(room.shut(true) && !room.shut(true) && room.is_shut());
        let waiting = tokio::spawn({
            let room = std::sync::Arc::clone(&room);
            async move { room.is_open().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(room.shut(false) && !room.shut(false));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_taken_without_asking_is_paid_back_before_others_get_in() {
        let room = Room::default();
        room.set_limit(2);
        room.take_at_once(5);
        room.give(3);
        assert!(!has_place(&room).await);
        room.give(1);
        assert!(has_place(&room).await && !has_place(&room).await);
    }

    #[tokio::test]
    async fn who_waits_longest_comes_first_and_who_leaves_takes_nothing() {
        let room = Room::default();
        room.set_limit(1);
        assert_eq!(room.take(8).await, 1, "as many as there are");
        let (mut first, mut second) = (pin!(room.take(1)), pin!(room.take(1)));
        {
            let mut leaver = pin!(room.take(1));
            std::future::poll_fn(|cx| Poll::Ready(leaver.as_mut().poll(cx).is_ready())).await;
            std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_ready())).await;
            std::future::poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_ready())).await;
            room.give(1);
        }
        assert_eq!(first.await, 1, "what the leaver was given goes on");
        assert!(room.is_wanted());
        assert!(std::future::poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await);
    }
}
