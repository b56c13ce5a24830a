//! A packet that is answered here: what goes back in its place, to where it came from.

use crate::{
    Packet,
    checksum::Change,
    parse::{Ip, Layer3, ethernet, ipv4, ipv6, l4::Tcp, quoted::ICMP_HEADER},
};
use bytemuck::{Pod, Zeroable};
use core::hint::black_box;
use lb_common::{Be16, Be32, Be128, Family, Mac, Protocol, Tag, V4, V6};

const TTL: u8 = 64;
/// No packet begins farther from the start of its frame: all bits of [`ethernet::LENGTH`] and two tags.
const OFFSETS: usize = 31;
/// In the first byte of an Ethernet address: it is that of many (IEEE 802.3 §3.2.3).
const GROUP: u8 = 1;

/// What an ICMP error says beside the quote.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Icmp {
    /// What is wrong.
    pub(super) kind: u8,
    /// What about it.
    pub(super) code: u8,
    /// Zero: it is summed up here.
    pub(super) checksum: Be16,
    /// What depends on the kind.
    pub(super) rest: Be32,
}

/// Turns the packet into an ICMP error for its sender, which quotes so many bytes of it with that sum. What follows them in
/// its frame is no part of it. `None`: nothing is changed. False: there was no room for it, and nobody knows what it is now.
#[inline(always)]
pub(super) fn icmp<F: Layer3>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    says: Icmp,
    (quote, quoted): (usize, Change),
) -> Option<bool> {
    let header = F::HEADER + ICMP_HEADER;
    let link = Link::to_answer(packet, ip)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "48")]
    let grow = header as i32;
    if !packet.grow_head(grow) || !packet.cut(ip.offset + header + quote) {
        return Some(false);
    }
    link.write_back::<F>(packet, ip.offset);
    write_header(packet, ip, F::ICMP, ICMP_HEADER + quote);
    let [a, b]: [u32; 2] = bytemuck::cast(says);
    let mut sum = quoted.plus(a).plus(b);
    if F::VERSION == V6::VERSION {
        sum = sum.and(pseudo_header(ip, F::ICMP, ICMP_HEADER + quote));
    }
    packet.write(ip.offset + F::HEADER, Icmp { checksum: sum.checksum(), ..says });
    Some(true)
}

/// Turns the packet into this segment of TCP for its sender, which has no options, no payload and no checksum yet. It is no longer
/// than the packet was. `None`: nothing is changed.
#[inline(always)]
pub(super) fn tcp<F: Layer3>(packet: &mut impl Packet, ip: &Ip<F>, segment: Tcp) -> Option<()> {
    let link = Link::to_answer(packet, ip)?;
    if !packet.cut(ip.offset + F::HEADER + size_of::<Tcp>()) {
        return None;
    }
    link.write_back::<F>(packet, ip.offset);
    // In these comparisons with the offset the verifier of Linux 6.12 loses its bounds.
    let ip = &ip.placed(black_box(ip.offset) & OFFSETS);
    let protocol = Protocol::Tcp.number();
    write_header(packet, ip, protocol, size_of::<Tcp>());
    let words: [u32; 5] = bytemuck::must_cast(segment);
    let sum = words.into_iter().fold(pseudo_header(ip, protocol, size_of::<Tcp>()), Change::plus);
    packet.write(ip.offset + F::HEADER, Tcp { checksum: sum.checksum(), ..segment });
    Some(())
}

/// What a transport checksum covers of the header: the same in both directions.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 1,240")]
fn pseudo_header<F: Layer3>(ip: &Ip<F>, protocol: u8, length: usize) -> Change {
    let addresses = F::sum(ip.source).and(F::sum(ip.destination));
    addresses.plus(Be32::new(length as u32).raw()).plus(Be32::new(protocol.into()).raw())
}

/// The header of an answer with so many bytes behind it, which comes from the address that the packet was for.
#[inline(always)]
fn write_header<F: Layer3>(packet: &mut impl Packet, ip: &Ip<F>, protocol: u8, length: usize) {
    if F::VERSION == V4::VERSION {
        packet.write(ip.offset, header_v4(ip, protocol, F::HEADER + length));
    } else {
        packet.write(ip.offset, header_v6(ip, protocol, length));
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 576")]
fn header_v4<F: Layer3>(ip: &Ip<F>, protocol: u8, length: usize) -> ipv4::Header {
    let header = ipv4::Header {
        version_and_length: 4 << 4 | ipv4::MIN_WORDS,
        service: 0,
        total_length: Be16::new(length as u16),
        id: Be16::default(),
        fragment: Be16::new(ipv4::DONT_FRAGMENT),
        ttl: TTL,
        protocol,
        checksum: Be16::default(),
        source: F::widen(ip.destination).v4(),
        destination: F::widen(ip.source).v4(),
    };
    header.summed()
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most 1,240")]
fn header_v6<F: Layer3>(ip: &Ip<F>, protocol: u8, length: usize) -> ipv6::Header {
    let (source, destination): (Be128, Be128) = (F::widen(ip.destination), F::widen(ip.source));
    ipv6::Header {
        first: Be32::new(6 << 28),
        payload_length: Be16::new(length as u16),
        next: protocol,
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

    /// Of a frame whose sender may be told what became of it: one that was for this machine alone, with a packet from one other
    /// machine.
    #[inline(always)]
    fn to_answer<F: Layer3>(packet: &impl Packet, ip: &Ip<F>) -> Option<Self> {
        let link = Self::read(packet, ip.offset)?;
        let [[first, ..], _] = link.addresses;
        (first & GROUP == 0 && F::is_single(ip.source)).then_some(link)
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
