//! What malformed and unusual messages get, row by row, with real sockets: requests, and answers of servers.

use super::{
    model::{backend, http_frontend},
    origin::{Act, Origin, ok},
    proxy::Proxy,
};
use std::fmt::Write as _;

/// What a request must come to.
enum Gets {
    /// That status, and no server hears of it.
    Refused(u16),
    /// The server's answer; these must be in what the server saw, and those must not.
    Passes(&'static [&'static str], &'static [&'static str]),
}
use Gets::{Passes, Refused};

fn lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        write!(lines, "x-{number}: 1\r\n").expect("text");
        lines
    })
}

/// A request of `line` with `Host: a` and these fields.
fn with(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    with("POST /", fields) + body
}

#[expect(clippy::too_many_lines, reason = "one table, a row a message")]
fn requests() -> Vec<(&'static str, String, Gets)> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let two = "Content-Length: 2\r\n";
    vec![
        ("differing lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "abc"), Refused(400)),
        ("length +4", post("Content-Length: +4\r\n", "abcd"), Refused(400)),
        ("length 0x4", post("Content-Length: 0x4\r\n", "abcd"), Refused(400)),
        ("length -1", post("Content-Length: -1\r\n", ""), Refused(400)),
        ("empty length", post("Content-Length: \r\n", ""), Refused(400)),
        ("length 2^64", post("Content-Length: 18446744073709551616\r\n", ""), Refused(400)),
        ("coding \\vchunked", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), Refused(400)),
        ("coding xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), Refused(400)),
        ("coding identity", post("Transfer-Encoding: identity\r\n", ""), Refused(400)),
        ("coding chunked, identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), Refused(400)),
        ("space before colon", with("GET /", "X : 1\r\n"), Refused(400)),
        ("space in name", with("GET /", "X Y: 1\r\n"), Refused(400)),
        ("empty name", with("GET /", ": 1\r\n"), Refused(400)),
        ("NUL", with("GET /", "X: a\0b\r\n"), Refused(400)),
        ("bare CR", with("GET /", "X: a\rb\r\n"), Refused(400)),
        ("space in path", with("GET /a b", ""), Refused(400)),
        ("lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n".into(), Refused(400)),
        ("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".into(), Refused(400)),
        ("PROXY line", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Refused(400)),
        ("bare LF", "GET / HTTP/1.1\nHost: a\nX: 1\n\n".into(), Passes(&["\r\nx: 1\r\n"], &[])),
        ("leading CRLFs", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Passes(&["GET / HTTP/1.1\r\n"], &[])),
        ("GET with body", with("GET /", two) + "ab", Passes(&["content-length: 2\r\n", "\r\n\r\nab"], &[])),
        ("chunk size and space", post(chunked, "1 \r\na\r\n0\r\n\r\n"), Passes(&["\r\n\r\n1\r\na\r\n0\r\n\r\n"], &[])),
        ("underscore in name", with("GET /", "X_A: 1\r\n"), Passes(&["\r\nx_a: 1\r\n"], &[])),
        (
            "length and chunked",
            post(&format!("{two}{chunked}"), "0\r\n\r\n"),
            Passes(&["transfer-encoding: chunked\r\n"], &["content-length"]),
        ),
        ("chunked twice", post(&format!("{chunked}{chunked}"), "0\r\n\r\n"), Refused(400)),
        ("coding gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), Refused(422)),
        ("chunked in 1.0", format!("POST / HTTP/1.0\r\nHost: a\r\n{chunked}\r\n0\r\n\r\n"), Refused(400)),
        ("two equal lengths", post(&format!("{two}{two}"), "ab"), Passes(&["\r\ncontent-length: 2\r\n"], &["2, 2"])),
        ("length 2, 2", post("Content-Length: 2, 2\r\n", "ab"), Passes(&["\r\ncontent-length: 2\r\n"], &["2, 2"])),
        ("two hosts", with("GET /", "Host: b\r\n"), Refused(400)),
        ("two equal hosts", with("GET /", "Host: a\r\n"), Passes(&["\r\nhost: a\r\n"], &["host: a\r\nhost"])),
        ("path in host", "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n".into(), Refused(400)),
        ("space in host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), Refused(400)),
        ("another authority", with("GET http://b/", ""), Refused(400)),
        ("the same authority", with("GET http://a/x", ""), Passes(&["GET /x HTTP/1.1\r\n", "host: a\r\n"], &[])),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), Refused(400)),
        ("no host in 1.0", "GET / HTTP/1.0\r\n\r\n".into(), Passes(&["GET / HTTP/1.0\r\n"], &["host"])),
        ("fragment", with("GET /a#b", ""), Refused(400)),
        ("GET *", with("GET *", ""), Refused(400)),
        ("OPTIONS *", with("OPTIONS *", ""), Passes(&["OPTIONS * HTTP/1.1\r\n"], &[])),
        ("odd characters in path", with("GET /a\"<>", ""), Passes(&["GET /a\"<> HTTP/1.1\r\n"], &[])),
        ("control character in value", with("GET /", "X: a\x01b\r\n"), Refused(400)),
        ("folded field", with("GET /", "X: a\r\n b\r\n"), Refused(400)),
        ("line without colon", with("GET /", "nothing\r\n"), Refused(400)),
        ("tab in request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), Refused(400)),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(), Refused(400)),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), Refused(505)),
        ("method get", with("get /", ""), Passes(&["get / HTTP/1.1\r\n"], &[])),
        ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".into(), Refused(405)),
        ("110 fields", with("GET /", &lines(109)), Refused(431)),
        ("101 fields", with("GET /", &lines(100)), Passes(&["\r\nx-99: 1\r\n"], &[])),
        ("20 kB of fields", with("GET /", &format!("X: {}\r\n", "x".repeat(20_000))), Refused(431)),
        ("17 kB of target", with(&format!("GET /{}", "x".repeat(17_000)), ""), Refused(414)),
        (
            "nominated field",
            with("GET /", "Connection: x-a, x-forwarded-for\r\nX-A: 1\r\nX-Forwarded-For: 1.1.1.1\r\n"),
            Passes(&["x-forwarded-for: 1.1.1.1, 127.0.0.1\r\n"], &["x-a", "connection"]),
        ),
        (
            "upgrade to h2c",
            with("GET /", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            Passes(&[], &["upgrade", "http2-settings"]),
        ),
        ("upgrade not nominated", with("GET /", "Upgrade: websocket\r\n"), Passes(&[], &["upgrade"])),
        (
            "fields of the hop",
            with("GET /", "Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: gzip\r\n"),
            Passes(&[], &["proxy-connection", "keep-alive", "\r\nte:"]),
        ),
        ("TE: trailers", with("GET /", "TE: trailers\r\n"), Passes(&["\r\nte: trailers\r\n"], &[])),
        (
            "trailers",
            post(chunked, "1\r\na\r\n0\r\nX-T: 1\r\nContent-Length: 5\r\nHost: b\r\n\r\n"),
            Passes(&["0\r\nx-t: 1\r\n\r\n"], &["content-length", "host: b"]),
        ),
        ("name in upper case", with("GET /", "X-UPPER: Kept\r\n"), Passes(&["\r\nx-upper: Kept\r\n"], &[])),
    ]
}

#[tokio::test]
async fn requests_by_row() {
    let origin = Origin::start(|_, _| Act::Close(ok("served"))).await;
    let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
    let (mut served, mut wrong) = (0, Vec::new());
    for (row, request, gets) in requests() {
        let answer = proxy.ask_once(request.as_bytes()).await;
        match gets {
            Refused(status) => {
                if !answer.starts_with(&format!("HTTP/1.1 {status} ")) || !answer.contains("connection: close\r\n") {
                    wrong.push(format!("{row}: {status} expected, got {answer:?}"));
                }
            }
            Passes(has, has_not) => {
                served += 1;
                if !answer.starts_with("HTTP/1.1 200 ") || origin.count() != served {
                    wrong.push(format!("{row}: must pass, got {answer:?}"));
                    served = origin.count();
                    continue;
                }
                let seen = origin.last_request();
                let missing = has.iter().find(|part| !seen.contains(**part));
                let surplus = has_not.iter().find(|part| seen.contains(**part));
                if let Some(part) = missing.or(surplus) {
                    wrong.push(format!("{row}: {part:?} in {seen:?}"));
                }
            }
        }
        if origin.count() != served {
            wrong.push(format!("{row}: reached a server"));
            served = origin.count();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn answers() -> Vec<(&'static str, String, Result<&'static str, u16>)> {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    vec![
        ("until close", head("") + "to the end", Ok("\r\na\r\nto the end\r\n0\r\n\r\n")),
        ("length cut short", head("Content-Length: 9\r\n") + "ab", Ok("content-length: 9\r\n\r\nab")),
        ("chunks cut short", head(chunked) + "5\r\nab", Ok("\r\n\r\n2\r\nab\r\n")),
        ("more than its length", head("Content-Length: 2\r\n") + "abcdef", Ok("\r\n\r\nab")),
        (
            "length and chunked",
            head(&format!("Content-Length: 9\r\n{chunked}")) + "1\r\na\r\n0\r\n\r\n",
            Ok("1\r\na\r\n0\r\n\r\n"),
        ),
        ("differing lengths", head("Content-Length: 1\r\nContent-Length: 2\r\n") + "ab", Err(502)),
        ("equal lengths", head("Content-Length: 2\r\nContent-Length: 2\r\n") + "ab", Ok("\r\n\r\nab")),
        ("coding gzip", head("Transfer-Encoding: gzip\r\n") + "ab", Err(502)),
        ("coding xchunked", head("Transfer-Encoding: xchunked\r\n") + "ab", Err(502)),
        ("204 with length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n".into(), Ok("\r\n\r\n")),
        (
            "304 with length",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".into(),
            Ok("content-length: 5\r\n"),
        ),
        ("unasked 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".into(), Err(502)),
        ("status 99", "HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n".into(), Err(502)),
        ("status 600", "HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n".into(), Ok("\r\n\r\n")),
        ("status 2000", "HTTP/1.1 2000 Odd\r\n\r\n".into(), Err(502)),
        ("garbage", "garbage\r\n\r\n".into(), Err(502)),
        ("space before colon", head("X : 1\r\n"), Err(502)),
        ("no colon", head("nothing\r\n"), Err(502)),
        ("NUL", head("X: a\0b\r\n"), Err(502)),
        ("folded field", head("X: a\r\n b\r\nContent-Length: 0\r\n"), Ok("x: a")),
        ("HTTP/2.0 as text", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".into(), Err(502)),
        ("20 kB of fields", head(&format!("X: {}\r\n", "x".repeat(20_000))), Err(502)),
        ("110 fields", head(&lines(110)), Err(502)),
        ("nothing", String::new(), Err(502)),
        ("half a head", "HTTP/1.1 200 OK\r\nX: ".into(), Err(502)),
        ("bad size of a chunk", head(chunked) + "x\r\n", Ok("transfer-encoding: chunked\r\n\r\n")),
        ("early hints", format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", ok("x")), Ok("HTTP/1.1 200 OK")),
    ]
}

#[tokio::test]
async fn answers_by_row() {
    let mut wrong = Vec::new();
    for (row, answer, expected) in answers() {
        let origin = Origin::start(move |_, _| Act::Close(answer.clone())).await;
        let proxy = Proxy::http(http_frontend(), vec![backend("web", [origin.address])]);
        let answer = proxy.ask_path("a", "/").await;
        let fits = match expected {
            Ok(part) => answer.starts_with("HTTP/1.1 ") && !answer.starts_with("HTTP/1.1 502") && answer.contains(part),
            Err(status) => answer.starts_with(&format!("HTTP/1.1 {status} ")),
        };
        let lies = row == "length and chunked" && answer.contains("content-length");
        if !fits || lies || answer.matches("0\r\n\r\n").count() > 1 {
            wrong.push(format!("{row}: {expected:?} expected, got {answer:?}"));
        }
        let cut = ["length cut short", "chunks cut short", "bad size of a chunk"].contains(&row);
        if cut && (answer.ends_with("0\r\n\r\n")) {
            wrong.push(format!("{row}: looks complete: {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
