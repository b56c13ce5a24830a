//! Memory is short: clients wait, and those that have nothing under way are sent away.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, read_to_end, read_until},
};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn idle_clients_go_busy_ones_finish_and_new_ones_wait_until_there_is_memory_again() {
    let act = |_: usize, head: &str| {
        if head.contains("/slow") { Act::Later(SHORT * 4, ok("slow")) } else { Act::Answer(ok("fast")) }
    };
    let origin = Origin::start(act).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let (mut idle, mut silent, mut busy) = (proxy.connect().await, proxy.connect().await, proxy.connect().await);
    idle.write_all(REQUEST).await.unwrap();
    read_until(&mut idle, "fast").await;
    busy.write_all(SLOW).await.unwrap();
    eventually("the slow request is under way", || origin.requests.lock().unwrap().len() == 2).await;

    proxy.threads.press(true);
    assert_eq!(read_to_end(&mut idle).await, "", "it had nothing under way");
    assert_eq!(read_to_end(&mut silent).await, "", "nor had this one");
    eventually("connections that nobody uses are closed", || origin.ended.load(SeqCst) >= 1).await;
    let mut waits = proxy.connect().await;
    waits.write_all(REQUEST).await.unwrap();
    assert!(read_until(&mut busy, "slow").await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_to_end(&mut busy).await, "", "then it has nothing under way any more");
    timeout(SHORT, waits.read_u8()).await.expect_err("it waits in the socket");

    proxy.threads.press(false);
    assert!(read_until(&mut waits, "fast").await.starts_with("HTTP/1.1 200"));
    waits.write_all(REQUEST).await.unwrap();
    read_until(&mut waits, "fast").await;
    timeout(Duration::from_secs(1), waits.read_u8()).await.expect_err("it is kept");
}
