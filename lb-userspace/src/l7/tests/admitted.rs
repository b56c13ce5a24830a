//! Rules about connections, and about what they begin with.

use super::{
    model::backend,
    origin::Origin,
    proxy::{Proxy, SHORT, read_to_end},
    tls::{certificate, connector, hello, pem},
};
use crate::{
    config,
    model::{Frontend, FrontendKind},
};
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The frontend of a configuration with these lines and the backends `a` and `b`, of which `a` is the default.
fn frontend(mode: &str, lines: &str) -> Frontend {
    let text = format!(
        "[frontend.www]\nmode = \"{mode}\"\nbind = \"*:443\"\ndefault_backend = \"a\"\n{lines}\n\
         [backend.a]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n\
         [backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
    );
    let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(config::Format::Short)));
    loaded.model.frontends.into_iter().next().expect("frontend")
}

fn proxy(mode: &str, lines: &str, [a, b]: [SocketAddr; 2], change: impl FnOnce(&mut Frontend)) -> Proxy {
    let Frontend { kind, admission, .. } = frontend(mode, lines);
    Proxy::with(kind, vec![backend("a", [a]), backend("b", [b])], |frontend| {
        frontend.admission = admission;
        change(frontend);
    })
}

/// A server that says its name and then what it has heard.
async fn parrot(name: &'static str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await.expect("write");
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).await.expect("read");
                stream.write_all(&heard).await.expect("write");
            });
        }
    });
    address
}

async fn say(proxy: &Proxy, parts: &[&[u8]]) -> Vec<u8> {
    let mut client = proxy.connect().await;
    for part in parts {
        client.write_all(part).await.expect("write");
        tokio::time::sleep(SHORT / 10).await;
    }
    client.shutdown().await.expect("shutdown");
    let mut answer = Vec::new();
    // A connection that is closed with bytes unread is reset.
    client.read_to_end(&mut answer).await.unwrap_or_default();
    answer
}

#[tokio::test]
async fn tls_is_passed_through_by_its_name_however_it_is_cut() {
    let rules = r#"
rule = [
  { unless = "{ req.ssl_hello_type 1 } or { req.payload(0,4) -m bin 53534820 }", reject = true },
  { if = "{ req.ssl_sni -i B.example.com }", use = "b" },
  { if = "{ req.ssl_alpn acme-tls/1 }", use = "b" },
]
"#;
    let proxy = proxy("tcp", rules, [parrot("a").await, parrot("b").await], |_| ());
    let to_b = hello(Some("b.example.com"), None);
    let (first, rest) = to_b.split_at(7);
    let (second, third) = rest.split_at(90);
    for parts in [&[&to_b[..]][..], &[first, second, third]] {
        let answer = say(&proxy, parts).await;
        assert_eq!(answer, [b"b", &to_b[..]].concat(), "whole, and to the server of that name");
    }
    for to_a in [hello(Some("other.example.com"), None), hello(None, None)] {
        assert_eq!(say(&proxy, &[&to_a]).await, [b"a", &to_a[..]].concat());
    }
    let acme = hello(Some("other.example.com"), Some("acme-tls/1"));
    assert_eq!(say(&proxy, &[&acme]).await.first(), Some(&b'b'));
    assert_eq!(say(&proxy, &[b"SS", b"H -2"]).await, b"aSSH -2");
    assert_eq!(say(&proxy, &[b"GET / HTTP/1.1\r\n\r\n"]).await, b"");
    assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.denied_requests), 1);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_judged_by_that_after_the_delay() {
    let lines = r#"
inspect_delay = "150ms"
rule = [{ if = "{ req.len gt 0 }", use = "b" }]
"#;
    let proxy = proxy("tcp", lines, [parrot("a").await, parrot("b").await], |_| ());
    let start = tokio::time::Instant::now();
    let mut silent = proxy.connect().await;
    assert_eq!(silent.read_u8().await.expect("a byte"), b'a');
    assert!(start.elapsed() >= SHORT);
    let mut first = proxy.connect().await;
    first.write_all(b"x").await.expect("write");
    assert_eq!(first.read_u8().await.expect("a byte"), b'b');
}

#[tokio::test]
async fn connections_are_refused_by_where_they_come_from() {
    let origin = Origin::named("served").await;
    let lines = r#"
acl.friends = "src 192.0.2.0/24"
rule = [{ on = "connection", if = "friends", accept = true }, { on = "connection", if = "LOCALHOST", reject = true }]
"#;
    let proxy = proxy("http", lines, [origin.address; 2], |_| ());
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap_or_default();
    let answer = read_to_end(&mut client).await;
    assert!(!answer.contains("HTTP"), "{answer}");
    let counts = &proxy.frontend_live().counts;
    assert_eq!((counts.sum(|counts| &counts.denied_connections), counts.sum(|counts| &counts.requests)), (1, 0));
}

#[tokio::test]
async fn rules_about_the_clients_tls_wait_for_it() {
    let origin = Origin::named("served").await;
    let lines = r#"
rule = [
  { on = "connection", if = "{ src 192.0.2.1 }", reject = true },
  { on = "connection", if = "{ ssl_fc_sni b.test }", reject = true },
]
"#;
    let pem = pem(&["a.test", "b.test"]);
    let proxy = proxy("http", lines, [origin.address; 2], |frontend| {
        frontend.binds[0].certificates = vec![certificate(&pem)];
    });
    let ask = async |name: &'static str| {
        let stream = TcpStream::connect(proxy.address).await.expect("connect");
        let name = ServerName::try_from(name).expect("name");
        let mut client = connector(&pem, &[]).connect(name, stream).await.expect("handshake");
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap_or_default();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap_or_default();
        String::from_utf8(answer).expect("text")
    };
    assert!(ask("a.test").await.ends_with("served"));
    assert_eq!(ask("b.test").await, "");
    assert_eq!(proxy.frontend_live().counts.sum(|counts| &counts.denied_connections), 1);
}

#[test]
fn the_mode_says_when_rules_are_looked_at() {
    let tcp = frontend(
        "tcp",
        r#"rule = [{ on = "connection", reject = true, if = "{ src 192.0.2.1 }" }, { reject = true }]"#,
    );
    let FrontendKind::Tcp(kind) = &tcp.kind else { panic!("tcp") };
    assert_eq!((tcp.admission.len(), kind.content.len()), (1, 1));
}
