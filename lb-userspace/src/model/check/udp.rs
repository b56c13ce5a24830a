//! Checks in datagrams.

use super::script::Content;
use std::collections::BTreeSet;

/// A datagram, and what the answer must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UdpCheck {
    /// What is sent.
    pub send: Vec<u8>,
    /// What the answer must have. Default: no answer is needed.
    pub expect: Option<Content>,
}

/// A question of DNS, and how it must be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DnsCheck {
    /// The name, without the last dot; empty: the root.
    pub name: String,
    /// The type of its records, by its number.
    pub record: u16,
    /// The codes of answers that pass, by their numbers. Default: NOERROR.
    pub rcodes: BTreeSet<u8>,
}
