//! Which address of a link tunnels start from, where the route does not say it. Pure.

use super::{event::Address, prefixes::Prefixes};
use std::{collections::BTreeMap, net::IpAddr};

/// The addresses of one link that packets may come from.
///
/// One on the prefix of the next machine comes first, as the kernel has it. Else one with a short prefix: an address with
/// the longest is likely a VIP, which moves to another balancer. Else the lowest, so that it stays the same.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sources {
    near: Prefixes<IpAddr>,
    /// By whether of IPv6.
    far: BTreeMap<bool, IpAddr>,
}

impl Sources {
    /// Of a link that has these addresses.
    pub fn new(addresses: &[Address]) -> Self {
        let mut fit: Vec<&Address> = addresses.iter().filter(|address| address.source).collect();
        fit.sort_by_key(|address| std::cmp::Reverse((address.prefix.prefix_len(), address.on.address)));
        // The best is last, and the last stays.
        Self {
            near: fit.iter().map(|address| (address.prefix, address.on.address)).collect(),
            far: fit.iter().map(|address| (address.on.address.is_ipv6(), address.on.address)).collect(),
        }
    }

    /// The source of packets to `destination` by way of `next`, which may be of the other family.
    pub fn pick(&self, destination: IpAddr, next: IpAddr) -> Option<IpAddr> {
        let near = self.near.find(next).filter(|source| source.is_ipv6() == destination.is_ipv6());
        near.or_else(|| self.far.get(&destination.is_ipv6())).copied()
    }
}
