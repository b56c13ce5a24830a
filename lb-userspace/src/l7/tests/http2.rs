//! HTTP/2 on either side: what passes whole, and what is cut because it is a flood.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin},
    proxy::{Proxy, SHORT, eventually},
};
use crate::model::{Backend, Proto};
use bytes::Bytes;
use http::HeaderMap;
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

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A server that speaks HTTP/2 in clear text and answers as gRPC does: what came, then the status in trailers.
async fn grpc() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let (address, connections) = (listener.local_addr().expect("address"), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            counter.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        assert_eq!(request.headers()["te"], "trailers");
                        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                        let mut body = request.into_body();
                        let mut whole = Vec::new();
                        while let Some(data) = body.data().await {
                            let data = data.expect("data");
                            body.flow_control().release_capacity(data.len()).expect("capacity");
                            whole.extend_from_slice(&data);
                        }
                        let head = http::Response::builder()
                            .header("content-type", "application/grpc")
                            .body(())
                            .expect("head");
                        let mut stream = respond.send_response(head, false).expect("head");
                        stream.send_data(whole.into(), false).expect("data");
                        let trailers = [("grpc-status", "0")]
                            .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")));
                        stream.send_trailers(HeaderMap::from_iter(trailers)).expect("trailers");
                    });
                }
            });
        }
    });
    (address, connections)
}

fn http2_backend(address: SocketAddr) -> Backend {
    Backend { proto: Proto::Http2, ..backend("grpc", [address]) }
}

/// A client that speaks HTTP/2 without having agreed on it.
pub(super) async fn client(proxy: &Proxy) -> h2::client::SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(proxy.connect().await).await.expect("HTTP/2");
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    sender
}

/// What a client that speaks HTTP/2 gets for that path: status, fields, body.
pub(super) async fn ask(proxy: &Proxy, path: &str) -> (u16, HeaderMap, Vec<u8>) {
    let mut sender = client(proxy).await.ready().await.expect("ready");
    let request = http::Request::get(format!("http://a.test{path}")).body(()).expect("request");
    let (head, mut body) = sender.send_request(request, true).expect("sent").0.await.expect("a response").into_parts();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        whole.extend_from_slice(&data.expect("data"));
    }
    (head.status.as_u16(), head.headers, whole)
}

/// One call: status, body, trailers.
async fn call(sender: &h2::client::SendRequest<Bytes>, message: Vec<u8>) -> (u16, Vec<u8>, Option<HeaderMap>) {
    let mut sender = sender.clone().ready().await.expect("ready");
    let request = http::Request::post("http://a.test/grpc.health.v1.Health/Check").header("te", "trailers");
    let (response, mut stream) = sender.send_request(request.body(()).expect("request"), false).expect("sent");
    let upload = async {
        let mut message = Bytes::from(message);
        while !message.is_empty() {
            stream.reserve_capacity(message.len());
            let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.expect("open").expect("room");
            stream.send_data(message.split_to(room.min(message.len())), false).expect("data");
        }
        stream.send_data(Bytes::new(), true).expect("end");
    };
    let answer = async {
        let response = response.await.expect("response");
        let (status, mut body, mut whole) = (response.status().as_u16(), response.into_body(), Vec::new());
        while let Some(data) = body.data().await {
            let data = data.expect("data");
            body.flow_control().release_capacity(data.len()).expect("capacity");
            whole.extend_from_slice(&data);
        }
        (status, whole, body.trailers().await.expect("trailers"))
    };
    tokio::join!(upload, answer).1
}

#[tokio::test]
async fn calls_of_grpc_pass_with_their_trailers_over_one_connection_to_the_server() {
    let (address, connections) = grpc().await;
    let proxy = Proxy::http(http_frontend(), vec![http2_backend(address)]);
    let sender = client(&proxy).await;
    let large: Vec<u8> = (0..300_000_u32).map(|at| u8::try_from(at % 251).expect("small")).collect();
    for message in [b"\0\0\0\0\0".to_vec(), large] {
        let (status, body, trailers) = call(&sender, message.clone()).await;
        assert_eq!((status, body == message), (200, true));
        assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
    }
    let calls = (0..50).map(|_| call(&sender, b"many".to_vec()));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|(status, body, _)| *status == 200 && body == b"many"));
    assert_eq!(connections.load(SeqCst), 1, "one client is served by one thread");
}

#[tokio::test]
async fn a_client_of_http1_reaches_a_server_of_http2() {
    let (address, _) = grpc().await;
    let proxy = Proxy::http(http_frontend(), vec![http2_backend(address)]);
    let head = "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n";
    let answer = proxy.ask(&format!("{head}Content-Length: 2\r\n\r\nhi")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_carries_nothing_for_too_long_is_closed() {
    let (address, connections) = grpc().await;
    let mut web = http2_backend(address);
    web.servers[0].keeping.delay = SHORT;
    let proxy = Proxy::http(http_frontend(), vec![web]);
    let sender = client(&proxy).await;
    for _ in 0..2 {
        assert_eq!(call(&sender, b"hi".to_vec()).await.0, 200);
    }
    assert_eq!(connections.load(SeqCst), 1);
    let live = proxy.live.backend("grpc").expect("backend");
    eventually("it is closed", || live.servers[0].connections() == 0).await;
    assert_eq!(call(&sender, b"hi".to_vec()).await.0, 200);
    assert_eq!(connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_client_that_loses_interest_while_the_server_is_silent_lets_go_of_it() {
    let begun = || Act::Hang("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n".into());
    let origin = Origin::start(move |_, _| begun()).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let mut sender = client(&proxy).await;
    let request = http::Request::get("http://a/events").body(()).expect("request");
    let (response, stream) = sender.send_request(request, true).expect("sent");
    let mut body = response.await.expect("response").into_body();
    assert_eq!(body.data().await.expect("open").expect("data"), "data: 1\n\n");
    assert_eq!(origin.ended.load(SeqCst), 0);
    drop((body, stream));
    eventually("the server is let go", || origin.ended.load(SeqCst) == 1).await;
    assert_eq!(proxy.threads.connections(), 1);
}

#[tokio::test]
async fn a_server_that_does_not_speak_http2_is_503_in_time() {
    let origin = Origin::named("one").await;
    let mut web = http2_backend(origin.address);
    web.timeout_connect = Duration::from_millis(200);
    let proxy = Proxy::http(http_frontend(), vec![web]);
    assert!(proxy.ask_path("a", "/").await.starts_with("HTTP/1.1 50"));
}

#[tokio::test]
async fn what_http1_cannot_say_does_not_pass_from_http2() {
    let origin = Origin::named("x").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let sender = client(&proxy).await;
    let status = |request: http::request::Builder| {
        let mut sender = sender.clone();
        async move {
            let (response, _) = sender.send_request(request.body(()).expect("request"), true).expect("sent");
            response.await.map(|response| response.status().as_u16())
        }
    };
    // Another host than the authority.
    assert_eq!(status(http::Request::get("http://a.test/").header("host", "b.test")).await.expect("answer"), 400);
    assert_eq!(status(http::Request::connect("http://a.test:443")).await.expect("answer"), 405);
    // A field of one hop ends the stream.
    for (name, value) in [("transfer-encoding", "chunked"), ("connection", "close"), ("x-a", "1\r\nx-b: 2")] {
        assert!([RST_STREAM, GOAWAY].contains(&answered(&proxy, name, value).await), "{name}");
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(status(http::Request::get("http://a.test/")).await.expect("answer"), 200);
}

/// Frames by hand.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// `GET http://a/` without an end of its fields, in HPACK's static table but for the authority.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

/// The kind of the frame that a proxy answers a request with that has such a field.
async fn answered(proxy: &Proxy, name: &str, value: &str) -> u8 {
    let mut stream = proxy.connect().await;
    let string = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let head = [GET, &[0], &string(name), &string(value)].concat();
    let request = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0x5, 1, &head)].concat();
    stream.write_all(&request).await.expect("write");
    loop {
        let mut begin = [0; 9];
        stream.read_exact(&mut begin).await.expect("frame");
        let length = u32::from_be_bytes([0, begin[0], begin[1], begin[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.expect("payload");
        if begin[8] == 1 || begin[3] == GOAWAY {
            return begin[3];
        }
    }
}

/// What a flood sends in a round.
type Flood<'a> = &'a (dyn Fn(u32) -> Vec<u8> + Sync);

/// Floods a proxy with what `flood` gives by the round, until it closes or `rounds` are over. Whether it closed.
async fn is_cut(proxy: &Proxy, rounds: u32, flood: impl Fn(u32) -> Vec<u8>) -> bool {
    let mut stream = proxy.connect().await;
    stream.write_all(PREFACE).await.expect("preface");
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("settings");
    let (mut read, mut write) = stream.into_split();
    // What is answered is read: it is not by a full socket that we are stopped.
    let reader = tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await.is_ok() });
    for round in 0..rounds {
        if write.write_all(&flood(round)).await.is_err() {
            return true;
        }
    }
    // It is closed from the other side, or we are.
    timeout(Duration::from_secs(2), reader).await.is_ok()
}

#[tokio::test]
async fn floods_are_cut_while_another_client_is_served() {
    let origin = Origin::named("served").await;
    let proxy = Proxy::on_threads(
        1,
        crate::model::FrontendKind::Http(http_frontend()),
        vec![backend("web", [origin.address])],
        |_| (),
    );
    let open_and_reset = |round: u32| {
        let stream = 2 * round + 1;
        [frame(HEADERS, 0x5, stream, GET), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let endless_head = |round: u32| {
        let field = [&[0x40, 0x01, b'x', 0x7f, 0x81, 0x01][..], &[b'y'; 256]].concat();
        if round == 0 { frame(HEADERS, 0x1, 1, GET) } else { frame(CONTINUATION, 0, 1, &field) }
    };
    let empty_head = |round: u32| {
        if round == 0 { frame(HEADERS, 0x1, 1, GET) } else { frame(CONTINUATION, 0, 1, &[]) }
    };
    let floods: [(&str, u32, Flood<'_>); 5] = [
        ("resets", 20_000, &open_and_reset),
        ("a head without an end", 20_000, &endless_head),
        ("empty parts of a head", 200_000, &empty_head),
        ("pings", 200_000, &|_| frame(PING, 0, 0, &[0; 8])),
        ("settings", 200_000, &|_| frame(SETTINGS, 0, 0, &[])),
    ];
    for (name, rounds, flood) in floods {
        let flooding = is_cut(&proxy, rounds, flood);
        let asking = async {
            for _ in 0..20 {
                assert!(proxy.ask_path("a", "/").await.ends_with("served"), "beside {name}");
            }
        };
        let (cut, ()) = tokio::join!(flooding, asking);
        assert!(cut, "{name}: not cut");
    }
    eventually("nothing is left", || proxy.threads.connections() == 0).await;
}

#[tokio::test]
async fn a_begin_that_is_not_the_preface_is_read_as_http1() {
    let origin = Origin::named("x").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    assert!(proxy.ask("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await.starts_with("HTTP/1.1 505 "));
    let mut client: TcpStream = proxy.connect().await;
    // Byte by byte.
    for byte in [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat() {
        client.write_all(&[byte]).await.expect("write");
        tokio::task::yield_now().await;
    }
    let mut settings = [0; 9];
    client.read_exact(&mut settings).await.expect("settings");
    assert_eq!(settings[3], SETTINGS);
}
