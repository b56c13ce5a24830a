//! The same requests and the same expressions, by HAProxy itself and by us.

use super::{Stage, condition};
use crate::{
    health::haproxy::{Haproxy, free_addresses},
    l7::{
        acl::{holds, value},
        rules::tests::format_of,
    },
    model::rule::Part,
};
use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

/// Conditions that hold for some of the requests.
const ACLS: [&str; 44] = [
    "path /a/b",
    "path_beg /a",
    "path_end b",
    "path_dir b",
    "path_dir a/b",
    "path_dir /b/",
    "path_sub a/",
    "path_reg ^/[ab]+/",
    "path_len 4",
    "path_dom b",
    "path -i /A/B",
    "url_sub ?x",
    "url_dom a",
    "query x=1",
    "query -m found",
    "query -m len 0",
    "base_beg a.test/a",
    "hdr(host) a.test",
    "hdr(host) -i a.test",
    "hdr_dom(host) -i test",
    "hdr_dom(host) a",
    "hdr_end(host) .test:80",
    "hdr_cnt(x-list) 2",
    "hdr_cnt(x-list) gt 3",
    "hdr(x-list) b",
    "hdr(x-list) -m len 0",
    "hdr(x-list,2) b",
    "hdr(x-list,-1) c",
    "hdr(x-list,1),length 1",
    "req.fhdr(x-list) -m sub 'a, b'",
    "hdr_val(x-n) ge 10",
    "hdr_val(x-n) 1:9 lt 0",
    "hdr(x-n) -m int 12",
    "hdr_ip(x-ip) 10.0.0.0/8 ::1",
    "url_param(x) 1",
    "url_param(x) -m found",
    "urlp(X) 1 2",
    "req.cook(s) a",
    "cook(s) -m found",
    "cook_cnt(s) 2",
    "method GET POST",
    "req.ver 1.1",
    "urlp(x),lower,length ge 2",
    "hdr(x-list),field(1,;) b",
];

/// Expressions that give values for some of the requests. Sums of negative numbers are not among them: HAProxy 2.6 gives the
/// largest number for each of them, which is not what its manual says.
const VALUES: [&str; 34] = [
    "path",
    "pathq",
    "url",
    "query",
    "base",
    "hdr(host)",
    "hdr(x-list)",
    "hdr(x-list,1)",
    "req.fhdr(x-list)",
    "hdr_cnt(x-list)",
    "hdr_val(x-n)",
    "hdr_ip(x-ip)",
    "url_param(x)",
    "urlp(x),url_dec",
    "req.cook(s)",
    "method,lower",
    "path,field(2,/)",
    "path,field(-1,/)",
    "path,field(2,/,2)",
    "path,field(-2,/,2)",
    "path,word(1,/)",
    "path,word(2,/,0)",
    "path,word(-1,/)",
    "path,regsub(a,x,g)",
    "path,regsub(b,y)",
    "path,sdbm",
    "path,djb2",
    "path,wt6",
    "path,crc32(1)",
    "path,wt6(1)",
    "path,xxh32(7)",
    "path,base64",
    "hdr_val(x-n),mul(3),add(20),mod(7)",
    "path,bytes(1,2),hex",
];

/// Starts one that answers with a digit for each ACL and with all values.
fn start(directory: &std::path::Path) -> (Haproxy, SocketAddr) {
    let address = free_addresses(1)[0];
    let mut text = format!(
        "  maxconn 100\ndefaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\nfrontend f\n  bind {address}\n  http-request set-var(txn.r) str()\n"
    );
    for acl in ACLS {
        writeln!(text, "  http-request set-var-fmt(txn.r) \"%[var(txn.r)]1\" if {{ {acl} }}").expect("a string");
        writeln!(text, "  http-request set-var-fmt(txn.r) \"%[var(txn.r)]0\" unless {{ {acl} }}").expect("a string");
    }
    for expression in VALUES {
        writeln!(text, "  http-request set-var-fmt(txn.r) \"%[var(txn.r)]|%[{expression}]\"").expect("a string");
    }
    text.push_str("  http-request return status 200 content-type text/plain lf-string %[var(txn.r)]\n");
    (Haproxy::start(directory, &text), address)
}

fn pick<'a>(from: &[&'a str], random: &mut fastrand::Rng) -> &'a str {
    from[random.usize(..from.len())]
}

/// A request of parts that the expressions tell apart.
fn generate(random: &mut fastrand::Rng) -> (String, Vec<(&'static str, String)>) {
    let mut target: String =
        (0..random.usize(1..4)).map(|_| pick(&["/a", "/b", "/", "/ab", "/A/B", "/a.b"], random)).collect();
    if random.bool() {
        let pairs: Vec<_> = (0..random.usize(..4))
            .map(|_| pick(&["x=1", "x=aB", "X=2", "x=", "y", "x=%41+b", "x=1?", "a;x=3"], random))
            .collect();
        target.push('?');
        target += &pairs.join("&");
    }
    let mut fields = vec![("host", pick(&["a.test", "A.test", "b.a.test:80", "x"], random).to_owned())];
    for _ in 0..random.usize(..3) {
        fields.push(("x-list", pick(&["a, b", "b,c", "\"a, b\", c", "a,,b", "c ,", "b;c"], random).to_owned()));
    }
    for (name, values) in [
        ("x-n", ["12", "-3", "7x"]),
        ("x-ip", ["10.1.2.3", "::1", "none"]),
        ("cookie", ["s=a; t=b", "t=b;s=c", "s=a; s=a"]),
    ] {
        if random.bool() {
            fields.push((name, pick(&values, random).to_owned()));
        }
    }
    (target, fields)
}

#[test]
fn haproxy_finds_the_same_in_the_same_requests() {
    let directory = tempfile::tempdir().expect("a directory");
    let (haproxy, address) = start(directory.path());
    let conditions: Vec<_> = ACLS.iter().map(|acl| condition(&[], &format!("{{ {acl} }}"))).collect();
    let values: Vec<_> = VALUES.iter().map(|text| format_of(&format!("%[{text}]"))).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut seen = vec![[0_usize; 2]; ACLS.len()];
    for _ in 0..400 {
        let (target, fields) = generate(&mut random);
        let mut stage =
            Stage::new(&target, &fields.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>());
        stage.source = "127.0.0.1:1";
        let held: Vec<_> = conditions.iter().map(|condition| stage.with(|facts| holds(condition, facts))).collect();
        for (seen, held) in seen.iter_mut().zip(&held) {
            seen[usize::from(*held)] += 1;
        }
        let mut ours: String = held.iter().map(|held| if *held { '1' } else { '0' }).collect();
        for format in &values {
            let Part::Value(expression) = &format.0[0] else { panic!("no value") };
            let text = stage.with(|facts| value(expression, facts).map(|value| value.into_text().into_owned()));
            ours.push('|');
            ours += &String::from_utf8_lossy(&text.unwrap_or_default());
        }
        let mut connection = haproxy.connect(address);
        connection.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = lines.concat();
        write!(connection, "GET {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        let theirs = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert_same(&ours, theirs, &format!("{target} {fields:?}"));
    }
    let constant: Vec<_> = seen.iter().zip(ACLS).filter(|(seen, _)| seen.contains(&0)).map(|(_, acl)| acl).collect();
    assert!(constant.len() < 5, "these tell nothing apart: {constant:?}");
}

fn assert_same(ours: &str, theirs: &str, request: &str) {
    let (our_bits, our_values) = ours.split_at(ACLS.len());
    let (their_bits, their_values) = theirs.split_at_checked(ACLS.len()).unwrap_or((theirs, ""));
    for ((our, their), acl) in our_bits.chars().zip(their_bits.chars()).zip(ACLS) {
        assert_eq!(our, their, "{acl} of {request}; left: ours");
    }
    for ((our, their), expression) in our_values.split('|').skip(1).zip(their_values.split('|').skip(1)).zip(VALUES) {
        assert_eq!(our, their, "{expression} of {request}; left: ours");
    }
    assert_eq!(ours, theirs, "{request}");
}
