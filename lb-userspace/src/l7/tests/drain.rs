//! Ending well.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, read_to_end, read_until},
};
use std::time::Duration;
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
