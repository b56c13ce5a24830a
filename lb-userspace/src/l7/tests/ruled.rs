//! Rules of a configuration, as clients and servers see them.

use super::{
    model::backend,
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, eventually},
};
use crate::{
    config,
    model::{FrontendKind, HttpFrontend},
};
use tokio::io::AsyncWriteExt as _;

/// The frontend `www` of a configuration with these lines.
fn frontend(lines: &str) -> HttpFrontend {
    let text = format!(
        "[frontend.www]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n{lines}\n\
         [backend.web]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
    );
    let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(config::Format::Short)));
    match loaded.model.frontends.into_iter().next().expect("frontend").kind {
        FrontendKind::Http(http) => http,
        FrontendKind::L4(_) | FrontendKind::Tcp { .. } => panic!("http"),
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
async fn a_tarpit_holds_a_client_and_lets_go_of_one_that_leaves() {
    let origin = Origin::named("served").await;
    let mut web = backend("web", [origin.address]);
    web.timeout_connect = SHORT;
    let proxy = Proxy::http(frontend("rule = [{ if = \"{ path /trap }\", tarpit = 429 }]"), vec![web]);
    let start = tokio::time::Instant::now();
    assert!(proxy.ask_path("a", "/trap").await.starts_with("HTTP/1.1 429 "));
    assert!(start.elapsed() >= SHORT);
    let mut web = backend("web", [origin.address]);
    web.timeout_connect = SHORT * 100;
    let proxy = Proxy::http(frontend("rule = [{ if = \"{ path /trap }\", tarpit = 429 }]"), vec![web]);
    let mut client = proxy.connect().await;
    client.write_all(b"GET /trap HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    eventually("it is held", || proxy.threads.connections() == 1).await;
    drop(client);
    eventually("it is let go", || proxy.threads.connections() == 0).await;
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn the_article_sends_nine_in_ten_to_the_slow_path_when_few_servers_are_left() {
    let (fast, slow) = (Origin::start(|_, _| Act::Close(ok("fast"))).await, Origin::named("slow").await);
    let mut http = frontend("rule = [{ if = \"{ nbsrv(web) lt 2 } { rand(100) lt 90 }\", use = \"web\" }]");
    // The slow path is the second backend of the proxy under test.
    http.rules.routes[0].action = crate::model::rule::Route::Backend(1);
    let proxy = Proxy::http(http, vec![backend("web", [fast.address]), backend("wide", [slow.address])]);
    let mut taken = 0;
    for _ in 0..200 {
        taken += usize::from(proxy.ask_path("a", "/").await.ends_with("slow"));
    }
    assert!((155..200).contains(&taken), "{taken} of 200");
}
