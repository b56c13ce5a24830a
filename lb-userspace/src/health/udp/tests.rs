//! Answers of canned servers, over real sockets.

use super::*;
use crate::model::CheckKind;
use proptest::prelude::*;
use std::{collections::BTreeSet, net, thread};

fn check() -> DnsCheck {
    DnsCheck { name: "www.Example.com".to_owned(), record: 28, rcodes: BTreeSet::from([0]) }
}

/// A server that gives those answers to each datagram.
fn server(answers: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut datagram = [0; 2_048];
        for number in 0.. {
            let (length, from) = socket.recv_from(&mut datagram).unwrap();
            for answer in answers(number, &datagram[..length]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    address
}

fn find(address: SocketAddr, keys: &str) -> Finding {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let prober = crate::health::testing::prober(address, &format!("{{ interval = \"400ms\", {keys} }}"));
    assert!(matches!(prober.target.check.kind, CheckKind::Udp(_) | CheckKind::Dns(_)));
    runtime.block_on(async { prober.probe().await.0 })
}

/// Nobody has it.
fn closed() -> SocketAddr {
    net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_answer_must_be_as_expected() {
    let echo = server(|_, datagram| vec![[b"so: ", datagram].concat()]);
    assert_eq!(find(echo, r#"type = "udp", send = "ping", expect = "ping""#), Finding::ok("answered"));
    assert_eq!(find(echo, r#"type = "udp", send_binary = "00ff", expect_binary = "00ff""#).code, Code::L7Ok);
    assert_eq!(find(echo, r#"type = "udp", send = "p", expect_regex = "^so: .$""#).code, Code::L7Ok);
    let other = find(echo, r#"type = "udp", send = "ping", expect = "pong""#);
    assert_eq!(other.to_string(), "L7RSP did not match: \"so: ping\"");
    let refused = find(closed(), r#"type = "udp", send = "ping", expect = "pong""#);
    assert_eq!(refused.to_string(), "L4CON port unreachable");
    let mute = server(|_, _| Vec::new());
    assert_eq!(find(mute, r#"type = "udp", send = "ping", expect = "pong""#).to_string(), "L4TOUT no answer");
}

#[test]
fn without_an_expectation_only_a_refusal_fails() {
    let mute = server(|_, _| Vec::new());
    assert_eq!(find(mute, r#"type = "udp", send = "ping""#).to_string(), "L4OK not refused");
    assert_eq!(find(closed(), r#"type = "udp", send = "ping""#).code, Code::L4Connection);
    let echo = server(|_, datagram| vec![datagram.to_vec()]);
    assert_eq!(find(echo, r#"type = "udp", send = "ping""#), Finding::ok("answered"));
}

#[test]
fn a_lost_datagram_is_sent_again() {
    let loses = server(|number, datagram| if number % 2 == 0 { Vec::new() } else { vec![datagram.to_vec()] });
    assert_eq!(find(loses, r#"type = "udp", send = "ping", expect = "ping""#).code, Code::L7Ok);
}

/// An answer of DNS to `query` with that code.
fn answer(query: &[u8], rcode: u8) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] = 0x81;
    answer[3] = 0x80 | rcode;
    answer
}

#[test]
fn the_code_of_a_dns_answer_counts() {
    let says = |rcode| server(move |_, query| vec![answer(query, rcode)]);
    let ask = |address, more: &str| find(address, &format!("type = \"dns\", name = \"example.com\"{more}")).to_string();
    assert_eq!(ask(says(0), ""), "L7OK NOERROR, 0 records");
    assert_eq!(ask(says(2), ""), "L7STS SERVFAIL");
    assert_eq!(ask(says(3), ", rcode = [\"NOERROR\", \"NXDOMAIN\"]"), "L7OK NXDOMAIN, 0 records");
    assert_eq!(ask(says(11), ""), "L7STS code 11");
    assert_eq!(ask(closed(), ""), "L4CON port unreachable");
    // A late answer to an earlier question is not looked at.
    let late = server(|_, query| vec![[&[!query[0]][..], &answer(query, 2)[1..]].concat(), answer(query, 0)]);
    assert_eq!(ask(late, ""), "L7OK NOERROR, 0 records");
    let floods = server(|_, query| vec![vec![!query[0]; 20]; 200]);
    assert_eq!(ask(floods, ""), "L7RSP 64 datagrams, none of them the answer");
}

#[test]
fn a_question_is_as_the_rfc_has_it() {
    let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07Example\x03com\0\0\x1c\0\x01";
    assert_eq!(query(&check(), 0x1234), expected);
    assert_eq!(query(&DnsCheck { name: String::new(), ..check() }, 0)[12..], [0, 0, 0x1c, 0, 1]);
}

#[test]
fn what_is_no_answer_is_strange() {
    let query = query(&check(), 7);
    let code = |answer: &[u8]| judge(answer, &query, &check()).map(|found| found.code);
    assert_eq!(code(&answer(&query, 0)), Some(Code::L7Ok));
    assert_eq!(code(&answer(&query, 0).to_ascii_lowercase()), Some(Code::L7Ok), "as some write names");
    assert_eq!(code(&query), Some(Code::L7Response), "the question itself");
    assert_eq!(code(b"short"), Some(Code::L7Response));
    assert_eq!(code(&answer(&query, 0)[..20]), Some(Code::L7Response));
    let refused_without_question = [&query[..2], &[0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(code(&refused_without_question), Some(Code::L7Status));
}

proptest! {
    #[test]
    fn any_datagram_is_judged(bytes in proptest::collection::vec(any::<u8>(), 0..600), id in any::<u16>()) {
        let query = query(&check(), id);
        judge(&bytes, &query, &check());
        let same = [&query[..2], &bytes].concat();
        prop_assert!(judge(&same, &query, &check()).is_some());
    }
}
