//! TCP (RFC 9293 §3.1) and UDP (RFC 768): the ports, the checksum, and whether a connection opens or closes.

use super::Ip;
use crate::Packet;
use bytemuck::{Pod, Zeroable};
use lb_common::{Be16, Be32, Ends, Family, Protocol, Stop};

/// Both ports, the source first.
pub const PORTS: usize = 0;

/// What the path needs of a transport header.
#[derive(Clone, Copy, Debug)]
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
}

/// The header without options.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Tcp {
    source_port: Be16,
    destination_port: Be16,
    sequence: Be32,
    acknowledgment: Be32,
    /// In the upper half words of 32 bits of the header.
    pub data_offset: u8,
    flags: u8,
    window: Be16,
    checksum: Be16,
    urgent: Be16,
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

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

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
