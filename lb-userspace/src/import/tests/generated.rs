//! Configurations that nobody has written.

use super::*;
use proptest::prelude::*;

/// How statements begin that are right somewhere.
const STARTS: &[&str] = &[
    "global",
    "defaults",
    "frontend f",
    "backend b",
    "listen l",
    "resolvers r",
    "userlist u",
    "peers p",
    "bind :80",
    "bind",
    "mode http",
    "mode tcp",
    "mode",
    "server s1 10.0.0.1:80 check",
    "server",
    "default-server",
    "default_backend b",
    "use_backend b",
    "acl a path",
    "acl",
    "http-request deny",
    "http-request",
    "http-response set-header X",
    "tcp-request content",
    "option httpchk",
    "option tcp-check",
    "option mysql-check",
    "option forwardfor",
    "option",
    "http-check expect",
    "http-check send",
    "http-check connect",
    "tcp-check expect",
    "tcp-check send",
    "tcp-check connect",
    "timeout client",
    "timeout",
    "balance",
    "hash-type",
    "cookie C insert",
    "cookie",
    "log global",
    "log 127.0.0.1 local0",
    "log",
    "log-format",
    "errorfile 503",
    "stats",
    "nbthread",
    "maxconn",
    "user a password",
    "nameserver n 10.0.0.1:53",
    "hold",
    "no option",
    "capture request header",
    "retry-on",
    "server-template t 3",
    ".if",
    ".endif",
];

/// Statements that are right somewhere, with words that may be anything.
fn statement() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("a".to_owned()),
        Just("10.0.0.1:80".to_owned()),
        Just("5s".to_owned()),
        Just("{ path /a }".to_owned()),
        Just("if".to_owned()),
        Just("\"${X}\"".to_owned()),
        Just("ssl".to_owned()),
        "[a-z0-9 \"'\\\\#%{}\\[\\]\\$é.-]{0,8}",
    ];
    let start = prop::sample::select(STARTS);
    (start, prop::collection::vec(word, 0..4), prop::option::of("# [ -~é]{0,10}"))
        .prop_map(|(start, words, comment)| format!("{start} {} {}", words.join(" "), comment.unwrap_or_default()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever comes in: what comes out can be read, and each statement is there or is named.
    #[test]
    fn whatever_is_imported_can_be_read(lines in prop::collection::vec(statement(), 1..25)) {
        let text = lines.join("\n");
        imported(&text);
    }

    #[test]
    fn any_text_is_imported(text in "(\\PC|[\n\t]){0,200}") {
        imported(&text);
    }
}
