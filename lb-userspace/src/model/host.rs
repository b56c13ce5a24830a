//! Host: a server that is known by a name, and whose address is asked for.

use super::cookie::CookieKey;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// The name of a server, and what is asked about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// In small letters, without a dot at its end. Always a whole name: nothing is appended to it.
    pub name: Arc<str>,
    /// The family that is taken where it has addresses of both. HAProxy's `resolve-prefer`. Default: IPv6.
    pub prefer: Family,
    /// Whether it may have an address that another server of the backend with the same name and port has. HAProxy's
    /// `resolve-opts allow-dup-ip`. Default: false.
    pub allow_dup_ip: bool,
    /// What its cookie is made with, if that is made from its address.
    pub cookie_key: Option<CookieKey>,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    #[default]
    V6,
}

impl Family {
    /// That of an address.
    pub const fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Why a text cannot be a host name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAName {
    /// RFC 1035 §2.3.4.
    #[error("it is longer than 253 characters")]
    TooLong,
    /// RFC 1035 §2.3.4.
    #[error("a part between dots has 1 to 63 characters")]
    Part,
    /// RFC 952, RFC 1123 §2.1; and the underscore, as with HAProxy.
    #[error("parts are of letters, digits, `-` and `_`, and neither begin nor end with `-`")]
    Character,
    /// No top-level domain is a number, so that it can be told from an address (RFC 1123 §2.1).
    #[error("its last part is a number")]
    Number,
}

/// A host name in small letters, without a dot at its end.
pub fn host_name(typed: &str) -> Result<Arc<str>, NotAName> {
    let name = typed.strip_suffix('.').unwrap_or(typed).to_ascii_lowercase();
    if name.len() > 253 {
        return Err(NotAName::TooLong);
    }
    for part in name.split('.') {
        if !(1..=63).contains(&part.len()) {
            return Err(NotAName::Part);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !part.chars().all(fits) || part.starts_with('-') || part.ends_with('-') {
            return Err(NotAName::Character);
        }
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(NotAName::Number);
    }
    Ok(name.into())
}

/// Whether an address can be that of one machine that packets find: not nobody's, not a group's, and not one that each
/// link has anew.
pub fn is_one_machine(ip: IpAddr) -> bool {
    let elsewhere = match ip {
        IpAddr::V4(ip) => ip == Ipv4Addr::BROADCAST || ip.octets().first() == Some(&0),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some(),
    };
    !ip.is_unspecified() && !ip.is_multicast() && !elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_in_small_letters_and_without_the_last_dot() {
        for (typed, name) in [("DB1.Internal.", "db1.internal"), ("web", "web"), ("_a.b-c.x1", "_a.b-c.x1")] {
            assert_eq!(host_name(typed).as_deref(), Ok(name), "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_with_the_reason() {
        let long = format!("{}a", "abcdefg.".repeat(32));
        let rows = [
            ("", NotAName::Part),
            (".", NotAName::Part),
            ("a..b", NotAName::Part),
            (&"a".repeat(64), NotAName::Part),
            (&long, NotAName::TooLong),
            ("a b", NotAName::Character),
            ("-a.b", NotAName::Character),
            ("a.b-", NotAName::Character),
            ("b\u{fc}cher.example", NotAName::Character),
            ("10.0.0.300", NotAName::Number),
            ("web.1", NotAName::Number),
        ];
        for (typed, why) in rows {
            assert_eq!(host_name(typed), Err(why), "{typed}");
        }
    }

    #[test]
    fn one_machine_has_neither_nobodys_address_nor_a_groups() {
        for ip in ["0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "::", "ff02::1", "fe80::1", "::ffff:10.0.0.1"]
        {
            assert!(!is_one_machine(ip.parse().expect("an address")), "{ip}");
        }
        for ip in ["10.0.0.1", "127.0.0.1", "::1", "2001:db8::1"] {
            assert!(is_one_machine(ip.parse().expect("an address")), "{ip}");
        }
    }
}
