//! TLS of clients, and HTTP/2 in it.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually},
    tls::{connector, pem},
};
use crate::model::{Certificate, FrontendKind, HttpFrontend, Secret, TcpFrontend};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time,
};
use tokio_rustls::client::TlsStream;

pub(super) fn encrypted(kind: FrontendKind, origin: &Origin, pems: &[&str]) -> Proxy {
    let certificates =
        pems.iter().map(|pem| Certificate { path: "test.pem".into(), pem: Secret::new(*pem), staple: None }).collect();
    Proxy::with(kind, vec![backend("web", [origin.address])], |frontend| {
        frontend.binds[0].certificates = certificates;
    })
}

pub(super) async fn connect(
    proxy: &Proxy,
    trusted: &str,
    name: &'static str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = name.try_into().expect("name");
    connector(trusted, protocols).connect(name, proxy.connect().await).await
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an end with close_notify");
    answer
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_servers_learn_that_it_was_https() {
    let origin = Origin::named("secret").await;
    let (first, second) = (pem(&["first.test"]), pem(&["*.second.test"]));
    let proxy = encrypted(FrontendKind::Http(http_frontend()), &origin, &[&first, &second]);
    for (trusted, name) in [(&first, "first.test"), (&second, "www.second.test")] {
        let mut stream = connect(&proxy, trusted, name, &["http/1.1"]).await.expect("handshake");
        let suite = stream.get_ref().1.negotiated_cipher_suite().expect("suite").suite();
        assert_eq!(format!("{suite:?}"), "TLS13_AES_128_GCM_SHA256");
        assert!(ask(&mut stream).await.ends_with("secret"));
    }
    assert!(origin.last_request().contains("\r\nx-forwarded-proto: https\r\n"), "{}", origin.last_request());
    assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.tls_errors), 0);
    connect(&proxy, &second, "first.test", &[]).await.expect_err("the first certificate is not the second");
    assert!(!proxy.ask("GET / HTTP/1.1\r\n\r\n").await.starts_with("HTTP"), "clear text is not answered");
    eventually("both failures are counted", || proxy.frontend_live().counts.sum(|counts| &counts.tls_errors) == 2)
        .await;
}

#[tokio::test]
async fn http2_streams_share_a_connection_and_become_requests_of_http1() {
    let origin =
        Origin::start(|_, request| Act::Later(Duration::from_millis(50), ok(request.split(' ').nth(1).expect("path"))))
            .await;
    let pem = pem(&["a.test"]);
    let proxy = encrypted(FrontendKind::Http(http_frontend()), &origin, &[&pem]);
    let stream = connect(&proxy, &pem, "a.test", &["h2", "http/1.1"]).await.expect("handshake");
    let (sender, connection) =
        http2::handshake::<_, _, Full<bytes::Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let ask = |path: &'static str| {
        let mut sender = sender.clone();
        async move {
            let request =
                http::Request::post(format!("https://a.test{path}")).header("cookie", "a=1").header("cookie", "b=2");
            let response = sender
                .send_request(request.body(Full::<bytes::Bytes>::from("body")).expect("request"))
                .await
                .expect("response");
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.expect("body").to_bytes()
        }
    };
    let (one, two, three) = tokio::join!(ask("/one"), ask("/two"), ask("/three"));
    assert_eq!([&one[..], &two[..], &three[..]], [b"/one", b"/two".as_slice(), b"/three"]);
    let request = origin.last_request();
    assert!(
        request.contains("\r\nhost: a.test\r\n")
            && request.contains("\r\ncookie: a=1; b=2\r\n")
            && request.ends_with("\r\n\r\nbody"),
        "{request}"
    );
    assert_eq!(proxy.threads.connections(), 1);
}

#[tokio::test]
async fn a_client_that_offers_only_other_protocols_is_served_as_if_it_had_offered_none() {
    let origin = Origin::named("served").await;
    let pem = pem(&["a.test"]);
    let proxy = encrypted(FrontendKind::Http(http_frontend()), &origin, &[&pem]);
    let cases: [(&[&str], Option<&[u8]>); 4] = [
        (&[], None),
        (&["http/1.0", "acme"], None),
        (&["acme", "http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"h2")),
    ];
    for (offered, agreed) in cases {
        let mut stream = connect(&proxy, &pem, "a.test", offered).await.expect("handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        if agreed != Some(b"h2") {
            assert!(ask(&mut stream).await.ends_with("served"), "{offered:?}");
        }
    }
    assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.tls_errors), 0);
}

/// Asks three times with pauses, on a connection of HTTP/2 that may also ping; then waits for its end.
async fn ask_with_pauses(pings: Option<Duration>) -> hyper::Result<()> {
    let origin = Origin::named("x").await;
    let pem = pem(&["a.test"]);
    let certificates = vec![Certificate { path: "test.pem".into(), pem: Secret::new(pem.clone()), staple: None }];
    let (timeout_request, timeout_keep_alive) = (SHORT, SHORT * 4);
    let http = HttpFrontend { timeout_request, timeout_keep_alive, ..http_frontend() };
    let kind = FrontendKind::Http(http);
    let proxy = Proxy::with(kind, vec![backend("web", [origin.address])], |frontend| {
        frontend.binds[0].certificates = certificates;
    });
    let stream = connect(&proxy, &pem, "a.test", &["h2"]).await.expect("handshake");
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(pings).keep_alive_while_idle(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("https://a.test/").body(Empty::<bytes::Bytes>::new());
        let response = sender.send_request(request.expect("request")).await.expect("response");
        assert_eq!(response.into_body().collect().await.expect("body").to_bytes(), "x");
        time::sleep(SHORT * 2).await;
    }
    if pings.is_some() {
        drop(sender);
    }
    connection.await.expect("task")
}

#[tokio::test]
async fn http2_that_is_idle_is_closed_in_order_after_the_keep_alive_time() {
    ask_with_pauses(None).await.expect("a connection that ends in order");
}

#[tokio::test]
async fn a_ping_of_http2_is_not_the_begin_of_a_late_request() {
    ask_with_pauses(Some(SHORT / 3)).await.expect("a connection that ends in order");
}

#[tokio::test]
async fn a_drain_ends_http2_after_its_streams() {
    let origin = Origin::start(|_, _| Act::Later(Duration::from_millis(300), ok("late"))).await;
    let pem = pem(&["a.test"]);
    let proxy = encrypted(FrontendKind::Http(http_frontend()), &origin, &[&pem]);
    let stream = connect(&proxy, &pem, "a.test", &["h2"]).await.expect("handshake");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::get("https://a.test/").body(Empty::<bytes::Bytes>::new()).expect("request");
    let answer = tokio::spawn(sender.send_request(request));
    eventually("it runs", || origin.count() == 1).await;
    assert_eq!(proxy.threads.drain(Duration::from_secs(5)).await, 0);
    assert_eq!(answer.await.expect("task").expect("response").status(), 200);
    connection.await.expect("task").expect("a connection that ends in order");
}

#[tokio::test]
async fn a_relay_decrypts_too() {
    let origin = Origin::named("plain").await;
    let pem = pem(&["a.test"]);
    let proxy = encrypted(FrontendKind::Tcp(TcpFrontend::of(0)), &origin, &[&pem]);
    // The server keeps its connection: the client ends first, and the relay ends both in order.
    let mut stream = connect(&proxy, &pem, "a.test", &["whatever"]).await.expect("no protocol is demanded");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    stream.shutdown().await.expect("shutdown");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an end with close_notify");
    assert_eq!(answer, ok("plain"));
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go_whatever_it_speaks() {
    let origin = Origin::start(|_, _| Act::Answer(ok(&"x".repeat(30_000_000)))).await;
    let pem = pem(&["a.test"]);
    let certificates = vec![Certificate { path: "test.pem".into(), pem: Secret::new(pem.clone()), staple: None }];
    let kind = FrontendKind::Http(HttpFrontend { timeout_keep_alive: SHORT, ..http_frontend() });
    let proxy = Proxy::with(kind, vec![backend("web", [origin.address])], |frontend| {
        frontend.binds[0].certificates = certificates;
        frontend.timeout_client = SHORT;
    });
    let mut http1 = connect(&proxy, &pem, "a.test", &["http/1.1"]).await.expect("handshake");
    http1.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    eventually("it is served", || origin.count() == 1).await;
    eventually("it is gone", || proxy.threads.connections() == 0).await;

    // A client of HTTP/2 that reads the connection but opens no window for the stream: that is reset, and the connection then
    // is idle.
    let stream = connect(&proxy, &pem, "a.test", &["h2"]).await.expect("handshake");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::get("https://a.test/").body(Empty::<bytes::Bytes>::new());
    let response = sender.send_request(request.expect("request")).await.expect("response");
    eventually("it is gone", || proxy.threads.connections() == 0).await;
    response.into_body().collect().await.expect_err("cut off");
    eventually("the server too", || proxy.live.backend("web").expect("backend").servers[0].connections() == 0).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let origin = Origin::named("x").await;
    let proxy = encrypted(FrontendKind::Http(http_frontend()), &origin, &[]);
    let mut model = (*proxy.model).clone();
    model.frontends[0].binds[0].certificates =
        vec![Certificate { path: "/etc/broken.pem".into(), pem: Secret::new("broken"), staple: None }];
    let live = std::sync::Arc::clone(&proxy.live);
    let error = crate::l7::Snapshot::new(std::sync::Arc::new(model), live).expect_err("broken");
    assert_eq!(error.to_string(), "certificate /etc/broken.pem: no certificate in the file");
}
