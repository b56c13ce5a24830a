//! A bug that one connection meets.

use super::{
    encrypted::{connect, encrypted},
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, eventually, read_to_end, read_until},
    tls::pem,
};
use crate::{
    l7::{message::Fields, panics},
    model::FrontendKind,
};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io,
    sync::{Mutex, Once},
};
use tokio::io::AsyncWriteExt as _;

/// What no log may show.
const SECRET: &str = "hunter2";

/// The bug, which `exchange` has in tests: it panics once a server has answered so, with a message that quotes.
pub(in crate::l7) fn panic_if_told(fields: &Fields) {
    if let Some(value) = fields.get("x-panic") {
        panic!("told to panic by {:?}", String::from_utf8_lossy(value));
    }
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The errors of all tests of this process from the first call on: serving threads have no subscriber of their own.
fn log() -> String {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let errors = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_ansi(false);
        errors.with_writer(|| Log).init();
    });
    String::from_utf8(LOG.lock().expect("lock").clone()).expect("text")
}

/// A server whose answers to `/panic…` make the proxy panic.
async fn origin() -> Origin {
    let answer = |request: &str| {
        if request.starts_with("GET /panic") {
            format!("HTTP/1.1 200 OK\r\nX-Panic: {SECRET}\r\nContent-Length: 0\r\n\r\n")
        } else {
            ok("fine")
        }
    };
    Origin::start(move |_, request| Act::Answer(answer(request))).await
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {SECRET}\r\n\r\n")
}

#[tokio::test]
async fn a_panic_in_one_connection_ends_that_one_alone_and_says_nothing_of_its_request() {
    panics::log_places_only();
    log();
    let origin = origin().await;
    let kind = FrontendKind::Http(http_frontend());
    let proxy = Proxy::on_threads(1, kind, vec![backend("web", [origin.address])], |_| ());
    let mut other = proxy.connect().await;
    other.write_all(request("/").as_bytes()).await.expect("write");
    read_until(&mut other, "fine").await;

    for round in 1..=3 {
        let mut unlucky = proxy.connect().await;
        unlucky.write_all(request(&format!("/panic?password={SECRET}")).as_bytes()).await.expect("write");
        assert!(!read_to_end(&mut unlucky).await.contains("HTTP"), "closed without an answer");
        other.write_all(request("/").as_bytes()).await.expect("write");
        read_until(&mut other, "fine").await;
        eventually("only the other is open", || {
            proxy.threads.connections() == 1 && proxy.frontend_live().connections() == 1
        })
        .await;
        let server = &proxy.live.backend("web").expect("backend").servers[0];
        eventually("and its connection to the server", || server.connections() == 1).await;
        assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.opened), round + 1, "new ones are accepted");
    }

    let log = log();
    assert!(log.contains("ERROR") && log.contains("a panic ended a connection"), "{log}");
    assert!(log.contains("frontend=\"www\"") && log.contains("l7/tests/panics.rs:"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    drop(other);
    eventually("none is open", || proxy.frontend_live().connections() == 0).await;
}

#[tokio::test]
async fn a_panic_in_one_stream_of_http2_leaves_its_connection_alone() {
    let (origin, pem) = (origin().await, pem(&["a.test"]));
    let proxy = encrypted(FrontendKind::Http(http_frontend()), &origin, &[&pem]);
    let stream = connect(&proxy, &pem, "a.test", &["h2"]).await.expect("handshake");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = |path| http::Request::get(format!("https://a.test{path}")).body(Empty::<bytes::Bytes>::new());
    for _ in 0..3 {
        sender.send_request(request("/panic").expect("request")).await.expect_err("the stream is reset");
        let response = sender.send_request(request("/").expect("request")).await.expect("response");
        assert_eq!(response.into_body().collect().await.expect("body").to_bytes(), "fine");
    }
    assert_eq!(proxy.frontend_live().connections(), 1);
    drop(sender);
    connection.await.expect("task").expect("a connection that ends in order");
    eventually("none is open", || proxy.frontend_live().connections() == 0).await;
}
