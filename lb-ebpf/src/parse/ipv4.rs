//! IPv4 header (RFC 791 §3.1): its true length, the length it claims, fragments.

use super::ethernet;
use crate::Packet;
use bytemuck::{Pod, Zeroable};
use lb_common::{Be16, Be32, Protocol, Stop};

/// Where the header lies in a frame.
pub const OFFSET: usize = ethernet::LENGTH;
/// Time to live.
pub const TTL: usize = OFFSET + 8;
/// Header checksum.
pub const CHECKSUM: usize = OFFSET + 10;
/// Source address.
pub const SOURCE: usize = OFFSET + 12;
/// Destination address.
pub const DESTINATION: usize = OFFSET + 16;

/// What the path needs of a header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4 {
    /// Who sent it.
    pub source: Be32,
    /// Whom it is for.
    pub destination: Be32,
    /// Hops left, this one included.
    pub ttl: u8,
    /// TCP or UDP; all else has stopped.
    pub protocol: Protocol,
    /// As it stands in the packet.
    pub checksum: Be16,
    /// Bytes of the whole frame, from the Ethernet header on.
    pub frame_length: usize,
    /// Whether this is a part of a packet, the first one included: later parts have no ports.
    pub is_fragment: bool,
    /// Where the transport header lies in the frame: after the options, if there are any.
    pub l4_offset: usize,
    /// Bytes from there to the end of the packet, which may be before the end of the frame.
    pub l4_length: usize,
}

/// The header without options.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Header {
    version_and_length: u8,
    service: u8,
    total_length: Be16,
    id: Be16,
    fragment: Be16,
    ttl: u8,
    protocol: u8,
    checksum: Be16,
    source: Be32,
    destination: Be32,
}

/// Words of 32 bits in a header without options.
const MIN_WORDS: u8 = 5;
/// "More fragments", and the offset of this one; not "don't fragment".
const MORE_OR_OFFSET: u16 = 0x3fff;

/// Reads the header, and checks what it says about lengths against the frame.
#[inline(always)]
pub fn ipv4(packet: &impl Packet) -> Result<Ipv4, Stop> {
    ethernet::expect_ipv4(packet)?;
    let header = packet.read::<Header>(OFFSET).ok_or(Stop::Truncated)?;
    let words = header.version_and_length & 0x0f;
    if header.version_and_length >> 4 != 4 || words < MIN_WORDS {
        return Err(Stop::BadHeader);
    }
    let header_length = usize::from(words) * 4;
    let total_length = usize::from(header.total_length.host());
    let l4_length = total_length.checked_sub(header_length).ok_or(Stop::BadHeader)?;
    let frame_length = packet.frame_length();
    if OFFSET + total_length > frame_length {
        return Err(Stop::Truncated);
    }
    Ok(Ipv4 {
        source: header.source,
        destination: header.destination,
        ttl: header.ttl,
        protocol: Protocol::from_number(header.protocol).ok_or(Stop::NotBalanced)?,
        checksum: header.checksum,
        frame_length,
        is_fragment: header.fragment.host() & MORE_OR_OFFSET != 0,
        l4_offset: OFFSET + header_length,
        l4_length,
    })
}
