//! Places and queues: single steps, steps in any order, and many threads.

use super::*;
use crate::{
    l7::tests::model::{backend, model},
    model::{Agent, Backend, Limits},
    servers::{Available, Live, Throttle},
};
use proptest::prelude::*;
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// A backend whose servers have these limits.
fn limited(limits: &[Limits]) -> Backend {
    let mut backend = backend("web", (1..).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).take(limits.len()));
    for (server, limits) in backend.servers.iter_mut().zip(limits) {
        server.limits = *limits;
    }
    backend
}

fn live(backend: &Backend, before: &Live) -> (Arc<BackendLive>, Live) {
    let live = before.for_model(&model(vec![], vec![backend.clone()]));
    (Arc::clone(live.backend("web").expect("backend")), live)
}

fn maxconn(maxconn: u32) -> Limits {
    Limits { maxconn, ..Limits::default() }
}

fn slot(entry: Result<Entry, Refusal>) -> Slot {
    match entry.expect("not refused") {
        Entry::Slot(slot) => slot,
        Entry::Waiting(_) => panic!("has to wait"),
    }
}

fn wait(entry: Result<Entry, Refusal>) -> Waiting {
    match entry.expect("not refused") {
        Entry::Slot(slot) => panic!("has a place at {}", slot.server),
        Entry::Waiting(waiting) => waiting,
    }
}

fn poll(waiting: &mut Waiting, waker: &Waker) -> Poll<Result<Slot, Refusal>> {
    Pin::new(waiting).poll(&mut Context::from_waker(waker))
}

/// Whether it was woken since last asked.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn has_room(backend: &BackendLive, server: usize) -> bool {
    backend.has_room(server, &backend.available.load())
}

fn served(backend: &BackendLive) -> Vec<usize> {
    backend.servers.iter().map(|server| server.load.0.served.load(Ordering::SeqCst)).collect()
}

fn queued(backend: &BackendLive) -> Vec<usize> {
    backend.servers.iter().map(|server| server.load.0.queued.load(Ordering::SeqCst)).collect()
}

#[test]
fn a_place_goes_to_whoever_waits_longest_wherever_that_is() {
    let (backend, _live) = live(&limited(&[maxconn(1), maxconn(1)]), &Live::default());
    let (first, second) = (slot(backend.enter(Place::Server(0), &[])), slot(backend.enter(Place::Server(1), &[])));
    assert!(!has_room(&backend, 0) && !has_room(&backend, 1));
    let woken: [Arc<Woken>; 3] = Default::default();
    let wakers = woken.clone().map(Waker::from);
    let mut any = wait(backend.enter(Place::Any, &[]));
    let mut bound = wait(backend.enter(Place::Bound(0), &[]));
    let mut last = wait(backend.enter(Place::Server(0), &[]));
    assert_eq!((backend.gate.waiting(), queued(&backend), backend.load()), (2, vec![1, 0], 5));
    for (waiting, waker) in [&mut any, &mut bound, &mut last].into_iter().zip(&wakers) {
        assert!(poll(waiting, waker).is_pending());
    }
    drop(first);
    assert_eq!([0, 1, 2].map(|it| woken[it].0.load(Ordering::SeqCst)), [true, false, false]);
    let Poll::Ready(Ok(first)) = poll(&mut any, &wakers[0]) else { panic!("the first has its place") };
    assert_eq!(first.server, 0);
    drop(second);
    let Poll::Ready(Ok(second)) = poll(&mut last, &wakers[2]) else { panic!("the bound one cannot have it") };
    assert_eq!(second.server, 1);
    drop(second);
    assert!(poll(&mut bound, &wakers[1]).is_pending());
    drop(first);
    assert!(matches!(poll(&mut bound, &wakers[1]), Poll::Ready(Ok(Slot { server: 0, .. }))));
    assert_eq!((served(&backend), backend.load()), (vec![0, 0], 0));
}

#[test]
fn a_server_that_rises_has_room_for_few_and_with_each_step_for_more() {
    let (backend, _live) = live(&limited(&[maxconn(4)]), &Live::default());
    let rising = |seconds| {
        let throttle = Throttle::at(Duration::from_secs(seconds), Duration::from_secs(8));
        backend.publish(Available::new([(0, 1)]).rising([(0, throttle)]));
    };
    rising(0);
    let _first = slot(backend.enter(Place::Server(0), &[]));
    assert!(!has_room(&backend, 0));
    let (mut second, mut third) = (wait(backend.enter(Place::Any, &[])), wait(backend.enter(Place::Bound(0), &[])));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(poll(&mut second, &waker).is_pending() && poll(&mut third, &waker).is_pending());
    rising(4);
    assert!(woken.0.load(Ordering::SeqCst));
    let Poll::Ready(Ok(_second)) = poll(&mut second, &waker) else { panic!("half of four are two") };
    assert!(poll(&mut third, &waker).is_pending());
    backend.publish(Available::new([(0, 1)]));
    assert!(matches!(poll(&mut third, &waker), Poll::Ready(Ok(_))));
    assert!(has_room(&backend, 0));
}

#[test]
fn a_place_that_was_given_to_one_who_has_gone_is_given_on() {
    let (backend, _live) = live(&limited(&[maxconn(1)]), &Live::default());
    let first = slot(backend.enter(Place::Server(0), &[]));
    let (gone, mut next) = (wait(backend.enter(Place::Any, &[])), wait(backend.enter(Place::Bound(0), &[])));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(poll(&mut next, &waker).is_pending());
    drop(first);
    assert!(!woken.0.load(Ordering::SeqCst));
    drop(gone);
    assert!(woken.0.load(Ordering::SeqCst));
    assert!(matches!(poll(&mut next, &waker), Poll::Ready(Ok(_))));
    assert_eq!(served(&backend), [0]);
}

#[test]
fn queues_have_their_limit_and_servers_that_go_send_away_who_waits() {
    let limits = Limits { maxconn: 1, minconn: 0, maxqueue: 1 };
    let (backend, _live) = live(&limited(&[limits, limits]), &Live::default());
    let _slots = [slot(backend.enter(Place::Server(0), &[])), slot(backend.enter(Place::Server(1), &[]))];
    let mut bound = wait(backend.enter(Place::Bound(0), &[]));
    assert_eq!(backend.enter(Place::Bound(0), &[]).expect_err("full"), Refusal::QueueFull);
    let mut any = wait(backend.enter(Place::Any, &[]));
    backend.publish(Available::new([(1, 1)]).keeping([0]));
    assert!(poll(&mut bound, Waker::noop()).is_pending(), "it drains, and keeps what is its own");
    backend.publish(Available::new([(1, 1)]));
    assert!(matches!(poll(&mut bound, Waker::noop()), Poll::Ready(Err(Refusal::Gone))));
    assert_eq!(backend.enter(Place::Bound(0), &[]).expect_err("down"), Refusal::Gone);
    assert!(poll(&mut any, Waker::noop()).is_pending());
    backend.publish(Available::default());
    assert!(matches!(poll(&mut any, Waker::noop()), Poll::Ready(Err(Refusal::NoServer))));
    assert_eq!(backend.enter(Place::Any, &[]).expect_err("nothing is left"), Refusal::NoServer);
    assert_eq!(backend.load(), 2);
}

#[test]
fn limits_rise_with_the_load() {
    let limits = Limits { maxconn: 10, minconn: 2, maxqueue: 0 };
    assert_eq!([0, 1, 10, 15, 20, 50].map(|load| limits.at(load, 20)), [2, 2, 5, 7, 10, 10]);
    assert_eq!((Limits::default().at(1, 0), maxconn(3).at(0, 9)), (usize::MAX, 3));
    let (backend, _live) = live(&limited(&[limits]), &Live::default());
    let mut slots: Vec<_> = (0..2).map(|_| slot(backend.enter(Place::Server(0), &[]))).collect();
    // By itself `fullconn` is the sum of all `maxconn`, 10 here, so that the limit is the load as soon as it is above 2.
    slots.extend((2..10).map(|_| slot(backend.enter(Place::Server(0), &[]))));
    drop(wait(backend.enter(Place::Server(0), &[])));
    drop(slots);
    assert_eq!(backend.load(), 0);
}

#[test]
fn a_reload_keeps_places_and_queues_and_gives_none_at_servers_that_the_waiter_does_not_know() {
    let config = limited(&[maxconn(1)]);
    let (old, all) = live(&config, &Live::default());
    let first = slot(old.enter(Place::Server(0), &[]));
    let mut waiting = wait(old.enter(Place::Any, &[]));
    let mut config = config;
    let added = backend("web", ["10.0.0.9:80".parse().expect("address")]).servers.remove(0);
    config.servers.insert(0, crate::model::Server { name: "new".into(), limits: maxconn(1), ..added });
    let (new, _all) = live(&config, &all);
    new.publish(Available::new([(0, 1), (1, 1)]));
    assert_eq!(served(&new), [0, 1]);
    assert!(poll(&mut waiting, Waker::noop()).is_pending(), "the free server is not in its configuration");
    assert_eq!(slot(new.enter(Place::Any.at(0), &[])).server, 0);
    drop(first);
    assert!(matches!(poll(&mut waiting, Waker::noop()), Poll::Ready(Ok(Slot { server: 0, .. }))));
    for server in &mut config.servers {
        server.limits = Limits::default();
    }
    let slots = [slot(new.enter(Place::Server(0), &[])), slot(new.enter(Place::Server(1), &[]))];
    let mut waiting = wait(new.enter(Place::Any, &[]));
    let (free, _all) = live(&config, &all);
    free.publish(Available::new([(0, 1), (1, 1)]));
    assert!(matches!(poll(&mut waiting, Waker::noop()), Poll::Ready(Ok(_))), "there is no limit any more");
    drop(slots);
    assert_eq!(served(&free), [0, 0]);
}

#[test]
fn a_limit_that_is_said_at_run_time_counts_what_is_there_and_lets_in_who_waits_once_it_is_lifted() {
    let mut config = limited(&[Limits::default(), maxconn(2)]);
    config.servers[0].agent = Some(Agent::default());
    let (backend, _live) = live(&config, &Live::default());
    let say = |limits: &[(usize, u32)]| {
        backend.publish(Available::new([(0, 1), (1, 1)]).limited(limits.iter().copied()));
    };
    let first = slot(backend.enter(Place::Server(0), &[]));
    let _second = slot(backend.enter(Place::Server(0), &[]));
    say(&[(0, 2), (1, 1)]);
    let _third = slot(backend.enter(Place::Server(1), &[]));
    assert!(![0, 1].iter().any(|server| backend.has_room(*server, &backend.available.load())));
    let mut waiting = wait(backend.enter(Place::Bound(0), &[]));
    drop(first);
    let Poll::Ready(Ok(_first)) = poll(&mut waiting, Waker::noop()) else { panic!("one has gone") };
    let mut waiting = wait(backend.enter(Place::Bound(0), &[]));
    say(&[(0, 1)]);
    assert!(poll(&mut waiting, Waker::noop()).is_pending());
    assert!(backend.has_room(1, &backend.available.load()), "as configured again");
    say(&[(0, 0)]);
    assert!(matches!(poll(&mut waiting, Waker::noop()), Poll::Ready(Ok(Slot { server: 0, .. }))), "any number");
}

impl Place {
    /// The same place as a server of that number.
    fn at(self, server: usize) -> Self {
        match self {
            Self::Any | Self::Server(_) => Self::Server(server),
            Self::Bound(_) => Self::Bound(server),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enter(Place),
    Leave(usize),
    Abort(usize),
    Poll(usize),
    Publish(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(|server| Step::Enter(Place::Server(server))),
        3 => (0..3_usize).prop_map(|server| Step::Enter(Place::Bound(server))),
        2 => Just(Step::Enter(Place::Any)),
        4 => any::<usize>().prop_map(Step::Leave),
        3 => any::<usize>().prop_map(Step::Abort),
        4 => any::<usize>().prop_map(Step::Poll),
        1 => (0..8_u8, 0..8_u8).prop_map(|(takes, keeps)| Step::Publish(takes, takes | keeps)),
    ]
}

proptest! {
    /// Whatever happens in whichever order: no server has more than its limit, nobody waits for what is free, and in the
    /// end nothing is left.
    #[test]
    fn no_place_is_lost(steps in proptest::collection::vec(step(), 1..80)) {
        let (backend, _live) = live(&limited(&[maxconn(1), maxconn(2), Limits { maxqueue: 2, ..maxconn(3) }]), &Live::default());
        let (mut slots, mut waits): (Vec<Slot>, Vec<(Place, Waiting)>) = Default::default();
        let bits = |bits: u8| (0..3).filter(move |server| bits >> server & 1 == 1);
        let (mut takes, mut keeps) = (7, 7);
        for step in steps {
            match step {
                Step::Enter(place) => match backend.enter(place, &[]) {
                    Ok(Entry::Slot(slot)) => slots.push(slot),
                    Ok(Entry::Waiting(waiting)) => waits.push((place, waiting)),
                    Err(_) => {}
                },
                Step::Leave(one) if !slots.is_empty() => drop(slots.swap_remove(one % slots.len())),
                Step::Abort(one) if !waits.is_empty() => drop(waits.swap_remove(one % waits.len())),
                Step::Poll(one) if !waits.is_empty() => {
                    let one = one % waits.len();
                    match poll(&mut waits[one].1, Waker::noop()) {
                        Poll::Pending => {}
                        Poll::Ready(outcome) => {
                            drop(waits.swap_remove(one));
                            slots.extend(outcome.ok());
                        }
                    }
                }
                Step::Publish(now_takes, now_keeps) => {
                    (takes, keeps) = (now_takes, now_keeps);
                    backend.publish(Available::new(bits(takes).map(|server| (server, 1))).keeping(bits(keeps)));
                }
                Step::Leave(_) | Step::Abort(_) | Step::Poll(_) => {}
            }
            let served = served(&backend);
            prop_assert!(served.iter().zip([1, 2, 3]).all(|(served, limit)| *served <= limit), "{served:?}");
            let has_room = |server: usize| served[server] < [1, 2, 3][server];
            let queued = queued(&backend);
            prop_assert!(bits(keeps).all(|server| !has_room(server) || queued[server] == 0));
            prop_assert!(backend.gate.waiting() == 0 || bits(takes).all(|server| !has_room(server)));
        }
        slots.clear();
        waits.clear();
        prop_assert_eq!((served(&backend), queued(&backend), backend.gate.waiting()), (vec![0; 3], vec![0; 3], 0));
    }
}

/// Requests of four threads, each of which may be aborted at any moment: before, while and after it is given a place.
#[test]
fn counts_return_to_zero_after_a_million_aborted_requests() {
    const THREADS: u64 = 4;
    const EACH: u64 = 250_000;
    let (backend, _live) = live(&limited(&[maxconn(2), maxconn(3), maxconn(1)]), &Live::default());
    let run = |seed| {
        let backend = Arc::clone(&backend);
        move || {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut slots = std::collections::VecDeque::new();
            let mut waits = std::collections::VecDeque::new();
            for _ in 0..EACH {
                let place = match random.u8(..3) {
                    0 => Place::Any,
                    1 => Place::Bound(random.usize(..3)),
                    _ => Place::Server(random.usize(..3)),
                };
                match backend.enter(place, &[]).expect("all take traffic") {
                    Entry::Slot(slot) => slots.push_back(slot),
                    Entry::Waiting(waiting) => waits.push_back(waiting),
                }
                if slots.len() > random.usize(..3) {
                    slots.pop_front();
                }
                if waits.len() > random.usize(..4)
                    && let Some(mut waiting) = waits.pop_front()
                    && random.bool()
                    && let Poll::Ready(Ok(slot)) = poll(&mut waiting, Waker::noop())
                {
                    slots.push_back(slot);
                }
            }
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|seed| std::thread::spawn(run(seed))).collect();
    for thread in threads {
        thread.join().expect("thread");
    }
    assert_eq!((served(&backend), queued(&backend), backend.load()), (vec![0; 3], vec![0; 3], 0));
    assert!((0..3).all(|server| has_room(&backend, server)));
}

/// Every one that waits is woken by somebody: threads that sleep until they are, with one place for all of them.
#[test]
fn no_wake_up_is_lost_between_threads() {
    let (backend, _live) = live(&limited(&[maxconn(1)]), &Live::default());
    let run = |_| {
        let backend = Arc::clone(&backend);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
            runtime.block_on(async {
                for turn in 0..5_000_u32 {
                    let slot = match backend.enter(Place::Server(0), &[]).expect("it takes traffic") {
                        Entry::Slot(slot) => slot,
                        Entry::Waiting(waiting) if turn % 7 == 0 => {
                            let short = Duration::from_micros(50);
                            let Ok(slot) = tokio::time::timeout(short, waiting).await else { continue };
                            slot.expect("it stays")
                        }
                        Entry::Waiting(waiting) => waiting.await.expect("it stays"),
                    };
                    tokio::task::yield_now().await;
                    drop(slot);
                }
            });
        })
    };
    let threads: Vec<_> = (0..4).map(run).collect();
    for thread in threads {
        thread.join().expect("thread");
    }
    assert_eq!(backend.load(), 0);
}
