//! The codec by itself: what the tables of `l7/tests/rows.rs` cannot see from outside, and what holds of any bytes, cut in
//! any way.

use super::{
    super::message::Length,
    Limits,
    body::{BodyError, Decoder, Piece},
    has_end,
    head::Flaw,
    holds::{self, Cuts},
    request::{Refusal, request},
    response::{Asked, Invalid, response},
};
use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::select};
use std::{fs, path::Path};

/// Length, and whether the connection stays.
type Lasts<E> = Result<(Length, bool), E>;
/// Length, whether the connection stays, and what is to be upgraded to.
type Read<E> = Result<(Length, bool, Option<&'static str>), E>;

#[test]
fn requests_say_how_long_they_and_their_connections_last() {
    const CHUNKED: Length = Length::Chunked;
    let rows: [(&str, Read<Refusal>); 21] = [
        ("GET / HTTP/1.1\r\nHost: a\r\n", Ok((Length::EMPTY, true, None))),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n", Ok((Length::EMPTY, false, None))),
        ("GET / HTTP/1.0\r\n", Ok((Length::EMPTY, false, None))),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", Ok((Length::EMPTY, true, None))),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n", Ok((Length::EMPTY, false, None))),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 04\r\n", Ok((Length::Exact(4), true, None))),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n",
            Ok((Length::Exact(u64::MAX), true, None)),
        ),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4,\r\n", Err(Refusal::Fields(Flaw::Length))),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n", Ok((CHUNKED, true, None))),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            Ok((CHUNKED, false, None)),
        ),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n", Err(Refusal::Fields(Flaw::Coding))),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n", Err(Refusal::Fields(Flaw::Coding))),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n", Err(Refusal::Fields(Flaw::Coding))),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            Err(Refusal::Fields(Flaw::UnknownCoding)),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n",
            Ok((Length::EMPTY, true, Some("websocket"))),
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: H2C\r\n", Ok((Length::EMPTY, true, None))),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n", Ok((Length::EMPTY, true, None))),
        (
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            Ok((Length::EMPTY, false, None)),
        ),
        ("GET http://a:80/ HTTP/1.1\r\nHost: A\r\n", Ok((Length::EMPTY, true, None))),
        ("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n", Err(Refusal::Host)),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n", Err(Refusal::Target)),
    ];
    for (head, expected) in rows {
        let input = format!("\r\n{head}\r\nrest");
        let read = request(input.as_bytes(), &Limits::default()).map(|head| {
            let head = head.expect("all of it");
            assert_eq!(head.consumed, input.len() - 4, "{input}");
            (head.length, head.persistent, head.upgrade)
        });
        assert_eq!(read, expected.map(|(length, stays, upgrade)| (length, stays, upgrade.map(Into::into))), "{head}");
    }
}

#[test]
fn what_is_allowed_can_be_chosen() {
    let limits = Limits { hostless: true, connect: true, ambiguous: false, ..Limits::default() };
    let rows: [(&str, Result<(), Refusal>); 7] = [
        ("GET / HTTP/1.1\r\n\r\n", Ok(())),
        ("CONNECT a:443 HTTP/1.1\r\nHost: A\r\n\r\n", Ok(())),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:2\r\n\r\n", Err(Refusal::Host)),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", Err(Refusal::Target)),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Refusal::Target)),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", Err(Refusal::Content)),
        ("PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Refusal::Ambiguous)),
    ];
    for (head, expected) in rows {
        assert_eq!(request(head.as_bytes(), &limits).map(|head| assert!(head.is_some())), expected, "{head}");
    }
}

#[test]
fn responses_say_how_long_they_and_their_connections_last() {
    let plain = Asked::default();
    let (head, tunnel, upgrade) =
        (Asked { head: true, ..plain }, Asked { connect: true, ..plain }, Asked { upgrade: true, ..plain });
    let rows: [(Asked, &str, Lasts<Invalid>); 22] = [
        (plain, "200 OK\r\nContent-Length: 2\r\n", Ok((Length::Exact(2), true))),
        (plain, "200 OK\r\nContent-Length: 2\r\nConnection: close\r\n", Ok((Length::Exact(2), false))),
        (plain, "200 OK\r\n", Ok((Length::UntilClose, false))),
        (plain, "200\r\nContent-Length: 0\r\n", Ok((Length::EMPTY, true))),
        (plain, "200 OK\r\nTransfer-Encoding: chunked\r\n", Ok((Length::Chunked, true))),
        (plain, "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", Ok((Length::Chunked, false))),
        (plain, "200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n", Err(Flaw::Length.into())),
        (plain, "200 OK\r\nTransfer-Encoding: gzip\r\n", Err(Flaw::Coding.into())),
        (plain, "200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", Err(Flaw::UnknownCoding.into())),
        (plain, "204 No Content\r\nContent-Length: 2\r\n", Ok((Length::EMPTY, true))),
        (plain, "304 Not Modified\r\nContent-Length: 2\r\n", Ok((Length::EMPTY, true))),
        (head, "200 OK\r\nContent-Length: 2\r\n", Ok((Length::EMPTY, true))),
        (head, "200 OK\r\n", Ok((Length::EMPTY, true))),
        (plain, "103 Early Hints\r\n", Ok((Length::EMPTY, true))),
        (plain, "101 Switching Protocols\r\n", Err(Invalid::Switched)),
        (upgrade, "101 Switching Protocols\r\n", Ok((Length::EMPTY, false))),
        (tunnel, "200 OK\r\nContent-Length: 2\r\n", Ok((Length::EMPTY, false))),
        (tunnel, "403 Forbidden\r\nContent-Length: 2\r\n", Ok((Length::Exact(2), true))),
        (plain, "999 ?\r\nContent-Length: 2\r\n", Ok((Length::Exact(2), true))),
        (plain, "2000 OK\r\n", Err(Invalid::Line)),
        (plain, "99 OK\r\n", Err(Invalid::Line)),
        (plain, "200 OK\r\nX : 1\r\n", Err(Flaw::Malformed.into())),
    ];
    for (asked, lines, expected) in rows {
        let input = format!("HTTP/1.1 {lines}\r\n");
        let read = response(input.as_bytes(), asked, &Limits::default());
        let read = read.map(|head| head.map(|head| (head.length, head.persistent)).expect("all of it"));
        assert_eq!(read, expected, "{asked:?} {lines}");
    }
}

#[test]
fn folded_values_of_responses_are_one_line() {
    let input = b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nContent-Length:\r\n 3\r\n\r\n";
    let head = response(input, Asked::default(), &Limits::default()).unwrap().unwrap();
    assert_eq!(head.response.fields.get("x"), Some(&b"a   b  \tc"[..]));
    assert_eq!(head.length, Length::Exact(3));
}

#[test]
fn what_is_too_long_is_refused_before_it_is_complete() {
    let limits = Limits { head: 64, fields: 3, ..Limits::default() };
    let of = |head: &str| request(head.as_bytes(), &limits).map(|head| head.is_some());
    let filled = |head: &str, size: usize| format!("{head}{}", "x".repeat(size - head.len()));
    assert_eq!(of(&filled("GET /", 63)), Ok(false));
    assert_eq!(of(&filled("GET /", 64)), Err(Refusal::TargetTooLong));
    assert_eq!(of(&filled("\r\n\r\nGET / HTTP/9", 64)), Err(Refusal::Line));
    assert_eq!(of(&filled("GET / HTTP/1.1\r\nX: ", 63)), Ok(false));
    assert_eq!(of(&filled("GET / HTTP/1.1\r\nX: ", 64)), Err(Refusal::TooLarge));
    assert_eq!(of("GET / HTTP/1.1\r\nHost: a\r\nb: 1\r\nc: 1\r\n\r\n"), Ok(true));
    assert_eq!(of("GET / HTTP/1.1\r\nHost: a\r\nb: 1\r\nc: 1\r\nd: 1\r\n"), Err(Flaw::TooMany.into()));
    let full = format!("{}\r\n\r\n", filled("GET / HTTP/1.1\r\nHost: ", 60));
    assert_eq!((full.len(), of(&full), of(&format!("{full}more"))), (64, Ok(true), Ok(true)));
    let response = |head: &str| response(head.as_bytes(), Asked::default(), &limits).map(|head| head.is_some());
    assert_eq!(response(&filled("HTTP/1.1 200 OK\r\nX: ", 64)), Err(Invalid::TooLarge));
}

#[test]
fn a_head_is_parsed_again_only_when_its_end_may_have_come() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let worth: Vec<usize> =
        (1..=head.len()).filter(|came| has_end(&head[..*came], came - 1, &Limits::default())).collect();
    assert_eq!(worth, [head.len()]);
    assert!(has_end(b"GET / HTTP/1.1\n\n", 15, &Limits::default()));
    assert!(has_end(b"GET /", 4, &Limits { head: 5, ..Limits::default() }));
}

/// Data, trailers, and what is left.
fn chunks(input: &[u8]) -> Result<(String, String, usize), BodyError> {
    let (mut decoder, mut input) = (Decoder::new(Length::Chunked), BytesMut::from(input));
    let (mut data, mut trailers) = (Vec::new(), String::new());
    loop {
        match decoder.decode(&mut input)? {
            Some(Piece::Data(more)) => data.extend_from_slice(&more),
            Some(Piece::Trailers(more)) => trailers = format!("{more:?}"),
            Some(Piece::End) => return Ok((String::from_utf8(data).unwrap(), trailers, input.len())),
            None => return decoder.end_of_input().map(|_| (String::new(), String::new(), 0)),
        }
    }
}

#[test]
fn chunks_end_where_they_say() {
    let is = |data: &str, trailers: &str, left| Ok((data.to_owned(), trailers.to_owned(), left));
    let rows: [(&str, _); 21] = [
        ("3\r\nabc\r\n0\r\n\r\nnext", is("abc", "", 4)),
        ("0000000000000001\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", is("a0123456789", "", 0)),
        ("1 \t\r\na\r\n0\r\n\r\n", is("a", "", 0)),
        ("1;x=\"y;\"\r\na\r\n0 ;z\r\n\r\n", is("a", "", 0)),
        ("0\r\nX-T: 1\r\ny: 2\r\n\r\n.", is("", r#"[("X-T", "1"), ("y", "2")]"#, 1)),
        ("00000000000000001\r\na", Err(BodyError::Size)),
        ("0x1\r\na\r\n", Err(BodyError::Size)),
        (" 1\r\na\r\n", Err(BodyError::Size)),
        ("-1\r\na\r\n", Err(BodyError::Size)),
        ("\r\na\r\n", Err(BodyError::Size)),
        ("1 1\r\na\r\n", Err(BodyError::Size)),
        ("1\na\r\n", Err(BodyError::Size)),
        ("1\r\r\na\r\n", Err(BodyError::Size)),
        ("1;x\na\r\n", Err(BodyError::Extension)),
        ("1;x\0\r\na\r\n", Err(BodyError::Extension)),
        ("1\r\nab\r\n", Err(BodyError::ChunkEnd)),
        ("1\r\na\n0\r\n\r\n", Err(BodyError::ChunkEnd)),
        ("0\r\nno field\r\n\r\n", Err(BodyError::Trailers)),
        ("0\r\nx: 1\r\n y\r\n\r\n", Err(BodyError::Trailers)),
        ("0\r\nx: 1\n\n\r\n\r\n", Err(BodyError::Trailers)),
        ("3\r\nab", Err(BodyError::Cut)),
    ];
    for (input, expected) in rows {
        assert_eq!(chunks(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn extensions_and_trailers_have_bounds() {
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(8_000));
    assert_eq!(chunks(format!("{}0\r\n\r\n", chunk.repeat(2)).as_bytes()), Ok(("aa".into(), String::new(), 0)));
    assert_eq!(chunks(chunk.repeat(3).as_bytes()), Err(BodyError::Extension));
    assert_eq!(chunks(format!("0\r\nx: {}", "x".repeat(16_380)).as_bytes()), Err(BodyError::Cut));
    assert_eq!(chunks(format!("0\r\nx: {}", "x".repeat(16_381)).as_bytes()), Err(BodyError::TrailersTooLarge));
    assert_eq!(chunks(format!("0\r\n{}\r\n", "x: 1\r\n".repeat(102)).as_bytes()), Err(BodyError::Trailers));
}

/// First lines of messages.
const LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "POST /a?b HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "get http://a/x HTTP/1.1",
    "GET http://a HTTP/1.0",
    "CONNECT a:443 HTTP/1.1",
    "GET / HTTP/1.0",
    "GET / HTTP/2.0",
    "GET / HTTP/1.2",
    "GET /",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 099",
    "HTTP/1.1 204 None",
    "HTTP/1.0 304 \u{e9}",
    "HTTP/1.1 101 Switching",
    "HTTP/1.1 103 ",
    "HTTP/2.0 200 OK",
];
/// Lines after it.
const FIELDS: &[&str] = &[
    "Host: a",
    "host: a:443",
    "Host: b",
    "Content-Length: 3",
    "content-length: 3, 3",
    "Content-Length: 0",
    "Content-Length: x",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "transfer-encoding: gzip, chunked",
    "Connection: close",
    "Connection: keep-alive, x-a, host",
    "Connection: upgrade",
    "Upgrade: h2c, websocket",
    "TE: trailers",
    "X-A: 1",
    "x-b:",
    "x-c: a\r\n b",
    "x-d : 1",
    "x-e: \u{80}\t.",
    "no colon",
    " folded",
    "X: \u{1}",
];
/// Parts of bodies.
const BODIES: &[&str] = &[
    "abc",
    "3\r\nabc\r\n",
    "1;x=y\r\na\r\n",
    "1 \r\na\r\n",
    "0\r\n",
    "0\r\n\r\n",
    "x-t: 1\r\n\r\n",
    "Host: b\r\n\r\n",
    "\r\n",
    "\n",
    "1\na\n",
    "fffffffffffffffff\r\n",
    "ffffffffffffffff\r\n",
];

/// Parts of messages, good and bad, put together: what a fuzzer would take long to find.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let end = || select(&["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n\r\n"][..]);
    let head = (select(LINES), vec((end(), select(FIELDS)), 0..7), end(), end());
    let head = head.prop_map(|(line, fields, last, empty)| {
        let fields = fields.into_iter().flat_map(|(end, field)| [end, field]).collect::<String>();
        format!("{line}{fields}{last}{empty}")
    });
    let message = (head, vec(select(BODIES), 0..4)).prop_map(|(head, body)| head + &body.concat());
    vec(message, 1..3).prop_map(|messages| messages.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn messages_of_any_parts_are_read_alike_however_they_are_cut(
        input in messages(), cuts: u32, small: bool, head: bool, connect: bool, upgrade: bool,
    ) {
        let limits = Limits { hostless: !small, connect: small, head: if small { 90 } else { 16_384 }, ..Limits::default() };
        holds::requests(&input, Cuts(cuts), &limits);
        holds::responses(&input, Cuts(cuts), Asked { head, connect, upgrade }, &limits);
        holds::body(&input, Cuts(cuts), Length::Chunked);
        holds::body(&input, Cuts(cuts), Length::Exact(u64::from(cuts) % 50));
        holds::body(&input, Cuts(cuts), Length::UntilClose);
    }

    #[test]
    fn any_bytes_are_read_without_panic(input in vec(any::<u8>(), 0..300)) {
        holds::any(&input);
    }
}

/// Inputs that the fuzzer has found worth keeping. It starts from them, and they hold on any toolchain.
#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http1");
    let (mut inputs, mut bytes) = (0, 0);
    for entry in fs::read_dir(corpus).expect("a corpus") {
        let input = fs::read(entry.expect("an entry").path()).expect("an input");
        holds::any(&input);
        inputs += 1;
        bytes += input.len();
    }
    assert!(inputs > 100 && bytes < 200_000, "{inputs} inputs of {bytes} bytes");
}
