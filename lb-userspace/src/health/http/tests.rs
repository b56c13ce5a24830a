//! The HTTP check against servers that exist in memory.

mod ends;
pub(in crate::health) mod frames;
mod haproxy;
mod steps;

use super::*;
use crate::{
    config,
    health::{
        Code,
        testing::{ask, once},
    },
    model::{Backend, Check},
};
use frames::{data, head, more, settings};
use proptest::prelude::*;

/// A backend with a check of type `http` that has these keys.
fn backend(keys: &str) -> Backend {
    let text = format!(
        "[frontend.f]\nmode = \"http\"\nbind = \"127.0.0.1:1\"\ndefault_backend = \"b\"\n[backend.b]\nserver = [{{ name = \"s\", \
         address = \"127.0.0.1:1\" }}]\n[backend.b.check]\ntype = \"http\"\n{keys}\n"
    );
    let loaded = config::parse(&text).unwrap_or_else(|errors| panic!("{keys}\n{errors}"));
    loaded.model.backends.into_iter().next().unwrap()
}

fn check(keys: &str) -> HttpCheck {
    match backend(keys).check {
        Some(Check { kind: CheckKind::Http(check), .. }) => check,
        other => panic!("{other:?}"),
    }
}

/// What a check with these keys finds at a server that says that.
fn find(keys: &str, answers: &[u8]) -> Finding {
    let check = check(keys);
    ask(answers, async |wire| probe(wire, &check, None).await)
}

/// The same, as far as it does not depend on how the answer is cut: without the words.
fn code(check: &HttpCheck, answers: &[u8]) -> Code {
    let wordless = |found: Finding| Finding { detail: String::new(), ..found };
    let asking = async |wire: &mut Wire| probe(wire, check, None).await.map(wordless).map_err(wordless);
    ask(answers, asking).code
}

const GET: &str = "method = \"GET\"\n";

fn told(expect: &str, answer: &str) -> String {
    find(&format!("{GET}expect = {expect}"), answer.as_bytes()).to_string()
}

#[test]
fn the_status_line_decides_however_it_is_cut() {
    let check = check("expect = 200");
    let code = |answer: &str| code(&check, answer.as_bytes());
    assert_eq!(code("HTTP/1.1 200 OK\r\nX: y\r\n\r\n"), Code::L7Ok);
    assert_eq!(code("HTTP/1.0 200\r\n\r\n"), Code::L7Ok);
    assert_eq!(code("HTTP/1.1 503 Service Unavailable\r\n\r\n"), Code::L7Status);
    for strange in [
        "",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\nX: y\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        let code = find("method = \"GET\"\nexpect = 200", strange.as_bytes()).code;
        assert_eq!(code, Code::L7Response, "{strange:?}");
    }
}

#[test]
fn the_servers_words_are_in_the_finding() {
    let (ok, no) = ("HTTP/1.1 200 OK\r\nX-A: a, b\r\n\r\nready", "HTTP/1.1 503 Not\x0bToday\r\n\r\n");
    let shown = [
        (told("200", ok), "L7OK status 200"),
        (told("200", "HTTP/1.1 503 Not today\r\n\r\n"), "L7STS status 503: \"Not today\""),
        (told("200", "HTTP/1.1 503\r\n\r\n"), "L7STS status 503"),
        (told("200", no), "L7RSP not an HTTP answer: \"HTTP/1.1 503 Not\\x0bToday\""),
        (told("200", "220 mail.test ESMTP\r\n"), "L7RSP not an HTTP answer: \"220 mail.test ESMTP\""),
        (told("{ string = \"rea\" }", ok), "L7OK status 200"),
        (told("{ string = \"red\" }", ok), "L7RSP status 200, other body: \"ready\""),
        (told("{ not = true, string = \"ready\" }", ok), "L7RSP status 200, unwanted body: \"ready\""),
        (told("{ rstring = \"^$\" }", "HTTP/1.1 200 OK\r\n\r\n"), "L7RSP status 200, no body"),
        (told("{ hdr = { name = \"x-b\" } }", ok), "L7STS status 200, no header \"x-b\""),
        (told("{ hdr = { name = \"x-a\", value = \"c\" } }", ok), "L7STS status 200, other header \"X-A\": \"a, b\""),
        (told("{ not = true, hdr = { name = \"x-a\" } }", ok), "L7STS status 200, unwanted header \"X-A\": \"a, b\""),
        (
            told("[200, { string = \"red\" }, { string = \"blue\" }]", no),
            "L7RSP not an HTTP answer: \"HTTP/1.1 503 Not\\x0bToday\"",
        ),
    ];
    for (told, expected) in shown {
        assert_eq!(told, expected);
    }
}

#[test]
fn interim_answers_are_passed_over_and_a_404_may_mean_that_nothing_new_is_wanted() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(told("200", &format!("{interim}HTTP/1.1 200 OK\r\n\r\n")), "L7OK status 200");
    assert_eq!(told("200", &interim.repeat(8)), "L7RSP more than 16 interim answers");
    assert_eq!(told("200", "HTTP/1.1 101 Switching\r\n\r\n"), "L7RSP the protocol is switched unasked");
    let gone = b"HTTP/1.1 404 Not Found\r\n\r\n";
    assert_eq!(find("disable_on_404 = true", gone).code, Code::L7OkConditionally);
    assert_eq!(find("", gone).code, Code::L7Status);
    assert_eq!(find("disable_on_404 = true", b"HTTP/1.1 410 Gone\r\n\r\n").code, Code::L7Status);
}

#[test]
fn bodies_are_read_as_they_are_framed_and_not_beyond_their_limit() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let expect = "{ string = \"ready\" }";
    assert_eq!(told(expect, &format!("{chunked}3;x=y\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n")), "L7OK status 200");
    assert_eq!(told(expect, &format!("{chunked}3\r\nrea\r\nZ\r\n")), "L7RSP the size of a chunk is malformed");
    assert_eq!(
        told(expect, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nready"),
        "L7RSP status 200, other body: \"read\""
    );
    // Cut off, and yet enough.
    assert_eq!(told(expect, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nready"), "L7OK status 200");
    let filled = |before: usize| format!("HTTP/1.1 200 OK\r\n\r\n{}ready{}", "x".repeat(before), "y".repeat(70_000));
    assert!(told(expect, &filled(16_379)).starts_with("L7OK"));
    assert!(told(expect, &filled(16_380)).starts_with("L7RSP status 200, other body: \"xxx"));
    assert!(told("{ not = true, string = \"ready\" }", &filled(16_380)).starts_with("L7OK"));
    assert_eq!(told(expect, &format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000))), "L7RSP the header is too large");
    assert!(told(expect, &format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(200))).starts_with("L7RSP"));
}

#[test]
fn http2_finds_the_same() {
    let keys = |expect: &str| format!("{GET}proto = \"h2\"\nexpect = {expect}");
    let answer = |status: &str, body: &[u8]| {
        [settings(), head(1, &[(":status", status), ("x-a", "a, b")], false), data(1, body, true)].concat()
    };
    let told = |expect: &str, answer: &[u8]| find(&keys(expect), answer).to_string();
    assert_eq!(told("200", &answer("200", b"ready")), "L7OK status 200");
    assert_eq!(told("200", &answer("503", b"")), "L7STS status 503");
    assert_eq!(told("{ string = \"ready\" }", &answer("200", b"ready")), "L7OK status 200");
    assert_eq!(told("{ string = \"red\" }", &answer("200", b"ready")), "L7RSP status 200, other body: \"ready\"");
    assert_eq!(told("{ hdr = { name = \"X-A\", value = \"b\" } }", &answer("200", b"")), "L7OK status 200");
    assert_eq!(told("{ string = \"x\" }", &answer("200", b"")), "L7RSP status 200, no body");
    // Interim, and then nothing but an end.
    let interim = [settings(), head(1, &[(":status", "103")], false), head(1, &[(":status", "200")], true)].concat();
    assert_eq!(told("200", &interim), "L7OK status 200");
    assert_eq!(told("200", b""), "L7RSP the answer: closed without a word");
    assert_eq!(told("200", &settings()), "L7RSP the answer: cut off");
    let check = check(&keys("200"));
    let code = |answer: &[u8]| code(&check, answer);
    assert_eq!(code(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), Code::L7Response);
    assert_eq!(code(&[settings(), frames::reset(1, 7)].concat()), Code::L7Response);
    assert_eq!(code(&[settings(), frames::go_away(0, 2, b"\x1b[2Jno")].concat()), Code::L7Response);
    assert_eq!(
        code(&[settings(), frames::go_away(1, 0, b""), head(1, &[(":status", "200")], true)].concat()),
        Code::L7Ok
    );
}

#[test]
fn floods_of_frames_end_soon() {
    let check = check(&format!("{GET}proto = \"h2\"\nexpect = {{ string = \"ready\" }}"));
    let code = |flood: &[u8]| code(&check, flood);
    let begun = [settings(), head(1, &[(":status", "200")], false)].concat();
    let long = "x".repeat(100);
    let heads: Vec<_> = (0..400).map(|_| ("x", long.as_str())).collect();
    let floods = [
        [begun.clone(), frames::ping().repeat(200_000)].concat(),
        [begun.clone(), settings().repeat(400_000)].concat(),
        [begun.clone(), data(1, b"", false).repeat(400_000)].concat(),
        [begun.clone(), frames::unknown().repeat(200_000)].concat(),
        [begun.clone(), frames::window(0, 1).repeat(400_000)].concat(),
        [begun.clone(), more(&begun, 1).repeat(20_000)].concat(),
        [settings(), head(1, &[(":status", "103")], false).repeat(100_000)].concat(),
        [settings(), head(1, &heads, true)].concat(),
        [begun.clone(), data(1, &[b'x'; 16_000], false).repeat(400)].concat(),
    ];
    for flood in floods {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let asking = async |wire: &mut Wire| probe(wire, &check, None).await;
        let found = once(&runtime, &flood, usize::MAX, asking);
        // It did not go on until the end of the flood.
        assert!(found.code == Code::L7Response && !found.detail.contains("cut off"), "{found} of {:?}", &flood[..60]);
        assert_eq!(code(&flood), Code::L7Response);
    }
}

/// Answers as they are.
fn answers() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let http1 = |text: &str| ("h1", text.as_bytes().to_vec());
    prop::sample::select(vec![
        http1("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: a, \"b, c\"\r\n\r\nready"),
        http1("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\nX: y\r\n\r\n"),
        http1("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\nready"),
        ("h2", [settings(), head(1, &[(":status", "200"), ("x-a", "b")], false), data(1, b"ready", true)].concat()),
        ("h2", [settings(), frames::ping(), head(1, &[(":status", "404")], true), frames::go_away(1, 0, b"")].concat()),
        ("h2", [settings(), head(1, &[(":status", "200")], false), more(&[], 1), frames::reset(1, 0)].concat()),
    ])
}

proptest! {
    /// A probe of whatever it is told ends, with a code of its own layer.
    #[test]
    fn any_bytes_end_a_probe(
        (proto, mut answer) in answers(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..80),
        is_noise in any::<bool>(),
    ) {
        for (at, byte) in changes {
            let at = at.index(answer.len());
            answer[at] = byte;
        }
        answer.truncate(cut.index(answer.len()) + 1);
        answer.extend_from_slice(&noise);
        let check = check(&format!(
            "{GET}proto = \"{proto}\"\nexpect = [\"200-404\", {{ rstring = \"y$\" }}, {{ hdr = {{ name = \"X-A\", value = \"b\" }} }}]"
        ));
        let answer = if is_noise { &noise } else { &answer };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let found = once(&runtime, answer, usize::MAX, async |wire| {
            probe(wire, &check, None).await
        });
        prop_assert!(matches!(found.code, Code::L7Ok | Code::L7Status | Code::L7Response), "{found}");
        prop_assert!(found.detail.len() < 800 && !found.detail.contains(char::is_control), "{found:?}");
    }
}
