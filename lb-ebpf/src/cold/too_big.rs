//! A packet that does not fit: its sender is told how large packets may be (RFC 1191, RFC 8201).

use crate::{
    Packet, Tables,
    checksum::Change,
    parse::{self, Ip, Layer3, Part, ethernet, ipv4, ipv6, quoted::ICMP_HEADER},
};
use bytemuck::{Pod, Zeroable};
use lb_common::{
    Be16, Be32, Be128, Family, Mac, Stop, Tag, V4, V6,
    bucket::{self, ANSWERS_PER_SECOND},
};

/// Bytes of the packet that the answer quotes: an answer of 576 bytes in IPv4 (RFC 1812 §4.3.2.3), of 1,280 in IPv6
/// (RFC 4443 §3.2). A packet that is too big has more.
const QUOTE4: usize = 576 - 20 - ICMP_HEADER;
const QUOTE6: usize = 1_280 - 40 - ICMP_HEADER;
/// Every link of IPv6 takes so much (RFC 8200 §5); a sender must not be told of less.
const LEAST6: u16 = 1_280;
const TTL: u8 = 64;

/// What an answer says beside the quote.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Icmp {
    kind: u8,
    code: u8,
    checksum: Be16,
    mtu: Be32,
}

/// Turns the packet into an answer to its sender that says `mtu`, if the sender can be told.
#[inline(always)]
pub fn tell<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, offset: usize, mtu: u16) -> Stop {
    let Ok(ip) = parse::header::<F>(packet, offset) else { return Stop::TooBig };
    // Nobody is told of a part that is not the first (RFC 1122 §3.2.2).
    let answerable = ip.keep_whole && ip.part != Part::Later;
    let now = tables.now();
    if !answerable || !tables.bucket(bucket::ANSWERS, |bucket| bucket.take(now, ANSWERS_PER_SECOND)) {
        return Stop::TooBig;
    }
    answer(packet, &ip, mtu).unwrap_or(Stop::TooBig)
}

/// `None`: the packet has less than the answer would quote. What follows it in its frame is no part of it.
#[inline(always)]
fn answer<F: Layer3>(packet: &mut impl Packet, ip: &Ip<F>, mtu: u16) -> Option<Stop> {
    let quote = if F::VERSION == V4::VERSION { QUOTE4 } else { QUOTE6 };
    if ip.length < quote {
        return None;
    }
    let header = F::HEADER + ICMP_HEADER;
    let end = ip.offset + header + quote;
    let link = Link::read(packet, ip.offset)?;
    let quoted = sum::<F>(packet, ip.offset)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "48")]
    let grow = header as i32;
    if !packet.grow_head(grow) || !packet.cut(end) {
        return Some(Stop::NoRoom);
    }
    link.write_back::<F>(packet, ip.offset);
    let icmp = if F::VERSION == V4::VERSION {
        packet.write(ip.offset, header_v4(ip, header + quote));
        Icmp { kind: 3, code: 4, checksum: Be16::default(), mtu: Be32::new(mtu.into()) }
    } else {
        packet.write(ip.offset, header_v6(ip, ICMP_HEADER + quote));
        Icmp { kind: 2, code: 0, checksum: Be16::default(), mtu: Be32::new(mtu.max(LEAST6).into()) }
    };
    let [a, b]: [u32; 2] = bytemuck::cast(icmp);
    let mut sum = quoted.plus(a).plus(b);
    if F::VERSION == V6::VERSION {
        let pseudo = F::sum(ip.source).and(F::sum(ip.destination));
        #[expect(clippy::cast_possible_truncation, reason = "1,240")]
        let length = Be32::new((ICMP_HEADER + quote) as u32).raw();
        sum = sum.and(pseudo).plus(length).plus(Be32::new(F::ICMP.into()).raw());
    }
    packet.write(ip.offset + F::HEADER, Icmp { checksum: sum.checksum(), ..icmp });
    Some(Stop::ToldTooBig)
}

/// The sum of what is quoted, or nothing if the frame cannot be read that far.
#[inline(always)]
fn sum<F: Layer3>(packet: &impl Packet, offset: usize) -> Option<Change> {
    // A helper of the kernel takes 512 bytes at a time.
    const STEP: usize = 512;
    let first = Change::default().plus(packet.sum::<STEP>(offset)?);
    if F::VERSION == V4::VERSION {
        return Some(first.plus(packet.sum::<{ QUOTE4 - STEP }>(offset + STEP)?));
    }
    let second = packet.sum::<STEP>(offset + STEP)?;
    Some(first.plus(second).plus(packet.sum::<{ QUOTE6 - 2 * STEP }>(offset + 2 * STEP)?))
}

/// The answer comes from the address that the packet was for.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "576")]
fn header_v4<F: Layer3>(ip: &Ip<F>, length: usize) -> ipv4::Header {
    let header = ipv4::Header {
        version_and_length: 4 << 4 | ipv4::MIN_WORDS,
        service: 0,
        total_length: Be16::new(length as u16),
        id: Be16::default(),
        fragment: Be16::new(ipv4::DONT_FRAGMENT),
        ttl: TTL,
        protocol: V4::ICMP,
        checksum: Be16::default(),
        source: F::widen(ip.destination).v4(),
        destination: F::widen(ip.source).v4(),
    };
    header.summed()
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "1,240")]
fn header_v6<F: Layer3>(ip: &Ip<F>, length: usize) -> ipv6::Header {
    let (source, destination): (Be128, Be128) = (F::widen(ip.destination), F::widen(ip.source));
    ipv6::Header {
        first: Be32::new(6 << 28),
        payload_length: Be16::new(length as u16),
        next: V6::ICMP,
        hop_limit: TTL,
        source,
        destination,
    }
}

/// The Ethernet header of a frame that is answered.
pub(super) struct Link {
    addresses: [Mac; 2],
    tags: [Tag; 2],
}

impl Link {
    /// Of a frame whose packet begins at `offset`.
    #[inline(always)]
    pub(super) fn read(packet: &impl Packet, offset: usize) -> Option<Self> {
        let addresses = packet.read::<[Mac; 2]>(ethernet::ADDRESSES)?;
        let mut tags = [Tag::default(); 2];
        if offset > ethernet::LENGTH {
            tags[0] = packet.read(ethernet::TAGS)?;
        }
        if offset > ethernet::LENGTH + ethernet::TAG {
            tags[1] = packet.read(ethernet::TAGS + ethernet::TAG)?;
        }
        Some(Self { addresses, tags })
    }

    /// For the frame that goes back, with its packet at the same offset.
    #[inline(always)]
    pub(super) fn write_back<F: Layer3>(&self, packet: &mut impl Packet, offset: usize) {
        let [to, from] = self.addresses;
        packet.write(ethernet::ADDRESSES, [from, to]);
        let tags = if offset == ethernet::LENGTH { 0 } else { 1 + u8::from(offset > ethernet::LENGTH + ethernet::TAG) };
        ethernet::write_tags(packet, tags, self.tags, F::ETHER_TYPE);
    }
}
