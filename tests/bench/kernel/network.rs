//! The network that is measured in, in both families: clients behind a router, VIPs, servers behind the same router.

use etherparse::PacketBuilder;
use lb_common::Mac;
use lb_ebpf_tools::rows::rearm::Varies;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Net {
    V4,
    V6,
}

impl Net {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The first client.
    pub(crate) fn client(self) -> SocketAddr {
        self.at(Ipv4Addr::new(198, 51, 100, 7), [0x100, 0, 0, 7], 40_000)
    }

    /// The VIP of a way to forward, by its number. That of the first, over IPv4, is 192.0.2.20:80.
    pub(crate) fn vip(self, mode: u8) -> SocketAddr {
        self.at(Ipv4Addr::new(192, 0, 2, 20 + mode), [2, 0, 0, 0x20 + u16::from(mode)], 80)
    }

    /// A server of a way to forward.
    pub(crate) fn server(self, mode: u8, number: u8) -> SocketAddr {
        self.at(Ipv4Addr::new(10, 1, mode, number), [1, mode.into(), 0, number.into()], 8_080)
    }

    /// The balancer itself, as servers see the sender of tunnels and of translated packets.
    pub(crate) fn balancer(self) -> SocketAddr {
        self.at(Ipv4Addr::new(10, 0, 0, 254), [1, 0xfe, 0, 1], 0)
    }

    /// The other end of a flow varies with each packet: that of a client's packet, or of one to it.
    pub(crate) const fn varies(self, from_client: bool) -> Varies {
        match (self, from_client) {
            (Self::V4, true) => Varies::Source4,
            (Self::V4, false) => Varies::Destination4,
            (Self::V6, true) => Varies::Source6,
            (Self::V6, false) => Varies::Destination6,
        }
    }

    /// An address of either family; the one of IPv6 in 2001:db8::/32, by its third, fourth, fifth and last word.
    fn at(self, v4: Ipv4Addr, [c, d, e, last]: [u16; 4], port: u16) -> SocketAddr {
        let ip = match self {
            Self::V4 => IpAddr::V4(v4),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, c, d, e, 0, 0, last)),
        };
        SocketAddr::new(ip, port)
    }
}

/// The router, which everything comes from and goes to.
pub(crate) const ROUTER_MAC: Mac = [0x02, 0x51, 0x1c, 0xe0, 0x00, 0x01];
/// The balancer.
pub(crate) const BALANCER_MAC: Mac = [0x02, 0x51, 0x1c, 0xe0, 0x00, 0xfe];

/// Both ends of a packet, and whether it opens a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Segment {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) opens: bool,
}

impl Segment {
    /// The frame as the router delivers it; `None` where the ends are not of one family.
    pub(crate) fn frame(&self) -> Option<Vec<u8>> {
        /// So that the frame is long enough for the wrapper, in either family.
        const PAYLOAD: [u8; 32] = [0x61; 32];
        let ethernet = PacketBuilder::ethernet2(ROUTER_MAC, BALANCER_MAC);
        let ip = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 64),
            (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 64),
            _ => return None,
        };
        let tcp = ip.tcp(self.source.port(), self.destination.port(), 0x1234_5678, 0x7fff);
        let tcp = if self.opens { tcp.syn() } else { tcp.ack(1) };
        let mut frame = Vec::new();
        tcp.write(&mut frame, &PAYLOAD).ok()?;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_ebpf_tools::rows::rearm::TEMPLATE;

    #[test]
    fn what_varies_is_where_the_wrapper_writes_it() {
        for net in Net::ALL {
            let segment = Segment { source: net.client(), destination: net.vip(0), opens: false };
            let frame = segment.frame().unwrap();
            assert!(frame.len() >= TEMPLATE, "{}", frame.len());
            for (from_client, end) in [(true, net.client()), (false, net.vip(0))] {
                let (address_at, port_at) = net.varies(from_client).places();
                let octets = match end.ip() {
                    IpAddr::V4(ip) => ip.octets().to_vec(),
                    IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                assert!(octets.ends_with(&frame[address_at..address_at + 4]), "{net:?} {end}");
                assert_eq!(frame[port_at..port_at + 2], end.port().to_be_bytes());
            }
        }
    }
}
