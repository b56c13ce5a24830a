//! Malformed messages, as bytes: what must not get through.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin},
    proxy::{Proxy, SHORT, eventually, read_to_end, read_until},
};
use crate::model::HttpFrontend;
use std::fmt::Write as _;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn requests_of_two_readings_never_reach_a_server() {
    let origin = Origin::named("reached").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "405"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "422"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "400"),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", "400"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", "400"),
    ];
    for (request, status) in cases {
        let answer = proxy.ask(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?} got {answer:?}");
    }
    assert_eq!(origin.count(), 0);
    let counts = &proxy.frontend_live().counts;
    let expected = cases.len() as u64;
    eventually("each is counted", || counts.sum(|counts| &counts.request_errors) == expected).await;
    assert_eq!(counts.sum(|counts| &counts.responses.of_4xx), expected);
}

#[tokio::test]
async fn a_length_beside_chunks_is_dropped_and_the_connection_ends() {
    let origin = Origin::named("ok").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let answer = proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let request = origin.last_request();
    assert!(!request.contains("content-length") && request.contains("transfer-encoding: chunked\r\n"), "{request}");
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn headers_have_limits() {
    let origin = Origin::named("ok").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let many = |count: usize| {
        let lines = (0..count).fold(String::new(), |mut lines, number| {
            write!(lines, "X-{number}: 1\r\n").expect("text");
            lines
        });
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n")
    };
    assert!(proxy.ask(&many(99)).await.starts_with("HTTP/1.1 200 "));
    assert!(proxy.ask(&many(100)).await.starts_with("HTTP/1.1 431 "));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024));
    assert!(proxy.ask(&large).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn answers_that_are_not_http_become_502() {
    let answers = [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX",
        "",
    ];
    for bytes in answers {
        let origin = Origin::start(move |_, _| Act::Close(bytes.into())).await;
        let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
        let answer = proxy.ask_path("a", "/").await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{bytes:?} became {answer:?}");
        assert!(answer.ends_with("<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>\n"));
        let server = &proxy.live.backend("web").expect("backend").servers[0];
        assert_eq!(server.counts.sum(|counts| &counts.response_errors), 1, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_bad_chunk_of_a_request_is_not_passed_on() {
    let origin = Origin::start(|_, _| Act::Hang(String::new())).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let answer =
        proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(), "{answer}");
}

#[tokio::test]
async fn late_headers_are_told_408_and_an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::named("ok").await;
    let http = HttpFrontend { timeout_request: SHORT, timeout_keep_alive: SHORT * 2, ..http_frontend() };
    let proxy = Proxy::http(http, vec![backend("web", [origin.address])]);
    assert!(proxy.ask("GET / HT").await.starts_with("HTTP/1.1 408 Request Time-out\r\n"));
    assert!(proxy.ask("").await.starts_with("HTTP/1.1 408 "));

    // Bytes that trickle do not help.
    let mut client = proxy.connect().await;
    let (mut reader, mut writer) = client.split();
    let trickle = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 5).await;
        }
    };
    let mut answer = vec![0; 12];
    tokio::select! {
        () = trickle => panic!("closed without an answer"),
        read = tokio::io::AsyncReadExt::read_exact(&mut reader, &mut answer) => { read.expect("read"); }
    }
    assert_eq!(answer, b"HTTP/1.1 408");

    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_until(&mut client, "ok").await;
    tokio::time::sleep(SHORT * 3 / 2).await;
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("still open: only the keep-alive time counts now");
    read_until(&mut client, "ok").await;
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.request_errors), 3);
}

#[tokio::test]
async fn a_client_that_stops_reading_or_sending_is_let_go() {
    let origin = Origin::start(|_, request| {
        if request.starts_with("GET") {
            Act::Answer(super::origin::ok(&"x".repeat(30_000_000)))
        } else {
            Act::Hang(String::new())
        }
    })
    .await;
    let proxy = Proxy::with(
        crate::model::FrontendKind::Http(http_frontend()),
        vec![backend("web", [origin.address])],
        |frontend| {
            frontend.timeout_client = SHORT;
        },
    );
    let mut reads_nothing = proxy.connect().await;
    reads_nothing.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    let mut sends_half = proxy.connect().await;
    sends_half.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx").await.expect("write");
    // Not those that are open: on a busy machine the first may be gone before the second is here.
    eventually("both were here", || proxy.frontend_live().counts.sum(|counts| &counts.opened) == 2).await;
    eventually("both are gone", || proxy.threads.connections() == 0).await;
    eventually("the server too", || proxy.live.backend("web").expect("backend").servers[0].connections() == 0).await;
}
