//! What becomes of connections to servers between two requests.

use super::{
    model::{backend, http_frontend},
    origin::Origin,
    proxy::{Proxy, SHORT, eventually, read_until},
};
use crate::model::{Backend, FrontendKind, Keeping, Reuse};
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
