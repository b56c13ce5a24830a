//! The keys of types of checks: what is refused, and where.

use super::{assert_errors, model, said};
use crate::model::{
    CheckKind,
    check::{
        Hello,
        script::{Action, Content},
    },
};

/// A backend with that check.
fn with(check: &str) -> String {
    format!(
        "[frontend.f]\nmode = \"tcp\"\nbind = \"*:1\"\ndefault_backend = \"b\"\n\n[backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:1\" }}]\ncheck = {check}\n"
    )
}

fn kind(check: &str) -> CheckKind {
    model(&with(check)).backends[0].check.clone().expect("a check").kind
}

#[test]
fn what_is_wrong_with_a_script_is_shown_where_it_is() {
    let text = with(
        r#"{ type = "script", steps = [
  { send = "a", expect = "b" },
  { comment = "nothing" },
  { expect_regex = "^(a" },
  { expect_binary = "0g" },
  { send_binary = "123" },
  { send = "x", min_recv = 3 },
  { connect = { port = 0 } },
  { expect = "a", min_receive = 1 },
] }"#,
    );
    assert_errors(&text, REPORT);
}

const REPORT: &str = r#"error: a step does one thing
 --> sluice.toml:9:3
  |
9 |   { send = "a", expect = "b" },
  |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: one of: `connect`, `send`, `send_binary`, `expect`, `expect_regex`, `expect_binary`, `expect_binary_regex`

error: a step does one thing
  --> sluice.toml:10:3
   |
10 |   { comment = "nothing" },
   |   ^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: one of: `connect`, `send`, `send_binary`, `expect`, `expect_regex`, `expect_binary`, `expect_binary_regex`

error: not a regular expression: unclosed group
  --> sluice.toml:11:20
   |
11 |   { expect_regex = "^(a" },
   |                    ^^^^^
   |
   = help: matched in time linear to the value: without look-around and back-references

error: this is no hexadecimal digit
  --> sluice.toml:12:23
   |
12 |   { expect_binary = "0g" },
   |                       ^
   |
   = help: two a byte, such as "0d0a"

error: a byte is two hexadecimal digits
  --> sluice.toml:13:19
   |
13 |   { send_binary = "123" },
   |                   ^^^^^
   |
   = help: such as "0d0a"

error: `min_recv` has no meaning without `expect`
  --> sluice.toml:14:28
   |
14 |   { send = "x", min_recv = 3 },
   |                            ^

error: with a `connect` among them, the first step must be one
  --> sluice.toml:15:15
   |
15 |   { connect = { port = 0 } },
   |               ^^^^^^^^^^^^

error: `port` must be from 1 to 65535
  --> sluice.toml:15:24
   |
15 |   { connect = { port = 0 } },
   |                        ^

error: unknown key `min_receive` in a step of a script
  --> sluice.toml:16:19
   |
16 |   { expect = "a", min_receive = 1 },
   |                   ^^^^^^^^^^^
   |
   = help: did you mean `min_recv`?
"#;

#[test]
fn a_script_is_what_it_says() {
    let CheckKind::Script(script) =
        kind(r#"{ type = "script", steps = [{ send_binary = "00fF" }, { expect = "a" }] }"#)
    else {
        panic!("another check")
    };
    let [connection] = &script.connections[..] else { panic!("{script:?}") };
    let [first, second] = &connection.steps[..] else { panic!("{connection:?}") };
    assert_eq!((connection.connect.number, first.number, second.number), (0, 1, 2));
    assert_eq!(first.action, Action::Send(vec![0, 0xFF]));
    assert!(matches!(&second.action, Action::Expect(expect) if expect.content == Content::Text(b"a".to_vec())));
    let CheckKind::Script(script) =
        kind(r#"{ type = "script", steps = [{ connect = {} }, { send = "a" }, { connect = {} }] }"#)
    else {
        panic!("another check")
    };
    let numbers: Vec<_> = script.connections.iter().map(|connection| connection.connect.number).collect();
    assert_eq!(numbers, [1, 3]);
}

#[test]
fn what_a_check_lacks_is_said() {
    for (check, expected) in [
        (r#"{ type = "script" }"#, "a script needs `steps`"),
        (
            r#"{ type = "script", steps = [{ send = "a" }, { connect = {} }] }"#,
            "with a `connect` among them, the first step must be one",
        ),
        (r#"{ type = "tls" }"#, "a check of type `tls` needs `tls`"),
        (r#"{ type = "smtp", starttls = true }"#, "`starttls` needs `tls`: whose certificates to believe"),
        (
            r#"{ type = "smtp", starttls = true, hello = "HELO", tls = { verify = "none" } }"#,
            "`starttls` is a part of what `EHLO` is for",
        ),
        (r#"{ type = "smtp", domain = "a\r\nb" }"#, "`domain` is said in a line: it cannot be empty or have line ends"),
        (r#"{ type = "ldap", bind_dn = "cn=a" }"#, "`bind_dn` needs a `password_file`"),
        (r#"{ type = "udp" }"#, "a check of type `udp` needs `send` or `send_binary`"),
        (r#"{ type = "udp", send = "a", send_proxy = "v1" }"#, "`send_proxy` has no meaning in a check by UDP"),
        (r#"{ type = "udp", send = "a", expect = "b", expect_regex = "c" }"#, "one `expect…` is enough"),
        (r#"{ type = "dns" }"#, "a check of type `dns` needs a `name`"),
        (r#"{ type = "dns", name = "a..b" }"#, "`a..b` is not a name of DNS"),
        (r#"{ type = "dns", name = "a", rcode = [] }"#, "`rcode` names no code: the check could never pass"),
        (r#"{ type = "ssh", user = "a" }"#, "`user` has no meaning in a check of type `ssh`"),
    ] {
        assert_eq!(said(&with(check)), [expected], "{check}");
    }
}

#[test]
fn a_mail_server_is_greeted_as_haproxy_does_unless_tls_begins_there() {
    let hello = |check| if let CheckKind::Smtp(check) = kind(check) { check.hello } else { panic!("another check") };
    assert_eq!(hello(r#"{ type = "smtp" }"#), Hello::Plain);
    assert_eq!(hello(r#"{ type = "smtp", starttls = true, tls = { verify = "none" } }"#), Hello::Extended);
}
