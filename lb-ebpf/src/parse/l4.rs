//! TCP (RFC 9293 §3.1) and UDP (RFC 768): the ports, the checksum, and whether a connection opens or closes.

use super::Ip;
use crate::Packet;
use bytemuck::{Pod, Zeroable};
use core::hint::black_box;
use lb_common::{Be16, Be32, Ends, Family, Protocol, Stop};

/// Both ports, the source first.
pub const PORTS: usize = 0;

/// What the path needs of a transport header.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "as many signs as there are; a step asks for one or two of them")]
pub struct L4<F: Family> {
    /// Who talks to whom.
    pub ends: Ends<F>,
    /// As it stands in the packet; with UDP 0 means that there is none.
    pub checksum: Be16,
    /// TCP with SYN and without ACK.
    pub opens: bool,
    /// TCP with SYN: it says how large segments may be.
    pub agrees: bool,
    /// TCP with FIN or RST.
    pub closes: bool,
    /// Of TCP, as they stand in the packet; of UDP 0.
    pub flags: u8,
    /// Whether the sequence number is 0.
    pub from_zero: bool,
}

impl<F: Family> L4<F> {
    /// Whether a server's packet answers a SYN, and then whether it takes the connection: by SYN and ACK, or, as a closed port
    /// does, by RST and ACK without a sequence number (RFC 9293 §3.10.7.1); a connection that is aborted has one.
    #[inline(always)]
    pub fn answers(&self) -> Option<bool> {
        // Few packets do, and here it is asked for the first time: neither compiler nor verifier need know it before.
        match black_box(self.flags) & (SYN | RST | ACK) {
            SYN_ACK => Some(true),
            RST_ACK if self.from_zero => Some(false),
            _ => None,
        }
    }
}

const SYN_ACK: u8 = SYN | ACK;
const RST_ACK: u8 = RST | ACK;

/// The header without options.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Tcp {
    /// Of the sender.
    pub source_port: Be16,
    /// Of the receiver.
    pub destination_port: Be16,
    /// Of the first byte.
    pub sequence: Be32,
    /// The next byte that the sender expects.
    pub acknowledgment: Be32,
    /// In the upper half words of 32 bits of the header.
    pub data_offset: u8,
    /// [`FIN`], [`SYN`], [`RST`], [`ACK`] and others.
    pub flags: u8,
    /// Bytes that the sender takes.
    pub window: Be16,
    /// Over header, payload and pseudo header.
    pub checksum: Be16,
    /// Where urgent data ends.
    pub urgent: Be16,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Udp {
    source_port: Be16,
    destination_port: Be16,
    length: Be16,
    checksum: Be16,
}

/// Where the checksum stands in a transport header.
#[inline(always)]
pub const fn checksum(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 16,
        Protocol::Udp => 6,
    }
}

/// The sender has no more to send.
pub const FIN: u8 = 0x01;
/// The sender's numbers begin.
pub const SYN: u8 = 0x02;
/// The connection is over, or none.
pub const RST: u8 = 0x04;
/// The acknowledgment counts.
pub const ACK: u8 = 0x10;

/// Reads the transport header of a packet, or of its first fragment.
#[inline(always)]
pub fn l4<F: Family>(packet: &impl Packet, ip: &Ip<F>, protocol: Protocol) -> Result<L4<F>, Stop> {
    match protocol {
        Protocol::Tcp => {
            let header: Tcp = header(packet, ip)?;
            Ok(L4 {
                ends: ends(ip, header.source_port, header.destination_port, protocol),
                checksum: header.checksum,
                opens: header.flags & (SYN | ACK) == SYN,
                agrees: header.flags & SYN != 0,
                closes: header.flags & (FIN | RST) != 0,
                flags: header.flags,
                from_zero: header.sequence.raw() == 0,
            })
        }
        Protocol::Udp => {
            let header: Udp = header(packet, ip)?;
            Ok(L4 {
                ends: ends(ip, header.source_port, header.destination_port, protocol),
                checksum: header.checksum,
                opens: false,
                agrees: false,
                closes: false,
                flags: 0,
                from_zero: false,
            })
        }
    }
}

#[inline(always)]
fn ends<F: Family>(ip: &Ip<F>, source_port: Be16, destination_port: Be16, protocol: Protocol) -> Ends<F> {
    Ends { source: ip.source, destination: ip.destination, source_port, destination_port, protocol }
}

/// A header must lie within the packet, not only within the frame: what follows the packet is padding.
#[inline(always)]
fn header<T: Pod, F: Family>(packet: &impl Packet, ip: &Ip<F>) -> Result<T, Stop> {
    if ip.l4_length < size_of::<T>() {
        return Err(Stop::Truncated);
    }
    packet.read(ip.l4_offset).ok_or(Stop::Truncated)
}
