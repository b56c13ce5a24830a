//! IPv4 header (RFC 791 §3.1): its true length, the length it claims, fragments.

use super::{Ip, Layer3, Part, ethernet};
use crate::{Packet, checksum::Change};
use bytemuck::{Pod, Zeroable};
use lb_common::{Be16, Be32, Stop, V4};

/// Header checksum, from the start of the header.
pub const CHECKSUM: usize = 10;

/// The header without options.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Header {
    /// 4, and the header's words of 32 bits.
    pub version_and_length: u8,
    /// Type of service.
    pub service: u8,
    /// Bytes of the packet.
    pub total_length: Be16,
    /// What fragments share.
    pub id: Be16,
    /// Flags, and the offset of a fragment.
    pub fragment: Be16,
    /// Time to live.
    pub ttl: u8,
    /// IANA number.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: Be16,
    /// Who sent it.
    pub source: Be32,
    /// Whom it is for.
    pub destination: Be32,
}

impl Header {
    /// With its checksum, which was zero.
    #[inline(always)]
    #[must_use]
    pub fn summed(self) -> Self {
        let words: [u32; 5] = bytemuck::must_cast(self);
        let sum = words.into_iter().fold(Change::default(), Change::plus);
        Self { checksum: sum.checksum(), ..self }
    }
}

/// Words of 32 bits in a header without options.
pub const MIN_WORDS: u8 = 5;
/// "Don't fragment".
pub const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments".
const MORE: u16 = 0x2000;
/// The offset of a fragment.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

impl Layer3 for V4 {
    const ETHER_TYPE: Be16 = ethernet::IPV4;
    const ICMP: u8 = 1;
    const INSIDE: u8 = 4;
    const SOURCE: usize = 12;
    const TTL: usize = 8;
    const ECHO: (u8, u8) = (8, 0);

    #[inline(always)]
    fn is_extension(_protocol: u8) -> bool {
        false
    }

    /// Destination unreachable, source quench, time exceeded, parameter problem (RFC 792). No redirects: nobody may tell a
    /// server about routes through us.
    #[inline(always)]
    fn quotes(icmp_type: u8) -> bool {
        matches!(icmp_type, 3 | 4 | 11 | 12)
    }

    #[inline(always)]
    fn is_single(address: Be32) -> bool {
        let first = address.host() >> 24;
        first != 0 && first != 127 && first < 224
    }

    #[inline(always)]
    fn header(packet: &impl Packet, offset: usize) -> Result<Ip<Self>, Stop> {
        let header = packet.read::<Header>(offset).ok_or(Stop::Truncated)?;
        let words = header.version_and_length & 0x0f;
        if header.version_and_length >> 4 != 4 || words < MIN_WORDS {
            return Err(Stop::BadHeader);
        }
        let header_length = usize::from(words) * 4;
        let length = usize::from(header.total_length.host());
        let l4_length = length.checked_sub(header_length).ok_or(Stop::BadHeader)?;
        let fragment = header.fragment.host();
        let part = match (fragment & FRAGMENT_OFFSET, fragment & MORE) {
            (0, 0) => Part::Whole,
            (0, _) => Part::First,
            _ => Part::Later,
        };
        Ok(Ip {
            source: header.source,
            destination: header.destination,
            ttl: header.ttl,
            protocol: header.protocol,
            service: header.service,
            checksum: header.checksum,
            offset,
            length,
            l4_offset: offset + header_length,
            l4_length,
            part,
            id: header.id.raw().into(),
            keep_whole: fragment & DONT_FRAGMENT != 0,
        })
    }

    #[inline(always)]
    fn extensions(_packet: &impl Packet, _ip: &mut Ip<Self>) -> Result<(), Stop> {
        Ok(())
    }

    #[inline(always)]
    fn change(old: Be32, new: Be32) -> Change {
        Change::default().long(old, new)
    }

    #[inline(always)]
    fn sum(addr: Be32) -> Change {
        Change::default().plus(addr.raw())
    }

    #[inline(always)]
    fn finish(packet: &mut impl Packet, ip: &Ip<Self>, offset: usize, addresses: Change, ttl: u8) {
        packet.write(offset + Self::TTL, ttl);
        packet.write(offset + CHECKSUM, addresses.byte(ip.ttl, ttl).applied_to(ip.checksum));
    }
}
