//! Lists of 100,000 patterns; of automata 10,000, which take the time of a test to build without optimization.

use crate::model::acl::patterns::{Lookup, Method, Segments, Texts, v4};
use std::{hint::black_box, time::Instant};

const PATTERNS: u32 = 100_000;
const FEWER: u32 = 10_000;

fn texts(method: Method, count: u32, pattern: impl Fn(u32) -> String) -> Lookup {
    let patterns: Vec<_> = (PATTERNS - count..PATTERNS).map(|number| (pattern(number).into(), false)).collect();
    Lookup::Text(Texts::new(method, &patterns).expect("patterns"))
}

/// A look-up among 100,000 must cost far less than 100,000 comparisons, which take 100 µs at the least.
#[test]
fn a_hundred_thousand_patterns_are_no_slower_than_a_few() {
    let host = |number| format!("host{number}.example.com");
    let path = |number| format!("/tenants/{number}/");
    let cases = [
        ("str", texts(Method::Exact, PATTERNS, host), "host99999.example.com"),
        ("beg", texts(Method::Prefix, PATTERNS, path), "/tenants/99999/index.html"),
        ("end", texts(Method::Suffix, PATTERNS, host), "www.host99999.example.com"),
        ("sub", texts(Method::Contains, FEWER, path), "/a/tenants/99999/index.html"),
        ("dir", texts(Method::Directory, FEWER, |number| format!("tenant{number}")), "/a/tenant99999/index.html"),
        ("dom", texts(Method::Domain, FEWER, host), "www.host99999.example.com:80"),
    ];
    for (name, lookup, value) in &cases {
        let took = time(|| assert!(lookup.matches_bytes(black_box(value).as_bytes())));
        assert!(took < 20_000, "{name}: {took} ns for one value");
    }
    let prefixes = (0..PATTERNS).map(|number| {
        let first = u128::from(number) << 8;
        (first..=first | 0xff, 8, number)
    });
    let lookup = Lookup::Ip { v4: Segments::new(prefixes), v6: Segments::default() };
    let address: std::net::Ipv4Addr = "1.134.159.7".parse().expect("an address");
    assert_eq!(v4(address) >> 8, 99_999);
    let took = time(|| assert_eq!(lookup.find_ip(black_box(address).into()), Some(99_999)));
    assert!(took < 20_000, "ip: {took} ns for one address");
}

/// The fastest of several rounds, in nanoseconds a call: others may disturb some, but hardly all.
#[expect(clippy::disallowed_methods, reason = "the time is what is measured")]
fn time(call: impl Fn()) -> u128 {
    let round = || {
        let start = Instant::now();
        (0..100).for_each(|_| call());
        start.elapsed().as_nanos() / 100
    };
    let fastest = (0..20).map(|_| round()).min().unwrap_or_default();
    eprintln!("{fastest} ns");
    fastest
}
