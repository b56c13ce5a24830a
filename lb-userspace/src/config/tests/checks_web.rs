//! Checks of type `http` and `grpc`.

use super::{assert_errors, model, said};
use crate::model::{
    CheckKind, Proto,
    acl::converter::Pattern,
    check::{Expect, Expected, ExpectedHeader, GrpcCheck, HttpCheck, HttpStep, HttpVersion, Matching},
};

fn with(check: &str) -> String {
    format!(
        "[frontend.a]\nmode = \"http\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n[backend.b]\nserver = [{{ name = \"s\", address = \
         \"10.0.0.1:80\" }}]\n[backend.b.check]\n{check}\n"
    )
}

fn kind(check: &str) -> CheckKind {
    model(&with(check)).backends[0].check.clone().expect("a check").kind
}

fn pattern(text: &str) -> Pattern {
    Pattern(regex::bytes::Regex::new(text).expect("a regular expression"))
}

#[test]
fn all_that_a_check_can_ask_and_expect_arrives() {
    let kind = kind(
        r#"type = "http"
method = "POST"
host = "a.test:8080"
version = "1.0"
headers = { Accept = ["a", "b"], "X-Probe" = " 1 " }
body = "{}"
proto = "h1"
disable_on_404 = true
expect = [
  200,
  { rstatus = "^2" },
  "301-302",
  { not = true, string = "error" },
  { rstring = "x$" },
  { hdr = { name = "X-Role" } },
  { fhdr = { name = "server", name_match = "sub", value = "^nginx", value_match = "reg" } },
  { status = [200, "204-205"] },
]
steps = [
  { path = "/a?b" },
  { connect = false, method = "HEAD", version = "1.1", host = "b.test", headers = {}, body = "", expect = 204 },
]
"#,
    );
    let not = |what| Expect { not: true, what };
    let so = |what| Expect { not: false, what };
    let expect = vec![
        Expect::status([200, 301, 302]),
        so(Expected::StatusRegex(pattern("^2"))),
        not(Expected::Body("error".to_owned())),
        so(Expected::BodyRegex(pattern("x$"))),
        so(Expected::Header(ExpectedHeader { name: Matching::Exact("X-Role".to_owned()), value: None, whole: false })),
        so(Expected::Header(ExpectedHeader {
            name: Matching::Contains("server".to_owned()),
            value: Some(Matching::Regex(pattern("^nginx"))),
            whole: true,
        })),
        Expect::status([200, 204, 205]),
    ];
    let first = HttpStep {
        method: "POST".to_owned(),
        path: "/a?b".to_owned(),
        host: Some("a.test:8080".to_owned()),
        version: HttpVersion::V10,
        headers: [("Accept", "a"), ("Accept", "b"), ("X-Probe", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        body: "{}".to_owned(),
        expect,
        ..HttpStep::default()
    };
    let second = HttpStep {
        connect: false,
        host: Some("b.test".to_owned()),
        expect: vec![Expect::status([204])],
        ..HttpStep::default()
    };
    let check = HttpCheck { proto: Some(Proto::Http1), steps: vec![first, second], disable_on_404: true };
    assert_eq!(check.host(), Some("a.test"));
    assert_eq!(kind, CheckKind::Http(check));
}

#[test]
fn a_check_of_grpc_asks_for_the_whole_server_unless_it_names_a_service() {
    assert_eq!(kind("type = \"grpc\""), CheckKind::Grpc(GrpcCheck::default()));
    let check = GrpcCheck { service: "shop.Orders".to_owned(), host: Some("a.test".to_owned()) };
    assert_eq!(kind("type = \"grpc\"\nservice = \"shop.Orders\"\nhost = \"a.test\""), CheckKind::Grpc(check));
}

#[test]
fn what_a_check_cannot_ask_or_find_is_said() {
    let said = |keys: &str| said(&with(&format!("type = \"http\"\n{keys}")));
    for (keys, expected) in [
        ("expect = []", "`expect` names nothing that could be expected"),
        ("expect = { }", "one thing is expected at a time"),
        ("expect = { status = 200, string = \"x\" }", "one thing is expected at a time"),
        ("method = \"GET\"\nexpect = { rstring = \"(\" }", "not a regular expression: unclosed group"),
        ("expect = { hdr = { value = \"x\" } }", "a header has a `name`"),
        ("expect = { hdr = { name = \"x\", value_match = \"beg\" } }", "`value_match` has no effect without `value`"),
        ("expect = { hdr = { name = \"x\", name_match = \"dom\" } }", "`dom` is not a way to compare"),
        ("expect = { status = 200, statuses = 201 }", "unknown key `statuses` in what is expected of an answer"),
        ("expect = { string = \"x\" }", "the answer to HEAD has no body: the check could never pass"),
        ("method = \"GET\"\nexpect = { string = \"\" }", "every body contains that"),
        ("headers = { \"a b\" = \"1\" }", "`a b` cannot be the name of a header"),
        ("headers = { content-length = \"1\" }", "`content-length` comes by itself"),
        ("headers = { Host = \"a\" }", "`Host` comes by itself"),
        ("headers = { a = \"b\\r\\nc: d\" }", "the value of a header has no control characters"),
        ("path = \"/a#b\"", "`/a#b` cannot be the path of a request"),
        ("path = \"/a<b>\"", "`/a<b>` cannot be the path of a request"),
        ("host = \"a b\"", "`a b` cannot be the host of a request"),
        ("version = \"2\"", "`2` is not a version of HTTP/1"),
        ("version = \"1.0\"\nproto = \"h2\"", "`version` has no meaning with `proto = \"h2\"`"),
        ("steps = []", "`steps` are 1 to 16"),
        ("steps = [{ connect = false }]", "before the first step there is no connection to go on with"),
        ("steps = [{ proto = \"h2\" }]", "unknown key `proto` in a step of a check"),
        ("service = \"x\"", "`service` has no meaning in a check of type `http`"),
    ] {
        assert_eq!(said(keys), [expected], "{keys}");
    }
    let long = format!("body = \"{}\"", "x".repeat(16_385));
    assert_eq!(said(&long), ["`body` has more than 16384 bytes"]);
}

#[test]
fn errors_in_steps_have_their_place() {
    assert_errors(
        &with("type = \"http\"\nexpect = { string = \"ok\" }\nsteps = [{ method = \"GET\" }, { path = \"x\" }]"),
        r#"error: the answer to HEAD has no body: the check could never pass
  --> sluice.toml:10:30
   |
10 | steps = [{ method = "GET" }, { path = "x" }]
   |                              ^^^^^^^^^^^^^^
   |
   = help: method = "GET"

error: `x` cannot be the path of a request
  --> sluice.toml:10:39
   |
10 | steps = [{ method = "GET" }, { path = "x" }]
   |                                       ^^^
   |
   = help: a path begins with a slash; spaces, `#`, `<`, `>` and others are written as `%20`, `%23` …
"#,
    );
}
