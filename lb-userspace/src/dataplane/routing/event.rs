//! What happens to the host's network, in our words: the core knows no netlink. `message` reads the kernel's.

use ipnet::IpNet;
use lb_common::{Mac, Tag};
use std::net::IpAddr;

/// What happened to the host's network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Addresses or routes changed: read links, addresses and routes again. The kernel does not announce every route that
    /// goes with a link or an address, so following single messages would drift.
    Reread,
    /// The same, because a link came or changed.
    LinkChanged,
    /// The same, because a link went. The kernel has taken it out of `DEVICES`, and one with the same number may come.
    LinkGone(u32),
    /// A neighbour changed (`Some`) or went (`None`).
    Neighbour(On, Option<Neighbour>),
}

/// An address on a link. The same link-local address (RFC 4291 §2.5.6) may be another machine on another link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct On {
    /// The interface.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
}

/// An interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its Ethernet address. `None`: frames cannot leave through it (loopback, tunnels).
    pub mac: Option<Mac>,
    /// Whether it is up and has a carrier.
    pub up: bool,
    /// Largest IP packet in bytes that it takes; 0: not known.
    pub mtu: u32,
    /// What it adds to frames before another interface sends them.
    pub vlan: Option<Vlan>,
}

/// A VLAN on an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Vlan {
    /// That interface; 0, which none has: one that we cannot see.
    pub lower: u32,
    /// What its frames carry.
    pub tag: Tag,
}

/// An address of this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address {
    /// The address and the interface that has it.
    pub on: On,
    /// The machines that it makes neighbours.
    pub prefix: IpNet,
    /// Whether packets may come from it that nobody chose a source for: it is primary, valid, and known beyond its link.
    pub source: bool,
}

/// A route of table main.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// Where it leads.
    pub prefix: IpNet,
    /// Lower wins.
    pub metric: u32,
    /// Of routes with the same metric, lower wins: what a router says of itself (RFC 4191).
    pub preference: u8,
    /// By which way. `None`: nowhere (unreachable, blackhole, or by means that we do not follow).
    pub way: Option<Way>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Way {
    /// Out of this interface.
    pub ifindex: u32,
    /// To this machine, which may be of the other family (RFC 8950). `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Largest IP packet in bytes, if the route says so.
    pub mtu: Option<u32>,
    /// The source that the route prefers.
    pub source: Option<IpAddr>,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Neighbour {
    /// Its Ethernet address, while that may be used.
    pub mac: Option<Mac>,
    /// Whether the kernel keeps it alive for us.
    pub managed: bool,
    /// Whether someone wrote it down by hand. Not ours to manage.
    pub permanent: bool,
}
