//! What of this machine matters to a configuration: interfaces, addresses, and where packets go.

use super::device::Device;
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// This machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Host {
    /// Its interfaces.
    pub links: Vec<Link>,
    /// Its routes, the best for each prefix.
    pub routes: Vec<Route>,
    /// Its interfaces as their drivers have them, as far as they were asked.
    pub devices: BTreeMap<String, Device>,
    /// Settings of its kernel.
    pub kernel: Kernel,
}

/// Settings of the kernel. `None`: it does not say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kernel {
    /// Whether BPF programs are compiled.
    pub jit: Option<bool>,
    /// Whether it forwards packets of IPv4, and of IPv6.
    pub forwards: [Option<bool>; 2],
    /// Interfaces that take only packets whose answers would leave by them (`rp_filter` 1).
    pub strict: BTreeSet<String>,
    /// CPUs that this process may use.
    pub cpus: u32,
}

/// An interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// As in `ip link`.
    pub name: String,
    /// Whether it is up and has a carrier.
    pub up: bool,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Of a VLAN: the interface that it is on.
    pub lower: Option<String>,
    /// Its addresses with their prefixes, in the kernel's order.
    pub addresses: Vec<IpNet>,
}

/// A route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Where it leads.
    pub prefix: IpNet,
    /// By which way. `None`: nowhere.
    pub way: Option<Way>,
}

/// Where a route leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Way {
    /// Out of this interface.
    pub link: String,
    /// To this machine. `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Largest IP packet in bytes, if the route says so.
    pub mtu: Option<u32>,
}

impl Host {
    /// The interface of that name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Whether an interface has that address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.links.iter().flat_map(|link| &link.addresses).any(|own| own.addr() == address)
    }

    /// The address that packets of this machine's own to `next`, which is on that link, have as their source: the first
    /// whose prefix has both.
    pub fn own_source(&self, link: &str, next: IpAddr) -> Option<IpAddr> {
        let own = self.link(link)?.addresses.iter().find(|own| own.contains(&next))?;
        Some(own.addr())
    }

    /// The route of a packet to `address`: that of the longest prefix.
    pub fn way(&self, address: IpAddr) -> Option<(IpNet, &Way)> {
        let routes = self.routes.iter().filter(|route| route.prefix.contains(&address));
        let route = routes.max_by_key(|route| route.prefix.prefix_len())?;
        Some((route.prefix, route.way.as_ref()?))
    }

    /// Largest IP packet that goes by that way.
    pub fn mtu(&self, way: &Way) -> Option<u32> {
        let link = self.link(&way.link)?.mtu;
        Some(way.mtu.map_or(link, |mtu| mtu.min(link)))
    }

    /// Whether what comes in by `link` passes one of `interfaces`: it is one, or a VLAN on one.
    pub fn is_attached(&self, link: &str, interfaces: &[String]) -> bool {
        let lower = |name: &str| self.link(name)?.lower.as_deref();
        // Two tags at most: a VLAN on a VLAN.
        let chain = [Some(link), lower(link), lower(link).and_then(lower)];
        chain.into_iter().flatten().any(|name| interfaces.iter().any(|interface| interface == name))
    }
}
