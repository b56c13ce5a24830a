//! A packet that no server takes, and whose sender is told so at once: by a reset of TCP, as a host answers at a closed port
//! (RFC 9293 §3.10.7.1), or, for a datagram, by ICMP (port unreachable), as IPVS answers. A reset is never longer than what it
//! answers; answers by ICMP are counted out.

use super::answer::{Icmp, icmp, tcp};
use crate::{
    Packet, Tables,
    checksum::Change,
    parse::{
        Ip, Layer3,
        l4::{ACK, FIN, RST, SYN, Tcp},
    },
    path::Kept,
};
use lb_common::{
    Be16, Be32, Family, Protocol, Stop, V4,
    bucket::{self, ANSWERS_PER_SECOND},
};

/// Bytes of a datagram that are quoted: its header without options or extensions, and that of UDP. A datagram has no less.
const QUOTE4: usize = 20 + 8;
const QUOTE6: usize = 40 + 8;
/// Bytes of a segment's header at least.
const HEADER: usize = size_of::<Tcp>();

/// No server of the backend is up, or that of the connection is down.
#[inline(always)]
pub fn refuse<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, offset: usize, kept: &Kept<F>) -> Stop {
    let ip = kept.ip.placed(offset);
    if kept.l4.ends.protocol == Protocol::Tcp {
        return if answer(packet, &ip).is_some() { Stop::Refused } else { Stop::NoServer };
    }
    match unreachable(packet, tables, &ip) {
        Some(true) => Stop::Refused,
        Some(false) => Stop::NoRoom,
        None => Stop::NoServer,
    }
}

/// Turns a segment into its reset. `None`: it is one, or none that can be answered.
#[inline(always)]
fn answer<F: Layer3>(packet: &mut impl Packet, ip: &Ip<F>) -> Option<()> {
    let asked: Tcp = packet.read(ip.l4_offset)?;
    let header = usize::from(asked.data_offset >> 4) * 4;
    if asked.flags & RST != 0 || header < HEADER || ip.l4_length < header {
        return None;
    }
    let (sequence, acknowledgment, flags) = if asked.flags & ACK != 0 {
        (asked.acknowledgment, Be32::new(0), RST)
    } else {
        let ends = u32::from(asked.flags & SYN != 0) + u32::from(asked.flags & FIN != 0);
        #[expect(clippy::cast_possible_truncation, reason = "a packet has less than 2^17 bytes")]
        let length = (ip.l4_length - header) as u32 + ends;
        (Be32::new(0), Be32::new(asked.sequence.host().wrapping_add(length)), RST | ACK)
    };
    let zero = Be16::new(0);
    #[expect(clippy::cast_possible_truncation, reason = "5 words")]
    let data_offset = ((HEADER / 4) << 4) as u8;
    let segment = Tcp {
        source_port: asked.destination_port,
        destination_port: asked.source_port,
        sequence,
        acknowledgment,
        data_offset,
        flags,
        window: zero,
        checksum: zero,
        urgent: zero,
    };
    tcp(packet, ip, segment)
}

/// Turns a datagram into an answer that says so, if its sender may be told. `None`: nothing is changed. False: see [`icmp`].
#[inline(always)]
fn unreachable<F: Layer3>(packet: &mut impl Packet, tables: &impl Tables<F>, ip: &Ip<F>) -> Option<bool> {
    // With options or extensions the quote would be longer than others.
    if ip.l4_offset != ip.offset + F::HEADER {
        return None;
    }
    let now = tables.now();
    if !tables.bucket(bucket::REFUSALS, |bucket| bucket.take(now, ANSWERS_PER_SECOND)) {
        return None;
    }
    let none = Change::default();
    let (kind, code, quote, sum) = if F::VERSION == V4::VERSION {
        (3, 3, QUOTE4, none.plus(packet.sum::<QUOTE4>(ip.offset)?))
    } else {
        (1, 4, QUOTE6, none.plus(packet.sum::<QUOTE6>(ip.offset)?))
    };
    icmp(packet, ip, Icmp { kind, code, checksum: Be16::new(0), rest: Be32::new(0) }, (quote, sum))
}
