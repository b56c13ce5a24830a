//! Full servers, queues, and what is tried again.

use super::{
    model::{backend, cookie, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, refusing},
};
use crate::{
    model::{Backend, Balance, Cookie, FrontendKind, RetryOn, TcpFrontend, cookie::CookieMode},
    servers::{Available, BackendLive},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::io::AsyncWriteExt as _;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn limited(origin: &Origin, maxconn: u32) -> Backend {
    let mut web = backend("web", [origin.address]);
    web.servers[0].limits.maxconn = maxconn;
    web
}

fn live(proxy: &Proxy) -> &Arc<BackendLive> {
    proxy.live.backend("web").expect("backend")
}

#[tokio::test]
async fn a_full_server_gets_no_more_than_it_takes_and_who_waits_is_served_in_turn() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
    let origin = Origin::start(move |_, _| {
        peak.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        running.fetch_sub(1, SeqCst);
        Act::Answer(ok("served"))
    });
    let origin = origin.await;
    let proxy = Proxy::http(http_frontend(), vec![limited(&origin, 2)]);
    let asks = (0..40).map(|_| proxy.ask_path("a", "/"));
    let answers = futures_util::future::join_all(asks).await;
    assert!(answers.iter().all(|answer| answer.ends_with("served")));
    assert!(most.load(SeqCst) <= 2, "{}", most.load(SeqCst));
    assert_eq!(live(&proxy).load(), 0);
}

#[tokio::test]
async fn who_waits_for_too_long_is_503_and_who_leaves_takes_no_place() {
    let origin =
        Origin::start(
            |_, request| {
                if request.contains("/slow") { Act::Hang(String::new()) } else { Act::Answer(ok("served")) }
            },
        )
        .await;
    let mut web = limited(&origin, 1);
    web.pressure.timeout_queue = Some(SHORT);
    let proxy = Proxy::http(http_frontend(), vec![web]);
    let mut holder = proxy.connect().await;
    holder.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    eventually("it has the place", || origin.count() == 1).await;
    let start = tokio::time::Instant::now();
    assert!(proxy.ask_path("a", "/").await.starts_with("HTTP/1.1 503 "));
    assert!(start.elapsed() >= SHORT, "it has waited");
    let mut leaver = proxy.connect().await;
    leaver.write_all(REQUEST).await.expect("write");
    eventually("it waits", || live(&proxy).gate.waiting() == 1).await;
    drop(leaver);
    eventually("its wait is given up", || live(&proxy).gate.waiting() == 0).await;
    drop(holder);
    eventually("the place is free", || live(&proxy).load() == 0).await;
    assert!(proxy.ask_path("a", "/").await.ends_with("served"));
}

#[tokio::test]
async fn a_client_of_http2_that_leaves_takes_no_place_either() {
    let origin = Origin::start(|_, _| Act::Hang(String::new())).await;
    let proxy = Proxy::http(http_frontend(), vec![limited(&origin, 1)]);
    let mut holder = proxy.connect().await;
    holder.write_all(REQUEST).await.expect("write");
    eventually("it has the place", || origin.count() == 1).await;
    for closes in [false, true] {
        let (mut sender, connection) = h2::client::handshake(proxy.connect().await).await.expect("HTTP/2");
        let connection = tokio::spawn(async move { connection.await.unwrap_or_default() });
        let request = http::Request::get("http://a/").body(()).expect("request");
        let asked = sender.send_request(request, true).expect("sent");
        eventually("it waits", || live(&proxy).gate.waiting() == 1).await;
        if closes {
            connection.abort();
        } else {
            drop(asked);
        }
        eventually("its wait is given up", || live(&proxy).gate.waiting() == 0).await;
        assert_eq!(connection.is_finished(), closes);
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn places_are_all_free_again_after_many_that_were_broken_off() {
    let origin = Origin::start(|_, _| Act::Later(Duration::from_millis(1), ok("served"))).await;
    let proxy = Proxy::http(http_frontend(), vec![limited(&origin, 3)]);
    for round in 0..20 {
        let mut clients = Vec::new();
        for number in 0..50 {
            let mut client = proxy.connect().await;
            client.write_all(REQUEST).await.expect("write");
            if (round + number) % 3 == 0 {
                tokio::task::yield_now().await;
            }
            clients.push(client);
        }
        drop(clients);
    }
    eventually("all places are free", || live(&proxy).load() == 0).await;
    assert!(proxy.ask_path("a", "/").await.ends_with("served"));
}

#[tokio::test]
async fn the_least_loaded_server_takes_the_next_connection() {
    let hang = || Origin::start(|_, _| Act::Hang(String::new()));
    let (one, two) = (hang().await, hang().await);
    let mut web = backend("web", [one.address, two.address]);
    web.balance = Balance::LeastConn;
    let proxy = Proxy::with(FrontendKind::Tcp(TcpFrontend::of(0)), vec![web], |_| ());
    let mut clients = Vec::new();
    for total in 1..=8 {
        let mut client = proxy.connect().await;
        client.write_all(REQUEST).await.expect("write");
        clients.push(client);
        eventually("it has arrived", || one.count() + two.count() == total).await;
    }
    assert_eq!((one.count(), two.count()), (4, 4));
    drop(clients);
    eventually("all are gone", || live(&proxy).load() == 0).await;
}

#[tokio::test]
async fn what_may_be_tried_again_goes_to_another_server() {
    let cases: [(RetryOn, &str); 3] = [
        (RetryOn::EmptyResponse, ""),
        (RetryOn::JunkResponse, "junk\r\n\r\n"),
        (RetryOn::Status(503), "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
    ];
    for (failure, answer) in cases {
        let (bad, good) = (Origin::start(move |_, _| Act::Close(answer.into())).await, Origin::named("good").await);
        let addresses = [refusing(), bad.address, good.address];
        for retries in [true, false] {
            let mut web = backend("web", addresses);
            if retries {
                web.pressure.retry.on = BTreeSet::from([RetryOn::ConnFailure, failure]);
            }
            let proxy = Proxy::http(http_frontend(), vec![web]);
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.push(proxy.ask_path("a", "/").await);
            }
            let good = answers.iter().filter(|answer| answer.ends_with("good")).count();
            assert_eq!(good == 3, retries, "{failure:?}: {answers:?}");
        }
    }
}

#[tokio::test]
async fn what_no_other_server_may_be_asked_about_is_handed_on() {
    let cases = [
        (RetryOn::Status(503), "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 503 Busy\r\n"),
        (RetryOn::Status(404), "HTTP/1.1 404 Nope\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 404 Nope\r\n"),
        (RetryOn::EmptyResponse, "", "HTTP/1.1 502 "),
        (RetryOn::JunkResponse, "junk\r\n\r\n", "HTTP/1.1 502 "),
    ];
    for (failure, answer, expected) in cases {
        let bad = || Origin::start(move |_, _| Act::Close(answer.into()));
        let (one, other) = (bad().await, bad().await);
        // No attempt is left; or no server is, of one, or of two.
        for (retries, servers) in [(0, 1), (3, 1), (3, 2)] {
            let mut web = backend("web", [one.address, other.address].into_iter().take(servers));
            web.pressure.retry.on = BTreeSet::from([RetryOn::ConnFailure, failure]);
            web.pressure.retry.retries = retries;
            let before = one.count() + other.count();
            let proxy = Proxy::http(http_frontend(), vec![web]);
            let answered = proxy.ask_path("a", "/").await;
            assert!(answered.starts_with(expected), "{failure:?}, {retries} retries: {answered}");
            assert_eq!(answered.ends_with("\r\n\r\nno"), answer.ends_with("no"), "{answered}");
            assert_eq!(one.count() + other.count() - before, servers, "each is asked once");
            let redispatches = live(&proxy).servers.iter().map(|live| live.counts.sum(|counts| &counts.redispatches));
            assert_eq!(redispatches.sum::<u64>(), servers as u64 - 1);
        }
    }
}

#[tokio::test]
async fn whoever_tries_again_waits_for_another_server_and_has_the_status_of_the_first_if_that_goes() {
    let nope = || Act::Answer("HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n".into());
    let (full, bad) = (Origin::start(|_, _| Act::Hang(String::new())).await, Origin::start(move |_, _| nope()).await);
    let mut web = backend("web", [full.address, bad.address]);
    web.balance = Balance::First;
    web.servers.iter_mut().for_each(|server| server.limits.maxconn = 1);
    web.pressure.retry.on = BTreeSet::from([RetryOn::Status(404)]);
    let proxy = Proxy::http(http_frontend(), vec![web]);
    let mut holder = proxy.connect().await;
    holder.write_all(REQUEST).await.expect("write");
    eventually("it has the place", || full.count() == 1).await;
    let going = async {
        eventually("it waits", || live(&proxy).gate.waiting() == 1).await;
        live(&proxy).publish(Available::new([(1, 1)]));
    };
    let (answer, ()) = tokio::join!(proxy.ask_path("a", "/"), going);
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert_eq!((full.count(), bad.count()), (1, 1));
    let counts = &proxy.frontend_live().counts;
    assert_eq!(counts.sum(|counts| &counts.request_errors), 0, "the request was right");
}

#[tokio::test]
async fn a_cookie_binds_a_client_to_its_server_until_that_fails() {
    let (one, two) = (Origin::named("one").await, Origin::named("two").await);
    let mut web = backend("web", [one.address, two.address]);
    web.cookie = Some(Cookie { indirect: true, nocache: true, ..cookie(CookieMode::Insert) });
    for (server, value) in web.servers.iter_mut().zip(["a", "b"]) {
        server.cookie = Some(value.into());
    }
    let proxy = Proxy::http(http_frontend(), vec![web.clone()]);
    let request =
        |cookie: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=1; {cookie}\r\nConnection: close\r\n\r\n");
    let first = proxy.ask(&request("y=2")).await;
    let (bound, name, origin) = if first.ends_with("one") { ("SRV=a", "one", &one) } else { ("SRV=b", "two", &two) };
    assert!(first.contains(&format!("set-cookie: {bound}; path=/\r\n")), "{first}");
    assert!(first.contains("cache-control: private\r\n"), "{first}");
    for _ in 0..4 {
        let again = proxy.ask(&request(bound)).await;
        assert!(again.ends_with(name) && !again.contains("set-cookie"), "{again}");
    }
    assert!(origin.last_request().contains("\r\ncookie: x=1\r\n"), "{}", origin.last_request());
    // Its server refuses: another one takes the client over.
    let failed = usize::from(name == "two");
    web.servers[failed].address = refusing();
    let proxy = Proxy::http(http_frontend(), vec![web]);
    let moved = proxy.ask(&request(bound)).await;
    assert!(!moved.ends_with(name) && moved.contains("set-cookie: SRV="), "{moved}");
    assert_eq!(live(&proxy).servers[failed].counts.sum(|counts| &counts.redispatches), 1);
}
