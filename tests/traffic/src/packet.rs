//! Frames for tests, of both families: written out whole, with every length and checksum computed from all bytes by code
//! that the packet path does not share ([`oracle`](crate::oracle)).

mod headers;

pub use headers::{Extension, Numbers, Tunnel};

use crate::oracle::{checksum, pseudo_header};
use lb_common::Mac;
use std::net::{IpAddr, SocketAddr};

/// Bytes before the IP header, without tags.
pub const ETHERNET: usize = 14;

/// TCP flags (RFC 9293 §3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Breaks a connection off.
    pub const RST: u8 = 0x04;
    /// The acknowledgment counts.
    pub const ACK: u8 = 0x10;
}

/// What a frame carries.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Transport {
    Tcp { flags: u8, numbers: Numbers, options: Vec<u8> },
    Udp { checksum: bool },
    Icmp { kind: u8, code: u8, rest: [u8; 4] },
}

/// A frame, described by what differs between tests.
#[derive(Clone, Debug)]
#[must_use]
pub struct Frame {
    source_mac: Mac,
    destination_mac: Mac,
    tags: Vec<(u16, u16)>,
    source: SocketAddr,
    destination: SocketAddr,
    ttl: u8,
    service: u8,
    id: u16,
    may_be_fragmented: bool,
    options: Vec<u8>,
    extensions: Vec<Extension>,
    fragment: Option<(u16, bool)>,
    transport: Transport,
    payload: Vec<u8>,
    tunnel: Option<Tunnel>,
    padding: usize,
}

impl Frame {
    /// A TCP segment with ACK set and a little payload.
    pub fn tcp(source: impl Into<SocketAddr>, destination: impl Into<SocketAddr>) -> Self {
        let numbers = Numbers { sequence: 0x1234_5678, acknowledgment: 0, window: 0x7fff };
        let transport = Transport::Tcp { flags: flags::ACK, numbers, options: Vec::new() };
        Self::new(source.into(), destination.into(), transport)
    }

    /// A UDP datagram with a little payload.
    pub fn udp(source: impl Into<SocketAddr>, destination: impl Into<SocketAddr>) -> Self {
        Self::new(source.into(), destination.into(), Transport::Udp { checksum: true })
    }

    /// An ICMP message of the family of the addresses. `rest`: the second word of its header.
    pub fn icmp(source: IpAddr, destination: IpAddr, (kind, code): (u8, u8), rest: [u8; 4]) -> Self {
        let transport = Transport::Icmp { kind, code, rest };
        Self::new(SocketAddr::new(source, 0), SocketAddr::new(destination, 0), transport)
    }

    fn new(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        Self {
            source_mac: [0; 6],
            destination_mac: [0; 6],
            tags: Vec::new(),
            source,
            destination,
            ttl: 64,
            service: 0,
            id: 0xbeef,
            may_be_fragmented: false,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            transport,
            payload: b"to be, or not".to_vec(),
            tunnel: None,
            padding: 0,
        }
    }

    /// Sets the TCP flags.
    pub fn flags(mut self, wanted: u8) -> Self {
        if let Transport::Tcp { flags, .. } = &mut self.transport {
            *flags = wanted;
        }
        self
    }

    /// Sets the numbers of TCP.
    pub fn numbers(mut self, wanted: Numbers) -> Self {
        if let Transport::Tcp { numbers, .. } = &mut self.transport {
            *numbers = wanted;
        }
        self
    }

    /// Makes the segment the first of a connection.
    pub fn syn(self) -> Self {
        self.flags(flags::SYN).payload(b"")
    }

    /// Makes the segment the answer to the first one.
    pub fn syn_ack(self) -> Self {
        self.flags(flags::SYN | flags::ACK).payload(b"")
    }

    /// TCP options: at most 40 bytes, a multiple of 4.
    pub fn tcp_options(mut self, wanted: &[u8]) -> Self {
        if let Transport::Tcp { options, .. } = &mut self.transport {
            *options = wanted.to_vec();
        }
        self
    }

    /// Leaves the checksum out, if it is of UDP.
    pub fn without_checksum_of_udp(self) -> Self {
        if matches!(self.transport, Transport::Udp { .. }) { self.without_checksum() } else { self }
    }

    /// Leaves the UDP checksum out: 0 stands for none.
    pub fn without_checksum(mut self) -> Self {
        self.transport = Transport::Udp { checksum: false };
        self
    }

    /// The Ethernet addresses.
    pub fn hop(mut self, source: Mac, destination: Mac) -> Self {
        (self.source_mac, self.destination_mac) = (source, destination);
        self
    }

    /// VLAN tags, the outer one first: protocol and control.
    pub fn tags(mut self, tags: &[(u16, u16)]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    /// Who seems to have sent it.
    pub fn from(mut self, source: impl Into<SocketAddr>) -> Self {
        self.source = source.into();
        self
    }

    /// Whom it is for.
    pub fn to(mut self, destination: impl Into<SocketAddr>) -> Self {
        self.destination = destination.into();
        self
    }

    /// Time to live; 64 if not set.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Type of service, and in its two lowest bits the congestion mark.
    pub fn service(mut self, service: u8) -> Self {
        self.service = service;
        self
    }

    /// What fragments share.
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// Clears "don't fragment" (IPv4).
    pub fn may_be_fragmented(mut self) -> Self {
        self.may_be_fragmented = true;
        self
    }

    /// IPv4 options: at most 40 bytes, a multiple of 4.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// IPv6 extension headers.
    pub fn extensions(mut self, extensions: &[Extension]) -> Self {
        self.extensions = extensions.to_vec();
        self
    }

    /// Makes it a fragment: its offset in units of 8 bytes, and whether more follow. In IPv6 offset 0 without more is an
    /// atomic fragment (RFC 6946), in IPv4 no fragment at all.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = Some((offset, more));
        self
    }

    /// What follows the transport header.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Puts the packet into another one, with its own type of service.
    pub fn within(mut self, tunnel: Tunnel) -> Self {
        self.tunnel = Some(tunnel);
        self
    }

    /// Bytes between the end of the packet and the end of the frame, as Ethernet adds to short ones.
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        self.framed(self.packet())
    }

    /// The packet without the frame, and not in a tunnel.
    pub fn packet(&self) -> Vec<u8> {
        self.around(&self.transport_bytes(), self.fragment)
    }

    /// The same packet in two fragments, each in a frame of its own; the second one begins after so many bytes behind the
    /// headers, a multiple of 8.
    pub fn fragments(&self, at: u16) -> [Vec<u8>; 2] {
        let whole = self.transport_bytes();
        let (first, second) = whole.split_at(usize::from(at).min(whole.len()));
        [(first, (0, true)), (second, (at / 8, false))]
            .map(|(part, fragment)| self.framed(self.around(part, Some(fragment))))
    }

    fn framed(&self, packet: Vec<u8>) -> Vec<u8> {
        let packet = match &self.tunnel {
            Some(tunnel) => tunnel.around(&packet, self.service),
            None => packet,
        };
        let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let mut frame = [self.destination_mac, self.source_mac].concat();
        for (protocol, control) in &self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(if is_v6 { 0x86dd_u16 } else { 0x0800 }.to_be_bytes());
        frame.extend(packet);
        frame.resize(frame.len() + self.padding, 0xa5);
        frame
    }

    /// The header around what follows it.
    fn around(&self, transport: &[u8], fragment: Option<(u16, bool)>) -> Vec<u8> {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => headers::V4 {
                service: self.service,
                id: self.id,
                flags: fragment.map_or(if self.may_be_fragmented { 0 } else { headers::DONT_FRAGMENT }, headers::bits),
                ttl: self.ttl,
                protocol: self.protocol(),
                source,
                destination,
                options: &self.options,
            }
            .around(transport),
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut extensions = self.extensions.clone();
                extensions.extend(fragment.map(|fragment| Extension::fragment(fragment, self.id)));
                let (next, chain) = headers::chain(&extensions, self.protocol());
                headers::V6 { service: self.service, hop_limit: self.ttl, next, source, destination }
                    .around(&[&chain, transport].concat())
            }
            // No such packet exists; whoever describes one gets a frame without a header.
            _ => transport.to_vec(),
        }
    }

    fn protocol(&self) -> u8 {
        match (&self.transport, self.source) {
            (Transport::Tcp { .. }, _) => 6,
            (Transport::Udp { .. }, _) => 17,
            (Transport::Icmp { .. }, SocketAddr::V4(_)) => 1,
            (Transport::Icmp { .. }, SocketAddr::V6(_)) => 58,
        }
    }

    /// The transport header with its payload.
    fn transport_bytes(&self) -> Vec<u8> {
        let ports = [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()].concat();
        let (mut bytes, at) = match &self.transport {
            Transport::Tcp { flags, numbers, options } => (headers::tcp(&ports, *flags, *numbers, options), Some(16)),
            Transport::Udp { checksum } => (headers::udp(&ports, self.payload.len()), checksum.then_some(6)),
            Transport::Icmp { kind, code, rest } => ([&[*kind, *code, 0, 0], &rest[..]].concat(), Some(2)),
        };
        bytes.extend(&self.payload);
        let plain = matches!((&self.transport, self.source), (Transport::Icmp { .. }, SocketAddr::V4(_)));
        let ends = (self.source.ip(), self.destination.ip());
        let pseudo = if plain { Vec::new() } else { pseudo_header(ends, self.protocol(), bytes.len()) };
        if let Some(at) = at {
            let sum = match checksum(&[&pseudo[..], &bytes[..]].concat()) {
                0 if self.protocol() == 17 => 0xffff,
                sum => sum,
            };
            bytes.splice(at..at + 2, sum.to_be_bytes());
        }
        bytes
    }
}
