//! Error files in place of answers of ours, to clients of both versions of HTTP.

use super::{
    http2::client,
    model::{backend, http_frontend},
    origin::Origin,
    proxy::{Proxy, SHORT, refusing},
};
use crate::model::{
    ErrorFile, ErrorFiles, FrontendKind, HttpFrontend, Rule,
    rule::{Action, Return},
    userlist::Userlist,
};
use std::sync::Arc;

fn file(status: u16, body: &'static str) -> Arc<ErrorFile> {
    let fields = vec![(b"X-Page".to_vec(), b"own".to_vec())];
    Arc::new(ErrorFile { status, reason: b"Sorry".to_vec(), fields, body: body.into() })
}

fn files(statuses: &[u16], body: &'static str) -> ErrorFiles {
    statuses.iter().map(|status| (*status, Some(file(*status, body)))).collect()
}

/// Status, `X-Page` and body of what is answered to a client that speaks HTTP/2.
async fn over_http2(proxy: &Proxy, request: http::Request<()>) -> (u16, Option<String>, String) {
    let mut sender = client(proxy).await.ready().await.expect("ready");
    let (response, _stream) = sender.send_request(request, true).expect("sent");
    let response = response.await.expect("response");
    let page = response.headers().get("x-page").map(|value| value.to_str().expect("text").to_owned());
    let (status, mut body, mut whole) = (response.status().as_u16(), response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        whole.extend_from_slice(&data.expect("data"));
    }
    (status, page, String::from_utf8(whole).expect("text"))
}

fn always(action: Action) -> Rule<Action> {
    Rule { condition: None, action }
}

#[tokio::test]
async fn that_of_the_backend_goes_before_that_of_the_frontend_once_it_was_chosen() {
    let mut web = backend("web", [refusing()]);
    web.pressure.retry.retries = 0;
    let own = (file(503, "<p>of the frontend</p>"), file(503, "<p>of the backend</p>"));
    for (of_backend, nowhere, expected) in [
        (true, false, "<p>of the backend</p>"),
        (false, false, "<p>of the frontend</p>"),
        (true, true, "<p>of the frontend</p>"),
    ] {
        let mut web = web.clone();
        if of_backend {
            web.errors = ErrorFiles::from([(503, Some(Arc::clone(&own.1)))]);
        }
        let http = HttpFrontend { default_backend: (!nowhere).then_some(0), ..http_frontend() };
        let proxy = Proxy::with(FrontendKind::Http(http), vec![web], |frontend| {
            frontend.errors = ErrorFiles::from([(503, Some(Arc::clone(&own.0)))]);
        });
        let answer = proxy.ask_path("a", "/").await;
        assert!(answer.starts_with("HTTP/1.1 503 Sorry\r\n"), "{answer}");
        assert!(answer.contains("\r\nx-page: own\r\n") && answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
        assert!(answer.contains(&format!("\r\ncontent-length: {}\r\n", expected.len())), "{answer}");
        let head = proxy.ask("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", expected.len())), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "no body for HEAD: {head}");
        let request = http::Request::get("http://a/").body(()).expect("request");
        assert_eq!(over_http2(&proxy, request).await, (503, Some("own".to_owned()), expected.to_owned()));
    }
}

#[tokio::test]
async fn answers_of_rules_have_the_frontends_and_those_that_rules_write_themselves_are_left_alone() {
    let origin = Origin::named("served").await;
    let userlist = Arc::new(Userlist { name: "staff".into(), users: vec![] });
    let returned = Return { status: 403, content_type: Some("text/plain".into()), body: "returned".into() };
    for (action, status, body) in [
        (Action::Deny(403), "403 Sorry", "page"),
        (Action::Tarpit(429), "429 Sorry", "page"),
        (Action::Auth { realm: "x".into(), userlist }, "401 Sorry", "page"),
        (Action::Return(returned), "403 Forbidden", "returned"),
    ] {
        let mut http = http_frontend();
        let asks = matches!(action, Action::Auth { .. });
        http.rules.request = vec![always(action)];
        let mut web = backend("web", [origin.address]);
        web.timeout_connect = SHORT;
        web.errors = files(&[401, 403, 429], "not this one");
        let proxy = Proxy::with(FrontendKind::Http(http), vec![web], |frontend| {
            frontend.errors = files(&[401, 403, 429], "page");
        });
        let answer = proxy.ask_path("a", "/").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")) && answer.ends_with(body), "{answer}");
        assert_eq!(answer.contains("\r\nwww-authenticate: Basic realm=\"x\"\r\n"), asks, "{answer}");
    }
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn what_is_no_request_or_comes_late_has_them_too_or_no_answer_at_all() {
    let origin = Origin::named("served").await;
    let http = HttpFrontend { timeout_request: SHORT, ..http_frontend() };
    let proxy = Proxy::with(FrontendKind::Http(http.clone()), vec![backend("web", [origin.address])], |frontend| {
        frontend.errors = files(&[400, 408], "page");
    });
    let bad = proxy.ask("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(bad, "HTTP/1.1 400 Sorry\r\nx-page: own\r\nconnection: close\r\ncontent-length: 4\r\n\r\npage");
    let late = proxy.ask("GET / HT").await;
    assert!(late.starts_with("HTTP/1.1 408 Sorry\r\n") && late.ends_with("\r\n\r\npage"), "{late}");
    let request = http::Request::get("http://a/").header("host", "b").body(()).expect("request");
    assert_eq!(over_http2(&proxy, request).await, (400, Some("own".to_owned()), "page".to_owned()));

    let proxy = Proxy::with(FrontendKind::Http(http), vec![backend("web", [refusing()])], |frontend| {
        frontend.errors = [408, 503].map(|status| (status, None)).into();
    });
    assert_eq!(proxy.ask("").await, "", "408 without a word");
    assert_eq!(proxy.ask_path("a", "/").await, "", "503 without a word");
    let counts = &proxy.frontend_live().counts;
    assert_eq!(counts.sum(|counts| &counts.responses.of_4xx), 1);
    assert_eq!(counts.sum(|counts| &counts.responses.of_5xx), 1);
}
