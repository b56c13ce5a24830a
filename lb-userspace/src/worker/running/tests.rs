//! A configuration comes to life: real sockets and checks, and what the worker's loop does with them.

mod agent;
mod agents;
mod haproxy;
mod runtime;

use super::*;
use crate::{
    l7::tests::{
        model::{backend, frontend, http_frontend, model},
        origin::{Act, Origin, ok},
    },
    model::{
        Backend, Check, CheckKind, FrontendKind, Model, Quorum, QuorumDown, ServerName,
        check::{Expect, HttpCheck, HttpStep, InitState, Layer, Observe, OnError},
    },
    servers::{BackendLive, Health, Throttle},
};
use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::LocalSet,
    time::{sleep, sleep_until, timeout},
};

/// A proxy in front of two servers; the second one's health is up to the test.
struct Life {
    running: Running,
    model: Arc<Model>,
    address: SocketAddr,
    healthy: Arc<AtomicBool>,
    outcomes: (mpsc::Sender<Outcome>, mpsc::Receiver<Outcome>),
    observed: mpsc::Receiver<u64>,
    heard: mpsc::Receiver<Heard>,
}

impl Life {
    /// With a backend `web` of two servers, of which the second one fails until it is said to be healthy; `change` changes
    /// more.
    async fn begin(change: impl FnOnce(&mut Model)) -> Self {
        let healthy = Arc::new(AtomicBool::new(false));
        let health = Arc::clone(&healthy);
        let second = Origin::start(move |_, request| match request.starts_with("HEAD ") {
            true if !health.load(SeqCst) => Act::Answer(ok("").replace("200 OK", "503 No")),
            true => Act::Answer(ok("")),
            false if request.starts_with("GET /fails ") => Act::Answer(ok("").replace("200 OK", "503 No")),
            false => Act::Answer(ok("2")),
        });
        let first = Origin::start(|_, request| Act::Answer(ok(if request.starts_with("HEAD ") { "" } else { "1" })));
        let mut web = backend("web", [first.await.address, second.await.address]);
        web.check = Some(Check {
            kind: CheckKind::Http(HttpCheck::from(HttpStep {
                expect: vec![Expect::status([200])],
                ..HttpStep::default()
            })),
            interval: Duration::from_millis(20),
            fast_interval: Duration::from_millis(20),
            down_interval: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            rise: 1,
            fall: 1,
            ..Check::default()
        });
        let sockets = l7::bind("127.0.0.1:0".parse().expect("address"), 2).expect("sockets");
        let address = sockets[0].local_addr().expect("address");
        let mut model = model(vec![frontend("www", address, FrontendKind::Http(http_frontend()))], vec![web]);
        change(&mut model);
        let model = Arc::new(model);
        let (tell, observed) = mpsc::channel(64);
        let (agents, heard) = mpsc::channel(64);
        let running = Running::first(&model, tell, agents).expect("threads");
        let mut life = Self { running, model, address, healthy, outcomes: mpsc::channel(64), observed, heard };
        life.load(BTreeMap::from([(address, sockets)]));
        life
    }

    /// Takes up its configuration, for the first time or again.
    fn load(&mut self, listeners: BTreeMap<SocketAddr, Vec<TcpListener>>) {
        let next = self.running.prepare(&self.model, None, BTreeMap::new()).expect("a configuration");
        self.running.change_to(&self.model, next, listeners, &self.outcomes.0);
    }

    fn throttle(&self) -> Option<u8> {
        let identity = self.model.backends[0].servers[1].identity("web");
        self.running.halves.throttle(identity, Instant::now()).map(Throttle::percent)
    }

    /// Does what the loop of the worker does until `end` says so.
    async fn until(&mut self, what: &str, end: impl Fn(&Self) -> bool) {
        let live = async {
            while !end(self) {
                let rises = self.running.halves.rises();
                tokio::select! {
                    Some(outcome) = self.outcomes.1.recv() => self.running.judge([&outcome]),
                    Some(heard) = self.heard.recv() => self.running.heard([&heard]),
                    Some(identity) = self.observed.recv() => self.running.observed(identity),
                    () = sleep_until(rises.unwrap_or_else(Instant::now)), if rises.is_some() => {
                        self.running.halves.rise(Instant::now());
                    }
                }
            }
        };
        timeout(Duration::from_secs(20), live).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    fn health(&self) -> Health {
        self.running.halves.registry.standing(self.model.backends[0].servers[1].identity("web")).health
    }
}

/// An answer: what the second server had of its full share when it was asked for, in percent, and whether that one gave it.
type Answered = (u8, bool);

/// Asks one request after the other.
async fn ask(address: SocketAddr, live: Arc<BackendLive>, answers: Rc<RefCell<Vec<Answered>>>) {
    loop {
        let mut client = TcpStream::connect(address).await.expect("connect");
        let share = live.available.load().throttle(1).map_or(100, Throttle::percent);
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("write");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("an answer");
        answers.borrow_mut().push((share, answer.ends_with(b"2")));
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_share_of_a_server_that_came_up_rises_and_a_reload_does_not_change_that() {
    LocalSet::new()
        .run_until(async {
            let mut life =
                Life::begin(|model| model.backends[0].servers[1].slowstart = Some(Duration::from_secs(3))).await;
            assert_eq!(life.throttle(), None, "not at the start");
            life.until("it is found down", |life| life.health() == Health::Down).await;
            life.healthy.store(true, SeqCst);
            life.until("it comes up", |life| life.throttle().is_some()).await;

            let answers = Rc::new(RefCell::new(Vec::new()));
            for percent in [50, 100] {
                let live = Arc::clone(life.running.halves.live.backend("web").expect("backend"));
                let asking = tokio::task::spawn_local(ask(life.address, live, Rc::clone(&answers)));
                life.until("it rises", |life| life.throttle().is_none_or(|now| now >= percent)).await;
                asking.abort();
                life.load(BTreeMap::new());
                let after = life.throttle().unwrap_or(100);
                assert!(percent == 100 || (percent..100).contains(&after), "after a reload at {percent} %: {after} %");
            }
            assert_eq!((life.throttle(), life.running.halves.rises()), (None, None), "it has risen");

            let answers = answers.take();
            assert!(answers.len() > 60, "{} answers", answers.len());
            assert!(answers.is_sorted_by_key(|(share, _)| *share), "it fell back");
            assert!(answers.first().is_some_and(|(share, _)| *share < 25), "{:?}", answers.first());
            let expected: usize =
                answers.iter().map(|(share, _)| usize::from(*share)).map(|it| it * 1_000 / (100 + it)).sum();
            let (expected, found) = (expected / 1_000, answers.iter().filter(|(_, second)| *second).count());
            assert!(
                found.abs_diff(expected) < 6 + answers.len() / 20,
                "{found} of {} answers, not {expected}",
                answers.len()
            );
        })
        .await;
}

#[tokio::test]
async fn what_traffic_says_takes_a_server_down_before_its_next_probe_and_who_tracks_it_with_it() {
    LocalSet::new()
        .run_until(async {
            let mut life = Life::begin(|model| {
                let web = &mut model.backends[0];
                let mut copy = Backend { name: "copy".to_owned(), check: None, ..web.clone() };
                copy.servers[1].track =
                    Some(ServerName { backend: "web".to_owned(), server: web.servers[1].name.clone() });
                let check = web.check.as_mut().expect("a check");
                // No probe within the test but the first, which fails one time too few.
                (check.interval, check.fast_interval) = (Duration::from_mins(1), Duration::from_mins(1));
                (check.fall, check.init_state) = (2, InitState::FullyUp);
                let (layer, on_error) = (Layer::Requests, OnError::MarkDown);
                check.observe = Some(Observe { layer, error_limit: 3, on_error, floor: 50 });
                model.backends.push(copy);
            })
            .await;
            let address = life.address;
            let asking = tokio::task::spawn_local(async move {
                loop {
                    let mut client = TcpStream::connect(address).await.expect("connect");
                    client
                        .write_all(b"GET /fails HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                        .await
                        .expect("write");
                    client.read_to_end(&mut Vec::new()).await.expect("an answer");
                }
            });
            life.until("it is taken down", |life| life.health() == Health::Down).await;
            asking.abort();
            let registry = &life.running.halves.registry;
            let copy = life.model.backends[1].servers[1].identity("copy");
            assert_eq!(registry.standing(copy).health, Health::Down);
            let first = life.model.backends[0].servers[0].identity("web");
            assert!(registry.standing(first).health.serves(), "it answers");
            let reasons: Vec<_> = life.running.failovers.iter().map(|failover| failover.reason.as_str()).collect();
            assert!(reasons.ends_with(&["HANA 3 errors in a row"; 2]), "{reasons:?}");
        })
        .await;
}

#[tokio::test]
async fn a_frontend_is_ready_once_as_many_servers_as_its_quorum_were_found_up() {
    LocalSet::new()
        .run_until(async {
            let quorum = Quorum { servers: 2, hysteresis: 1, down: QuorumDown::Serve };
            let mut life = Life::begin(|model| model.frontends[0].quorum = quorum).await;
            let ready = |life: &Life| life.running.ready(&[]).ready;
            let first = |life: &Life| life.model.backends[0].servers[0].identity("web");
            let is_probed = |life: &Life| life.running.verdicts.known(first(life)).is_some_and(|it| it.last.is_some());
            life.until("both are probed", |life| life.health() == Health::Down && is_probed(life)).await;
            assert!(!ready(&life), "there never were two");
            life.healthy.store(true, SeqCst);
            life.until("the other one is up", |life| life.health() == Health::Up).await;
            assert!(ready(&life));
            life.healthy.store(false, SeqCst);
            life.until("it is down again", |life| life.health() == Health::Down).await;
            assert!(ready(&life), "within the hysteresis");
            life.load(BTreeMap::new());
            assert!(ready(&life), "a reload is no start");
        })
        .await;
}
