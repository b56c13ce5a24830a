//! Frames for tests. etherparse writes them, so every length and checksum is computed from the whole packet by code that
//! the packet path does not share.

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, PacketBuilder, TcpHeader,
};
use lb_common::Mac;
use std::net::SocketAddrV4;

/// Bytes before the IPv4 header.
pub const ETHERNET: usize = 14;

/// What an IPv4 frame carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Transport {
    Tcp { syn: bool, ack: bool },
    Udp { checksum: bool },
}

/// An IPv4 frame, described by what differs between tests.
#[derive(Clone, Debug)]
#[must_use]
pub struct Frame {
    source_mac: Mac,
    destination_mac: Mac,
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: u8,
    options: Vec<u8>,
    fragment: (u16, bool),
    transport: Transport,
    payload: Vec<u8>,
    padding: usize,
}

impl Frame {
    /// A TCP segment with ACK set and a little payload.
    pub fn tcp(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        Self::new(source, destination, Transport::Tcp { syn: false, ack: true })
    }

    /// A UDP datagram with a little payload.
    pub fn udp(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        Self::new(source, destination, Transport::Udp { checksum: true })
    }

    fn new(source: SocketAddrV4, destination: SocketAddrV4, transport: Transport) -> Self {
        Self {
            source_mac: [0; 6],
            destination_mac: [0; 6],
            source,
            destination,
            ttl: 64,
            options: Vec::new(),
            fragment: (0, false),
            transport,
            payload: b"to be, or not".to_vec(),
            padding: 0,
        }
    }

    /// Makes the segment the first of a connection.
    pub fn syn(mut self) -> Self {
        self.transport = Transport::Tcp { syn: true, ack: false };
        self.payload.clear();
        self
    }

    /// Makes the segment the answer to the first one.
    pub fn syn_ack(mut self) -> Self {
        self.transport = Transport::Tcp { syn: true, ack: true };
        self.payload.clear();
        self
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

    /// Who seems to have sent it.
    pub fn from(mut self, source: SocketAddrV4) -> Self {
        self.source = source;
        self
    }

    /// Whom it is for.
    pub fn to(mut self, destination: SocketAddrV4) -> Self {
        self.destination = destination;
        self
    }

    /// Time to live; 64 if not set.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// IPv4 options: at most 40 bytes, a multiple of 4.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// Makes it a fragment: its offset in units of 8 bytes, and whether more follow.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.fragment = (offset, more);
        self
    }

    /// What follows the transport header.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Bytes between the end of the packet and the end of the frame, as Ethernet adds to short ones.
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// The frame.
    ///
    /// # Panics
    ///
    /// If the description is of a frame that cannot be, such as one with options of 41 bytes.
    #[expect(clippy::expect_used, reason = "a test that describes an impossible frame is to fail")]
    pub fn bytes(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(self.source_mac, self.destination_mac).ip(self.ip());
        let mut frame = Vec::new();
        let (source, destination) = (self.source.port(), self.destination.port());
        match self.transport {
            Transport::Tcp { syn, ack } => {
                let header = TcpHeader { syn, ack, ..TcpHeader::new(source, destination, 0x1234_5678, 0x7fff) };
                builder.tcp_header(header).write(&mut frame, &self.payload).expect("frame");
            }
            Transport::Udp { checksum } => {
                builder.udp(source, destination).write(&mut frame, &self.payload).expect("frame");
                if !checksum {
                    let at = ETHERNET + 20 + self.options.len() + 6;
                    frame.get_mut(at..at + 2).expect("UDP checksum").fill(0);
                }
            }
        }
        frame.resize(frame.len() + self.padding, 0xa5);
        frame
    }

    #[expect(clippy::expect_used, reason = "a test that describes an impossible frame is to fail")]
    fn ip(&self) -> IpHeaders {
        let (source, destination) = (self.source.ip().octets(), self.destination.ip().octets());
        let mut header = Ipv4Header::new(0, self.ttl, IpNumber::TCP, source, destination).expect("header");
        header.options = Ipv4Options::try_from(self.options.as_slice()).expect("options");
        header.identification = 0xbeef;
        header.dont_fragment = self.fragment == (0, false);
        header.fragment_offset = IpFragOffset::try_new(self.fragment.0).expect("offset");
        header.more_fragments = self.fragment.1;
        IpHeaders::Ipv4(header, Ipv4Extensions::default())
    }
}
