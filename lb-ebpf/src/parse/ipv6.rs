//! IPv6 header (RFC 8200 §3). Extension headers are followed in [`extensions`], off the fast path.

use super::{
    Ip, Layer3, Part, ethernet,
    extensions::{self, Found},
};
use crate::{Packet, checksum::Change};
use bytemuck::{Pod, Zeroable};
use lb_common::{Be16, Be32, Be128, Stop, V6};

/// The header.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Header {
    /// 6, traffic class, flow label.
    pub first: Be32,
    /// Bytes after this header.
    pub payload_length: Be16,
    /// IANA number of what follows.
    pub next: u8,
    /// Time to live.
    pub hop_limit: u8,
    /// Who sent it.
    pub source: Be128,
    /// Whom it is for.
    pub destination: Be128,
}

/// Bytes of the header.
pub const LENGTH: usize = 40;

impl Layer3 for V6 {
    const ETHER_TYPE: Be16 = ethernet::IPV6;
    const ICMP: u8 = 58;
    const INSIDE: u8 = 41;
    const SOURCE: usize = 8;
    const TTL: usize = 7;
    const ECHO: (u8, u8) = (128, 129);

    #[inline(always)]
    fn is_extension(protocol: u8) -> bool {
        extensions::is_extension(protocol)
    }

    /// Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443 §2.1).
    #[inline(always)]
    fn quotes(icmp_type: u8) -> bool {
        matches!(icmp_type, 1..=4)
    }

    #[inline(always)]
    fn is_single(address: Be128) -> bool {
        let [a, b, c, d] = address.raw();
        let is_none_or_own = a | b | c == 0 && Be32::from_raw(d).host() <= 1;
        Be32::from_raw(a).host() >> 24 != 0xff && !is_none_or_own
    }

    #[inline(always)]
    fn header(packet: &impl Packet, offset: usize) -> Result<Ip<Self>, Stop> {
        let header = packet.read::<Header>(offset).ok_or(Stop::Truncated)?;
        let first = header.first.host();
        if first >> 28 != 6 {
            return Err(Stop::BadHeader);
        }
        let l4_length = usize::from(header.payload_length.host());
        let length = LENGTH + l4_length;
        #[expect(clippy::cast_possible_truncation, reason = "the byte in the middle is meant")]
        let service = (first >> 20) as u8;
        Ok(Ip {
            source: header.source,
            destination: header.destination,
            ttl: header.hop_limit,
            protocol: header.next,
            service,
            checksum: Be16::default(),
            offset,
            length,
            l4_offset: offset + LENGTH,
            l4_length,
            part: Part::Whole,
            id: 0,
            keep_whole: true,
        })
    }

    #[inline(always)]
    fn extensions(packet: &impl Packet, ip: &mut Ip<Self>) -> Result<(), Stop> {
        if !extensions::is_extension(ip.protocol) {
            return Ok(());
        }
        // A copy, so that the fast path can keep the header in registers.
        let mut found =
            Found { protocol: ip.protocol, l4_offset: ip.l4_offset, l4_length: ip.l4_length, ..Found::default() };
        extensions::follow(packet, &mut found);
        Found {
            protocol: ip.protocol,
            l4_offset: ip.l4_offset,
            l4_length: ip.l4_length,
            part: ip.part,
            id: ip.id,
            ..
        } = found;
        found.stop.map_or(Ok(()), Err)
    }

    #[inline(always)]
    fn change(old: Be128, new: Be128) -> Change {
        let ([w, x, y, z], new) = (old.raw(), new);
        Self::sum(new).minus(w).minus(x).minus(y).minus(z)
    }

    #[inline(always)]
    fn sum(addr: Be128) -> Change {
        let [a, b, c, d] = addr.raw();
        Change::default().plus(a).plus(b).plus(c).plus(d)
    }

    #[inline(always)]
    fn finish(packet: &mut impl Packet, _ip: &Ip<Self>, offset: usize, _addresses: Change, ttl: u8) {
        packet.write(offset + Self::TTL, ttl);
    }
}
