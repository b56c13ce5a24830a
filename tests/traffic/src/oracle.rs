//! What the checksums of a frame should be: summed up from all bytes, by code that the packet path does not share.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

/// The UDP port that tests have tunnels of `gue` end at.
pub const GUE_PORT: u16 = 6_080;

/// The Internet checksum of bytes in which its place is zero (RFC 1071); of bytes in which it stands, 0 if it is right.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let word = match *pair {
            [high, low] => u16::from_be_bytes([high, low]),
            [high] => u16::from_be_bytes([high, 0]),
            _ => 0,
        };
        sum += u32::from(word);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the carry was added back in")]
    let folded = sum as u16;
    !folded
}

/// What a transport checksum covers beside the segment (RFC 9293 §3.1, RFC 8200 §8.1).
pub fn pseudo_header(ends: (IpAddr, IpAddr), protocol: u8, length: usize) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "packets have at most 65,575 bytes")]
    let length = length as u32;
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [.., high, low] = length.to_be_bytes();
            [&source.octets()[..], &destination.octets(), &[0, protocol, high, low]].concat()
        }
        (source, destination) => {
            let octets = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            let end = [length.to_be_bytes(), [0, 0, 0, protocol]].concat();
            [&octets(source)[..], &octets(destination), &end].concat()
        }
    }
}

/// The checksums of a frame by where they stand, and whether they are right: `tcp`, `inside ipv4`, `quoted ipv4`.
pub type Sums = BTreeMap<String, bool>;

/// Looks at every checksum of a frame that its bytes suffice for. Takes any bytes.
pub fn sums(frame: &[u8]) -> Sums {
    let mut sums = Sums::new();
    if let Some(packet) = payload(frame) {
        Walk { sums: &mut sums, place: "", depth: 0, transport: None }.packet(packet);
    }
    sums
}

/// The names of the checksums that are wrong.
pub fn wrong(frame: &[u8]) -> Vec<String> {
    sums(frame).into_iter().filter(|(_, right)| !right).map(|(name, _)| name).collect()
}

/// Whether a frame carries an ICMP message, as far as this can be told.
pub fn is_icmp(frame: &[u8]) -> bool {
    sums(frame).contains_key("icmp")
}

/// The packet of a frame: what follows the Ethernet header and up to two tags.
pub fn payload(frame: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    while at < 20 && matches!(word(frame, at)?, 0x8100 | 0x88a8) {
        at += 4;
    }
    matches!(word(frame, at)?, 0x0800 | 0x86dd).then(|| frame.get(at + 2..)).flatten()
}

/// The packet of a frame, as long as its header says, if the frame has all of it.
pub fn packet(frame: &[u8]) -> Option<&[u8]> {
    let packet = payload(frame)?;
    let length = if packet.first()? >> 4 == 4 { word(packet, 2)?.into() } else { 40 + usize::from(word(packet, 4)?) };
    packet.get(..length)
}

/// What the outermost header of a packet carries, and its number, if the packet is whole.
pub fn transport(packet: &[u8]) -> Option<(u8, Vec<u8>)> {
    let mut walk = Walk { sums: &mut Sums::new(), place: "", depth: 0, transport: None };
    let _whole = walk.packet(packet);
    walk.transport
}

/// Source and destination port of a packet, if it is whole and has any.
pub fn ports(packet: &[u8]) -> Option<[u16; 2]> {
    let (_, bytes) = transport(packet).filter(|(protocol, _)| matches!(protocol, 6 | 17))?;
    Some([word(&bytes, 0)?, word(&bytes, 2)?])
}

/// Whether a frame has the first segment of a connection: with SYN and without ACK.
pub fn opens(frame: &[u8]) -> bool {
    let transport = packet(frame).and_then(transport);
    transport.is_some_and(|(protocol, bytes)| protocol == 6 && bytes.get(13).is_some_and(|flags| flags & 0x12 == 0x02))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

struct Walk<'a> {
    sums: &'a mut Sums,
    place: &'static str,
    depth: u8,
    /// What the packet carries.
    transport: Option<(u8, Vec<u8>)>,
}

impl Walk<'_> {
    fn note(&mut self, what: &str, right: bool) {
        self.sums.insert(format!("{}{what}", self.place), right);
    }

    fn packet(&mut self, packet: &[u8]) -> Option<()> {
        match packet.first()? >> 4 {
            4 => self.v4(packet),
            6 => self.v6(packet),
            _ => None,
        }
    }

    fn v4(&mut self, packet: &[u8]) -> Option<()> {
        let header = packet.get(..usize::from(packet.first()? & 15) * 4).filter(|header| header.len() >= 20)?;
        self.note("ipv4", checksum(header) == 0);
        let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
        let ends = (address(12)?, address(16)?);
        if word(packet, 6)? & 0x3fff != 0 {
            return None;
        }
        let transport = packet.get(header.len()..usize::from(word(packet, 2)?))?;
        self.transport(ends, *packet.get(9)?, transport)
    }

    fn v6(&mut self, packet: &[u8]) -> Option<()> {
        let address =
            |at: usize| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?)));
        let ends = (address(8)?, address(24)?);
        let mut rest = packet.get(40..40 + usize::from(word(packet, 4)?))?;
        let mut next = *packet.get(6)?;
        while matches!(next, 0 | 43 | 44 | 51 | 60) {
            let units = usize::from(*rest.get(1)?);
            // A fragment is not all that its checksum covers; a packet on its way by a router covers another address.
            if next == 44 && word(rest, 2)? & 0xfff9 != 0 || next == 43 && *rest.get(3)? != 0 {
                return None;
            }
            let length = match next {
                44 => 8,
                51 => (units + 2) * 4,
                _ => (units + 1) * 8,
            };
            next = *rest.first()?;
            rest = rest.get(length..)?;
        }
        self.transport(ends, next, rest)
    }

    fn transport(&mut self, ends: (IpAddr, IpAddr), protocol: u8, bytes: &[u8]) -> Option<()> {
        let summed =
            |bytes: &[u8]| checksum(&[pseudo_header(ends, protocol, bytes.len()), bytes.to_vec()].concat()) == 0;
        self.transport = Some((protocol, bytes.to_vec()));
        match protocol {
            6 if bytes.len() >= 20 => self.note("tcp", summed(bytes)),
            17 => {
                let datagram = bytes.get(..usize::from(word(bytes, 4)?)).filter(|datagram| datagram.len() >= 8)?;
                if word(datagram, 6)? != 0 {
                    self.note("udp", summed(datagram));
                }
                if self.depth == 0 && word(datagram, 2)? == GUE_PORT {
                    self.inside("inside ", datagram.get(8..)?);
                }
            }
            1 | 58 => self.icmp(protocol, bytes, &summed)?,
            4 | 41 if self.depth == 0 => self.inside("inside ", bytes)?,
            _ => {}
        }
        Some(())
    }

    fn icmp(&mut self, protocol: u8, bytes: &[u8], summed: &dyn Fn(&[u8]) -> bool) -> Option<()> {
        self.note("icmp", if protocol == 1 { checksum(bytes) == 0 } else { summed(bytes) });
        let kind = *bytes.first()?;
        let quotes = if protocol == 1 { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { matches!(kind, 1..=4) };
        let place = if self.depth == 0 { "quoted " } else { "inside quoted " };
        if quotes && self.depth < 2 { self.inside(place, bytes.get(8..)?) } else { None }
    }

    fn inside(&mut self, place: &'static str, packet: &[u8]) -> Option<()> {
        Walk { sums: self.sums, place, depth: self.depth + 1, transport: None }.packet(packet)
    }
}
