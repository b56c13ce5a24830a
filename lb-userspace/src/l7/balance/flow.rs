//! Flow: who talks to which address of ours, and the hash of that. The kernel half has the same hash, so a flow finds
//! the same server whichever half, and whichever balancer of the group, it comes through.

use lb_common::{
    Be16, Be32, Protocol,
    hash::{HashKey, flow_hash_v4, mix},
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
    /// [`flow_hash_v4`] of an IPv4 flow. For IPv6 the same construction, where four words of addresses (those of the
    /// client first, each as it stands in the packet) take the place of the one.
    pub(super) fn hash(&self, key: HashKey) -> u32 {
        let (client_port, local_port) = (Be16::new(self.client.port()), Be16::new(self.local.port()));
        match (self.client.ip().to_canonical(), self.local.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(local)) => {
                flow_hash_v4(key, Be32::from(client), client_port, Be32::from(local), local_port, Protocol::Tcp)
            }
            (client, local) => {
                let [first, second] = key;
                let words = [words(client), words(local)];
                let addresses = words.as_flattened().iter().fold(first, |hash, word| mix(hash ^ word));
                let ports = u64::from(client_port.raw()) << 32
                    | u64::from(local_port.raw()) << 16
                    | u64::from(Protocol::Tcp.number());
                upper(mix(addresses ^ ports ^ second))
            }
        }
    }
}

fn words(address: IpAddr) -> [u64; 2] {
    let octets = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    bytemuck::cast(octets)
}

fn upper(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn hash(key: HashKey, client: &str, local: &str) -> u32 {
        Flow { client: client.parse().expect("address"), local: local.parse().expect("address") }.hash(key)
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
    fn the_hash_of_an_ipv6_flow_never_changes() {
        assert_eq!(hash([1, 2], "[2001:db8::7]:40000", "[2001:db8::10]:443"), 2_758_591_624);
    }
}
