//! The headers of frames for tests, as bytes.

use crate::oracle::{checksum, pseudo_header};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Of the flags and the offset of an IPv4 header.
pub(super) const DONT_FRAGMENT: u16 = 0x4000;
const MORE: u16 = 0x2000;

/// The flags and the offset of a fragment in IPv4.
pub(super) const fn bits((offset, more): (u16, bool)) -> u16 {
    offset | if more { MORE } else { 0 }
}

/// An IPv4 header (RFC 791 §3.1).
pub(super) struct V4<'a> {
    pub(super) service: u8,
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) options: &'a [u8],
}

impl V4<'_> {
    pub(super) fn around(&self, payload: &[u8]) -> Vec<u8> {
        let length = 20 + self.options.len();
        let mut header = vec![0x40 | low(length / 4), self.service];
        header.extend(number(length + payload.len()));
        header.extend(self.id.to_be_bytes());
        header.extend(self.flags.to_be_bytes());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend(self.source.octets());
        header.extend(self.destination.octets());
        header.extend(self.options);
        let sum = checksum(&header);
        header.splice(10..12, sum.to_be_bytes());
        header.extend(payload);
        header
    }
}

/// An IPv6 header (RFC 8200 §3).
pub(super) struct V6 {
    pub(super) service: u8,
    pub(super) hop_limit: u8,
    pub(super) next: u8,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
}

impl V6 {
    pub(super) fn around(&self, payload: &[u8]) -> Vec<u8> {
        let mut header = (6_u32 << 28 | u32::from(self.service) << 20).to_be_bytes().to_vec();
        header.extend(number(payload.len()));
        header.extend([self.next, self.hop_limit]);
        header.extend(self.source.octets());
        header.extend(self.destination.octets());
        header.extend(payload);
        header
    }
}

/// An IPv6 extension header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Extension {
    number: u8,
    /// All of it but its first byte, which names what follows.
    rest: Vec<u8>,
}

impl Extension {
    /// Hop-by-hop options (RFC 8200 §4.3): padding.
    pub fn hop_by_hop() -> Self {
        Self { number: 0, rest: vec![0, 1, 4, 0, 0, 0, 0] }
    }

    /// Destination options (RFC 8200 §4.6): so many units of 8 bytes of padding.
    pub fn destination(units: u8) -> Self {
        let mut rest = vec![units - 1, 1, units * 8 - 4];
        rest.resize(usize::from(units) * 8 - 1, 0);
        Self { number: 60, rest }
    }

    /// A routing header (RFC 8200 §4.4) with one address.
    pub fn routing(segments_left: u8) -> Self {
        let mut rest = vec![2, 4, segments_left];
        rest.resize(23, 0);
        Self { number: 43, rest }
    }

    /// An authentication header (RFC 4302 §2) with a value of 12 bytes.
    pub fn authentication() -> Self {
        let mut rest = vec![4, 0, 0];
        rest.resize(23, 0x5a);
        Self { number: 51, rest }
    }

    /// A fragment header (RFC 8200 §4.5).
    pub fn fragment((offset, more): (u16, bool), id: u16) -> Self {
        let mut rest = vec![0];
        rest.extend((offset << 3 | u16::from(more)).to_be_bytes());
        rest.extend(u32::from(id).to_be_bytes());
        Self { number: 44, rest }
    }

    /// The same header under another number.
    #[must_use]
    pub fn numbered(self, number: u8) -> Self {
        Self { number, ..self }
    }
}

/// The first number of a chain of extensions before that protocol, and their bytes.
pub(super) fn chain(extensions: &[Extension], protocol: u8) -> (u8, Vec<u8>) {
    let (mut next, mut bytes) = (protocol, Vec::new());
    for extension in extensions.iter().rev() {
        bytes = [&[next][..], &extension.rest, &bytes].concat();
        next = extension.number;
    }
    (next, bytes)
}

/// The numbers of a TCP header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Numbers {
    /// Of the first byte.
    pub sequence: u32,
    /// The next byte that the sender expects.
    pub acknowledgment: u32,
    /// Bytes that the sender takes.
    pub window: u16,
}

/// A TCP header (RFC 9293 §3.1) without its checksum.
pub(super) fn tcp(ports: &[u8], flags: u8, numbers: Numbers, options: &[u8]) -> Vec<u8> {
    let mut header = ports.to_vec();
    header.extend(numbers.sequence.to_be_bytes());
    header.extend(numbers.acknowledgment.to_be_bytes());
    header.extend([low((20 + options.len()) / 4) << 4, flags]);
    header.extend(numbers.window.to_be_bytes());
    header.extend([0, 0, 0, 0]);
    header.extend(options);
    header
}

/// A UDP header (RFC 768) without its checksum.
pub(super) fn udp(ports: &[u8], payload: usize) -> Vec<u8> {
    let mut header = ports.to_vec();
    header.extend(number(8 + payload));
    header.extend([0, 0]);
    header
}

/// What a packet is put into on its way to a server.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// Where it starts.
    pub source: IpAddr,
    /// Where it ends.
    pub destination: IpAddr,
    /// Ports and whether there is a checksum, if it is one of UDP.
    pub udp: Option<(u16, u16, bool)>,
}

impl Tunnel {
    /// The packet in the tunnel, with its own type of service outside too.
    pub(super) fn around(&self, packet: &[u8], service: u8) -> Vec<u8> {
        let inside = if packet.first().is_some_and(|first| first >> 4 == 6) { 41 } else { 4 };
        let (protocol, payload) = match self.udp {
            None => (inside, packet.to_vec()),
            Some(ports) => (17, self.datagram(packet, ports)),
        };
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                V4 { service, id: 0, flags: DONT_FRAGMENT, ttl: 64, protocol, source, destination, options: &[] }
                    .around(&payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                V6 { service, hop_limit: 64, next: protocol, source, destination }.around(&payload)
            }
            _ => payload,
        }
    }

    fn datagram(&self, packet: &[u8], (source, destination, summed): (u16, u16, bool)) -> Vec<u8> {
        let mut datagram = udp(&[source.to_be_bytes(), destination.to_be_bytes()].concat(), packet.len());
        datagram.extend(packet);
        if summed {
            let pseudo = pseudo_header((self.source, self.destination), 17, datagram.len());
            let sum = match checksum(&[pseudo, datagram.clone()].concat()) {
                0 => 0xffff,
                sum => sum,
            };
            datagram.splice(6..8, sum.to_be_bytes());
        }
        datagram
    }
}

/// A length as headers have it.
#[expect(clippy::cast_possible_truncation, reason = "tests make no larger packets, or mean to")]
fn number(length: usize) -> [u8; 2] {
    (length as u16).to_be_bytes()
}

#[expect(clippy::cast_possible_truncation, reason = "header lengths in words have 4 bits")]
fn low(words: usize) -> u8 {
    words as u8
}
