//! Resolvers: who is asked for the addresses of host names, how often, and how long an answer holds.

use super::host_name;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// `[resolvers]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolvers {
    /// All are asked at once, and the first usable answer counts. Not empty.
    pub nameservers: Vec<SocketAddr>,
    /// How often a question is asked until it counts as unanswered. Default: 3.
    pub retries: u32,
    /// How long each of these times is waited. Default: 1 s.
    pub timeout_retry: Duration,
    /// From a failure to the next question. Default: 1 s.
    pub timeout_resolve: Duration,
    /// An answer is not asked for again sooner. Default: 1 s.
    pub ttl_min: Duration,
    /// An answer is asked for again by then. Default: 1 h.
    pub ttl_max: Duration,
    /// How long the last good answer stands.
    pub hold: Hold,
    /// Of the names that `/etc/hosts` knows: these are never asked for.
    pub hosts: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
}

/// How long the last good answer stands, by what came last. `None`: for ever. As HAProxy's `hold`, each looks back for a good
/// answer, whatever failed between; one counts until its TTL is over and the name is asked for again. What is gone stays so until
/// there is a good answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Hold {
    /// The name does not exist (NXDOMAIN), or has no address.
    pub nx: Option<Duration>,
    /// The servers refuse to answer.
    pub refused: Option<Duration>,
    /// Nothing came.
    pub timeout: Option<Duration>,
    /// Anything else: SERVFAIL, answers that make no sense, addresses that cannot be used.
    pub other: Option<Duration>,
    /// An address that is not in the answers any more. Default: no time.
    pub obsolete: Duration,
}

impl Resolvers {
    /// The defaults, which ask these.
    pub fn asking(nameservers: Vec<SocketAddr>) -> Self {
        Self {
            nameservers,
            retries: 3,
            timeout_retry: Duration::from_secs(1),
            timeout_resolve: Duration::from_secs(1),
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_hours(1),
            hold: Hold::default(),
            hosts: BTreeMap::new(),
        }
    }
}

impl Default for Resolvers {
    /// With the name server that the C library asks when it is told of none.
    fn default() -> Self {
        Self::asking(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, DNS))])
    }
}

/// The port of name servers.
pub const DNS: u16 = 53;

/// The name servers of a text like `/etc/resolv.conf` (resolv.conf(5)), in their order. One that is reached by a named link
/// (`fe80::1%eth0`) is left out.
pub fn nameservers(text: &str) -> Vec<SocketAddr> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let ip = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        Some(SocketAddr::new(ip.parse().ok()?, DNS))
    };
    text.lines().filter_map(line).collect()
}

/// The addresses that a text like `/etc/hosts` (hosts(5)) has for these names.
pub fn hosts(text: &str, names: &BTreeSet<Arc<str>>) -> BTreeMap<Arc<str>, BTreeSet<IpAddr>> {
    let mut found: BTreeMap<Arc<str>, BTreeSet<IpAddr>> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(ip) = words.next().and_then(|ip| ip.parse().ok()) else { continue };
        for name in words.filter_map(|word| names.get(&host_name(word).ok()?)) {
            found.entry(Arc::clone(name)).or_default().insert(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_the_c_library_does() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 # x\n\
                    nameserver fe80::1%eth0\nnameserver\nnameserverx 192.0.2.2\noptions edns0\n";
        assert_eq!(nameservers(text), ["192.0.2.1:53", "[2001:db8::1]:53"].map(|it| it.parse().expect("an address")));
    }

    #[test]
    fn hosts_are_found_by_any_of_their_names_and_on_several_lines() {
        let names = ["db1.internal", "db2", "db3"].map(Arc::from).into();
        let text = "127.0.0.1 localhost\n10.0.0.1\tDB1.internal db1 # db3\n2001:db8::1 db1.internal\nnonsense db2\n\
                    10.0.0.2 x db2\n";
        let found: Vec<_> = hosts(text, &names).into_iter().map(|(name, ips)| (name, ips.len())).collect();
        assert_eq!(found, [("db1.internal".into(), 2), ("db2".into(), 1)]);
    }
}
