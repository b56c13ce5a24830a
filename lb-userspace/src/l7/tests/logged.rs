//! Lines of the access log about real requests and connections.

use super::{
    encrypted::connect,
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::{Proxy, SHORT, read_to_end, refusing},
    tls::{certificate, pem},
};
use crate::{
    config,
    model::{Backend, FrontendKind, TcpFrontend, log::Logging},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UdpSocket,
    time::timeout,
};

/// Where lines come to.
pub(super) struct Lines(UdpSocket);

impl Lines {
    pub(super) async fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.expect("bind"))
    }

    /// What a frontend of `mode` must log to send its lines here.
    pub(super) fn logging(&self, mode: &str) -> Logging {
        let to = self.0.local_addr().expect("address");
        let text = format!(
            "[frontend.www]\nmode = \"{mode}\"\nbind = \"*:80\"\ndefault_backend = \"web\"\n\
             log = {{ to = \"udp:{to}\", framing = \"raw\" }}\n{}\n\
             [backend.web]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n",
            if mode == "http" { "capture_request = \"host\"" } else { "" }
        );
        let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{}", errors.render(config::Format::Short)));
        loaded.model.frontends[0].log.clone()
    }

    /// The next one, from the name of the frontend on.
    pub(super) async fn next(&self) -> String {
        let mut line = vec![0; 2_048];
        let count =
            timeout(Duration::from_secs(5), self.0.recv(&mut line)).await.expect("a line in time").expect("line");
        line.truncate(count);
        let line = String::from_utf8(line).expect("text");
        let (_, after) = line.split_once("] ").unwrap_or_else(|| panic!("{line}"));
        after.trim_end().to_owned()
    }
}

fn logged(lines: &Lines, mode: &str, backends: Vec<Backend>) -> Proxy {
    let kind = if mode == "http" { FrontendKind::Http(http_frontend()) } else { FrontendKind::Tcp(TcpFrontend::of(0)) };
    Proxy::with(kind, backends, |frontend| {
        frontend.log = lines.logging(mode);
        frontend.timeout_client = SHORT;
    })
}

/// A line without its times and counts: names, status, letters and what follows.
fn parts(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[tokio::test]
async fn a_request_is_told_with_its_server_status_bytes_and_end() {
    let origin = Origin::start(|_, request| match request.split(' ').nth(1) {
        Some("/cut") => Act::Close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()),
        Some("/junk") => Act::Close("junk\r\n\r\n".into()),
        _ => Act::Answer(ok("hello")),
    })
    .await;
    let lines = Lines::new().await;
    let proxy = logged(&lines, "http", vec![backend("web", [origin.address])]);
    let answer = proxy.ask_path("a.test", "/x?y=1").await;
    let line = lines.next().await;
    let told = parts(&line);
    assert_eq!((told[0], told[1], told[3]), ("www", "web/s0", "200"), "{line}");
    assert_eq!(told[4], answer.len().to_string(), "{line}");
    assert_eq!(told[7], "----", "{line}");
    assert!(line.ends_with("{a.test} \"GET /x?y=1 HTTP/1.1\""), "{line}");
    let cases = [("/cut", "200", "SD--"), ("/junk", "502", "PH--")];
    for (path, status, letters) in cases {
        proxy.ask_path("a", path).await;
        let line = lines.next().await;
        assert_eq!((parts(&line)[3], parts(&line)[7]), (status, letters), "{line}");
    }
    proxy.ask("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").await;
    let line = lines.next().await;
    assert!(line.starts_with("www www/<NOSRV> ") && line.ends_with("\"<BADREQ>\""), "{line}");
    assert_eq!((parts(&line)[3], parts(&line)[7]), ("400", "PR--"), "{line}");
}

#[tokio::test]
async fn a_server_that_is_not_reached_and_one_that_is_silent_are_told() {
    let lines = Lines::new().await;
    let proxy = logged(&lines, "http", vec![backend("web", [refusing(), refusing()])]);
    proxy.ask_path("a", "/").await;
    let line = lines.next().await;
    assert_eq!((parts(&line)[3], parts(&line)[7]), ("503", "SC--"), "{line}");
    assert!(line.contains("/+1 "), "a second server was tried: {line}");

    let mute = Origin::start(|_, _| Act::Hang(String::new())).await;
    let mut web = backend("web", [mute.address]);
    web.timeout_server = SHORT;
    let proxy = logged(&lines, "http", vec![web]);
    proxy.ask_path("a", "/").await;
    let line = lines.next().await;
    assert_eq!((parts(&line)[1], parts(&line)[3], parts(&line)[7]), ("web/s0", "504", "sH--"), "{line}");
}

#[tokio::test]
async fn a_relayed_connection_is_told_once_it_is_over() {
    let origin = Origin::named("hello").await;
    let (lines, pem) = (Lines::new().await, pem(&["a.test"]));
    let proxy =
        Proxy::with(FrontendKind::Tcp(TcpFrontend::of(0)), vec![backend("web", [origin.address])], |frontend| {
            frontend.log = lines.logging("tcp");
            frontend.binds[0].certificates = vec![certificate(&pem)];
        });
    let mut stream = connect(&proxy, &pem, "a.test", &[]).await.expect("handshake");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("write");
    stream.shutdown().await.expect("shutdown");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answer");
    let line = lines.next().await;
    let told = parts(&line);
    assert_eq!(
        (told[0], told[1], told[3], told[4]),
        ("www~", "web/s0", answer.len().to_string().as_str(), "--"),
        "{line}"
    );

    let proxy = logged(&lines, "tcp", vec![backend("web", [refusing()])]);
    read_to_end(&mut proxy.connect().await).await;
    let line = lines.next().await;
    assert_eq!(parts(&line)[4], "SC", "{line}");
}
