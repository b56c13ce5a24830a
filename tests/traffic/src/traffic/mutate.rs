//! Frames made of other frames, and of nothing.

use crate::{
    packet::ETHERNET,
    random::Random,
    world::{BALANCER_MAC, ROUTER_MAC},
};
use std::net::{IpAddr, Ipv6Addr};

/// Bytes in which mutations fall: all headers with some extensions.
const HEADERS: usize = 110;

/// Changes a few bytes of the headers, and leaves the checksums as they are.
pub(super) fn mutate(random: &mut Random, frame: &mut [u8]) {
    for _ in 0..=random.below(3) {
        let at = random.below(HEADERS.min(frame.len()));
        frame[at] = match random.below(4) {
            0 => random.byte(),
            1 => frame[at] ^ 1 << random.below(8),
            2 => frame[at].wrapping_add(1),
            _ => random.pick(&[0, 1, 4, 6, 8, 17, 0x45, 0x60, 0x7f, 0x80, 0xff]),
        };
    }
}

/// Bytes behind a likely Ethernet header.
pub(super) fn garbage(random: &mut Random) -> Vec<u8> {
    let size = random.below(120);
    let types: [&[u8]; 5] = [&[8, 0], &[0x86, 0xdd], &[8, 6], &[0x81, 0, 0, 1, 8, 0], &[0x88, 0xa8, 0, 1, 0x81, 0]];
    let mut frame = [&BALANCER_MAC[..], &ROUTER_MAC[..], random.pick(&types)].concat();
    frame.extend(random.pick(&[&[0x45_u8][..], &[0x60], &[]]));
    frame.extend(random.bytes(size));
    frame
}

/// Options of a TCP header.
pub(super) fn tcp_options(random: &mut Random) -> Vec<u8> {
    let segment = random.pick(&[88, 536, 1_300, 1_301, 1_460, 8_960, 0xffff_u16]).to_be_bytes();
    let [high, low] = segment;
    match random.below(8) {
        0 | 1 => [2, 4, high, low, 4, 2, 8, 10, 7, 7, 7, 7, 7, 7, 7, 7, 1, 3, 3, 7].to_vec(),
        2 => [1, 2, 4, high, low, 1, 1, 0].to_vec(),
        3 => [8, 10, 7, 7, 7, 7, 7, 7, 7, 7, 1, 1, 2, 4, high, low].to_vec(),
        4 => {
            let size = 4 * random.below(11);
            random.bytes(size)
        }
        _ => Vec::new(),
    }
}

/// Addresses of a packet.
pub(super) fn ends(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            Some((address(12)?, address(16)?))
        }
        6 => {
            let octets = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok();
            Some((Ipv6Addr::from(octets(8)?).into(), Ipv6Addr::from(octets(24)?).into()))
        }
        _ => None,
    }
}

/// Makes a segment answer a SYN, without any other change of its sum than that.
fn syn_ack(frame: &mut [u8], l4: usize) -> Option<()> {
    let word = |frame: &[u8], at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let before = word(frame, l4 + 12)?;
    *frame.get_mut(l4 + 13)? = 0x12;
    let sum = u32::from(!word(frame, l4 + 16)?) + u32::from(!before) + u32::from(word(frame, l4 + 12)?);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).ok()?;
    frame.get_mut(l4 + 16..l4 + 18)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// The frame that the receiver of an untagged one without extensions would answer with: both ends exchanged, and a time to
/// live that is fresh. `None`: it is none.
pub(super) fn turned_round(random: &mut Random, frame: &[u8]) -> Option<Vec<u8>> {
    let (source, length, l4) = match frame.get(12..ETHERNET)? {
        [8, 0] => (ETHERNET + 12, 4, ETHERNET + usize::from(frame.get(ETHERNET)? & 15) * 4),
        [0x86, 0xdd] => (ETHERNET + 8, 16, ETHERNET + 40),
        _ => return None,
    };
    let mut turned = frame.to_vec();
    let mut exchange = |first: usize, bytes: usize| -> Option<()> {
        let (there, back) = (frame.get(first..first + bytes)?, frame.get(first + bytes..first + 2 * bytes)?);
        turned.get_mut(first..first + 2 * bytes)?.copy_from_slice(&[back, there].concat());
        Some(())
    };
    exchange(0, 6)?;
    exchange(source, length)?;
    exchange(l4, 2)?;
    let is_tcp = turned.get(if length == 4 { ETHERNET + 9 } else { ETHERNET + 6 }) == Some(&6);
    if is_tcp && random.one_in(3) {
        syn_ack(&mut turned, l4)?;
    }
    Some(turned)
}
