//! The PROXY protocol: who the client is, from a proxy before us and to servers.

use super::{
    model::{backend, http_frontend},
    origin::Origin,
    proxy::{Proxy, eventually, read_to_end, read_until},
};
use crate::model::{FrontendKind, SendProxy, TcpFrontend};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn trusting(origin: &Origin, networks: &[&str]) -> Proxy {
    let networks = networks.iter().map(|network| network.parse().expect("network")).collect();
    Proxy::with(FrontendKind::Http(http_frontend()), vec![backend("web", [origin.address])], |frontend| {
        frontend.binds[0].accept_proxy = networks;
    })
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is() {
    let origin = Origin::named("served").await;
    let proxy = trusting(&origin, &["10.0.0.0/8", "127.0.0.0/8"]);
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc6\x33\x64\x07\xc0\0\x02\x01\x0f\xa0\x00\x50\x04\0\0";
    let headers: [(&[u8], &str); 4] = [
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 4000 80\r\n", "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 80\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN and whatever else\r\n", "127.0.0.1"),
        (v2, "198.51.100.7"),
    ];
    for (header, client) in headers {
        // In one piece with the request, and byte by byte.
        for step in [usize::MAX, 1] {
            let bytes = [header, REQUEST.as_bytes()].concat();
            let mut stream = proxy.connect().await;
            for part in bytes.chunks(step.min(bytes.len())) {
                stream.write_all(part).await.expect("write");
            }
            read_until(&mut stream, "served").await;
            let request = origin.last_request();
            assert!(request.contains(&format!("x-forwarded-for: {client}\r\n")), "{request}");
        }
    }
}

#[tokio::test]
async fn a_trusted_proxy_must_say_it_and_nobody_else_can() {
    let origin = Origin::named("served").await;
    let header = "PROXY TCP4 198.51.100.7 192.0.2.1 4000 80\r\n";
    let trusted = trusting(&origin, &["127.0.0.1/32"]);
    let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
    for bad in [REQUEST, "PROXY TCP4 nobody\r\n", &long, "\r\n\r\n\0\r\nQUIT\n\x21\x11\x7f\x7f"] {
        let answer = trusted.ask(bad).await;
        assert!(answer.is_empty() || answer.starts_with('<'), "{answer}");
    }
    assert_eq!(origin.count(), 0);
    let strangers = trusting(&origin, &["192.0.2.0/24"]);
    assert!(strangers.ask(REQUEST).await.ends_with("served"));
    assert!(strangers.ask(&format!("{header}{REQUEST}")).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_server_is_told_once_a_connection_who_the_client_is_and_no_other_client_uses_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut web = backend("web", [listener.local_addr().expect("address")]);
    web.send_proxy = Some(SendProxy::V1);
    let proxy = Proxy::http(http_frontend(), vec![web]);
    for _ in 0..2 {
        let mut client = proxy.connect().await;
        let port = client.local_addr().expect("address").port();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        let (mut server, _) = listener.accept().await.expect("accept");
        let told = read_until(&mut server, "\r\n").await;
        assert_eq!(told, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", proxy.address.port()));
        for again in [false, true] {
            let head = read_until(&mut server, "\r\n\r\n").await;
            assert!(head.starts_with("GET / "), "{head}");
            server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("write");
            read_until(&mut client, "ok").await;
            if !again {
                client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
            }
        }
        drop(client);
        assert_eq!(read_to_end(&mut server).await, "", "it ends with the client");
    }
}

#[tokio::test]
async fn a_relay_passes_on_what_it_was_told_in_binary() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let mut db = backend("db", [listener.local_addr().expect("address")]);
    db.send_proxy = Some(SendProxy::V2);
    let proxy = Proxy::with(FrontendKind::Tcp(TcpFrontend::of(0)), vec![db], |frontend| {
        frontend.binds[0].accept_proxy = vec!["127.0.0.1/32".parse().expect("network")];
    });
    let mut client = proxy.connect().await;
    client.write_all(b"PROXY TCP4 198.51.100.7 192.0.2.1 4000 80\r\nquery").await.expect("write");
    let (mut server, _) = listener.accept().await.expect("accept");
    let mut header = [0; 28 + 5];
    server.read_exact(&mut header).await.expect("header");
    assert_eq!(&header, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\x0f\xa0\x00\x50query");
    drop((client, server));
    eventually("the relay ends", || proxy.threads.connections() == 0).await;
    assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.opened), 1);
}
