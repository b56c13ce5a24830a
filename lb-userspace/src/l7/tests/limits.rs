//! `maxconn` of frontends and `max_connections` of the process: who is let in, who waits, and that nobody is forgotten.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin},
    proxy::{Proxy, SHORT, eventually, read_until},
};
use crate::{
    l7::{BoundListener, Snapshot, bind},
    model::{Bind, FrontendKind, Model, TcpFrontend},
    plan::testing,
};
use lb_common::Protocol;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A server that sends each client a byte, and knows how many there are.
struct Greeter {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Greeter {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let greeter =
            Self { address: listener.local_addr().expect("address"), open: Arc::default(), peak: Arc::default() };
        let (open, peak) = (Arc::clone(&greeter.open), Arc::clone(&greeter.peak));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("accept");
                let open = Arc::clone(&open);
                peak.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::spawn(async move {
                    stream.write_all(b"!").await.unwrap_or_default();
                    stream.read_to_end(&mut Vec::new()).await.unwrap_or_default();
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        greeter
    }

    /// A `tcp` frontend before it.
    fn proxy(&self, threads: usize, maxconn: u32) -> Proxy {
        let kind = FrontendKind::Tcp(TcpFrontend::of(0));
        Proxy::on_threads(threads, kind, vec![backend("web", [self.address])], |www| www.maxconn = maxconn)
    }
}

async fn is_in(client: &mut TcpStream) -> bool {
    timeout(SHORT, client.read_u8()).await.is_ok_and(|byte| byte.expect("not reset") == b'!')
}

fn with_limit(proxy: &Proxy, maxconn: u32) -> Model {
    let mut model = Model::clone(&proxy.model);
    model.frontends[0].maxconn = maxconn;
    model
}

#[tokio::test]
async fn at_the_limit_clients_wait_and_come_in_as_others_leave_whichever_threads_are_theirs() {
    let greeter = Greeter::start().await;
    let proxy = greeter.proxy(4, 1);
    let mut inside = proxy.connect().await;
    assert!(is_in(&mut inside).await);
    for round in 0..40 {
        let mut next = proxy.connect().await;
        if round < 3 {
            assert!(!is_in(&mut next).await, "there is one already");
        }
        drop(inside);
        assert_eq!(read_until(&mut next, "!").await, "!");
        inside = next;
    }
    assert_eq!(greeter.peak.load(SeqCst), 1);
    assert_eq!(proxy.frontend_live().connections(), 1);
    drop(inside);
    eventually("all have gone", || proxy.frontend_live().connections() == 0).await;
}

#[tokio::test]
async fn a_crowd_is_served_to_the_last_and_never_more_at_once_than_may_be() {
    let greeter = Greeter::start().await;
    let proxy = Arc::new(greeter.proxy(4, 3));
    let clients = (0..300).map(|number| {
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            let mut client = proxy.connect().await;
            if number % 7 == 0 {
                // Gives up while it waits.
                tokio::time::sleep(Duration::from_millis(number % 5)).await;
                return;
            }
            assert_eq!(read_until(&mut client, "!").await, "!");
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("served");
    }
    // One that was let go may still be on its way out at the server when the next one comes.
    assert!(greeter.peak.load(SeqCst) <= 3 + 3, "{}", greeter.peak.load(SeqCst));
    eventually("all have gone", || proxy.frontend_live().connections() == 0).await;
    let mut last = proxy.connect().await;
    assert_eq!(read_until(&mut last, "!").await, "!", "no place was lost");
}

#[tokio::test]
async fn a_reload_changes_the_limit_for_those_that_wait_and_counts_those_that_are_in() {
    let greeter = Greeter::start().await;
    let mut proxy = greeter.proxy(2, 0);
    let mut inside = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.connect().await;
        assert_eq!(read_until(&mut client, "!").await, "!");
        inside.push(client);
    }
    // Four came in while there was no limit: they count once the threads have heard of it.
    let limited = with_limit(&proxy, 4);
    proxy.reload(limited);
    tokio::time::sleep(SHORT).await;
    let mut waits = proxy.connect().await;
    assert!(!is_in(&mut waits).await);
    let raised = with_limit(&proxy, 5);
    proxy.reload(raised);
    assert_eq!(read_until(&mut waits, "!").await, "!");
    inside.push(waits);
    let lowered = with_limit(&proxy, 2);
    proxy.reload(lowered);
    let mut waits = proxy.connect().await;
    for left in [4, 3, 2] {
        inside.pop();
        eventually("one left", || proxy.frontend_live().connections() == left).await;
        assert!(!is_in(&mut waits).await, "{left} of 2 are in");
    }
    inside.pop();
    assert_eq!(read_until(&mut waits, "!").await, "!");
    let mut more = proxy.connect().await;
    assert!(!is_in(&mut more).await);
    let unlimited = with_limit(&proxy, 0);
    proxy.reload(unlimited);
    assert_eq!(read_until(&mut more, "!").await, "!");
    assert_eq!(proxy.frontend_live().room.limit(), 0);
}

#[tokio::test]
async fn the_process_has_a_limit_over_all_frontends() {
    let greeter = Greeter::start().await;
    let mut proxy = greeter.proxy(2, 0);
    let sockets = bind("127.0.0.1:0".parse().expect("address"), 2).expect("bind");
    let address = sockets[0].local_addr().expect("address");
    let mut model = Model::clone(&proxy.model);
    let mut other = model.frontends[0].clone();
    other.name = "other".into();
    other.binds[0] = at(address);
    model.frontends.push(other);
    model.global.max_connections = Some(2);
    apply(&mut proxy, model, &sockets);
    let (mut one, mut two) = (proxy.connect().await, TcpStream::connect(address).await.expect("connect"));
    assert_eq!(read_until(&mut one, "!").await, "!");
    assert_eq!(read_until(&mut two, "!").await, "!");
    let (mut three, mut four) = (proxy.connect().await, TcpStream::connect(address).await.expect("connect"));
    assert!(!is_in(&mut three).await && !is_in(&mut four).await);
    drop(one);
    let waits = tokio::select! {
        _ = read_until(&mut three, "!") => &mut four,
        _ = read_until(&mut four, "!") => &mut three,
    };
    assert!(!is_in(waits).await, "one place, one more client");
    assert_eq!(proxy.live.room.limit(), 2);
}

fn at(address: SocketAddr) -> Bind {
    testing::bind(&address.to_string(), Protocol::Tcp)
}

/// Applies a model with these sockets for its last bind.
fn apply(proxy: &mut Proxy, model: Model, sockets: &[std::net::TcpListener]) {
    let model = Arc::new(model);
    proxy.live = Arc::new(proxy.live.for_model(&model));
    let snapshot = Snapshot::new(Arc::clone(&model), Arc::clone(&proxy.live)).expect("snapshot");
    let frontend = model.frontends.last().expect("a frontend");
    let (name, address) = (&frontend.name, frontend.binds.last().expect("a bind").address);
    let listener = |(thread, socket): (usize, &std::net::TcpListener)| BoundListener {
        frontend: name.clone(),
        address,
        thread,
        listener: socket.try_clone().expect("another descriptor"),
    };
    proxy.threads.apply(Arc::new(snapshot), sockets.iter().enumerate().map(listener).collect());
}

#[tokio::test]
async fn a_socket_that_goes_lets_in_who_waits_there_and_one_that_is_given_again_does_not() {
    let greeter = Greeter::start().await;
    let mut proxy = greeter.proxy(2, 1);
    let sockets = bind("127.0.0.1:0".parse().expect("address"), 2).expect("bind");
    let address = sockets[0].local_addr().expect("address");
    let before = Model::clone(&proxy.model);
    let mut both = before.clone();
    both.frontends[0].binds.push(at(address));
    apply(&mut proxy, both.clone(), &sockets);
    let mut inside = TcpStream::connect(address).await.expect("connect");
    assert_eq!(read_until(&mut inside, "!").await, "!");
    let (mut one, mut other) = (proxy.connect().await, TcpStream::connect(address).await.expect("connect"));
    apply(&mut proxy, both, &sockets);
    assert!(!is_in(&mut one).await && !is_in(&mut other).await, "the same sockets, the same limit");
    drop(sockets);
    apply(&mut proxy, before, &[]);
    assert_eq!(read_until(&mut other, "!").await, "!", "it would have been reset");
    assert!(!is_in(&mut one).await);
    drop(inside);
    assert!(!is_in(&mut one).await, "one is still in");
    drop(other);
    assert_eq!(read_until(&mut one, "!").await, "!");
}

#[tokio::test]
async fn without_a_limit_of_its_own_the_process_has_room_for_half_of_its_descriptors() {
    let origin = Origin::named("ok").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assert_eq!(Some(proxy.live.room.limit()), proxy.model.most_connections(files));
    for _ in 0..300 {
        assert!(proxy.ask_path("a", "/").await.ends_with("ok"));
    }
}

#[tokio::test]
async fn who_waits_in_a_socket_that_goes_is_served_beyond_the_limit() {
    let origin = Origin::start(|_, _| Act::Answer(super::origin::ok("served"))).await;
    let kind = FrontendKind::Http(http_frontend());
    let proxy = Proxy::on_threads(2, kind, vec![backend("web", [origin.address])], |www| www.maxconn = 1);
    let mut inside = proxy.connect().await;
    inside.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_until(&mut inside, "served").await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("write");
        waiting.push(client);
    }
    assert_eq!(origin.count(), 1);
    let drained = tokio::spawn(proxy.threads.drain(Duration::from_secs(5)));
    for mut client in waiting {
        assert_eq!(read_until(&mut client, "served").await.matches("HTTP/1.1 200").count(), 1);
    }
    drop(inside);
    assert_eq!(drained.await.expect("drained"), 0);
}
