//! Who has which address.
//!
//! Every machine has one of each [`Family`]: the constants without a number are IPv4, those that end in 6 are IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// The client.
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10);
/// The balancer, as the client's router.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The balancer, as the client's router.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1);
/// A VIP for `forward = "nat"` and `"fullnat"`; the balancer's own address too, as keepalived would give it.
pub const NAT_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// As [`NAT_VIP`].
pub const NAT_VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10);
/// A VIP for `forward = "direct"`, `"ipip"` and `"gue"`: on the balancer, and silently on the loopback of every server.
pub const DIRECT_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
/// As [`DIRECT_VIP`].
pub const DIRECT_VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x20);
/// An address for frontends that the proxy serves.
pub const PROXY_VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);
/// As [`PROXY_VIP`].
pub const PROXY_VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x30);
/// The balancer, as the servers' router.
pub const SERVER_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 1);
/// As [`SERVER_GATEWAY`].
pub const SERVER_GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
/// An address of the balancer's on the servers' link, to be the source of what `forward = "fullnat"` sends.
pub const POOL: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 200);
/// As [`POOL`].
pub const POOL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x200);

/// The client of [`Lab::add_far_client`](super::Lab::add_far_client).
pub const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// As [`FAR`].
pub const FAR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 0x10);

/// The router to the far client, as balancer and servers know it.
pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// As [`ROUTER`].
pub(super) const ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 2);
/// The same router, as the far client knows it.
pub(super) const FAR_ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// As [`FAR_ROUTER`].
pub(super) const FAR_ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 1);

/// The server that [`Lab::servers`](super::Lab::servers) marks as backup.
pub const BACKUP: &str = "backup";

/// The servers.
pub(super) const SERVERS: [(&str, Ipv4Addr, Ipv6Addr); 4] = [
    ("web1", Ipv4Addr::new(10, 1, 1, 11), server6(0x11)),
    ("web2", Ipv4Addr::new(10, 1, 1, 12), server6(0x12)),
    ("web3", Ipv4Addr::new(10, 1, 1, 13), server6(0x13)),
    (BACKUP, Ipv4Addr::new(10, 1, 1, 100), server6(0x100)),
];

const fn server6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last)
}

/// The link of client and balancer.
pub(super) const CLIENTS_LINK: [&str; 2] = ["198.51.100.0/24", "2001:db8:100::/64"];

/// The link of the far client.
pub(super) const FAR_LINK: [&str; 2] = ["203.0.113.0/24", "2001:db8:200::/64"];

/// Which of the two kinds of address a test is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The client.
    pub const fn client(self) -> IpAddr {
        self.choose(CLIENT, CLIENT6)
    }

    /// The client behind a router.
    pub const fn far(self) -> IpAddr {
        self.choose(FAR, FAR6)
    }

    /// [`NAT_VIP`] or [`NAT_VIP6`].
    pub const fn nat_vip(self) -> IpAddr {
        self.choose(NAT_VIP, NAT_VIP6)
    }

    /// [`DIRECT_VIP`] or [`DIRECT_VIP6`].
    pub const fn direct_vip(self) -> IpAddr {
        self.choose(DIRECT_VIP, DIRECT_VIP6)
    }

    /// [`PROXY_VIP`] or [`PROXY_VIP6`].
    pub const fn proxy_vip(self) -> IpAddr {
        self.choose(PROXY_VIP, PROXY_VIP6)
    }

    /// [`POOL`] or [`POOL6`].
    pub const fn pool(self) -> IpAddr {
        self.choose(POOL, POOL6)
    }

    /// The one of a pair that is of this family.
    pub const fn choose(self, v4: Ipv4Addr, v6: Ipv6Addr) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(v4),
            Self::V6 => IpAddr::V6(v6),
        }
    }
}
