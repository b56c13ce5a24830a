//! The same scripts against the same servers, by HAProxy itself and by us.

use super::prober;
use crate::health::{
    Meaning,
    haproxy::{Haproxy, fields},
    testing::{
        Act::{self, Hear, Pause, Say, Stay},
        server,
    },
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    thread,
    time::Duration,
};

/// What a server does, the script in HAProxy's words, and in ours.
struct Case {
    acts: &'static [Act],
    theirs: &'static [&'static str],
    ours: &'static str,
}

const PONG: &[Act] = &[Hear, Say(b"+PONG\r\n"), Stay];
const BANNER: &[Act] = &[Say(b"220 ProFTPD ready\r\n"), Stay];
/// What is in two pieces.
const PIECES: &[Act] = &[Hear, Say(b"+PO"), Pause, Say(b"NG\r\n"), Stay];
const MUTE: &[Act] = &[Stay];
const LEAVES: &[Act] = &[Hear];
const CASES: &[Case] = &[
    Case { acts: MUTE, theirs: &["connect"], ours: "[{ connect = {} }]" },
    Case { acts: MUTE, theirs: &["send PING"], ours: r#"[{ send = "PING" }]"# },
    Case { acts: MUTE, theirs: &["connect", "send PING"], ours: r#"[{ connect = {} }, { send = "PING" }]"# },
    Case {
        acts: PONG,
        theirs: &["send PING\\r\\n", "expect string +PONG"],
        ours: r#"[{ send = "PING\r\n" }, { expect = "+PONG" }]"#,
    },
    Case {
        acts: PONG,
        theirs: &["connect", "send PING\\r\\n", "expect string +PONG"],
        ours: r#"[{ connect = {} }, { send = "PING\r\n" }, { expect = "+PONG" }]"#,
    },
    Case {
        acts: PONG,
        theirs: &["connect", "send-binary 50494e470d0a", "expect binary 2b504f4e47"],
        ours: r#"[{ connect = {} }, { send_binary = "50494e470d0a" }, { expect_binary = "2b504f4e47" }]"#,
    },
    Case {
        acts: PONG,
        theirs: &["connect", "send x", "expect rbinary ^2B50(4F|AA)"],
        ours: r#"[{ connect = {} }, { send = "x" }, { expect_binary_regex = "^2B50(4F|AA)" }]"#,
    },
    Case {
        acts: PIECES,
        theirs: &["connect", "send x", "expect rstring ^\\+P.*G"],
        ours: r#"[{ connect = {} }, { send = "x" }, { expect_regex = '^\+P.*G' }]"#,
    },
    // The first piece decides.
    Case {
        acts: PIECES,
        theirs: &["connect", "send x", "expect min-recv 0 rstring PONG"],
        ours: r#"[{ connect = {} }, { send = "x" }, { min_recv = 0, expect_regex = "PONG" }]"#,
    },
    // Both together decide.
    Case {
        acts: PIECES,
        theirs: &["connect", "send x", "expect min-recv 5 rstring PONG"],
        ours: r#"[{ connect = {} }, { send = "x" }, { min_recv = 5, expect_regex = "PONG" }]"#,
    },
    // Fewer bytes than are looked for are never enough.
    Case {
        acts: PIECES,
        theirs: &["connect", "send x", "expect min-recv 0 string +PONG"],
        ours: r#"[{ connect = {} }, { send = "x" }, { min_recv = 0, expect = "+PONG" }]"#,
    },
    Case { acts: BANNER, theirs: &["expect string ProFTPD"], ours: r#"[{ expect = "ProFTPD" }]"# },
    Case {
        acts: BANNER,
        theirs: &["expect min-recv 1 string vsftpd comment banner"],
        ours: r#"[{ min_recv = 1, expect = "vsftpd", comment = "banner" }]"#,
    },
    Case {
        acts: BANNER,
        theirs: &["connect", "expect min-recv 1 rstring ^230"],
        ours: r#"[{ connect = {} }, { min_recv = 1, expect_regex = "^230" }]"#,
    },
    Case {
        acts: BANNER,
        theirs: &["connect", "expect min-recv 1 binary ffff"],
        ours: r#"[{ connect = {} }, { min_recv = 1, expect_binary = "ffff" }]"#,
    },
    Case {
        acts: BANNER,
        theirs: &["connect", "expect min-recv 1 rbinary FFFF"],
        ours: r#"[{ connect = {} }, { min_recv = 1, expect_binary_regex = "FFFF" }]"#,
    },
    // A mismatch that more could mend, from a server that says no more.
    Case { acts: BANNER, theirs: &["expect string vsftpd"], ours: r#"[{ expect = "vsftpd" }]"# },
    Case {
        acts: BANNER,
        theirs: &["expect tout-status L4TOUT rstring vsftpd comment patience"],
        ours: r#"[{ expect_regex = "vsftpd", timeout_status = "L4TOUT", comment = "patience" }]"#,
    },
    // What must not come: known at once if it is there, else at the end, or after so many bytes.
    Case { acts: BANNER, theirs: &["expect ! string 220"], ours: r#"[{ not = true, expect = "220" }]"# },
    Case { acts: BANNER, theirs: &["expect ! string 421"], ours: r#"[{ not = true, expect = "421" }]"# },
    Case {
        acts: BANNER,
        theirs: &["expect min-recv 3 ! rstring ^421"],
        ours: r#"[{ min_recv = 3, not = true, expect_regex = "^421" }]"#,
    },
    Case {
        acts: &[Say(b"220 bye\r\n")],
        theirs: &["expect ! string 421"],
        ours: r#"[{ not = true, expect = "421" }]"#,
    },
    // All in a row look at the same bytes; those after one that forbids are looked at with it again.
    Case {
        acts: &[Say(b"one "), Pause, Say(b"bad two"), Stay],
        theirs: &["expect min-recv 1 ! string bad", "expect string two"],
        ours: r#"[{ min_recv = 1, not = true, expect = "bad" }, { expect = "two" }]"#,
    },
    Case {
        acts: &[Say(b"one two"), Stay],
        theirs: &["expect string two", "expect string one"],
        ours: r#"[{ expect = "two" }, { expect = "one" }]"#,
    },
    // What came before something is sent is forgotten.
    Case {
        acts: &[Say(b"hello"), Hear, Say(b"world"), Stay],
        theirs: &["expect string hello", "send x", "expect min-recv 5 string hello"],
        ours: r#"[{ expect = "hello" }, { send = "x" }, { min_recv = 5, expect = "hello" }]"#,
    },
    Case { acts: LEAVES, theirs: &["send x", "expect string a"], ours: r#"[{ send = "x" }, { expect = "a" }]"# },
    Case {
        acts: LEAVES,
        theirs: &["connect", "send x", "expect error-status L7STS string a comment gone"],
        ours: r#"[{ connect = {} }, { send = "x" }, { expect = "a", error_status = "L7STS", comment = "gone" }]"#,
    },
    Case { acts: MUTE, theirs: &["send x", "expect string a"], ours: r#"[{ send = "x" }, { expect = "a" }]"# },
    Case {
        acts: BANNER,
        theirs: &["expect on-success ready string 220"],
        ours: r#"[{ expect = "220", on_success = "ready" }]"#,
    },
    Case {
        acts: BANNER,
        theirs: &["expect ok-status L4OK string 220"],
        ours: r#"[{ expect = "220", ok_status = "L4OK" }]"#,
    },
    Case {
        acts: BANNER,
        theirs: &["expect min-recv 1 on-error 'not ready' error-status L4CON string 230 comment c"],
        ours: r#"[{ min_recv = 1, expect = "230", on_error = "not ready", error_status = "L4CON", comment = "c" }]"#,
    },
    // The second connection begins anew.
    Case {
        acts: BANNER,
        theirs: &["connect", "expect string 220", "connect linger", "expect string ProFTPD"],
        ours: r#"[{ connect = {} }, { expect = "220" }, { connect = { linger = true } }, { expect = "ProFTPD" }]"#,
    },
    Case {
        acts: BANNER,
        theirs: &["connect", "expect string 220", "connect"],
        ours: r#"[{ connect = {} }, { expect = "220" }, { connect = {} }]"#,
    },
    Case {
        acts: BANNER,
        theirs: &["connect", "expect string 220", "connect port 1 comment other"],
        ours: r#"[{ connect = {} }, { expect = "220" }, { connect = { port = 1 }, comment = "other" }]"#,
    },
    Case {
        acts: &[Say(b"220 "), Say(&[b'x'; 20_000]), Say(b"END"), Stay],
        theirs: &["expect string END"],
        ours: r#"[{ expect = "END" }]"#,
    },
];

/// Starts one that checks these servers.
fn start(directory: &Path, addresses: &[SocketAddr]) -> Haproxy {
    let bind = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let mut text = "defaults\n  mode tcp\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n".to_owned();
    writeln!(text, "frontend f\n  bind {bind}").unwrap();
    for (number, (case, address)) in CASES.iter().zip(addresses).enumerate() {
        writeln!(text, "backend b{number}\n  option tcp-check").unwrap();
        for line in case.theirs {
            writeln!(text, "  tcp-check {line}").unwrap();
        }
        writeln!(text, "  server s {address} check inter 600ms fall 1 rise 1").unwrap();
    }
    Haproxy::start(directory, &text)
}

/// What each backend's server was found to be: the code, and the words.
fn findings(haproxy: &Haproxy) -> Option<BTreeMap<String, (String, String)>> {
    let text = haproxy.stat()?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names: Vec<_> = lines.next()?.trim_start_matches("# ").split(',').collect();
    let column = |name| names.iter().position(|known| *known == name);
    let (code, words) = (column("check_status")?, column("last_chk")?);
    let mut found = BTreeMap::new();
    for line in lines {
        let fields = fields(line);
        if fields.get(1).is_some_and(|name| name == "s") {
            found.insert(fields[0].clone(), (fields[code].clone(), fields[words].clone()));
        }
    }
    Some(found)
}

#[test]
fn haproxy_finds_the_same_at_the_same_servers() {
    let directory = tempfile::tempdir().unwrap();
    let addresses: Vec<_> = CASES.iter().map(|case| server(case.acts)).collect();
    let haproxy = start(directory.path(), &addresses);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ours: Vec<_> = CASES
        .iter()
        .zip(&addresses)
        .map(|(case, address)| {
            let check = format!("{{ type = \"script\", interval = \"600ms\", steps = {} }}", case.ours);
            runtime.block_on(async { prober(*address, &check).probe().await.0 })
        })
        .collect();
    let theirs = (0..200)
        .find_map(|_| {
            thread::sleep(Duration::from_millis(50));
            let known = |code: &str| !code.is_empty() && code != "INI" && !code.starts_with('*');
            let found = findings(&haproxy)?;
            (found.len() == CASES.len() && found.values().all(|(code, _)| known(code))).then_some(found)
        })
        .expect("findings of HAProxy");
    let mut differ = Vec::new();
    for (number, (case, ours)) in CASES.iter().zip(&ours).enumerate() {
        let (code, words) = &theirs[&format!("b{number}")];
        let same = ours.code.name() == code && same_words(&ours.detail, words);
        if !same {
            differ.push(format!("{:?}\n  HAProxy {code} {words}\n  Sluice  {ours}", case.theirs));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let passed = ours.iter().filter(|found| found.code.meaning() == Meaning::Passed).count();
    assert!((10..CASES.len() - 10).contains(&passed), "the cases tell little apart: {passed} pass");
}

/// HAProxy writes errors of the system with a capital.
fn same_words(ours: &str, theirs: &str) -> bool {
    ours.eq_ignore_ascii_case(theirs.trim())
}
