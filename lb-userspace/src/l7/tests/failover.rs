//! What becomes of traffic as a backend loses servers.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, read_to_end, read_until, refusing},
};
use crate::{
    model::{Backend, Failover, FrontendKind, OnEmpty, TcpFrontend},
    servers::Available,
};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// An origin that says its name, or for `/slow` the beginning of it only.
async fn origin(name: &'static str) -> SocketAddr {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let answer =
        move |_, request: &str| Act::Answer(if request.starts_with("GET /slow ") { half.to_owned() } else { ok(name) });
    Origin::start(answer).await.address
}

/// Whether nothing more comes, not even the end.
async fn still_open(client: &mut TcpStream) -> bool {
    timeout(SHORT, client.read_u8()).await.is_err()
}

/// How a connection ends, of which the client may not even hear that it began.
async fn end(proxy: &Proxy) -> String {
    match TcpStream::connect(proxy.address).await {
        Ok(mut client) => read_to_end(&mut client).await,
        Err(error) => format!("<{:?}>", error.kind()),
    }
}

fn failing(name: &str, addresses: impl IntoIterator<Item = SocketAddr>, failover: Failover) -> Backend {
    Backend { failover, ..backend(name, addresses) }
}

fn publish(proxy: &Proxy, backend: &str, servers: &[(usize, u16)]) {
    proxy.live.backend(backend).expect("a backend").publish(Available::new(servers.iter().copied()));
}

#[tokio::test]
async fn a_fallback_takes_what_comes_while_a_backend_has_no_server() {
    let failover = |fallback| Failover { fallback: Some(fallback), ..Failover::default() };
    let backends = vec![
        failing("web", [origin("web").await], failover(1)),
        failing("spare", [origin("spare").await], failover(2)),
        failing("last", [origin("last").await], Failover::default()),
    ];
    for tcp in [false, true] {
        let kind = if tcp { FrontendKind::Tcp(TcpFrontend::of(0)) } else { FrontendKind::Http(http_frontend()) };
        let proxy = Proxy::with(kind, backends.clone(), |_| ());
        let mut answers = Vec::new();
        for out in ["", "web", "spare", "last"] {
            if !out.is_empty() {
                publish(&proxy, out, &[]);
            }
            let answer = proxy.ask_once(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            answers.push(answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned());
        }
        let last = if tcp {
            ""
        } else {
            "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
        };
        assert_eq!(answers, ["web", "spare", "last", last], "tcp: {tcp}");
        publish(&proxy, "web", &[(0, 1)]);
        assert!(proxy.ask_once(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.ends_with("web"), "once it is back");
    }
}

#[tokio::test]
async fn a_client_of_a_relay_without_server_is_reset_if_so_said() {
    for (on_empty, expected) in [(OnEmpty::Error, ""), (OnEmpty::Reset, "<ConnectionReset>")] {
        let backend = failing("db", [refusing()], Failover { on_empty, ..Failover::default() });
        let proxy = Proxy::with(FrontendKind::Tcp(TcpFrontend::of(0)), vec![backend], |_| ());
        assert_eq!(end(&proxy).await, expected, "it is refused");
        publish(&proxy, "db", &[]);
        assert_eq!(end(&proxy).await, expected, "there is none");
    }
}

#[tokio::test]
async fn connections_to_a_server_are_cut_if_so_said_and_go_on_otherwise() {
    for cut_down in [true, false] {
        for tcp in [false, true] {
            let kind = if tcp { FrontendKind::Tcp(TcpFrontend::of(0)) } else { FrontendKind::Http(http_frontend()) };
            let addresses = [origin("a").await, origin("b").await];
            let web = failing("web", addresses, Failover { cut_down, ..Failover::default() });
            let proxy = Proxy::with(kind, vec![web], |_| ());
            let mut clients = [proxy.connect().await, proxy.connect().await];
            for client in &mut clients {
                client.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("write");
                read_until(client, "half").await;
            }
            // Each has its own server, in turns.
            proxy.live.backend("web").expect("a backend").servers[0].cut();
            let [first, second] = &mut clients;
            let mut open = [still_open(first).await, still_open(second).await];
            open.sort_unstable();
            assert_eq!(open, [!cut_down, true], "tcp: {tcp}");
        }
    }
}
