//! What becomes of connections to servers between two requests.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, read_until},
};
use crate::model::{Backend, FrontendKind, Keeping, Reuse, SendProxy};
use std::sync::atomic::Ordering::SeqCst;
use tokio::io::AsyncWriteExt as _;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 1\r\n\r\nx";

async fn start(change: impl FnOnce(&mut Backend)) -> (Proxy, Origin) {
    let origin = Origin::named("served").await;
    let mut web = backend("web", [origin.address]);
    change(&mut web);
    (Proxy::on_threads(1, FrontendKind::Http(http_frontend()), vec![web], |_| ()), origin)
}

/// How many connections the server has seen after each client has sent its requests.
async fn connections<const N: usize>(reuse: Reuse, clients: [&[&str]; N]) -> [usize; N] {
    let (proxy, origin) = start(|web| web.reuse = reuse).await;
    let mut seen = [0; N];
    for (requests, seen) in clients.into_iter().zip(&mut seen) {
        let mut client = proxy.connect().await;
        for request in requests {
            client.write_all(request.as_bytes()).await.expect("write");
            read_until(&mut client, "served").await;
        }
        *seen = origin.connections.load(SeqCst);
    }
    seen
}

#[tokio::test]
async fn http_reuse_says_whose_connections_a_request_may_use() {
    let clients: [&[&str]; 4] = [&[GET], &[POST], &[GET, POST], &[POST, POST]];
    assert_eq!(connections(Reuse::Never, clients).await, [1, 2, 3, 4]);
    // Two are kept after the second client; the last client begins with what cannot be repeated.
    assert_eq!(connections(Reuse::Safe, clients).await, [1, 2, 2, 3]);
    assert_eq!(connections(Reuse::Aggressive, clients).await, [1, 2, 2, 2]);
    assert_eq!(connections(Reuse::Always, clients).await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn connections_are_kept_as_many_and_as_long_as_the_server_says() {
    let (proxy, origin) = start(|web| web.servers[0].keeping.most = 0).await;
    for _ in 0..2 {
        assert!(proxy.ask_path("a", "/").await.ends_with("served"));
    }
    eventually("none is kept", || origin.ended.load(SeqCst) == 2).await;
    let (proxy, origin) = start(|web| web.servers[0].keeping = Keeping { most: 1, delay: SHORT }).await;
    proxy.ask_path("a", "/").await;
    proxy.ask_path("a", "/").await;
    assert_eq!((origin.connections.load(SeqCst), origin.ended.load(SeqCst)), (1, 0));
    eventually("it is closed once it is too old", || origin.ended.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_connection_that_a_client_has_logged_in_on_is_no_other_clients() {
    let origin = Origin::start(|number, _| {
        let challenge =
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x, NTLM\r\nContent-Length: 2\r\n\r\nno";
        Act::Answer(if number == 0 { challenge.into() } else { ok("served") })
    });
    let origin = origin.await;
    let mut web = backend("web", [origin.address]);
    web.reuse = Reuse::Always;
    let proxy = Proxy::on_threads(1, FrontendKind::Http(http_frontend()), vec![web], |_| ());
    let mut client = proxy.connect().await;
    client.write_all(GET.as_bytes()).await.expect("write");
    read_until(&mut client, "no").await;
    for _ in 0..2 {
        client.write_all(GET.as_bytes()).await.expect("write");
        read_until(&mut client, "served").await;
    }
    assert_eq!(origin.connections.load(SeqCst), 1, "it logs in on the connection that asked for it");
    let other = proxy.ask_path("a", "/").await;
    assert!(other.starts_with("HTTP/1.1 401 "), "as the first one was: {other}");
    assert_eq!(origin.connections.load(SeqCst), 2);
    drop(client);
    eventually("its connection ends with it", || origin.ended.load(SeqCst) >= 1).await;
}

#[tokio::test]
async fn a_client_keeps_few_connections_of_its_own_and_none_that_the_server_has_closed() {
    let mut origins = Vec::new();
    for _ in 0..7 {
        origins.push(Origin::named("served").await);
    }
    let mut web = backend("web", origins.iter().map(|origin| origin.address));
    web.reuse = Reuse::Never;
    let proxy = Proxy::on_threads(1, FrontendKind::Http(http_frontend()), vec![web], |_| ());
    let mut client = proxy.connect().await;
    for _ in &origins {
        client.write_all(GET.as_bytes()).await.expect("write");
        read_until(&mut client, "served").await;
    }
    let ended = || origins.iter().map(|origin| origin.ended.load(SeqCst)).sum::<usize>();
    eventually("two of seven are closed", || ended() == 2).await;
    let connections = || proxy.live.backend("web").expect("web").servers.iter().map(|it| it.connections()).sum::<u64>();
    assert_eq!(connections(), 5);

    let fickle = Origin::start(|_, _| Act::Close(ok("served"))).await;
    let mut web = backend("web", [fickle.address]);
    web.reuse = Reuse::Never;
    let proxy = Proxy::on_threads(1, FrontendKind::Http(http_frontend()), vec![web], |_| ());
    let mut client = proxy.connect().await;
    client.write_all(GET.as_bytes()).await.expect("write");
    read_until(&mut client, "served").await;
    let live = proxy.live.backend("web").expect("web");
    eventually("what the server has closed is closed", || live.servers[0].connections() == 0).await;
}

#[tokio::test]
async fn servers_that_are_spoken_to_in_another_way_are_asked_on_other_connections() {
    let origin = Origin::named("served").await;
    let backends = vec![backend("web", [origin.address])];
    let mut proxy = Proxy::on_threads(1, FrontendKind::Http(http_frontend()), backends, |_| ());
    for connections in [1, 1] {
        assert!(proxy.ask_path("a", "/").await.ends_with("served"));
        assert_eq!(origin.connections.load(SeqCst), connections);
    }
    let mut model = (*proxy.model).clone();
    model.backends[0].send_proxy = Some(SendProxy::V1);
    proxy.reload(model);
    assert!(proxy.ask_path("a", "/").await.ends_with("served"));
    assert!(origin.last_request().starts_with("PROXY TCP4 "), "{}", origin.last_request());
}
