//! Ending well.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, read_to_end, read_until},
};
use crate::{
    l7::{BoundListener, Snapshot, bind},
    model::FrontendKind,
};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn a_drain_closes_what_is_idle_and_lets_what_runs_end() {
    let slow = |request: &str| request.starts_with("GET /slow");
    let origin = Origin::start(
        move |_, request| {
            if slow(request) { Act::Later(SHORT * 3, ok("done")) } else { Act::Answer(ok("done")) }
        },
    );
    let origin = origin.await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);

    let (mut idle, mut slow, mut fresh) = (proxy.connect().await, proxy.connect().await, proxy.connect().await);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_until(&mut idle, "done").await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    eventually("the slow request has arrived", || origin.count() == 2).await;
    eventually("all are accepted", || proxy.threads.connections() == 3).await;

    let drain = tokio::spawn(proxy.threads.drain(Duration::from_secs(5)));
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut fresh).await, "");
    assert!(!drain.is_finished());
    let answer = read_to_end(&mut slow).await;
    assert!(answer.ends_with("done") && answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(drain.await.expect("drained"), 0);
    std::net::TcpStream::connect(proxy.address).expect_err("nobody listens");
}

#[tokio::test]
async fn a_drain_answers_what_waits_to_be_accepted() {
    let origin = Origin::start(|_, _| Act::Answer(ok("done"))).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut client = std::net::TcpStream::connect(proxy.address).expect("connected");
        std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("write");
        waiting.push(client);
    }
    let drain = tokio::spawn(proxy.threads.drain(Duration::from_secs(5)));
    for client in waiting {
        client.set_nonblocking(true).expect("a socket");
        let mut client = tokio::net::TcpStream::from_std(client).expect("a socket");
        assert!(read_to_end(&mut client).await.ends_with("done"));
    }
    assert_eq!(drain.await.expect("drained"), 0);
}

/// Clients that have asked something and wait.
fn asking(address: SocketAddr) -> Vec<std::net::TcpStream> {
    let ask = |_| {
        let mut client = std::net::TcpStream::connect(address).expect("connected");
        std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("write");
        client
    };
    (0..32).map(ask).collect()
}

#[tokio::test]
async fn who_retires_leaves_sockets_that_another_has_and_empties_those_that_nobody_has() {
    let origin = Origin::named("served").await;
    let web = || vec![backend("web", [origin.address])];
    for is_gone in [false, true] {
        let sockets = bind("127.0.0.1:0".parse().expect("address"), 1).expect("bind");
        let address = sockets[0].local_addr().expect("address");
        let copies: Vec<_> = sockets.iter().map(|socket| socket.try_clone().expect("a copy")).collect();
        let old = Proxy::on(vec![sockets], FrontendKind::Http(http_frontend()), web(), |_| ());
        let mut clients = if is_gone { asking(address) } else { Vec::new() };
        let gone = BTreeSet::from_iter(is_gone.then_some(address));
        assert_eq!(old.threads.retire(Some(Duration::from_secs(5)), gone).await, 0);
        let next = (!is_gone).then(|| {
            clients = asking(address);
            Proxy::on(vec![copies], FrontendKind::Http(http_frontend()), web(), |_| ())
        });
        for client in clients {
            client.set_nonblocking(true).expect("a socket");
            let mut client = tokio::net::TcpStream::from_std(client).expect("a socket");
            assert!(read_to_end(&mut client).await.contains("served"), "{is_gone}");
        }
        drop(next);
    }
}

#[tokio::test]
async fn a_drain_ends_in_time_and_tells_what_it_cut() {
    let origin = Origin::start(|_, _| Act::Hang(String::new())).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    eventually("it runs", || origin.count() == 1).await;
    assert_eq!(proxy.threads.drain(Duration::from_millis(50)).await, 1);
    let answer = read_to_end(&mut client).await;
    assert!(answer.is_empty() || answer.starts_with('<'), "{answer}");
}

#[tokio::test]
async fn an_address_that_becomes_another_frontends_loses_nobody() {
    let origin = Origin::named("served").await;
    let sockets = bind("127.0.0.1:0".parse().expect("address"), 1).expect("bind");
    let own = sockets[0].try_clone().expect("the supervisor's");
    let kind = FrontendKind::Http(http_frontend());
    let proxy = Arc::new(Proxy::on(vec![sockets], kind, vec![backend("web", [origin.address])], |_| ()));
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (proxy, over) = (Arc::clone(&proxy), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(SeqCst) {
                    let answer = proxy.ask_path("a", "/").await;
                    assert!(answer.ends_with("served"), "{answer:?}");
                }
            })
        })
        .collect();
    for round in 0..60 {
        let mut model = (*proxy.model).clone();
        let name = format!("www{}", round % 2);
        model.frontends[0].name.clone_from(&name);
        let live = Arc::new(proxy.live.for_model(&model));
        let snapshot = Snapshot::new(Arc::new(model), live).expect("snapshot");
        let listener = own.try_clone().expect("a copy");
        let bound = BoundListener { frontend: name, address: proxy.address, thread: 0, listener };
        proxy.threads.apply(Arc::new(snapshot), vec![bound]);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    over.store(true, SeqCst);
    for client in clients {
        client.await.expect("every request was answered");
    }
}
