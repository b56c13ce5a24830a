//! Flow: who talks to which address of ours, and the hash of that. The kernel half has the same hash, so a flow finds
//! the same server whichever half, and whichever balancer of the group, it comes through.

use crate::model::Affinity;
use lb_common::{
    Be16, Protocol,
    hash::{HashKey, flow_hash_v4, flow_hash_v6, source_hash_v4, source_hash_v6},
};
use std::net::{IpAddr, SocketAddr};

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::l7) struct Flow {
    /// The client's.
    pub(in crate::l7) client: SocketAddr,
    /// Ours, as the client sees it: never a wildcard.
    pub(in crate::l7) local: SocketAddr,
}

impl Flow {
    /// The hash that the kernel half gives this flow, or with [`Affinity::Source`] its client.
    pub(super) fn hash(&self, affinity: Affinity, key: HashKey) -> u32 {
        let (client_port, local_port) = (Be16::new(self.client.port()), Be16::new(self.local.port()));
        match (self.client.ip().to_canonical(), self.local.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(local)) => match affinity {
                Affinity::None => {
                    flow_hash_v4(key, client.into(), client_port, local.into(), local_port, Protocol::Tcp)
                }
                Affinity::Source => source_hash_v4(key, client.into()),
            },
            (client, local) => match affinity {
                Affinity::None => {
                    flow_hash_v6(key, client.into(), client_port, local.into(), local_port, Protocol::Tcp)
                }
                Affinity::Source => source_hash_v6(key, client.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, net::Ipv4Addr};

    fn hash(key: HashKey, client: &str, local: &str) -> u32 {
        Flow { client: client.parse().expect("address"), local: local.parse().expect("address") }
            .hash(Affinity::None, key)
    }

    #[test]
    fn an_ipv4_flow_has_the_hash_that_the_kernel_gives_it() {
        // A vector of `lb_common::hash`.
        assert_eq!(hash([1, 2], "198.51.100.7:40000", "192.0.2.10:443"), 3_098_830_674);
        let mapped = hash([1, 2], "[::ffff:198.51.100.7]:40000", "[::ffff:192.0.2.10]:443");
        assert_eq!(mapped, 3_098_830_674, "a socket of both families sees the same flow");
    }

    #[test]
    fn every_part_of_an_ipv6_flow_and_the_key_count() {
        let ours = "[2001:db8::10]:443";
        let hashes = BTreeSet::from([
            hash([1, 2], "[2001:db8::7]:40000", ours),
            hash([1, 2], "[2001:db8::7]:40001", ours),
            hash([1, 2], "[2001:db8::8]:40000", ours),
            hash([1, 2], "[2001:db9::7]:40000", ours),
            hash([1, 2], "[2001:db8::7]:40000", "[2001:db8::10]:444"),
            hash([1, 2], "[2001:db8::7]:40000", "[2001:db8::11]:443"),
            hash([1, 2], "[2001:db8::7]:40000", "[2001:db9::10]:443"),
            hash([1, 2], ours, "[2001:db8::7]:40000"),
            hash([3, 2], "[2001:db8::7]:40000", ours),
            hash([1, 3], "[2001:db8::7]:40000", ours),
        ]);
        assert_eq!(hashes.len(), 10);
    }

    #[test]
    fn an_ipv6_flow_has_the_hash_that_the_kernel_gives_it() {
        let address = |text: &str| text.parse::<IpAddr>().expect("address").into();
        let (client, local) = (address("2001:db8::7"), address("2001:db8::10"));
        let kernel = flow_hash_v6([1, 2], client, Be16::new(40_000), local, Be16::new(443), Protocol::Tcp);
        assert_eq!(hash([1, 2], "[2001:db8::7]:40000", "[2001:db8::10]:443"), kernel);
    }

    #[test]
    fn by_source_only_the_clients_address_counts() {
        let hash = |client: &str, local: &str| {
            Flow { client: client.parse().expect("address"), local: local.parse().expect("address") }
                .hash(Affinity::Source, [1, 2])
        };
        let one = hash("198.51.100.7:40000", "192.0.2.10:21");
        assert_eq!(one, source_hash_v4([1, 2], Ipv4Addr::new(198, 51, 100, 7).into()));
        assert_eq!(one, hash("198.51.100.7:40001", "192.0.2.11:30000"));
        assert_ne!(one, hash("198.51.100.8:40000", "192.0.2.10:21"));
        let six = hash("[2001:db8::7]:40000", "[2001:db8::10]:21");
        assert_eq!(six, hash("[2001:db8::7]:40001", "[2001:db8::11]:30000"));
        assert_ne!(six, hash("[2001:db8::8]:40000", "[2001:db8::10]:21"));
    }
}
