//! A packet that does not fit: its sender is told how large packets may be (RFC 1191, RFC 8201).

use super::answer::{Icmp, icmp};
use crate::{
    Packet, Tables,
    checksum::Change,
    parse::{self, Ip, Layer3, Part, quoted::ICMP_HEADER},
};
use lb_common::{
    Be16, Be32, Family, Stop, V4,
    bucket::{self, ANSWERS_PER_SECOND},
};

/// Bytes of the packet that the answer quotes: an answer of 576 bytes in IPv4 (RFC 1812 §4.3.2.3), of 1,280 in IPv6
/// (RFC 4443 §3.2). A packet that is too big has more.
const QUOTE4: usize = 576 - 20 - ICMP_HEADER;
const QUOTE6: usize = 1_280 - 40 - ICMP_HEADER;
/// Every link of IPv6 takes so much (RFC 8200 §5); a sender must not be told of less.
const LEAST6: u16 = 1_280;

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

/// `None`: the packet has less than the answer would quote.
#[inline(always)]
fn answer<F: Layer3>(packet: &mut impl Packet, ip: &Ip<F>, mtu: u16) -> Option<Stop> {
    let quote = if F::VERSION == V4::VERSION { QUOTE4 } else { QUOTE6 };
    if ip.length < quote {
        return None;
    }
    let quoted = sum::<F>(packet, ip.offset)?;
    let says = if F::VERSION == V4::VERSION {
        Icmp { kind: 3, code: 4, checksum: Be16::default(), rest: Be32::new(mtu.into()) }
    } else {
        Icmp { kind: 2, code: 0, checksum: Be16::default(), rest: Be32::new(mtu.max(LEAST6).into()) }
    };
    Some(if icmp(packet, ip, says, (quote, quoted))? { Stop::ToldTooBig } else { Stop::NoRoom })
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
