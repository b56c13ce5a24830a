//! What holds for prefixes, found by the longest one that contains an address. Pure.

use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Values by prefix, of both families. A search costs a lookup for each length that occurs, and few do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prefixes<V> {
    entries: BTreeMap<IpNet, V>,
    /// The lengths that occur, by whether of IPv6.
    lengths: BTreeSet<(bool, u8)>,
}

impl<V> Prefixes<V> {
    /// The value of the longest prefix that contains `address`.
    pub fn find(&self, address: IpAddr) -> Option<&V> {
        let v6 = address.is_ipv6();
        let mut longest_first = self.lengths.range((v6, 0)..=(v6, u8::MAX)).rev();
        longest_first.find_map(|(_, length)| self.entries.get(&IpNet::new(address, *length).ok()?.trunc()))
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = (&IpNet, &V)> {
        self.entries.iter()
    }
}

impl<V> FromIterator<(IpNet, V)> for Prefixes<V> {
    /// Takes prefixes without bits of a host. Of a prefix that comes twice, the last value stays.
    fn from_iter<T: IntoIterator<Item = (IpNet, V)>>(values: T) -> Self {
        let entries: BTreeMap<IpNet, V> = values.into_iter().collect();
        let lengths = entries.keys().map(|prefix| (prefix.addr().is_ipv6(), prefix.prefix_len())).collect();
        Self { entries, lengths }
    }
}

impl<V> Default for Prefixes<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), lengths: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_of_the_same_family_is_found() {
        let texts = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.1/32", "2001:db8::/32", "2001:db8:0:1::/64"];
        let prefixes: Prefixes<&str> = texts.into_iter().map(|text| (text.parse().unwrap(), text)).collect();
        let find = |address: &str| prefixes.find(address.parse().unwrap()).copied();
        assert_eq!(find("10.1.1.1"), Some("10.1.1.1/32"));
        assert_eq!(find("10.1.1.2"), Some("10.1.0.0/16"));
        assert_eq!(find("10.2.1.1"), Some("10.0.0.0/8"));
        assert_eq!(find("192.0.2.1"), Some("0.0.0.0/0"));
        assert_eq!(find("2001:db8:0:1::9"), Some("2001:db8:0:1::/64"));
        assert_eq!(find("2001:db8:0:2::9"), Some("2001:db8::/32"));
        assert_eq!(find("2001:db9::"), None);
    }
}
