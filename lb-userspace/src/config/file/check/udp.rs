//! The keys of checks in datagrams: types `udp` and `dns`.

use crate::config::{
    read::{OneOrMany, Word, table},
    text::Text,
};

table! {
    /// The keys of a check of type `udp`.
    struct UdpKeys, "a check of type `udp`" {
        /// What the datagram has; `send_binary`: as hexadecimal digits, two a byte. One of them is required. Without an answer
        /// it is sent a second time after half of `timeout`, since datagrams get lost.
        send: Text,
        /// See `send`.
        send_binary: Text,
        /// The answer must have this text; one datagram is looked at, and decides. Default of all `expect…`: none is needed, and
        /// the server is up unless its machine says, within a second, that nobody has the port (ICMP port unreachable; machines
        /// say so about once a second at most, so such a check must not be more frequent).
        expect: Text,
        /// A match of this.
        expect_regex: Text,
        /// These bytes, hexadecimal digits, two a byte.
        expect_binary: Text,
        /// A match in the hexadecimal digits, in upper case, of the answer.
        expect_binary_regex: Text,
    }
}

table! {
    /// The keys of a check of type `dns`.
    struct DnsKeys, "a check of type `dns`" {
        /// Name that is asked for; "." is the root. Required. Asked again after half of `timeout` without an answer.
        name: Text,
        /// Type of records: "A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV" or "TXT". Default: "A".
        record: Record,
        /// Codes of answers that pass, one or an array: "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED".
        /// Default: "NOERROR".
        rcode: OneOrMany<Rcode>,
    }
}

/// A type of records, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record(pub(crate) u16);

impl Word for Record {
    const WHAT: &'static str = "a type of records";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("A", Self(1)),
        ("AAAA", Self(28)),
        ("CNAME", Self(5)),
        ("MX", Self(15)),
        ("NS", Self(2)),
        ("PTR", Self(12)),
        ("SOA", Self(6)),
        ("SRV", Self(33)),
        ("TXT", Self(16)),
    ];
}

/// A code of answers, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rcode(pub(crate) u8);

impl Word for Rcode {
    const WHAT: &'static str = "a code of answers";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("NOERROR", Self(0)),
        ("FORMERR", Self(1)),
        ("SERVFAIL", Self(2)),
        ("NXDOMAIN", Self(3)),
        ("NOTIMP", Self(4)),
        ("REFUSED", Self(5)),
    ];
}
