//! Frontends of several ports, and servers that are reached at the one that the client connected to.

use super::{
    logged::Lines,
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, read_to_end, read_until},
};
use crate::{
    l7::bind,
    model::{
        FrontendKind, Ports, TcpFrontend,
        log::{Format, Item, Logging},
    },
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::Ordering::SeqCst,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

/// Where the servers are; the proxy is at the same ports of 127.0.0.1.
const SERVERS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A proxy on a range of two ports, with one thread, and of the one server of its backend, which has no port, who is there
/// behind each of them.
struct Pair {
    proxy: Proxy,
    second: SocketAddr,
    servers: [Origin; 2],
}

impl Pair {
    async fn new(kind: FrontendKind, log: Logging) -> Self {
        let (sockets, servers) = loop {
            if let Ok(found) = adjacent().await {
                break found;
            }
        };
        let [first, second] = [&sockets[0], &sockets[1]].map(|sockets| sockets[0].local_addr().expect("address"));
        let mut names = ["first", "second"].into_iter();
        let servers = servers.map(|listener| {
            let name = names.next().expect("a name");
            Origin::on(listener, move |_, _| Act::Answer(ok(name)))
        });
        // Where nobody is: what the model says of the port of such a server is for checks.
        let mut web = backend("web", [(SERVERS, 1).into()]);
        web.servers[0].keeps_port = true;
        let proxy = Proxy::on(sockets, kind, vec![web], |frontend| {
            frontend.binds[0].ports = Ports::Range(first.port(), second.port());
            frontend.log = log;
        });
        Self { proxy, second, servers }
    }

    async fn connect(&self, second: bool) -> TcpStream {
        let address = if second { self.second } else { self.proxy.address };
        TcpStream::connect(address).await.expect("connect")
    }

    fn connections(&self) -> [usize; 2] {
        [0, 1].map(|index: usize| self.servers[index].connections.load(SeqCst))
    }
}

/// Sockets of the proxy and of the servers at two ports that follow each other. Fails where somebody else has one.
async fn adjacent() -> io::Result<(Vec<Vec<std::net::TcpListener>>, [TcpListener; 2])> {
    let first = TcpListener::bind((SERVERS, 0)).await?;
    let port = first.local_addr()?.port();
    let next = port.checked_add(1).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let second = TcpListener::bind((SERVERS, next)).await?;
    let sockets = [port, next].into_iter().map(|port| bind((Ipv4Addr::LOCALHOST, port).into(), 1));
    Ok((sockets.collect::<io::Result<_>>()?, [first, second]))
}

#[tokio::test]
async fn a_server_without_a_port_is_reached_at_that_of_the_client_and_kept_connections_are_not_mixed_up() {
    let lines = Lines::new().await;
    let mut log = lines.logging("http");
    log.targets[0].format = Format::Items(Item::parse("%fp] %si:%sp").expect("a format"));
    let pair = Pair::new(FrontendKind::Http(http_frontend()), log).await;
    let mut clients = [pair.connect(false).await, pair.connect(true).await];
    for _ in 0..3 {
        for ((client, name), server) in clients.iter_mut().zip(["first", "second"]).zip(&pair.servers) {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
            let answer = read_until(client, name).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert_eq!(lines.next().await, server.address.to_string());
        }
    }
    assert_eq!(pair.connections(), [1, 1], "one connection a port, kept");
}

#[tokio::test]
async fn a_relay_goes_to_the_port_that_the_client_connected_to() {
    let pair = Pair::new(FrontendKind::Tcp(TcpFrontend::of(0)), Logging::default()).await;
    for (second, name) in [(false, "first"), (true, "second")] {
        let mut client = pair.connect(second).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        client.shutdown().await.expect("shutdown");
        assert!(read_to_end(&mut client).await.ends_with(name));
    }
}

#[tokio::test]
async fn a_proxy_before_us_says_which_port_that_was() {
    let mut pair = Pair::new(FrontendKind::Tcp(TcpFrontend::of(0)), Logging::default()).await;
    let mut model = (*pair.proxy.model).clone();
    model.frontends[0].binds[0].accept_proxy = vec!["127.0.0.1/32".parse().expect("network")];
    pair.proxy.reload(model);
    let mut client = pair.connect(false).await;
    let header = format!("PROXY TCP4 198.51.100.7 192.0.2.1 4000 {}\r\n", pair.second.port());
    client.write_all(format!("{header}GET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.expect("write");
    client.shutdown().await.expect("shutdown");
    assert!(read_to_end(&mut client).await.ends_with("second"));
}
