//! Patterns: what values are compared with, many at once. Each way to compare has a table that answers in far less than
//! one comparison for each pattern, and says which pattern it was, so that maps are the same tables.

mod segments;
mod texts;

pub use segments::{Segments, number, v4, v6};
pub use texts::{Method, PatternError, Texts};

use super::Kind;
use std::{collections::HashMap, net::IpAddr};

/// What makes a value match.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Test {
    /// `-m found`: that there is one.
    Found,
    /// `-m bool`: that it is true.
    Bool,
    /// That one of the patterns is like it.
    Any(Lookup),
}

/// Patterns in the form that they are looked for in. Each has a number: its place among all that were given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// `int`: numbers and ranges.
    Int(Segments),
    /// `len`: the same of the length of a text.
    Length(Segments),
    /// `ip`: prefixes of each family; the longest is found.
    Ip {
        /// Of IPv4.
        v4: Segments,
        /// Of IPv6.
        v6: Segments,
    },
    /// `bin`: equal bytes.
    Binary(HashMap<Box<[u8]>, u32>),
    /// `str`, `beg`, `end`, `sub`, `dir`, `dom`, `reg`.
    Text(Texts),
}

impl Test {
    /// As what values are taken.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Found => Kind::Any,
            Self::Bool => Kind::Bool,
            Self::Any(lookup) => lookup.kind(),
        }
    }
}

impl Lookup {
    /// As what values are taken.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Int(_) => Kind::Int,
            Self::Ip { .. } => Kind::Ip,
            Self::Binary(_) => Kind::Binary,
            Self::Length(_) | Self::Text(_) => Kind::Text,
        }
    }

    /// The pattern of `int` that a number matches.
    pub fn find_int(&self, value: i64) -> Option<u32> {
        match self {
            Self::Int(segments) => segments.find(number(value)),
            Self::Length(_) | Self::Ip { .. } | Self::Binary(_) | Self::Text(_) => None,
        }
    }

    /// The prefix that an address is in. Those of the other family are looked at too, as HAProxy does: an IPv4 address
    /// counts as mapped into IPv6, an IPv6 address that carries an IPv4 address (mapped, compatible, 6to4) as that.
    pub fn find_ip(&self, value: IpAddr) -> Option<u32> {
        let Self::Ip { v4: four, v6: six } = self else { return None };
        match value {
            IpAddr::V4(address) => four.find(v4(address)).or_else(|| six.find(v6(address.to_ipv6_mapped()))),
            IpAddr::V6(address) => six.find(v6(address)).or_else(|| {
                let carried = match address.octets() {
                    [0x20, 0x02, a, b, c, d, ..] | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => {
                        [a, b, c, d]
                    }
                    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => [a, b, c, d],
                    _ => return None,
                };
                four.find(v4(carried.into()))
            }),
        }
    }

    /// The pattern that bytes match.
    pub fn find_bytes(&self, value: &[u8]) -> Option<u32> {
        match self {
            Self::Length(segments) => segments.find(number(i64::try_from(value.len()).unwrap_or(i64::MAX))),
            Self::Binary(known) => known.get(value).copied(),
            Self::Text(texts) => texts.find(value),
            Self::Int(_) | Self::Ip { .. } => None,
        }
    }

    /// Whether bytes match any pattern.
    pub fn matches_bytes(&self, value: &[u8]) -> bool {
        match self {
            Self::Text(texts) => texts.matches(value),
            Self::Length(_) | Self::Binary(_) | Self::Int(_) | Self::Ip { .. } => self.find_bytes(value).is_some(),
        }
    }
}
