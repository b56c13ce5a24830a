//! Canned servers: every way to log in, every way to be refused, and what is no PostgreSQL.

use super::{message::counted, probe};
use crate::{
    health::{Code, Finding, holds::survives, testing::ask},
    model::{
        CheckKind, Secret,
        check::{Login, PgsqlCheck, Query, Role, SqlLogin},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

/// A letter, and what follows it.
type Message<'m> = (u8, &'m [u8]);

const AUTHENTICATED: Message<'_> = (b'R', &[0, 0, 0, 0]);
const READY: Message<'_> = (b'Z', b"I");
const DENIED: Message<'_> =
    (b'E', b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"app\"\0Fauth.c\0\0");
const DENIED_WORDS: &str = r#"refused login: "FATAL 28P01 password authentication failed for user \"app\"""#;
const CLEAR: Message<'_> = (b'R', &[0, 0, 0, 3]);

fn check(role: Role, query: Option<(&str, &[&str])>) -> PgsqlCheck {
    let login = Login { user: "app".to_owned(), password: Some(Secret::new("s3cret")) };
    let query = query.map(|(statement, expect)| Query {
        statement: statement.to_owned(),
        expect: expect.iter().map(|value| (*value).to_owned()).collect(),
    });
    PgsqlCheck::Full { login: SqlLogin { login, database: None, clear_password: false, query }, role }
}

fn said(messages: &[Message<'_>]) -> Vec<u8> {
    messages.iter().flat_map(|(letter, body)| [&[*letter], counted(body).as_slice()].concat()).collect()
}

fn find(check: &PgsqlCheck, messages: &[Message<'_>]) -> Finding {
    ask(&said(messages), async |wire| probe(wire, check, None).await)
}

fn login(messages: &[Message<'_>]) -> String {
    find(&check(Role::Any, None), messages).to_string()
}

/// After a login without a password.
fn asked(role: Role, query: Option<&[&str]>, messages: &[Message<'_>]) -> String {
    let check = check(role, query.map(|expect| ("SELECT 1", expect)));
    find(&check, &[&[AUTHENTICATED, READY], messages].concat()).to_string()
}

/// The server's half of a login by SCRAM, and the signature at its end.
fn scram() -> [Vec<u8>; 3] {
    let nonce = STANDARD.encode([0; 18]);
    let first = [&[0, 0, 0, 11], format!("r={nonce}server,s=c2FsdHNhbHQ=,i=4096").as_bytes()].concat();
    let last = [&[0, 0, 0, 12], b"v=yQ3ZFSS26I9EhiB/ht8ER619yQqyk72Ae5MXuDU1fOw=".as_slice()].concat();
    [b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0".to_vec(), first, last]
}

#[test]
fn every_way_ends_in_a_login() {
    assert_eq!(login(&[AUTHENTICATED, (b'S', b"a\0b\0"), (b'K', &[0; 8]), READY]), "L7OK ready");
    assert_eq!(login(&[(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]), AUTHENTICATED, (b'N', b""), READY]), "L7OK ready");
    let [mechanisms, first, last] = scram();
    let scram = [(b'R', mechanisms.as_slice()), (b'R', &first), (b'R', &last)];
    assert_eq!(login(&[&scram[..], &[AUTHENTICATED, READY]].concat()), "L7OK ready");
    let PgsqlCheck::Full { mut login, role } = check(Role::Any, None) else { panic!("a login") };
    login.clear_password = true;
    let clear = PgsqlCheck::Full { login, role };
    assert_eq!(find(&clear, &[CLEAR, AUTHENTICATED, READY]).to_string(), "L7OK ready");
}

#[test]
fn a_server_that_refuses_says_why() {
    assert_eq!(login(&[(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]), DENIED]), format!("L7STS {DENIED_WORDS}"));
    let clear = "L7STS the server wants the password in clear text: that needs `tls`, or `clear_password`";
    assert_eq!(login(&[CLEAR]), clear);
    let gss = "L7STS the server wants a login that is not known here: 7";
    assert_eq!(login(&[(b'R', &[0, 0, 0, 7])]), gss);
    let other = "L7STS the server wants a login that is not known here: \"OAUTHBEARER\\x00\\x00\"";
    assert_eq!(login(&[(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0")]), other);
    let old = ask(b"Ecould not fork new process for connection: x\n\0", async |wire| {
        probe(wire, &check(Role::Any, None), None).await
    });
    assert_eq!(old.to_string(), "L7STS refused: \"could not fork new process for connection: x\"");
}

#[test]
fn a_server_must_prove_the_password_too() {
    let [mechanisms, first, mut last] = scram();
    let begun = [(b'R', mechanisms.as_slice()), (b'R', first.as_slice())];
    let skipped = login(&[&begun[..], &[AUTHENTICATED, READY]].concat());
    assert_eq!(skipped, "L7STS whoever answers does not prove the password");
    last[8] ^= 1;
    let wrong = login(&[&begun[..], &[(b'R', last.as_slice()), AUTHENTICATED, READY]].concat());
    assert_eq!(wrong, "L7STS whoever answers does not know the password");
    let costly = b"\0\0\0\x0br=AAAAAAAAAAAAAAAAAAAAAAAAserver,s=c2FsdHNhbHQ=,i=2000000000";
    let costly = login(&[begun[0], (b'R', costly)]);
    assert_eq!(costly, "L7STS 2000000000 rounds of hashing: more than 1000000");
}

#[test]
fn a_query_is_judged_by_the_last_column_of_its_first_row() {
    let (done, columns): (Message<'_>, Message<'_>) = ((b'C', b"SELECT 1\0"), (b'T', b"\0\x01"));
    let row = |value: &'static [u8]| (b'D', value);
    let [yes, no] = [row(b"\0\x01\0\0\0\x01t"), row(b"\0\x01\0\0\0\x01f")];
    assert_eq!(asked(Role::Any, Some(&["f"]), &[columns, no, done, READY]), "L7OK \"f\"");
    let another = "L7STS another answer to the query: \"t\"";
    assert_eq!(asked(Role::Any, Some(&["f"]), &[columns, yes, no, done, READY]), another);
    let two = row(b"\0\x02\0\0\0\x01t\xff\xff\xff\xff");
    assert_eq!(asked(Role::Any, Some(&["t"]), &[columns, two, done, READY]), "L7STS the query was answered NULL");
    assert_eq!(asked(Role::Any, Some(&["t"]), &[columns, done, READY]), "L7STS the query was answered no row");
    assert_eq!(asked(Role::Any, Some(&[]), &[done, READY]), "L7OK no row");
    let error: Message<'_> = (b'E', b"SERROR\0C42P01\0Mrelation \"x\" does not exist\0\0");
    let words = r#"L7STS refused query: "ERROR 42P01 relation \"x\" does not exist""#;
    assert_eq!(asked(Role::Any, Some(&[]), &[error, READY]), words);
    let ends: Message<'_> = (b'E', b"SFATAL\0C57P01\0Mterminating connection\0\0");
    assert_eq!(asked(Role::Any, Some(&[]), &[ends]), "L7STS refused query: \"FATAL 57P01 terminating connection\"");

    let roles = |answer: Message<'static>| {
        [Role::Primary, Role::Replica].map(|role| asked(role, None, &[columns, answer, done, READY]))
    };
    assert_eq!(roles(no), ["L7OK primary", "L7STS its role: \"primary\""]);
    assert_eq!(roles(yes), ["L7STS its role: \"replica\"", "L7OK replica"]);
    assert!(roles(row(b"\0\0")).iter().all(|found| found.starts_with("L7RSP")));
    let both = asked(Role::Primary, Some(&["t"]), &[columns, no, done, READY, columns, yes, done, READY]);
    assert_eq!(both, "L7OK \"t\"");
}

#[test]
fn what_is_no_postgresql_is_strange_and_bounded() {
    let code = |answers: &[u8]| ask(answers, async |wire| probe(wire, &check(Role::Any, None), None).await).code;
    let strange =
        [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"R\0\0\0\x03", b"R\0\0\0\x04", b"R\xff\xff\xff\xff", b"Z\0\0\0\x05I"];
    for answers in strange {
        assert_eq!(code(answers), Code::L7Response, "{}", answers.escape_ascii());
    }
    for messages in [&[AUTHENTICATED][..], &[AUTHENTICATED, AUTHENTICATED, READY], &[CLEAR, CLEAR]] {
        assert_ne!(code(&said(messages)), Code::L7Ok, "{messages:?}");
    }
    let rows = vec![(b'D', &b"\0\x01\0\0\0\x01t"[..]); 20_000];
    let endless = asked(Role::Any, Some(&[]), &rows);
    assert_eq!(endless, "L7RSP the answer to the query: longer than 65536 bytes with all that came before");
    for row in [&b""[..], b"\0", b"\0\x01", b"\0\x01\0\0\0\x02t", b"\xff\xff\0\0\0\x01t", b"\0\x01\xff\xff\xff\xfe"] {
        let found = asked(Role::Any, Some(&[]), &[(b'D', row), READY]);
        assert!(found.starts_with("L7RSP"), "{row:?}: {found}");
    }
    assert!(asked(Role::Any, Some(&[]), &[(b'G', b"\0\0\0"), READY]).starts_with("L7RSP"), "it wants data");
}

#[test]
fn haproxys_form_is_content_with_any_question() {
    let startup = PgsqlCheck::Startup { user: "haproxy".to_owned() };
    let [mechanisms, ..] = scram();
    for question in [AUTHENTICATED, CLEAR, (b'R', &[0, 0, 0, 5, 1, 2, 3, 4]), (b'R', &mechanisms)] {
        assert_eq!(find(&startup, &[question]).to_string(), "L7OK PostgreSQL server is ok");
    }
    let none = find(&startup, &[DENIED]).to_string();
    assert_eq!(none, r#"L7RSP refused: "FATAL 28P01 password authentication failed for user \"app\"""#);
    for other in [(b'R', &[0, 0, 0, 1][..]), (b'R', &[0, 0, 0, 8]), (b'R', &[1, 0, 0, 0]), (b'S', b"a\0b\0")] {
        assert_eq!(find(&startup, &[other]).to_string(), "L7STS PostgreSQL unknown error");
    }
    assert_eq!(find(&startup, &[]).code, Code::L7Response);
    // As HAProxy 2.6 sends it.
    assert_eq!(super::startup(&[("user", "user")]), b"\0\0\0\x13\0\x03\0\0user\0user\0\0");
}

proptest! {
    /// Conversations that go well up to some byte.
    #[test]
    fn any_answer_ends_a_probe(at in 0_usize..300, byte: u8, cut in 0_usize..300, tail: Vec<u8>) {
        let [mechanisms, first, last] = scram();
        let mut answers = said(&[
            (b'R', &mechanisms),
            (b'R', &first),
            (b'R', &last),
            AUTHENTICATED,
            (b'S', b"a\0b\0"),
            READY,
            (b'T', b"\0\x01"),
            (b'D', b"\0\x01\0\0\0\x01f"),
            (b'C', b"SELECT 1\0"),
            READY,
        ]);
        if let Some(changed) = answers.get_mut(at) {
            *changed = byte;
        }
        answers.truncate(answers.len().saturating_sub(cut));
        answers.extend(tail);
        survives(&CheckKind::Pgsql(check(Role::Primary, None)), &answers);
    }
}
