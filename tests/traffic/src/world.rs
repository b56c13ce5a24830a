//! The network of most tests of the packet path, in both families: clients behind a router, VIPs of every mode, servers.

mod remembered;
mod tables;

pub use remembered::*;
pub use tables::*;

use crate::packet::Frame;
use lb_common::{Be16, Ends, Family, Mac, Protocol, RingId, ServerId, V4, V6, VipId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

const fn v4(a: u8, b: u8, c: u8, d: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port)
}

/// The client of IPv4.
pub const CLIENT: SocketAddrV4 = v4(198, 51, 100, 7, 40_000);
/// Served by `direct`, TCP and UDP.
pub const DIRECT_VIP: SocketAddrV4 = v4(192, 0, 2, 20, 80);
/// Served by `nat`, TCP and UDP.
pub const NAT_VIP: SocketAddrV4 = v4(192, 0, 2, 10, 443);
/// The servers of IPv4: 1 to 3 belong to all VIPs but one, 4 to the second `nat` VIP.
pub const SERVERS: [SocketAddrV4; 5] =
    [v4(0, 0, 0, 0, 0), v4(10, 0, 0, 1, 8443), v4(10, 0, 0, 2, 8443), v4(10, 0, 0, 3, 0), v4(10, 0, 0, 4, 8443)];

/// Ethernet addresses of the servers, which have addresses of both families.
pub const SERVER_MACS: [Mac; 5] = [[0; 6], mac(0x11), mac(0x12), mac(0x13), mac(0x14)];
/// The router, through which all clients come.
pub const ROUTER_MAC: Mac = mac(0x01);
/// The balancer.
pub const BALANCER_MAC: Mac = mac(0xfe);

/// The only interface of a one-armed balancer, and the outer one of a two-armed one.
pub const OUTSIDE: u32 = 1;
/// The inner interface of a two-armed balancer.
pub const INSIDE: u32 = 2;

/// Row of the router in `NEXT_HOPS`; servers have the row of their id.
pub const ROUTER: u32 = 100;
/// Row of a router that nobody knows the Ethernet address of.
pub const UNRESOLVED: u32 = 101;

const fn mac(last: u8) -> Mac {
    [0x02, 0x51, 0x1c, 0xe0, 0x00, last]
}

/// The network in one family.
#[derive(Debug)]
pub struct Net {
    /// `v4` or `v6`.
    pub name: &'static str,
    /// Who talks to the VIPs.
    pub client: SocketAddr,
    /// Served by `nat`, TCP and UDP, as are all VIPs.
    pub nat: SocketAddr,
    /// Served by `nat` too, with server 4 alone.
    pub other: SocketAddr,
    /// Served by `direct`.
    pub direct: SocketAddr,
    /// Served by `ipip`.
    pub ipip: SocketAddr,
    /// Served by `gue`.
    pub gue: SocketAddr,
    /// Served by `ipip`, with servers of the other family.
    pub crossed_ipip: SocketAddr,
    /// Served by `gue`, with servers of the other family.
    pub crossed_gue: SocketAddr,
    /// Served by `fullnat`.
    pub fullnat: SocketAddr,
    /// The addresses that `fullnat` lends.
    pub pool: [IpAddr; 2],
    /// Where tunnels over this family start.
    pub tunnels: IpAddr,
    /// The balancer itself, where servers see it.
    pub host: SocketAddr,
    /// Reached through a route with no resolved next hop.
    pub unresolved_client: SocketAddr,
    /// On a link of ours, but no neighbour that we know.
    pub unknown_neighbour: SocketAddr,
    /// No route leads there.
    pub unrouted_client: SocketAddr,
    /// A router between the balancer and the servers.
    pub hop: IpAddr,
    /// The servers: 1 to 3 belong to all VIPs but one, 4 to the second `nat` VIP.
    pub servers: [SocketAddr; 5],
    /// Added to ids of servers, rings and VIPs.
    base: u16,
}

/// The network in IPv4.
pub static NET4: Net = Net {
    name: "v4",
    client: SocketAddr::V4(CLIENT),
    nat: SocketAddr::V4(NAT_VIP),
    other: SocketAddr::V4(v4(192, 0, 2, 30, 443)),
    direct: SocketAddr::V4(DIRECT_VIP),
    ipip: SocketAddr::V4(v4(192, 0, 2, 40, 80)),
    gue: SocketAddr::V4(v4(192, 0, 2, 50, 80)),
    crossed_ipip: SocketAddr::V4(v4(192, 0, 2, 41, 80)),
    crossed_gue: SocketAddr::V4(v4(192, 0, 2, 51, 80)),
    fullnat: SocketAddr::V4(v4(192, 0, 2, 60, 443)),
    pool: [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 200)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 201))],
    tunnels: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 250)),
    host: SocketAddr::V4(v4(10, 0, 0, 254, 50_000)),
    unresolved_client: SocketAddr::V4(v4(203, 0, 113, 9, 40_000)),
    unknown_neighbour: SocketAddr::V4(v4(10, 0, 0, 77, 40_000)),
    unrouted_client: SocketAddr::V4(v4(233, 252, 0, 9, 40_000)),
    hop: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 240)),
    servers: [
        SocketAddr::V4(SERVERS[0]),
        SocketAddr::V4(SERVERS[1]),
        SocketAddr::V4(SERVERS[2]),
        SocketAddr::V4(SERVERS[3]),
        SocketAddr::V4(SERVERS[4]),
    ],
    base: 0,
};

/// Of 2001:db8::/32 (RFC 3849): `net` stands in the third word.
const fn v6(net: u16, last: u16, port: u16) -> SocketAddr {
    SocketAddr::new(ip6(net, last), port)
}

const fn ip6(net: u16, last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0x1234, last))
}

/// The network in IPv6.
pub static NET6: Net = Net {
    name: "v6",
    client: v6(7, 7, 40_000),
    nat: v6(1, 0x10, 443),
    other: v6(1, 0x30, 443),
    direct: v6(1, 0x20, 80),
    ipip: v6(1, 0x40, 80),
    gue: v6(1, 0x50, 80),
    crossed_ipip: v6(1, 0x41, 80),
    crossed_gue: v6(1, 0x51, 80),
    fullnat: v6(1, 0x60, 443),
    pool: [ip6(2, 0x200), ip6(2, 0x201)],
    tunnels: ip6(2, 0x250),
    host: v6(2, 0x254, 50_000),
    unresolved_client: v6(9, 9, 40_000),
    unknown_neighbour: v6(2, 0x77, 40_000),
    unrouted_client: v6(10, 9, 40_000),
    hop: ip6(2, 0x240),
    servers: [v6(0, 0, 0), v6(2, 1, 8443), v6(2, 2, 8443), v6(2, 3, 0), v6(2, 4, 8443)],
    base: 20,
};

impl Net {
    /// All VIPs, in the order of their numbers.
    pub fn vips(&self) -> [SocketAddr; 8] {
        [self.nat, self.direct, self.other, self.ipip, self.gue, self.crossed_ipip, self.crossed_gue, self.fullnat]
    }

    /// The network in the other family.
    pub fn crossed(&self) -> &'static Self {
        if self.base == 0 { &NET6 } else { &NET4 }
    }

    /// Whether it is that of IPv6.
    pub fn is_v6(&self) -> bool {
        self.client.is_ipv6()
    }

    /// The id of server `number`.
    pub fn id(&self, number: usize) -> ServerId {
        self.base + u16::try_from(number).expect("few servers")
    }

    /// The ring of all VIPs that no other one is named for.
    pub fn nat_ring(&self) -> RingId {
        self.base + 1
    }

    /// The ring of the `direct` VIP.
    pub fn direct_ring(&self) -> RingId {
        self.base + 2
    }

    /// The ring of the second `nat` VIP.
    pub fn other_ring(&self) -> RingId {
        self.base + 3
    }

    /// The ring of servers of the other family.
    pub fn crossed_ring(&self) -> RingId {
        self.base + 4
    }

    /// A VIP by its number, of TCP; that of UDP is the next one.
    pub fn vip_id(&self, number: u16) -> VipId {
        self.base * 2 + number * 2 + 1
    }

    /// The bits of the first pool address's row in `SOURCES`.
    pub fn first_source(&self) -> u16 {
        self.base
    }

    /// A segment from the client as the router delivers it.
    pub fn tcp(&self, vip: SocketAddr) -> Frame {
        arrives(Frame::tcp(self.client, vip))
    }

    /// A datagram from the client as the router delivers it.
    pub fn udp(&self, vip: SocketAddr) -> Frame {
        arrives(Frame::udp(self.client, vip))
    }
}

/// A frame as the router delivers it.
pub fn arrives(frame: Frame) -> Frame {
    frame.hop(ROUTER_MAC, BALANCER_MAC)
}

/// A frame as server `number` delivers it.
pub fn answers(frame: Frame, number: usize) -> Frame {
    frame.hop(SERVER_MACS[number], BALANCER_MAC)
}

/// The same frame as it leaves for server `number`.
pub fn leaves_for(frame: Frame, number: usize) -> Frame {
    frame.hop(BALANCER_MAC, SERVER_MACS[number]).ttl(63)
}

/// The same frame as it leaves for a client.
pub fn leaves_for_client(frame: Frame) -> Frame {
    frame.hop(BALANCER_MAC, ROUTER_MAC).ttl(63)
}

/// The same address with another port.
pub fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The ends of a packet, as the packet path has them.
pub fn ends<F: Family>(source: SocketAddr, destination: SocketAddr, protocol: Protocol) -> Ends<F> {
    Ends {
        source: addr::<F>(source.ip()),
        destination: addr::<F>(destination.ip()),
        source_port: port(source),
        destination_port: port(destination),
        protocol,
    }
}

/// The hash of a flow.
pub fn hash(client: SocketAddr, vip: SocketAddr, protocol: Protocol) -> u32 {
    let key = HASH_KEY;
    if client.is_ipv4() {
        V4::flow_hash(key, &ends(client, vip, protocol))
    } else {
        V6::flow_hash(key, &ends(client, vip, protocol))
    }
}

/// An address as rows have it.
pub fn addr<F: Family>(address: IpAddr) -> F::Addr {
    F::narrow(address.into())
}

/// A port as rows have it.
pub fn port(address: SocketAddr) -> Be16 {
    Be16::new(address.port())
}
