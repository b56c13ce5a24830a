//! A SYN flood: connections begun from addresses that do not exist, as fast as one thread sends them. Only ever inside a
//! lab, whose links lead nowhere else.

use crate::netns::Namespace;
use anyhow::{Context, Result};
use etherparse::PacketBuilder;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::time::Instant;

/// Where the senders seem to be: in 198.18.0.0/15, which is for benchmarks (RFC 2544).
const SOURCES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Where the senders of IPv6 seem to be: in the lowest 32 bits from here.
const SOURCES6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf00d, 0, 0, 0, 0, 0);
/// The lowest source port.
const FIRST_PORT: u16 = 1_024;

/// `IPPROTO_RAW`: the sender writes the IP header.
const RAW: i32 = 255;

/// SYNs of as many connections as can be sent in that time. Returns how many there were.
pub fn syns(client: &Namespace, target: SocketAddr, time: Duration) -> Result<u64> {
    client.run(|| Syns::to(target)?.send(time))?
}

/// One SYN, and how to make another of it.
struct Syns {
    socket: Socket,
    to: SockAddr,
    packet: Vec<u8>,
    /// The lowest 32 bits of the first source address, and how many addresses there are.
    sources: (u32, u64),
    /// Where they are in the packet.
    source: usize,
    /// Where the TCP header is.
    tcp: usize,
}

impl Syns {
    fn to(target: SocketAddr) -> Result<Self> {
        let (domain, builder, sources, source, tcp) = match target.ip() {
            IpAddr::V4(to) => {
                let builder = PacketBuilder::ipv4(SOURCES.octets(), to.octets(), 64);
                (Domain::IPV4, builder, (SOURCES.to_bits(), 1 << 17), 12, 20)
            }
            IpAddr::V6(to) => {
                (Domain::IPV6, PacketBuilder::ipv6(SOURCES6.octets(), to.octets(), 64), (0, 1 << 32), 20, 40)
            }
        };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW))).context("a raw socket")?;
        let mut packet = Vec::new();
        builder.tcp(FIRST_PORT, target.port(), !sources.0, !FIRST_PORT).syn().write(&mut packet, &[])?;
        // Who writes the header names the port there.
        let to = SocketAddr::new(target.ip(), 0).into();
        Ok(Self { socket, to, packet, sources, source, tcp })
    }

    fn send(mut self, time: Duration) -> Result<u64> {
        /// Packets between two looks at the clock.
        const BATCH: u64 = 256;
        let (begun, mut sent) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for number in sent..sent + BATCH {
                self.turn_into(number);
                self.socket.send_to(&self.packet, &self.to).context("sending")?;
            }
            sent += BATCH;
        }
        Ok(sent)
    }

    /// Makes the packet that of another connection: all addresses with one port, then with the next. The sequence number is
    /// the complement of the address and the window that of the port, so that the checksum stays as it is: a word and its
    /// complement have the same sum, whichever word it is.
    #[expect(clippy::cast_possible_truncation, reason = "both are what is left of a division")]
    fn turn_into(&mut self, number: u64) {
        let (first, addresses) = self.sources;
        let address = first + (number % addresses) as u32;
        let port = FIRST_PORT + (number / addresses % u64::from(u16::MAX - FIRST_PORT)) as u16;
        self.put(self.source, &address.to_be_bytes());
        self.put(self.tcp, &port.to_be_bytes());
        self.put(self.tcp + 4, &(!address).to_be_bytes());
        self.put(self.tcp + 14, &(!port).to_be_bytes());
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.packet.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Family;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    /// The checksum of a packet, and what it should be.
    fn checksums(packet: &[u8]) -> Option<(u16, u16)> {
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        let (Some(TransportSlice::Tcp(tcp)), Some(net)) = (sliced.transport, sliced.net) else { return None };
        let right = match net {
            NetSlice::Ipv4(ip) => {
                tcp.to_header().calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), &[])
            }
            NetSlice::Ipv6(ip) => {
                tcp.to_header().calc_checksum_ipv6_raw(ip.header().source(), ip.header().destination(), &[])
            }
            NetSlice::Arp(_) => return None,
        };
        Some((tcp.checksum(), right.ok()?))
    }

    #[test]
    fn every_syn_is_another_connection_and_has_its_right_checksum() -> Result<()> {
        for family in Family::BOTH {
            let mut syns = Syns::to((family.nat_vip(), 80).into())?;
            let mut seen = std::collections::BTreeSet::new();
            for number in (0..1_000).chain((1 << 17)..(1 << 17) + 1_000) {
                syns.turn_into(number);
                let (is, right) = checksums(&syns.packet).context("no TCP")?;
                assert_eq!(is, right, "{family:?} {number}");
                assert!(seen.insert(syns.packet.clone()), "{family:?} {number}: again");
            }
        }
        Ok(())
    }
}
