//! Tunnels to servers: IP in IP (RFC 2003, RFC 2473) and generic UDP encapsulation, variant 1 (draft-ietf-intarea-gue: the
//! packet follows the UDP header, without any header of its own).
//!
//! The congestion mark is copied to the outer header (RFC 6040). Outer IPv4 headers say "don't fragment": packets that do
//! not fit were turned down before.

use crate::{
    Packet,
    checksum::Change,
    parse::{Ip, L4, Layer3, Part, ipv4, ipv6},
};
use bytemuck::{Pod, Zeroable};
use lb_common::{Be16, Be32, Be128, Family, Forward, NextHop, Protocol, ServerEntry, Stop, V4, V6, Vip};

/// Time to live of outer headers (RFC 2003 §3.1, as hosts send by default).
const TTL: u8 = 64;
/// Bytes of a UDP header.
const UDP: usize = 8;
/// Where its length stands.
const UDP_LENGTH: usize = 4;
/// Source ports of GUE: the 14 bits of the flow above them are those of IANA's dynamic ports (RFC 6335 §6).
const FIRST_PORT: u16 = 0xc000;

/// What is put in front of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Tunnel {
    /// Bytes; 0: nothing.
    pub length: usize,
    /// Whether the outer header is IPv6.
    is_v6: bool,
    /// Whether a UDP header follows it.
    udp: Option<Be16>,
    destination: Be128,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Udp {
    source_port: Be16,
    destination_port: Be16,
    length: Be16,
    checksum: Be16,
}

impl Tunnel {
    /// Nothing is put in front.
    pub const NONE: Self = Self { length: 0, is_v6: false, udp: None, destination: Be128::mapped(Be32::new(0)) };

    /// What packets to `server` are put into.
    #[inline(always)]
    pub fn to(forward: Forward, gue_port: Be16, server: &ServerEntry) -> Self {
        let is_v6 = server.family == V6::VERSION;
        let header = if is_v6 { V6::HEADER } else { V4::HEADER };
        let (length, udp) = match forward {
            Forward::Direct | Forward::Nat | Forward::FullNat => (0, None),
            Forward::Ipip => (header, None),
            Forward::Gue => (header + UDP, Some(gue_port)),
        };
        Self { length, is_v6, udp, destination: server.addr }
    }

    /// The same for a VIP.
    #[inline(always)]
    pub fn of(vip: &Vip, forward: Forward, server: &ServerEntry) -> Self {
        Self::to(forward, vip.gue_port, server)
    }

    /// Whether there is an address of ours to send from.
    #[inline(always)]
    pub fn check(&self, next_hop: &NextHop) -> Result<(), Stop> {
        let missing = if self.is_v6 { next_hop.source6 == Be128::default() } else { next_hop.source4.raw() == 0 };
        if self.length > 0 && missing { Err(Stop::NoSource) } else { Ok(()) }
    }

    /// EtherType of the frame, for a packet of that type inside.
    #[inline(always)]
    pub const fn ether_type(&self, inside: Be16) -> Be16 {
        if self.length == 0 {
            inside
        } else if self.is_v6 {
            V6::ETHER_TYPE
        } else {
            V4::ETHER_TYPE
        }
    }

    /// Writes the headers at `offset`, in front of the packet. `spread`: bits of the flow's hash.
    #[inline(always)]
    pub fn write<F: Layer3>(
        &self,
        packet: &mut impl Packet,
        offset: usize,
        ip: &Ip<F>,
        next_hop: &NextHop,
        spread: u32,
        udp_inside: Change,
    ) {
        if self.length == 0 {
            return;
        }
        let protocol = if self.udp.is_some() { Protocol::Udp.number() } else { F::INSIDE };
        let udp_length = number(ip.length + UDP);
        let mut pseudo = Change::default().plus(udp_length.raw().into()).plus(Be16::new(17).raw().into());
        let after = if self.is_v6 { V6::HEADER } else { V4::HEADER };
        if self.is_v6 {
            pseudo = pseudo.and(V6::sum(next_hop.source6)).and(V6::sum(self.destination));
            packet.write(offset, outer_v6(self, ip, protocol, next_hop.source6));
        } else {
            pseudo = pseudo.and(V4::sum(next_hop.source4)).and(V4::sum(self.destination.v4()));
            packet.write(offset, outer_v4(self, ip, protocol, next_hop.source4));
        }
        let Some(destination_port) = self.udp else { return };
        #[expect(clippy::cast_possible_truncation, reason = "14 bits of it are used")]
        let source_port = Be16::new(FIRST_PORT | (spread as u16 & !FIRST_PORT));
        // IPv4 needs none (RFC 768); in IPv6 a receiver may insist on one (RFC 6935 §5).
        let checksum = if self.is_v6 && !udp_inside.is_unknown() {
            let ports = Change::default().plus(source_port.raw().into()).plus(destination_port.raw().into());
            pseudo.and(ports).plus(udp_length.raw().into()).and(udp_inside).udp_checksum()
        } else {
            Be16::default()
        };
        let udp = Udp { source_port, destination_port, length: udp_length, checksum };
        packet.write(offset + after, udp);
    }

    /// Whether the sum of what is inside is needed.
    #[inline(always)]
    pub const fn sums(&self) -> bool {
        self.is_v6 && self.udp.is_some()
    }
}

/// The sum of a whole packet, from its headers alone: a right transport checksum makes its payload the opposite of its
/// pseudo header. Unknown where there is no such checksum, or not all of the packet that it covers.
#[inline(always)]
pub fn sum<F: Layer3>(packet: &impl Packet, ip: &Ip<F>, l4: Option<&L4<F>>) -> Change {
    let covered = match l4 {
        None => ip.protocol == F::ICMP,
        Some(l4) if l4.ends.protocol == Protocol::Tcp => true,
        // A datagram may end before its packet does.
        Some(l4) => {
            let length = packet.read::<Be16>(ip.l4_offset + UDP_LENGTH);
            l4.checksum.raw() != 0 && length.is_some_and(|length| usize::from(length.host()) == ip.l4_length)
        }
    };
    // Extension headers are covered by nothing, options of IPv4 by the header's own sum.
    let plain = F::VERSION == V4::VERSION || ip.l4_offset == ip.offset + F::HEADER;
    if !covered || !plain || ip.part != Part::Whole {
        return Change::UNKNOWN;
    }
    let length = number(ip.l4_length).raw().into();
    let payload = Change::default().minus(length).minus(Be16::new(ip.protocol.into()).raw().into());
    // A right IPv4 header sums up to nothing, and so does an ICMP message, which has no pseudo header there; an IPv6 header
    // has its two words before the addresses, which are those of the pseudo header.
    if F::VERSION == V4::VERSION && l4.is_none() {
        Change::default()
    } else if F::VERSION == V4::VERSION {
        payload.and(F::sum(ip.source).and(F::sum(ip.destination)).negative())
    } else {
        let [first, second] = packet.read::<[u32; 2]>(ip.offset).unwrap_or_default();
        payload.plus(first).plus(second)
    }
}

#[inline(always)]
fn outer_v4<F: Layer3>(tunnel: &Tunnel, ip: &Ip<F>, protocol: u8, source: Be32) -> ipv4::Header {
    let header = ipv4::Header {
        version_and_length: 4 << 4 | ipv4::MIN_WORDS,
        service: ip.service,
        total_length: number(ip.length + tunnel.length),
        id: Be16::default(),
        fragment: Be16::new(ipv4::DONT_FRAGMENT),
        ttl: TTL,
        protocol,
        checksum: Be16::default(),
        source,
        destination: tunnel.destination.v4(),
    };
    header.summed()
}

#[inline(always)]
fn outer_v6<F: Layer3>(tunnel: &Tunnel, ip: &Ip<F>, protocol: u8, source: Be128) -> ipv6::Header {
    ipv6::Header {
        first: Be32::new(6 << 28 | u32::from(ip.service) << 20),
        payload_length: number(ip.length + tunnel.length - V6::HEADER),
        next: protocol,
        hop_limit: TTL,
        source,
        destination: tunnel.destination,
    }
}

/// A length as headers have it. What does not fit was turned down before.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a packet has at most 65,535 bytes")]
const fn number(length: usize) -> Be16 {
    Be16::new(length as u16)
}
