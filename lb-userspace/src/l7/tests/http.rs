//! Requests: where they go, what servers and clients see, and what happens when a server does not do its part.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, read_to_end, read_until, refusing},
};
use crate::{
    model::{HttpFrontend, Rule, rule::Route},
    servers::Available,
};
use std::sync::{Arc, atomic::Ordering::SeqCst};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn rules_choose_the_backend_and_no_backend_is_503() {
    let (api, www) = (Origin::named("api").await, Origin::named("www").await);
    let condition = crate::l7::acl::tests::condition(&[], "{ hdr(host) -i api.test }");
    let routes = vec![Rule { condition: Some(condition), action: Route::Backend(0) }];
    let backends = vec![backend("api", [api.address]), backend("www", [www.address])];
    let mut proxy = Proxy::http(HttpFrontend { routes, default_backend: Some(1), ..http_frontend() }, backends);
    assert!(proxy.ask_path("API.test", "/").await.ends_with("\r\n\r\napi"));
    assert!(proxy.ask_path("other.test", "/").await.ends_with("\r\n\r\nwww"));

    let mut model = (*proxy.model).clone();
    let crate::model::FrontendKind::Http(http) = &mut model.frontends[0].kind else { panic!("http") };
    http.default_backend = None;
    proxy.reload(model);
    let answer = proxy.ask_path("other.test", "/").await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    let expected = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n";
    assert!(
        answer.ends_with(expected)
            && answer.contains("content-length: 107\r\n")
            && answer.contains("cache-control: no-cache\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn servers_see_the_client_and_the_host_but_nothing_of_the_hop() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let request = "GET http://a.test:80/x?y=1 HTTP/1.1\r\nHost: A.test\r\nX-Forwarded-For: 9.9.9.9\r\nX-Drop: 1\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nConnection: close, X-Drop, X-Forwarded-For, Upgrade, HTTP2-Settings\r\n\r\n";
    proxy.ask(request).await;
    let mut lines: Vec<_> = origin.last_request().lines().map(str::to_string).collect();
    assert_eq!(lines.remove(0), "GET /x?y=1 HTTP/1.1");
    lines.sort_unstable();
    assert_eq!(lines, ["", "host: A.test", "x-forwarded-for: 9.9.9.9, 127.0.0.1", "x-forwarded-proto: http"]);
}

#[tokio::test]
async fn connections_to_servers_are_kept_and_a_closed_one_does_not_fail_a_request() {
    let origin =
        Origin::start(|number, _| if number == 1 { Act::Close(String::new()) } else { Act::Answer(ok("hello")) }).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let mut client = proxy.connect().await;
    for expected_connections in [1, 2, 3] {
        // The second request on each connection meets a server that closes instead of answering.
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
        let answer = read_until(&mut client, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(origin.connections.load(SeqCst), expected_connections);
    }
    // What is not idempotent may have been done: it is not sent again.
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await.expect("write");
    let answer = read_until(&mut client, "</html>\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(origin.connections.load(SeqCst), 3);
    let counts = proxy.frontend_live().counts.sum(|counts| &counts.responses.of_2xx);
    assert_eq!((counts, proxy.frontend_live().counts.sum(|counts| &counts.responses.of_5xx)), (3, 1));
    let totals = proxy.live.backend("web").expect("backend").totals();
    assert_eq!(totals.responses, [0, 3, 0, 0, 0, 0], "an answer of ours is not the server's");
    assert_eq!(totals.response_errors, 1);
}

#[tokio::test]
async fn a_kept_connection_serves_the_next_client() {
    let origin = Origin::named("x").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    for _ in 0..20 {
        assert!(proxy.ask_path("a", "/").await.ends_with('x'));
    }
    // At most one a thread.
    assert!(origin.connections.load(SeqCst) <= 2, "{}", origin.connections.load(SeqCst));
    let server = &proxy.live.backend("web").expect("backend").servers[0];
    assert_eq!(server.counts.sum(|counts| &counts.total), 20);
    assert_eq!(server.connections(), origin.connections.load(SeqCst) as u64);
}

#[tokio::test]
async fn a_refused_server_is_skipped_at_once_and_counted() {
    let origin = Origin::named("alive").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [refusing(), origin.address])]);
    let start = tokio::time::Instant::now();
    for _ in 0..6 {
        assert!(proxy.ask_path("a", "/").await.ends_with("alive"));
    }
    assert!(start.elapsed().as_millis() < 1000, "no waiting between tries");
    let errors = proxy.live.backend("web").expect("backend").servers[0].counts.sum(|counts| &counts.connect_errors);
    assert!((1..=6).contains(&errors), "{errors}");
}

#[tokio::test]
async fn a_body_follows_the_request_to_the_server_that_takes_it() {
    let origin = Origin::named("alive").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [refusing(), refusing(), origin.address])]);
    for _ in 0..3 {
        let answer =
            proxy.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345").await;
        assert!(answer.ends_with("alive"), "{answer}");
        assert!(origin.last_request().ends_with("\r\n\r\n12345"), "{}", origin.last_request());
    }
}

#[tokio::test]
async fn no_server_that_connects_or_none_available_is_503() {
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [refusing(), refusing()])]);
    assert!(proxy.ask_path("a", "/").await.starts_with("HTTP/1.1 503 "));
    let live = proxy.live.backend("web").expect("backend");
    live.available.store(Arc::new(Available::default()));
    assert!(proxy.ask_path("a", "/").await.starts_with("HTTP/1.1 503 "));
    assert_eq!(live.no_server.0.value(), 1);
}

#[tokio::test]
async fn a_silent_server_is_504_and_a_silent_body_is_cut() {
    let origin = Origin::start(|_, request| {
        Act::Hang(if request.starts_with("GET /body") {
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()
        } else {
            String::new()
        })
    })
    .await;
    let mut web = backend("web", [origin.address]);
    web.timeout_server = SHORT;
    let proxy = Proxy::http(http_frontend(), vec![web]);
    let answer = proxy.ask_path("a", "/").await;
    assert!(answer.starts_with("HTTP/1.1 504 Gateway Time-out\r\n"), "{answer}");
    assert!(
        answer.ends_with("<h1>504 Gateway Time-out</h1>\nThe server didn't respond in time.\n</body></html>\n"),
        "{answer}"
    );
    let answer = proxy.ask_path("a", "/body").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\n\r\nhalf"), "{answer}");
    eventually("the connections to the server are closed", || origin.ended.load(SeqCst) == 2).await;
}

#[tokio::test]
async fn a_slow_client_is_not_the_servers_fault() {
    let origin = Origin::named("done").await;
    let mut web = backend("web", [origin.address]);
    web.timeout_server = SHORT;
    let proxy = Proxy::http(http_frontend(), vec![web]);
    let mut client = proxy.connect().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n1")
        .await
        .expect("write");
    tokio::time::sleep(SHORT * 3).await;
    client.write_all(b"2").await.expect("write");
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_their_order() {
    let origin = Origin::start(|_, request| Act::Answer(ok(request.split(' ').nth(1).expect("path")))).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let requests = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                    GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = proxy.ask(requests).await;
    let bodies: Vec<_> = answer.split("HTTP/1.1 200 OK\r\n").skip(1).map(|it| it.rsplit('\n').next()).collect();
    assert_eq!(bodies, [Some("/1"), Some("/2"), Some("/3")], "{answer}");
    assert_eq!(origin.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_continue() {
    let origin = Origin::named("done").await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let mut client = proxy.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("write");
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"body").await.expect("write");
    assert!(read_to_end(&mut client).await.ends_with("done"));
    assert!(origin.last_request().ends_with("\r\n\r\nbody"));
}

#[tokio::test]
async fn bodies_of_any_framing_come_through_whole() {
    let origin = Origin::start(|_, request| match request.split(' ').nth(1) {
        Some("/chunked") => Act::Answer(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n".into(),
        ),
        Some("/close") => Act::Close("HTTP/1.1 200 OK\r\n\r\nto the end".into()),
        Some("/head") => Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".into()),
        Some("/both") => Act::Answer(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into(),
        ),
        _ => Act::Answer("HTTP/1.1 204 No Content\r\n\r\n".into()),
    })
    .await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let answer = proxy.ask_path("a", "/chunked").await;
    assert!(
        answer.contains("transfer-encoding: chunked\r\n") && answer.ends_with("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"),
        "{answer}"
    );
    assert!(proxy.ask_path("a", "/close").await.contains("to the end"));
    let answer = proxy.ask_path("a", "/both").await;
    assert!(!answer.contains("content-length") && answer.contains("3\r\nabc\r\n0\r\n\r\n"), "{answer}");
    let answer = proxy.ask_path("a", "/none").await;
    assert!(
        answer.starts_with("HTTP/1.1 204 ") && answer.ends_with("\r\n\r\n") && !answer.contains("content-length"),
        "{answer}"
    );
    let answer = proxy.ask("HEAD /head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("content-length: 1234\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = proxy.ask("HEAD /chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(!answer.contains("content-length: 0"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_at_the_server() {
    let origin = Origin::start(|_, request| {
        Act::Hang(if request.starts_with("GET /body") {
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()
        } else {
            String::new()
        })
    })
    .await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    for (number, path) in [(1, "/"), (2, "/body")] {
        let mut client = proxy.connect().await;
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.expect("write");
        eventually("the request arrives", || origin.count() == number).await;
        drop(client);
        eventually("the server sees the end", || origin.ended.load(SeqCst) == number).await;
    }
    eventually("nothing is left", || proxy.threads.connections() == 0).await;
    assert_eq!(proxy.live.backend("web").expect("backend").servers[0].connections(), 0);
}

#[tokio::test]
async fn a_reload_reaches_connections_that_are_kept() {
    let (old, new) = (Origin::named("old").await, Origin::named("new").await);
    let mut proxy = Proxy::http(http_frontend(), vec![backend("web", [old.address])]);
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_until(&mut client, "old").await;

    let mut model = (*proxy.model).clone();
    model.backends[0].servers[0].address = new.address;
    proxy.reload(model.clone());
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    read_until(&mut client, "new").await;

    // Its frontend is gone: the last configuration that had it serves one more request, and then it ends.
    model.frontends.clear();
    proxy.reload(model);
    eventually("the listeners are closed", || std::net::TcpStream::connect(proxy.address).is_err()).await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    let answer = read_to_end(&mut client).await;
    assert!(answer.ends_with("new") && answer.contains("connection: close\r\n"), "{answer}");
}
