//! Several requests, against real sockets.

use super::{Code, Finding, backend};
use crate::health::probe::{Prober, Target};
use bytes::Bytes;
use std::{
    convert::Infallible,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};
use tokio::runtime::{Builder, Runtime};

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a check with these keys finds at a server.
pub(super) async fn probe(keys: &str, address: SocketAddr) -> Finding {
    let backend = backend(keys);
    let check = backend.check.clone().unwrap();
    let server = crate::model::Server { address, ..backend.servers[0].clone() };
    let prober = Prober::new(Target::new(&server, &check, &backend), &mut |_tls| Ok::<_, Infallible>(None));
    prober.unwrap().probe().await.0
}

/// Requests, each with the number of its connection.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// A server that answers every request by its first line.
fn serve(answer: fn(&str) -> &'static str) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let kept = Arc::clone(&seen);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (seen, mut stream) = (Arc::clone(&kept), BufReader::new(stream.unwrap()));
            thread::spawn(move || {
                loop {
                    let (mut head, mut length) = (String::new(), 0);
                    while !head.ends_with("\r\n\r\n") {
                        if stream.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    for line in head.lines() {
                        if let Some(value) = line.strip_prefix("Content-Length: ") {
                            length = value.parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).unwrap();
                    let answer = answer(head.lines().next().unwrap());
                    let closes = head.contains("Connection: close") || answer.contains("close");
                    seen.lock().unwrap().push((number, head + &String::from_utf8(body).unwrap()));
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                    if closes {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}

fn answers(line: &str) -> &'static str {
    match line.split(' ').nth(1) {
        Some("/login") => "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        Some("/closing") => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        Some("/missing") => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    }
}

#[test]
fn requests_are_written_as_they_are_configured() {
    let (address, seen) = serve(answers);
    let keys = "method = \"POST\"\npath = \"/a?b=c\"\nhost = \"a.test:80\"\nversion = \"1.0\"\nbody = \"{}\"\n\
                headers = { Accept = [\"x\", \"y\"], \"User-Agent\" = \"me\" }";
    assert_eq!(runtime().block_on(probe(keys, address)).to_string(), "L7OK status 200");
    let written = "POST /a?b=c HTTP/1.0\r\nHost: a.test:80\r\nAccept: x\r\nAccept: y\r\nUser-Agent: me\r\nContent-Length: 2\r\n\
                   Connection: close\r\n\r\n{}";
    assert_eq!(*seen.lock().unwrap(), [(0, written.to_owned())]);
    assert_eq!(runtime().block_on(probe("", address)).code, Code::L7Ok);
    let default =
        format!("HEAD / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: sluice-check\r\nConnection: close\r\n\r\n");
    assert_eq!(seen.lock().unwrap()[1], (1, default));
}

#[test]
fn steps_go_on_connections_of_their_own_or_on_that_of_the_step_before() {
    let (address, seen) = serve(answers);
    let find = |steps: &str| {
        seen.lock().unwrap().clear();
        let found =
            runtime().block_on(probe(&format!("method = \"GET\"\nhost = \"a.test\"\nsteps = [{steps}]"), address));
        let seen = seen.lock().unwrap();
        let first = seen.first().map_or(0, |(number, _)| *number);
        let lines =
            seen.iter().map(|(number, head)| format!("{} {}", number - first, head.lines().next().unwrap_or("")));
        let hosts = seen.iter().all(|(_, head)| head.contains("\r\nHost: a.test\r\n"));
        assert!(hosts);
        (found.to_string(), lines.collect::<Vec<_>>().join(", "))
    };
    let both = |found: &str, lines: &str| (found.to_owned(), lines.to_owned());
    assert_eq!(
        find("{ path = \"/login\", method = \"POST\" }, { path = \"/b\" }"),
        both("L7OK status 200", "0 POST /login HTTP/1.1, 1 GET /b HTTP/1.1")
    );
    assert_eq!(
        find("{ path = \"/a\" }, { path = \"/login\", connect = false }, { connect = false }, { path = \"/c\" }"),
        both("L7OK status 200", "0 GET /a HTTP/1.1, 0 GET /login HTTP/1.1, 0 GET / HTTP/1.1, 1 GET /c HTTP/1.1")
    );
    assert_eq!(
        find("{ path = \"/closing\" }, { connect = false }"),
        both("L7RSP step 1: status 200, and no other request on this connection", "0 GET /closing HTTP/1.1")
    );
    assert_eq!(
        find("{ path = \"/missing\", expect = 404 }, { path = \"/missing\" }, { path = \"/c\" }"),
        both("L7STS step 2: status 404: \"Not Found\"", "0 GET /missing HTTP/1.1, 1 GET /missing HTTP/1.1")
    );
}

/// A server of HTTP/2 that answers every request with its path, and 404 to `/missing`.
fn serve_http2() -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let kept = Arc::clone(&seen);
    let serving = async move |stream: tokio::net::TcpStream, number: usize, seen: Seen| {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let (parts, mut body) = request.into_parts();
            let mut text = format!("{} {}", parts.method, parts.uri);
            while let Some(Ok(data)) = body.data().await {
                text += &String::from_utf8_lossy(&data);
            }
            seen.lock().unwrap().push((number, text));
            let path = parts.uri.path().to_owned();
            let status = if path == "/missing" { 404 } else { 200 };
            let head = http::Response::builder().status(status).body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data(Bytes::from(path), true).unwrap();
        }
    };
    thread::spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime(), async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(serving(stream, number, Arc::clone(&kept)));
            }
        });
    });
    (address, seen)
}

#[test]
fn http2_has_steps_bodies_and_statuses_too() {
    let (address, seen) = serve_http2();
    let keys = "proto = \"h2\"\nmethod = \"POST\"\nhost = \"a.test\"\nbody = \" hi\"\nexpect = [200, { string = \"/a\" }]\n\
                steps = [{ path = \"/a\" }, { path = \"/ab\", connect = false }, { path = \"/abc\" }]";
    assert_eq!(runtime().block_on(probe(keys, address)).to_string(), "L7OK status 200");
    let written =
        [(0, "/a"), (0, "/ab"), (1, "/abc")].map(|(number, path)| (number, format!("POST http://a.test{path} hi")));
    assert_eq!(*seen.lock().unwrap(), written);
    let found = runtime().block_on(probe("proto = \"h2\"\npath = \"/missing\"", address));
    assert_eq!(found.to_string(), "L7STS status 404");
    // Neither speaks the other's protocol.
    assert_eq!(runtime().block_on(probe("", address)).code, Code::L7Response);
    let (other, _seen) = serve(|_line| "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    let found = runtime().block_on(probe("proto = \"h2\"", other)).to_string();
    assert!(found.starts_with("L7RSP not HTTP/2: \"HTTP/1.1 400 Bad Request"), "{found}");
}
