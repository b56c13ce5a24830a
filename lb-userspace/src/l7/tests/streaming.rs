//! Bodies on their way: what passes while it is not complete, and what happens to the rest.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, read_to_end, read_until},
};
use crate::model::HttpFrontend;
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A server that takes one connection by hand.
async fn by_hand() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    (listener, Proxy::http(http_frontend(), vec![backend("web", [address])]))
}

#[tokio::test]
async fn each_piece_passes_at_once_in_both_directions() {
    let (listener, proxy) = by_hand().await;
    let mut client = proxy.connect().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .expect("write");
    let (mut server, _) = listener.accept().await.expect("accept");
    read_until(&mut server, "\r\n\r\n3\r\none\r\n").await;
    // The server begins to answer before the request is complete.
    server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhere\r\n").await.expect("write");
    read_until(&mut client, "\r\n\r\n4\r\nhere\r\n").await;
    client.write_all(b"3\r\ntwo\r\n").await.expect("write");
    read_until(&mut server, "3\r\ntwo\r\n").await;
    server.write_all(b"5\r\nthere\r\n").await.expect("write");
    read_until(&mut client, "5\r\nthere\r\n").await;
    client.write_all(b"0\r\nX-Sum: 6\r\nHost: evil\r\n\r\n").await.expect("write");
    assert_eq!(read_until(&mut server, "\r\n\r\n").await, "0\r\nx-sum: 6\r\n\r\n");
    server.write_all(b"0\r\nContent-Length: 9\r\nX-Sum: 9\r\n\r\n").await.expect("write");
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "0\r\nx-sum: 9\r\n\r\n");
}

#[tokio::test]
async fn a_large_body_passes_either_way_without_being_gathered() {
    const SIZE: usize = 20_000_000;
    let (listener, proxy) = by_hand().await;
    let server = tokio::spawn(async move {
        let (mut server, _) = listener.accept().await.expect("accept");
        let head = read_until(&mut server, "\r\n\r\n").await;
        assert!(head.contains(&format!("content-length: {SIZE}\r\n")), "{head}");
        let mut body = vec![0; SIZE];
        server.read_exact(&mut body).await.expect("body");
        server.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.expect("write");
        server.write_all(&body).await.expect("write");
    });
    let body: Vec<u8> = (0..SIZE).map(|at| u8::try_from(at % 251).expect("small")).collect();
    let mut client = proxy.connect().await;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("write");
    client.write_all(&body).await.expect("write");
    read_until(&mut client, "\r\n\r\n").await;
    let mut echo = vec![0; SIZE];
    client.read_exact(&mut echo).await.expect("body");
    assert!(echo == body);
    server.await.expect("server");
}

#[tokio::test]
async fn a_broken_body_is_the_clients_fault() {
    let origin = Origin::named("never").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for broken in ["0x1\r\n", " 1\r\n", "1\na\r\n", "1\r\nab\r\n", "11111111111111111\r\n", "1;\x01\r\n"] {
        let answer = proxy.ask(&format!("{head}{broken}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{broken:?}: {answer}");
    }
    let server = &proxy.live.backend("web").expect("backend").servers[0];
    assert_eq!(server.counts.sum(|counts| &counts.response_errors), 0);
    eventually("no connection to the server is kept", || server.connections() == 0).await;
    let counts = &proxy.frontend_live().counts;
    assert_eq!((counts.sum(|counts| &counts.request_errors), counts.sum(|counts| &counts.responses.of_4xx)), (6, 6));
}

#[tokio::test]
async fn a_client_that_only_ends_its_half_gets_its_answer_if_it_may() {
    let origin = Origin::start(|_, _| Act::Later(SHORT, ok("late"))).await;
    for (abort_on_close, answered) in [(true, false), (false, true)] {
        let frontend = HttpFrontend { abort_on_close, ..http_frontend() };
        let proxy = Proxy::http(frontend, vec![backend("web", [origin.address])]);
        let mut client = proxy.connect().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        client.shutdown().await.expect("shutdown");
        assert_eq!(read_to_end(&mut client).await.ends_with("late"), answered);
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_complete_ends_the_connection() {
    let (listener, proxy) = by_hand().await;
    let mut client = proxy.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome").await.expect("write");
    let (mut server, _) = listener.accept().await.expect("accept");
    read_until(&mut server, "some").await;
    server.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.expect("write");
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 413 Too Large\r\n") && answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("no"), "{answer}");
}

#[tokio::test]
async fn bytes_pass_as_they_are_once_the_server_has_switched_protocols() {
    let (listener, proxy) = by_hand().await;
    let mut client = proxy.connect().await;
    let request = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(request.as_bytes()).await.expect("write");
    let (mut server, _) = listener.accept().await.expect("accept");
    let head = read_until(&mut server, "\r\n\r\n").await;
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    // The first bytes of the new protocol come with the head.
    server
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        .await
        .expect("write");
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
    read_until(&mut client, "hello").await;
    client.write_all(b"\x81\x05ws").await.expect("write");
    let mut frame = [0; 4];
    server.read_exact(&mut frame).await.expect("frame");
    assert_eq!(&frame, b"\x81\x05ws");
    // Either side may end its half first.
    client.shutdown().await.expect("shutdown");
    assert_eq!(server.read(&mut frame).await.expect("end"), 0);
    server.write_all(b"bye").await.expect("write");
    drop(server);
    assert_eq!(read_to_end(&mut client).await, "bye");
}

#[tokio::test]
async fn nothing_is_switched_that_nobody_asked_for_or_that_the_server_declines() {
    let origin = Origin::start(|_, request| {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
        if request.contains("/unasked") { Act::Hang(switch.into()) } else { Act::Answer(ok("no")) }
    })
    .await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    assert!(proxy.ask_path("a", "/unasked").await.starts_with("HTTP/1.1 502 "));
    let declined = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n";
    let answer = proxy.ask(declined).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("no"), "{answer}");
    // Without `Connection: upgrade` it was not meant for us (RFC 9110 §7.8), and h2c never is (RFC 9113 §3.1).
    for upgrade in ["Upgrade: websocket", "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x"] {
        proxy.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\nConnection: close\r\n\r\n")).await;
        assert!(!origin.last_request().to_lowercase().contains("upgrade"), "{}", origin.last_request());
    }
}

#[tokio::test]
async fn a_tunnel_that_is_silent_ends_in_its_own_time() {
    let origin = Origin::start(|_, _| {
        Act::Hang("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".into())
    })
    .await;
    let mut web = backend("web", [origin.address]);
    web.timeout_tunnel = Some(SHORT);
    let proxy = Proxy::http(http_frontend(), vec![web]);
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    eventually("the server sees the end", || origin.ended.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn interim_answers_pass_and_a_server_that_says_nothing_is_helped() {
    let (listener, proxy) = by_hand().await;
    let mut client = proxy.connect().await;
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("write");
    let (mut server, _) = listener.accept().await.expect("accept");
    assert!(read_until(&mut server, "\r\n\r\n").await.contains("expect: 100-continue\r\n"));
    server
        .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        .await
        .expect("write");
    read_until(&mut client, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"ab").await.expect("write");
    read_until(&mut server, "ab").await;
    server.write_all(ok("done").as_bytes()).await.expect("write");
    read_until(&mut client, "done").await;

    client.write_all(head.as_bytes()).await.expect("write");
    read_until(&mut server, "\r\n\r\n").await;
    read_until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    // The server's own comes too late to be passed on.
    server.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.expect("write");
    client.write_all(b"ab").await.expect("write");
    read_until(&mut server, "ab").await;
    server.write_all(ok("again").as_bytes()).await.expect("write");
    assert!(read_until(&mut client, "again").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_server_that_answers_twice_is_not_asked_again() {
    let origin = Origin::start(|_, _| Act::Answer(ok("one") + &ok("two"))).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let mut client = proxy.connect().await;
    for connections in 1..=3 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        let answer = read_until(&mut client, "one").await;
        assert!(!answer.contains("two"), "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(origin.connections.load(SeqCst), connections);
    }
}
