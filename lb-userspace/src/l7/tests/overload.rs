//! The example `overload.toml` under load and without: nine in ten go the slow way, the rest wait.

use super::{
    origin::{Act, Origin, ok},
    proxy::{Proxy, eventually},
};
use crate::{
    config,
    model::{Limits, Model},
    servers::Available,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::path::Path;
use tokio::io::AsyncWriteExt as _;

/// Places at each fast server: few, so that few clients fill them.
const MAXCONN: u32 = 3;

/// The model of the example, with these servers, and with less room.
fn example(fast: &Origin, slow: &Origin, maintenance: &Origin) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/overload.toml");
    let loaded = config::load(&config::collect(&path).expect("readable")).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let mut model = loaded.model;
    for backend in &mut model.backends {
        for server in &mut backend.servers {
            server.address = match server.name.as_str() {
                "maintenance" => maintenance.address,
                "slow1" => slow.address,
                _ => fast.address,
            };
            if server.limits.maxconn > 0 {
                server.limits = Limits { maxconn: MAXCONN, ..server.limits };
            }
        }
    }
    model
}

async fn origins() -> [Origin; 3] {
    let fast = |_, request: &str| {
        if request.starts_with("GET /hold") { Act::Hang(String::new()) } else { Act::Close(ok("fast")) }
    };
    [Origin::start(fast).await, Origin::named("slow").await, Origin::named("maintenance").await]
}

#[tokio::test]
async fn nine_in_ten_go_the_slow_way_while_somebody_queues_and_the_rest_wait() {
    let [fast, slow, maintenance] = origins().await;
    let proxy = Proxy::of(2, example(&fast, &slow, &maintenance));
    for _ in 0..100 {
        assert!(proxy.ask_path("a", "/").await.ends_with("fast"), "without load nobody goes the slow way");
    }
    assert_eq!(slow.count(), 0);

    // All places are taken, and one request waits for one.
    let mut holders = Vec::new();
    let fast_be = proxy.live.backend("fast_be").expect("backend");
    for held in 1..=2 * MAXCONN as usize {
        let mut holder = proxy.connect().await;
        holder.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        holders.push(holder);
        eventually("it is held", || fast_be.load() == held).await;
    }
    let mut first = proxy.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    eventually("it queues", || fast_be.gate.waiting() == 1).await;

    eventually("all that are held have arrived", || fast.count() == 100 + 2 * MAXCONN as usize).await;
    let (clients, served) = (500, fast.count());
    let mut answers: FuturesUnordered<_> = (0..clients).map(|_| proxy.ask_path("a", "/")).collect();
    let arrived = |slow: usize| fast_be.gate.waiting() - 1 + slow == clients;
    let mut slowly = 0;
    while !arrived(slowly) {
        let answer = answers.next().await.expect("an answer");
        assert!(answer.ends_with("slow"), "{answer}");
        slowly += 1;
    }
    // The mean of the binomial distribution is 450, its standard deviation 6.7.
    assert!((416..=484).contains(&slowly), "{slowly} of {clients}");
    assert_eq!(fast.count(), served, "the others wait");

    // The load goes, and who has waited is served the fast way.
    drop(holders);
    while let Some(answer) = answers.next().await {
        assert!(answer.ends_with("fast"), "{answer}");
    }
    drop(first);
    eventually("nobody queues", || fast_be.load() == 0).await;
    assert!(proxy.ask_path("a", "/").await.ends_with("fast"));
}

#[tokio::test]
async fn without_fast_servers_there_is_a_maintenance_page_and_without_that_a_file() {
    let [fast, slow, maintenance] = origins().await;
    let proxy = Proxy::of(2, example(&fast, &slow, &maintenance));
    let fast_be = proxy.live.backend("fast_be").expect("backend");
    assert!(proxy.ask_path("a", "/alive").await.starts_with("HTTP/1.1 200 "));
    fast_be.publish(Available::new([(2, 1)]));
    assert!(proxy.ask_path("a", "/").await.ends_with("maintenance"));
    fast_be.publish(Available::default());
    let sorry = proxy.ask_path("a", "/").await;
    assert!(sorry.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{sorry}");
    assert!(sorry.contains("\r\nretry-after: 10\r\n") && sorry.contains("<h1>Back in a moment</h1>"), "{sorry}");
    let alive = proxy.ask_path("a", "/alive").await;
    assert!(alive.starts_with("HTTP/1.1 503 "), "{alive}");
}
