//! How TLS ends, announced (close_notify) or not: by HAProxy itself and by us.

use super::steps::runtime;
use crate::{
    health::{haproxy::Haproxy, testing::prober},
    l7::tests::tls::{acceptor, pem},
};
use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::LocalSet,
    time::sleep,
};

/// Rules in HAProxy's words and in ours; some look at the end of the body.
const RULES: [(&str, &str); 5] = [
    ("status 200", "200"),
    ("string ready", r#"{ string = "ready" }"#),
    ("! string error", r#"{ not = true, string = "error" }"#),
    ("rstring ^re", r#"{ rstring = "^re" }"#),
    ("string absent", r#"{ string = "absent" }"#),
];

/// Bodies that last until the end, and longer, and none.
const ANSWERS: [&str; 3] =
    ["HTTP/1.0 200 OK\r\n\r\nready", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nready", "HTTP/1.1 200 OK\r\n"];

async fn serve(answer: &'static str, announced: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = acceptor(&pem(&["x.test"]));
    tokio::task::spawn_local(async move {
        loop {
            let accepted = acceptor.accept(listener.accept().await.unwrap().0);
            tokio::task::spawn_local(async move {
                let mut stream = accepted.await?;
                stream.read_u8().await?;
                stream.write_all(answer.as_bytes()).await?;
                stream.flush().await?;
                if announced { stream.shutdown().await } else { Ok(()) }
            });
        }
    });
    address
}

#[test]
fn an_end_of_tls_that_is_not_announced_is_an_end() {
    let directory = tempfile::tempdir().unwrap();
    LocalSet::new().block_on(&runtime(), async {
        let mut servers = Vec::new();
        for answer in ANSWERS {
            servers.extend([serve(answer, true).await, serve(answer, false).await]);
        }
        let mut text =
            "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n".to_owned();
        for (rule, (words, _)) in RULES.iter().enumerate() {
            writeln!(
                text,
                "backend {rule}\n  option httpchk\n  http-check send meth GET uri / ver HTTP/1.1 hdr Host x"
            )
            .unwrap();
            writeln!(text, "  http-check expect {words}").unwrap();
            for (number, address) in servers.iter().enumerate() {
                writeln!(text, "  server {number} {address} ssl verify none check inter 1s rise 1 fall 1").unwrap();
            }
        }
        let haproxy = Haproxy::start(directory.path(), &text);
        let mut ours = BTreeMap::new();
        for (rule, (_, expect)) in RULES.iter().enumerate() {
            for (number, address) in servers.iter().enumerate() {
                let check = format!(
                    r#"{{ type = "http", method = "GET", host = "x", tls = {{ verify = "none" }}, expect = {expect} }}"#
                );
                ours.insert((rule, number), prober(*address, &check).probe().await.0.code.name().to_owned());
            }
        }
        let mut theirs = BTreeMap::new();
        for _ in 0..600 {
            theirs = haproxy.results();
            if theirs.len() == ours.len() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(ours, theirs);
    });
}
