//! Canned servers: every way to log in, every way to be refused, and what is no MySQL.

use super::{packet::packet, probe};
use crate::{
    health::{Code, Finding, holds::survives, testing::ask},
    model::{
        CheckKind, Secret,
        check::{Login, MysqlCheck, MysqlForm, Query, SqlLogin},
    },
};
use proptest::prelude::*;

/// With everything that a server may have, but for TLS.
const CAPABILITIES: u32 = 0xffff_f7ff;
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const END: &[u8] = &[0xfe, 0, 0, 2, 0];

fn check(query: Option<(&str, &[&str])>) -> MysqlCheck {
    let login = Login { user: "app".to_owned(), password: Some(Secret::new("s3cret")) };
    let query = query.map(|(statement, expect)| Query {
        statement: statement.to_owned(),
        expect: expect.iter().map(|value| (*value).to_owned()).collect(),
    });
    MysqlCheck::Full(SqlLogin { login, database: Some("app".to_owned()), clear_password: false, query })
}

/// Packets, numbered as they come.
fn said(packets: &[&[u8]]) -> Vec<u8> {
    (0..=u8::MAX).cycle().zip(packets).flat_map(|(number, payload)| packet(number, payload)).collect()
}

fn greeting(capabilities: u32, plugin: &str) -> Vec<u8> {
    let [a, b, c, d] = capabilities.to_le_bytes();
    let mut payload = b"\x0a8.4.3\0\x07\0\0\0abcdefgh\0".to_vec();
    payload.extend_from_slice(&[a, b, 45, 2, 0, c, d, 21]);
    payload.extend_from_slice(&[0; 10]);
    payload.extend_from_slice(b"ijklmnopqrst\0");
    payload.extend_from_slice(plugin.as_bytes());
    payload.push(0);
    payload
}

fn find(check: &MysqlCheck, packets: &[&[u8]]) -> Finding {
    ask(&said(packets), async |wire| probe(wire, check, None).await)
}

/// After a greeting of a server whose plugin is that.
fn login(plugin: &str, packets: &[&[u8]]) -> String {
    let greeting = greeting(CAPABILITIES, plugin);
    find(&check(None), &[&[greeting.as_slice()], packets].concat()).to_string()
}

/// A query's answer after a login.
fn query(expect: &[&str], packets: &[&[u8]]) -> String {
    let greeting = greeting(CAPABILITIES, "mysql_native_password");
    let check = check(Some(("SELECT 1", expect)));
    find(&check, &[&[greeting.as_slice(), OK], packets].concat()).to_string()
}

/// A key of RSA that nobody has the other half of.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtiIheg5sG/ue7i+/UjN2
cEP16yVbuilwadpILZHMf95KO8ixOorJ4wpRJ8TDzhx3GuaH3B5jqfi107Mxgbcj
eo+vZUJWXCXNycPHFsMIU22tZ8A++7437sQXuY+dRhgmMAK3jIJFoRL8hf+VsdZs
hYUTzMFJOzHNzrPSVY5czegnCuwh4n4CguRF2cMswUFlNsNHQyD7xYhcfVvHDrz0
AHOa/WAwUxYdTiUZqY496P0nJMm7ZUpR2BTSRAJQptEcKQ57A/NFd7aKD81b2w5k
V7yAbmhK2r20XMv3HHMNwA7w7vhGAbk7H7SA5sEmAlylPlAxiqsSZy6liESyyQsn
YwIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn every_plugin_ends_in_a_login() {
    let key = [b"\x01", KEY.as_bytes()].concat();
    for plugin in ["mysql_native_password", "", "auth_gssapi_client"] {
        assert_eq!(login(plugin, &[OK]), "L7OK \"8.4.3\"", "{plugin}");
    }
    let caching = "caching_sha2_password";
    assert_eq!(login(caching, &[&[1, 3], OK]), "L7OK \"8.4.3\"");
    assert_eq!(login(caching, &[&[1, 4], &key, OK]), "L7OK \"8.4.3\"");
    assert_eq!(login("sha256_password", &[&key, OK]), "L7OK \"8.4.3\"");
    let switch = [b"\xfe", caching.as_bytes(), b"\0ABCDEFGHIJKLMNOPQRST\0"].concat();
    assert_eq!(login("mysql_native_password", &[&switch, &[1, 3], OK]), "L7OK \"8.4.3\"");
    assert_eq!(login(caching, &[b"\xfemysql_native_password\0ABCDEFGHIJKLMNOPQRST\0", OK]), "L7OK \"8.4.3\"");
}

#[test]
fn a_server_that_refuses_says_why() {
    let denied = b"\xff\x15\x04#28000Access denied for user 'app'@'10.0.0.1' (using password: YES)";
    let words = r#"error 1045 (28000): "Access denied for user \'app\'@\'10.0.0.1\' (using password: YES)""#;
    assert_eq!(login("mysql_native_password", &[denied]), format!("L7STS refused login, {words}"));
    let many = find(&check(None), &[b"\xff\x10\x04Too many connections"]);
    assert_eq!(many.to_string(), "L7STS refused, error 1040: \"Too many connections\"");
    let switches: [(&[u8], &str); 3] = [
        (b"\xfe", "the server wants the login of MySQL before 4.1, which is not safe"),
        (b"\xfeclient_ed25519\0xyz", "the user's plugin is none that is known here: \"client_ed25519\""),
        (
            b"\xfemysql_clear_password\0",
            "the server wants the password in clear text: that needs `tls`, or `clear_password`",
        ),
    ];
    for (switch, words) in switches {
        assert_eq!(login("mysql_native_password", &[switch]), format!("L7STS {words}"));
    }
}

#[test]
fn a_query_is_judged_by_the_last_column_of_its_first_row() {
    let (one, two): (&[u8], &[u8]) = (&[1], &[2]);
    assert_eq!(query(&["0"], &[one, b"def", END, b"\x010", END]), "L7OK \"0\"");
    assert_eq!(query(&["0"], &[one, b"def", END, b"\x011", END]), "L7STS another answer to the query: \"1\"");
    let galera = [two, b"name", b"value", END, b"\x11wsrep_local_state\x014", END];
    assert_eq!(query(&["4"], &galera), "L7OK \"4\"");
    assert_eq!(query(&["4"], &[one, b"def", END, b"\x012", b"\x014", END]), "L7STS another answer to the query: \"2\"");
    assert_eq!(query(&["4"], &[one, b"def", END, b"\xfb", END]), "L7STS the query was answered NULL");
    assert_eq!(query(&["4"], &[one, b"def", END, END]), "L7STS the query was answered no row");
    assert_eq!(query(&["4"], &[OK]), "L7STS the query was answered no row");
    assert_eq!(query(&[], &[OK]), "L7OK no row");
    let error = b"\xff\x7a\x04#42S02Table 'app.x' doesn't exist";
    let words = r#"L7STS refused query, error 1146 (42S02): "Table \'app.x\' doesn\'t exist""#;
    assert_eq!(query(&[], &[error]), words);
    assert_eq!(query(&[], &[one, b"def", END, b"\x011", error]), words);
}

#[test]
fn what_is_no_mysql_is_strange_and_bounded() {
    let (one, endless): (&[u8], Vec<&[u8]>) = (&[1], vec![b"\x011"; 20_000]);
    for packets in [&[&b"\xfb/etc/passwd"[..]][..], &[&[0xfc]], &[one, END], &[one, b"def", b"\x011"], &[&[0xfe; 9]]] {
        assert!(query(&[], packets).starts_with("L7RSP"), "{packets:?}");
    }
    let rows = query(&[], &[&[one, b"def", END], endless.as_slice()].concat());
    assert_eq!(rows, "L7RSP the answer to the query: longer than 65536 bytes with all that came before");
    let rounds = vec![&[1, 3][..]; 20];
    assert_eq!(login("caching_sha2_password", &rounds), "L7RSP the login does not end");
    assert!(login("mysql_native_password", &[&[1, 4]]).starts_with("L7RSP more than mysql_native_password has"));
    let code = |answers: &[u8]| ask(answers, async |wire| probe(wire, &check(None), None).await).code;
    for strange in
        [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\xff\xff\xff\0", b"\0\0\0\0", b"\x01\0\0\0\x0a", b"\x01\0\0\0\xff"]
    {
        assert_eq!(code(strange), Code::L7Response, "{}", strange.escape_ascii());
    }
    assert_eq!(code(&said(&[&greeting(1, "")])), Code::L7Response);
}

#[test]
fn haproxys_forms_are_content_with_whatever_is_no_error() {
    let greeting = greeting(CAPABILITIES, "");
    let blind = MysqlCheck::Blind { user: "haproxy".to_owned(), form: MysqlForm::Post41 };
    assert_eq!(find(&blind, &[&greeting, OK]).to_string(), "L7OK \"8.4.3\"");
    assert_eq!(find(&blind, &[&greeting, b"\xfecaching_sha2_password\0"]).to_string(), "L7OK \"8.4.3\"");
    let denied: &[u8] = b"\xff\x15\x04#28000Access denied";
    assert_eq!(find(&blind, &[&greeting, denied]).to_string(), "L7STS refused, error 1045 (28000): \"Access denied\"");
    assert_eq!(find(&blind, &[&greeting]).code, Code::L7Response);
    assert_eq!(find(&MysqlCheck::Greeting, &[&greeting]).to_string(), "L7OK \"8.4.3\"");
    assert_eq!(find(&MysqlCheck::Greeting, &[b"\xff\x6a\x04Host is not allowed"]).code, Code::L7Status);
}

proptest! {
    /// Conversations that go well up to some byte.
    #[test]
    fn any_answer_ends_a_probe(at in 0_usize..400, byte: u8, cut in 0_usize..400, tail: Vec<u8>) {
        let key = [b"\x01", KEY.as_bytes()].concat();
        let greeting = greeting(CAPABILITIES, "caching_sha2_password");
        let mut answers = said(&[&greeting, &[1, 4], &key, OK, &[1], b"def", END, b"\x010", END]);
        if let Some(changed) = answers.get_mut(at) {
            *changed = byte;
        }
        answers.truncate(answers.len().saturating_sub(cut));
        answers.extend(tail);
        survives(&CheckKind::Mysql(check(Some(("SELECT 1", &["0"])))), &answers);
    }
}
