//! The same rules against the same servers, by HAProxy itself and by us.

use super::{
    Finding,
    steps::{probe, runtime},
};
use crate::health::haproxy::Haproxy;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    thread,
    time::Duration,
};

/// Rules in HAProxy's words and in ours.
const RULES: [(&[&str], &str); 30] = [
    (&[], ""),
    (&["status 200"], "expect = 200"),
    (&["status 200,301-399"], "expect = [200, \"301-399\"]"),
    (&["! status 500-599"], "expect = { not = true, status = \"500-599\" }"),
    (&["rstatus ^20"], "expect = { rstatus = \"^20\" }"),
    (&["! rstatus ^5"], "expect = { not = true, rstatus = \"^5\" }"),
    (&["rstatus 0"], "expect = { rstatus = \"0\" }"),
    (&["string ready"], "expect = { string = \"ready\" }"),
    (&["! string error"], "expect = { not = true, string = \"error\" }"),
    (&["rstring ^re.*y$"], "expect = { rstring = '^re.*y$' }"),
    (&["rstring [0-9]+"], "expect = { rstring = '[0-9]+' }"),
    (&["! rstring (error|fail)"], "expect = { not = true, rstring = '(error|fail)' }"),
    (&["hdr name x-role"], "expect = { hdr = { name = \"x-role\" } }"),
    (&["! hdr name x-role"], "expect = { not = true, hdr = { name = \"x-role\" } }"),
    (&["hdr name X-Role value primary"], "expect = { hdr = { name = \"X-Role\", value = \"primary\" } }"),
    (&["! hdr name x-role value primary"], "expect = { not = true, hdr = { name = \"x-role\", value = \"primary\" } }"),
    (&["fhdr name x-role value primary"], "expect = { fhdr = { name = \"x-role\", value = \"primary\" } }"),
    (
        &["fhdr name x-role value \"primary, spare\""],
        "expect = { fhdr = { name = \"x-role\", value = \"primary, spare\" } }",
    ),
    (&["hdr name -m beg x-ro"], "expect = { hdr = { name = \"x-ro\", name_match = \"beg\" } }"),
    (&["hdr name -m end role"], "expect = { hdr = { name = \"role\", name_match = \"end\" } }"),
    (&["hdr name -m sub -RO"], "expect = { hdr = { name = \"-RO\", name_match = \"sub\" } }"),
    (&["hdr name -m reg ^x-r.le$"], "expect = { hdr = { name = '^x-r.le$', name_match = \"reg\" } }"),
    (
        &["hdr name x-role value -m beg sp"],
        "expect = { hdr = { name = \"x-role\", value = \"sp\", value_match = \"beg\" } }",
    ),
    (
        &["fhdr name x-role value -m beg sp"],
        "expect = { fhdr = { name = \"x-role\", value = \"sp\", value_match = \"beg\" } }",
    ),
    (
        &["hdr name x-role value -m end ary"],
        "expect = { hdr = { name = \"x-role\", value = \"ary\", value_match = \"end\" } }",
    ),
    (
        &["hdr name x-role value -m sub PRI"],
        "expect = { hdr = { name = \"x-role\", value = \"PRI\", value_match = \"sub\" } }",
    ),
    (
        &["hdr name x-role value -m reg ^pri"],
        "expect = { hdr = { name = \"x-role\", value = \"^pri\", value_match = \"reg\" } }",
    ),
    (&["status 200", "string ready"], "expect = [200, { string = \"ready\" }]"),
    (&["string ready", "status 200"], "expect = [{ string = \"ready\" }, { status = 200 }]"),
    (
        &["! string error", "hdr name x-role"],
        "expect = [{ not = true, string = \"error\" }, { hdr = { name = \"x-role\" } }]",
    ),
];

/// What servers answer before they hang up, or, from [`MUTE`] on, before they fall silent. A body that is longer than is looked
/// at is made of `%`.
const ANSWERS: [&str; 27] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Role: primary\r\n\r\nready",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-role: primary, spare\r\n\r\nready",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Role: spare\r\nX-Role: primary\r\n\r\nerror ready",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Role: \"primary, spare\"\r\n\r\n12345",
    "HTTP/1.1 200 OK\r\nX-Role:\r\n\r\nready",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nX-Role: secondary\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nX-Roles: x\r\n\r\nerror: ready",
    "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nready",
    "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nred",
    "HTTP/1.1 200 OK\r\n\r\n%ready",
    "HTTP/1.1 200 OK\r\n\r\nready%",
    "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nready",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nerror",
    "HTTP/1.1 500 Oops\r\nX-Role: primary\r\n\r\nready",
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfail",
    "HTTP/1.1 999 Own\r\nContent-Length: 5\r\n\r\nready",
    "",
    "220 mail.test ESMTP\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nready",
    "HTTP/1.1 200 OK\r\nX-Role: pri",
    // Silence follows.
    "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nX-Role: primary\r\n\r\nready",
    "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nred",
    "HTTP/1.1 200 O",
    "",
];

/// From there on servers stay, silent.
const MUTE: usize = 23;

/// Where a regular expression matches what came, HAProxy passes at once, and we wait for the rest of the body, which in these
/// does not come: rule and answer.
const WAITING: [(usize, usize); 1] = [(9, 23)];

fn serve(answer: &'static str, stays: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.replace('%', &"x".repeat(40_000));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || {
                let (mut head, mut part) = (Vec::new(), [0; 1024]);
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut part) {
                        Ok(0) | Err(_) => return,
                        Ok(count) => head.extend_from_slice(&part[..count]),
                    }
                }
                // Whoever has seen enough of it is gone.
                drop(stream.write_all(answer.as_bytes()));
                if stays {
                    while stream.read(&mut part).is_ok_and(|count| count > 0) {}
                }
            });
        }
    });
    address
}

/// Starts one that checks every server by every rule, in backends by rule.
fn start(directory: &Path, addresses: &[SocketAddr]) -> Haproxy {
    let mut text =
        "defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n  timeout check 4s\n"
            .to_owned();
    for (number, (rules, _)) in RULES.iter().enumerate() {
        writeln!(text, "backend {number}\n  option httpchk\n  http-check send meth GET uri / ver HTTP/1.1 hdr Host x")
            .unwrap();
        for rule in *rules {
            writeln!(text, "  http-check expect {rule}").unwrap();
        }
        for (number, address) in addresses.iter().enumerate() {
            writeln!(text, "  server {number} {address} check inter 5s rise 1 fall 1").unwrap();
        }
    }
    Haproxy::start(directory, &text)
}

#[test]
fn haproxy_finds_the_same_at_the_same_servers() {
    let directory = tempfile::tempdir().unwrap();
    let addresses: Vec<_> = ANSWERS.iter().enumerate().map(|(number, answer)| serve(answer, number >= MUTE)).collect();
    let haproxy = start(directory.path(), &addresses);
    let local = tokio::task::LocalSet::new();
    let ours: BTreeMap<(usize, usize), Finding> = local.block_on(&runtime(), async {
        let probes = RULES.iter().enumerate().flat_map(|(rule, (_, keys))| {
            let keys = format!("method = \"GET\"\nhost = \"x\"\ninterval = \"5s\"\ntimeout = \"4s\"\n{keys}");
            addresses.iter().enumerate().map(move |(server, address)| {
                let (keys, address) = (keys.clone(), *address);
                tokio::task::spawn_local(async move { ((rule, server), probe(&keys, address).await) })
            })
        });
        let mut found = BTreeMap::new();
        for probe in probes.collect::<Vec<_>>() {
            found.extend([probe.await.unwrap()]);
        }
        found
    });
    let mut theirs = BTreeMap::new();
    for _ in 0..600 {
        theirs = haproxy.results();
        if theirs.len() == RULES.len() * ANSWERS.len() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(theirs.len(), RULES.len() * ANSWERS.len(), "haproxy told of fewer checks");
    let mut seen = BTreeMap::<_, usize>::new();
    for (place @ (rule, answer), theirs) in &theirs {
        let (words, ours) = (RULES[*rule].0, &ours[place]);
        *seen.entry(theirs).or_default() += 1;
        let same = ours.code.name() == theirs;
        let known = WAITING.contains(place);
        assert!(same != known, "{words:?} at {answer} {:?}: {ours}, and HAProxy {theirs}", ANSWERS[*answer]);
    }
    assert_eq!(seen.len(), 4, "not all kinds of results: {seen:?}");
}
