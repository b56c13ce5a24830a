//! Rules about requests and responses, as clients and servers see them.

use super::{
    http2,
    logged::Lines,
    model::backend,
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually, read_until},
};
use crate::{
    config,
    model::{FrontendKind, HttpFrontend, Model, Rules},
};
use tokio::io::AsyncWriteExt as _;

/// The frontend `www` of a configuration with these lines.
fn frontend(lines: &str) -> HttpFrontend {
    both(lines, "").0
}

/// The frontend `www` and the rules of its backend, of a configuration with these lines.
fn both(frontend: &str, backend: &str) -> (HttpFrontend, Rules) {
    let text = format!(
        "[frontend.www]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n{frontend}\n\
         [backend.web]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n{backend}\n"
    );
    let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(config::Format::Short)));
    let Model { frontends, backends, .. } = loaded.model;
    match frontends.into_iter().next().expect("frontend").kind {
        FrontendKind::Http(http) => (http, backends.into_iter().next().expect("backend").rules),
        FrontendKind::L4(_) | FrontendKind::Tcp(_) => panic!("http"),
    }
}

#[tokio::test]
async fn rules_answer_before_any_server_is_asked() {
    let origin = Origin::named("served").await;
    let http = frontend(
        r#"
acl.admin = "path_beg /admin"
acl.inside = "src 10.0.0.0/8"
monitor_uri = "/alive"
monitor_fail = "{ nbsrv(web) lt 1 }"
rule = [
  { if = "admin !inside", deny = 403 },
  { if = "{ path /old }", redirect = { location = "/new?%[query]", code = 301 } },
  { if = "{ path /robots.txt }", return = { status = 200, content_type = "text/plain", string = "Disallow: /" } },
]
"#,
    );
    let proxy = Proxy::http(http, vec![backend("web", [origin.address])]);
    let denied = proxy.ask_path("a", "/admin/x").await;
    assert!(denied.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{denied}");
    assert!(denied.ends_with("Request forbidden by administrative rules.\n</body></html>\n"), "{denied}");
    let moved = proxy.ask_path("a", "/old?a=1").await;
    assert!(moved.starts_with("HTTP/1.1 301 ") && moved.contains("location: /new?a=1\r\n"), "{moved}");
    let robots = proxy.ask_path("a", "/robots.txt").await;
    assert!(robots.contains("content-type: text/plain\r\n") && robots.ends_with("Disallow: /"), "{robots}");
    let head = proxy.ask("HEAD /robots.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("content-length: 11\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(proxy.ask_path("a", "/alive").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(origin.count(), 0);
    assert!(proxy.ask_path("a", "/").await.ends_with("served"));
    proxy.live.backend("web").expect("backend").publish(crate::servers::Available::default());
    assert!(proxy.ask_path("a", "/alive").await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn rules_change_what_a_server_sees() {
    let origin = Origin::named("served").await;
    let http = frontend(
        r#"
rule = [
  { set_header = { name = "X-Host", value = "%[hdr(host),lower]" } },
  { del_header = "x-secret" },
  { if = "{ path_beg /api/ }", set_path = "/v2%[path]" },
]
"#,
    );
    let proxy = Proxy::http(http, vec![backend("web", [origin.address])]);
    proxy
        .ask("GET /api/x?y=1 HTTP/1.1\r\nHost: A.Test\r\nX-Secret: 1\r\nX-Host: forged\r\nConnection: close\r\n\r\n")
        .await;
    let seen = origin.last_request();
    assert!(seen.starts_with("GET /v2/api/x?y=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("\r\nx-host: a.test\r\n") && !seen.contains("secret") && !seen.contains("forged"), "{seen}");
}

#[tokio::test]
async fn rules_of_a_backend_come_after_those_of_the_frontend() {
    let origin = Origin::named("served").await;
    let (http, rules) = both(
        r#"rule = [{ set_header = { name = "X-Way", value = "frontend" } }, { set_var = { name = "txn.who", value = "hdr(x-user)" } }]"#,
        r#"
acl.guest = "var(txn.who) -m str guest"
rule = [
  { add_header = { name = "X-Way", value = "backend %[nbsrv]" } },
  { if = "guest { path_beg /private/ }", deny = 404 },
]
"#,
    );
    let mut web = backend("web", [origin.address]);
    web.rules = rules;
    let proxy = Proxy::http(http, vec![web]);
    let ask = |user: &str| format!("GET /private/x HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\nConnection: close\r\n\r\n");
    let refused = proxy.ask(&ask("guest")).await;
    assert!(refused.starts_with("HTTP/1.1 404 Not Found\r\n"), "{refused}");
    assert_eq!((origin.count(), proxy.frontend_live().counts.sum(|counts| &counts.denied_requests)), (0, 1));
    assert!(proxy.ask(&ask("owner")).await.ends_with("served"));
    let seen = origin.last_request();
    assert!(seen.contains("\r\nx-way: frontend\r\n") && seen.contains("\r\nx-way: backend 1\r\n"), "{seen}");
}

#[tokio::test]
async fn rules_change_what_a_client_sees() {
    let origin = Origin::start(|_, _| {
        Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nServer: secret\r\nX-List: a, b\r\n\r\nbody".into())
    });
    let origin = origin.await;
    let (http, rules) = both(
        r#"
rule = [
  { set_var = { name = "txn.path", value = "path" } },
  { on = "response", set_header = { name = "X-Last", value = "frontend after %[res.hdr(x-last)]" } },
  { on = "response", del_header = "server" },
  { on = "response", if = "{ var(txn.path) -m str /gone }", set_status = 410 },
]
"#,
        r#"
rule = [
  { on = "response", set_header = { name = "X-Last", value = "backend of %[var(txn.path)]" } },
  { on = "response", replace_value = { name = "x-list", match = "^b$", with = "c" } },
  { on = "response", if = "{ status 200 } { var(txn.path) -m str /leak }", deny = 502 },
  { on = "response", if = "{ var(txn.path) -m str /moved }", redirect = { location = "/new" } },
]
"#,
    );
    let mut web = backend("web", [origin.address]);
    web.rules = rules;
    let proxy = Proxy::http(http, vec![web]);
    let answer = proxy.ask_path("a", "/x").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nbody"), "{answer}");
    assert!(answer.contains("\r\nx-last: frontend after backend of /x\r\n"), "{answer}");
    assert!(answer.contains("\r\nx-list: a, c\r\n") && !answer.contains("secret"), "{answer}");
    let gone = proxy.ask_path("a", "/gone").await;
    assert!(gone.starts_with("HTTP/1.1 410 Gone\r\n") && gone.ends_with("body"), "{gone}");
    let leak = proxy.ask_path("a", "/leak").await;
    assert!(leak.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && !leak.contains("secret"), "{leak}");
    let moved = proxy.ask_path("a", "/moved").await;
    assert!(moved.starts_with("HTTP/1.1 302 Found\r\n") && moved.contains("\r\nlocation: /new\r\n"), "{moved}");
    let counts = &proxy.frontend_live().counts;
    assert_eq!(counts.sum(|counts| &counts.denied_responses), 1);
    assert_eq!((counts.sum(|counts| &counts.responses.of_2xx), counts.sum(|counts| &counts.responses.of_5xx)), (1, 1));
}

/// Rules of responses that say in whose place what comes.
const INSTEAD: &str = r#"
rule = [
  { on = "response", if = "{ status 200 } { res.hdr(x-do) -m str deny }", deny = 502 },
  { on = "response", if = "{ res.hdr(x-do) -m str move }", redirect = { location = "/new" } },
  { on = "response", if = "{ res.hdr(x-do) -m str say }", return = { status = 404, content_type = "text/plain", string = "gone" } },
]
"#;

#[tokio::test]
async fn a_client_stays_whose_server_was_answered_for_and_only_refusals_count_as_such() {
    let origin = Origin::start(|_, request| {
        let what = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        Act::Answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Do: {what}\r\n\r\nbody"))
    })
    .await;
    let mut web = backend("web", [origin.address]);
    web.rules = both("", INSTEAD).1;
    let lines = Lines::new().await;
    let kind = FrontendKind::Http(frontend(""));
    let proxy = Proxy::with(kind, vec![web], |frontend| frontend.log = lines.logging("http"));
    let mut client = proxy.connect().await;
    let denied = "</body></html>\n";
    let cases = [
        ("move", "302", "LH--", "\r\n\r\n", 0),
        ("say", "404", "LH--", "gone", 0),
        ("deny", "502", "PH--", denied, 1),
        ("pass", "200", "----", "body", 1),
    ];
    for (path, status, letters, end, count) in cases {
        // With a body, which the server reads as well.
        let ask = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        client.write_all(ask.as_bytes()).await.expect("write");
        let answer = read_until(&mut client, end).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && !answer.contains("close"), "{path}: {answer}");
        let line = lines.next().await;
        let told: Vec<_> = line.split(' ').collect();
        assert_eq!((told[3], told[7]), (status, letters), "{line}");
        assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.denied_responses), count, "{path}");
    }
}

#[tokio::test]
async fn what_rules_set_never_breaks_http2() {
    let origin = Origin::named("served").await;
    let http = frontend(
        r#"
rule = [
  { set_header = { name = "TE", value = "gzip" } },
  { set_header = { name = "Upgrade", value = "h2c" } },
  { on = "response", set_header = { name = "Keep-Alive", value = "timeout=5" } },
  { on = "response", set_header = { name = "Proxy-Connection", value = "keep-alive" } },
  { on = "response", set_header = { name = "Upgrade", value = "h3" } },
  { on = "response", set_header = { name = "TE", value = "gzip" } },
  { on = "response", set_header = { name = "X-Last", value = "1" } },
]
"#,
    );
    let proxy = Proxy::http(http, vec![backend("web", [origin.address])]);
    let (status, fields, body) = http2::ask(&proxy, "/").await;
    assert_eq!((status, body.as_slice()), (200, &b"served"[..]));
    assert!(fields.contains_key("x-last") && !fields.contains_key("keep-alive") && !fields.contains_key("te"));
}

#[tokio::test]
async fn a_status_without_a_body_has_none_whoever_asks() {
    let origin = Origin::named("served").await;
    let http = frontend(
        r#"
rule = [
  { if = "{ path /said }", return = { status = 204 } },
  { on = "response", set_status = 204 },
]
"#,
    );
    let proxy = Proxy::http(http, vec![backend("web", [origin.address])]);
    for path in ["/", "/said"] {
        let (status, fields, body) = http2::ask(&proxy, path).await;
        assert_eq!((status, fields.get("content-length"), body.len()), (204, None, 0), "{path}");
        let answer = proxy.ask_path("a", path).await;
        assert!(answer.starts_with("HTTP/1.1 204 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
    }
}

#[tokio::test]
async fn a_tarpit_holds_a_client_and_lets_go_of_one_that_leaves() {
    let origin = Origin::named("served").await;
    let mut web = backend("web", [origin.address]);
    web.timeout_connect = SHORT;
    let proxy = Proxy::http(frontend("rule = [{ if = \"{ path /trap }\", tarpit = 429 }]"), vec![web]);
    let start = tokio::time::Instant::now();
    assert!(proxy.ask_path("a", "/trap").await.starts_with("HTTP/1.1 429 "));
    assert!(start.elapsed() >= SHORT);
    let lines = "timeout_tarpit = \"20s\"\nrule = [{ if = \"{ path /trap }\", tarpit = 429 }]";
    let mut web = backend("web", [origin.address]);
    web.timeout_connect = SHORT;
    let proxy = Proxy::http(frontend(lines), vec![web]);
    let mut client = proxy.connect().await;
    client.write_all(b"GET /trap HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    eventually("it is held", || proxy.threads.connections() == 1).await;
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(proxy.threads.connections(), 1);
    drop(client);
    eventually("it is let go", || proxy.threads.connections() == 0).await;
    let ended = || proxy.frontend_live().counts.sum(|counts| &counts.responses.of_4xx);
    let (before, mut sender) = (ended(), http2::client(&proxy).await);
    let request = http::Request::get("http://a/trap").body(()).expect("request");
    let asked = sender.send_request(request, true).expect("sent");
    tokio::time::sleep(SHORT).await;
    assert_eq!(ended(), before);
    drop(asked);
    eventually("its request is let go", || ended() == before + 1).await;
    assert_eq!((origin.count(), proxy.threads.connections()), (0, 1));
}

#[tokio::test]
async fn a_backend_has_in_hand_what_is_served_and_what_waits_and_no_idle_connections() {
    let origin =
        Origin::start(
            |_, request| {
                if request.contains("/slow") { Act::Hang(String::new()) } else { Act::Answer(ok("served")) }
            },
        );
    let origin = origin.await;
    for limit in ["", ", maxconn = 1"] {
        let text = format!(
            "[frontend.www]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n\
             rule = [{{ if = \"{{ path /load }}\", redirect = {{ location = \"/%[be_conn(web)]/%[srv_conn(web/s)]\" }} }}]\n\
             [backend.web]\nserver = [{{ name = \"s\", address = \"{}\"{limit} }}]\n",
            origin.address
        );
        let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(config::Format::Short)));
        let proxy = Proxy::of(2, loaded.model);
        let load = async |expected: &str| {
            let answer = proxy.ask_path("a", "/load").await;
            assert!(answer.contains(&format!("\r\nlocation: {expected}\r\n")), "{expected}{limit}: {answer}");
        };
        assert!(proxy.ask_path("a", "/").await.ends_with("served"));
        assert_eq!(proxy.live.backend("web").expect("backend").servers[0].connections(), 1, "it is kept");
        load("/0/0").await;
        let mut clients = Vec::new();
        for expected in if limit.is_empty() { ["/1/1", "/2/2"] } else { ["/1/1", "/2/1"] } {
            let mut client = proxy.connect().await;
            client.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
            let open = clients.len() + 1;
            eventually("it has come", || proxy.live.backend("web").expect("backend").load() == open).await;
            load(expected).await;
            clients.push(client);
        }
        drop(clients);
        eventually("nothing is left", || proxy.live.backend("web").expect("backend").load() == 0).await;
        load("/0/0").await;
    }
}

#[tokio::test]
async fn the_article_sends_nine_in_ten_to_the_slow_path_when_few_servers_are_left() {
    let (fast, slow) = (Origin::start(|_, _| Act::Close(ok("fast"))).await, Origin::named("slow").await);
    let mut http = frontend("rule = [{ if = \"{ nbsrv(web) lt 2 } { rand(100) lt 90 }\", use = \"web\" }]");
    // The slow path is the second backend of the proxy under test.
    http.routes[0].action = crate::model::rule::Route::Backend(1);
    let proxy = Proxy::http(http, vec![backend("web", [fast.address]), backend("wide", [slow.address])]);
    let mut taken = 0;
    for _ in 0..200 {
        taken += usize::from(proxy.ask_path("a", "/").await.ends_with("slow"));
    }
    assert!((155..200).contains(&taken), "{taken} of 200");
}
