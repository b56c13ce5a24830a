//! Answers, right and wrong, and bytes of any kind.

use super::*;
use proptest::prelude::*;

const ID: u16 = 0x1234;

fn query(name: &str) -> Query {
    Query::new(ID, name, Family::V4)
}

fn wire(name: &str) -> Name {
    query(name).name
}

/// An answer to `question`, with these records.
fn answer(question: &Query, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [question.id, flags, 1, u16::try_from(records.len()).expect("few"), 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(&question.name);
    bytes.extend([question.kind, IN].map(u16::to_be_bytes).concat());
    bytes.extend(records.concat());
    bytes
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend([kind, IN].map(u16::to_be_bytes).concat());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
    bytes.extend(data);
    bytes
}

/// Where the question's name stands in every answer.
const SAME: [u8; 2] = [0xc0, 12];
const GOOD: u16 = 0x8180;

fn addresses(addresses: &[&str], seconds: u64) -> Reply {
    let addresses = addresses.iter().map(|ip| ip.parse().expect("an address")).collect();
    Reply::Addresses { addresses, ttl: Duration::from_secs(seconds) }
}

#[test]
fn a_question_is_written_as_the_rfc_has_it() {
    let bytes = Query::new(0x0102, "a.bc", Family::V6).bytes();
    let expected = b"\x01\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x02bc\x00\x00\x1c\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    assert_eq!(bytes, expected);
}

#[test]
fn all_addresses_of_the_name_count_and_the_shortest_time() {
    let records = [
        record(&SAME, A, 60, &[10, 0, 0, 2]),
        record(&wire("DB.internal"), A, 30, &[10, 0, 0, 1]),
        record(&wire("other.internal"), A, 1, &[10, 0, 0, 9]),
        record(&SAME, AAAA, 2, &[0; 16]),
        record(&SAME, 16, 3, b"text"),
    ];
    let query = query("db.internal");
    assert_eq!(query.read(&answer(&query, GOOD, &records)), Some(addresses(&["10.0.0.1", "10.0.0.2"], 30)));
}

#[test]
fn six_is_read_as_well() {
    let query = Query::new(ID, "db", Family::V6);
    let data = "2001:db8::1".parse::<Ipv6Addr>().expect("an address").octets();
    assert_eq!(
        query.read(&answer(&query, GOOD, &[record(&SAME, AAAA, 5, &data)])),
        Some(addresses(&["2001:db8::1"], 5))
    );
}

#[test]
fn aliases_are_followed_in_any_order_and_their_time_counts() {
    let query = query("db.internal");
    let records = [
        record(&wire("b"), A, 60, &[10, 0, 0, 1]),
        record(&wire("a"), CNAME, 7, &wire("B")),
        record(&SAME, CNAME, 50, &wire("a")),
    ];
    assert_eq!(query.read(&answer(&query, GOOD, &records)), Some(addresses(&["10.0.0.1"], 7)));
    assert_eq!(query.read(&answer(&query, GOOD, &records[1..])), Some(addresses(&[], 7)), "an alias of nothing");
}

#[test]
fn aliases_that_go_round_or_on_and_on_make_no_sense() {
    let query = query("a0");
    let round = [record(&wire("a0"), CNAME, 5, &wire("b")), record(&wire("b"), CNAME, 5, &wire("a0"))];
    assert_eq!(query.read(&answer(&query, GOOD, &round)), Some(Reply::Failed(Failure::Malformed)));
    let chain = |length: usize| {
        let mut records: Vec<_> =
            (0..length).map(|n| record(&wire(&format!("a{n}")), CNAME, 5, &wire(&format!("a{}", n + 1)))).collect();
        records.push(record(&wire(&format!("a{length}")), A, 5, &[10, 0, 0, 1]));
        query.read(&answer(&query, GOOD, &records))
    };
    assert_eq!(chain(ALIASES), Some(addresses(&["10.0.0.1"], 5)));
    assert_eq!(chain(ALIASES + 1), Some(Reply::Failed(Failure::Malformed)));
}

#[test]
fn what_answers_another_question_is_none() {
    let query = query("db.internal");
    let good = answer(&query, GOOD, &[record(&SAME, A, 5, &[10, 0, 0, 1])]);
    let strays = [
        answer(&Query { id: ID + 1, ..query.clone() }, GOOD, &[]),
        answer(&Query { kind: AAAA, ..query.clone() }, GOOD, &[]),
        answer(&Query { name: wire("db.external"), ..query.clone() }, GOOD, &[]),
        answer(&query, 0x0180, &[]),
        answer(&query, 0x8980, &[]),
        query.bytes(),
        good[..20].to_vec(),
        Vec::new(),
    ];
    for stray in strays {
        assert_eq!(query.read(&stray), None, "{stray:x?}");
    }
    let mut shouted = good;
    shouted[13..15].copy_from_slice(b"DB");
    assert_eq!(query.read(&shouted), Some(addresses(&["10.0.0.1"], 5)), "case does not count");
}

#[test]
fn failures_are_told_apart() {
    let query = query("db.internal");
    let rows =
        [(0x8183, Failure::NoName), (0x8185, Failure::Refused), (0x8182, Failure::Code(2)), (0x8181, Failure::Code(1))];
    for (flags, failure) in rows {
        assert_eq!(query.read(&answer(&query, flags, &[])), Some(Reply::Failed(failure)));
    }
    let mut bare = ID.to_be_bytes().to_vec();
    bare.extend([0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(query.read(&bare), Some(Reply::Failed(Failure::Code(1))), "who does not repeat the question");
    assert_eq!(query.read(&answer(&query, 0x8380, &[])), Some(Reply::Truncated));
    assert_eq!(
        query.read(&answer(&query, GOOD, &[])),
        Some(Reply::Addresses { addresses: BTreeSet::new(), ttl: Duration::MAX })
    );
}

#[test]
fn records_that_make_no_sense_spoil_the_answer() {
    let query = query("db.internal");
    let own = |data: &[u8]| record(&SAME, A, 5, data);
    let rows = [
        own(&[10, 0, 0]),
        own(&[10, 0, 0, 1, 0]),
        own(&[10, 0, 0, 1])[..14].to_vec(),
        record(&[0xc0, 0xff], A, 5, &[10, 0, 0, 1]),
        record(&[0x40, 1], A, 5, &[10, 0, 0, 1]),
        record(&SAME, CNAME, 5, &[1, b'a']),
        record(&SAME, CNAME, 5, &[1, b'a', 0, 0]),
    ];
    for row in rows {
        let bytes = answer(&query, GOOD, &[row]);
        assert_eq!(query.read(&bytes), Some(Reply::Failed(Failure::Malformed)), "{bytes:x?}");
    }
}

#[test]
fn compression_that_leads_to_itself_or_forward_ends() {
    let query = query("db.internal");
    let here = u8::try_from(answer(&query, GOOD, &[]).len()).expect("short");
    for target in [here, here + 2, here + 12, 0xff] {
        let bytes = answer(&query, GOOD, &[record(&[1, b'a', 0xc0, target], A, 5, &[10, 0, 0, 1])]);
        assert_eq!(query.read(&bytes), Some(Reply::Failed(Failure::Malformed)));
    }
    // Each leads to the one before, and every step adds a label: too long in the end.
    let mut records = vec![record(&[&[63; 64][..], &SAME].concat(), A, 5, &[10, 0, 0, 1])];
    let mut place = usize::from(here);
    for _ in 0..5 {
        let owner = [&[63; 64][..], &(0xc000 | u16::try_from(place).expect("near")).to_be_bytes()].concat();
        place += records.last().map_or(0, Vec::len);
        records.push(record(&owner, A, 5, &[10, 0, 0, 1]));
    }
    assert_eq!(query.read(&answer(&query, GOOD, &records)), Some(Reply::Failed(Failure::Malformed)));
}

#[test]
fn a_time_with_the_highest_bit_is_none() {
    let query = query("db");
    let bytes = answer(&query, GOOD, &[record(&SAME, A, 0x8000_0001, &[10, 0, 0, 1])]);
    assert_eq!(query.read(&bytes), Some(addresses(&["10.0.0.1"], 0)));
}

/// Parts of messages: what bytes alone would hardly hit.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    let owner = prop_oneof![
        Just(SAME.to_vec()),
        Just(wire("a.b")),
        any::<u8>().prop_map(|to| vec![0xc0, to]),
        any::<(u8, u8)>().prop_map(|(length, to)| vec![length & 3, b'a', b'b', 0xc0, to]),
    ];
    let data = prop_oneof![
        Just(vec![10, 0, 0, 1]),
        Just(SAME.to_vec()),
        Just(wire("a.b")),
        proptest::collection::vec(any::<u8>(), 0..20)
    ];
    let one = (owner, prop_oneof![Just(A), Just(CNAME), Just(AAAA), any::<u16>()], any::<u32>(), data);
    let one = one.prop_map(|(owner, kind, ttl, data)| record(&owner, kind, ttl, &data));
    (any::<Option<u16>>(), proptest::collection::vec(one, 0..8), any::<Option<(u16, u8)>>()).prop_map(
        |(flags, records, damage)| {
            let mut bytes = answer(&query("a.b"), flags.map_or(GOOD, |flags| flags | 0x8000), &records);
            if let Some((place, byte)) = damage {
                let place = usize::from(place) % bytes.len();
                bytes[place] = byte;
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        query("a.b").read(&bytes);
        let mut headed = ID.to_be_bytes().to_vec();
        headed.extend([0x81, 0x80]);
        headed.extend(bytes);
        query("a.b").read(&headed);
    }

    #[test]
    fn addresses_come_from_records_of_the_family_alone(bytes in parts(), cut in any::<Option<u8>>()) {
        let bytes = &bytes[..cut.map_or(bytes.len(), |cut| usize::from(cut).min(bytes.len()))];
        if let Some(Reply::Addresses { addresses, .. }) = query("a.b").read(bytes) {
            for ip in addresses {
                let IpAddr::V4(ip) = ip else { panic!("{ip}") };
                prop_assert!(bytes.windows(4).any(|four| four == ip.octets()));
            }
        }
    }
}
