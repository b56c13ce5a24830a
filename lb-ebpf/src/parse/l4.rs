//! TCP (RFC 9293 §3.1) and UDP (RFC 768): the ports, the checksum, and whether a connection opens.

use super::Ipv4;
use crate::Packet;
use bytemuck::{Pod, Zeroable};
use lb_common::{Be16, Be32, Protocol, Stop};

/// Source port, from the start of the transport header.
pub const SOURCE_PORT: usize = 0;
/// Destination port, from the start of the transport header.
pub const DESTINATION_PORT: usize = 2;

/// What the path needs of a transport header.
#[derive(Clone, Copy, Debug)]
pub struct L4 {
    /// The sender's port.
    pub source_port: Be16,
    /// The receiver's port.
    pub destination_port: Be16,
    /// As it stands in the packet; with UDP 0 means that there is none.
    pub checksum: Be16,
    /// Where the checksum lies in the frame.
    pub checksum_offset: usize,
    /// TCP with SYN and without ACK.
    pub opens: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Tcp {
    source_port: Be16,
    destination_port: Be16,
    sequence: Be32,
    acknowledgment: Be32,
    data_offset: u8,
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

const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Reads the transport header of a packet that is no fragment.
#[inline(always)]
pub fn l4(packet: &impl Packet, ip: &Ipv4) -> Result<L4, Stop> {
    match ip.protocol {
        Protocol::Tcp => {
            let header: Tcp = header(packet, ip)?;
            Ok(L4 {
                source_port: header.source_port,
                destination_port: header.destination_port,
                checksum: header.checksum,
                checksum_offset: ip.l4_offset + TCP_CHECKSUM,
                opens: header.flags & (SYN | ACK) == SYN,
            })
        }
        Protocol::Udp => {
            let header: Udp = header(packet, ip)?;
            Ok(L4 {
                source_port: header.source_port,
                destination_port: header.destination_port,
                checksum: header.checksum,
                checksum_offset: ip.l4_offset + UDP_CHECKSUM,
                opens: false,
            })
        }
    }
}

/// A header must lie within the packet, not only within the frame: what follows the packet is padding.
#[inline(always)]
fn header<T: Pod>(packet: &impl Packet, ip: &Ipv4) -> Result<T, Stop> {
    if ip.l4_length < size_of::<T>() {
        return Err(Stop::Truncated);
    }
    packet.read(ip.l4_offset).ok_or(Stop::Truncated)
}
