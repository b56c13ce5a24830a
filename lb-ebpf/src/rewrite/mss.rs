//! The largest segment that a TCP connection agrees on (RFC 9293 §3.7.1), made smaller: off the fast path.

use crate::{
    Packet, Shared,
    checksum::Change,
    parse::{
        Ip, L4, Layer3,
        l4::{self, Tcp},
    },
};
use lb_common::{Be16, Note};

const END: u8 = 0;
const NOTHING: u8 = 1;
const MAXIMUM: u8 = 2;
/// Bytes of a header without options.
const HEADER: usize = 20;
/// Options that are looked at before this one; senders put it first.
const MOST: usize = 8;

/// Lowers what a SYN says to at most `most` bytes; a SYN that says nothing means 536 or 1220 and stays. After all other
/// changes of the packet, because the checksum is read again.
#[inline(always)]
pub fn clamp<F: Layer3>(packet: &mut impl Packet, tables: &impl Shared, ip: &Ip<F>, l4: &L4<F>, most: u16) {
    if l4.agrees && most != 0 {
        let (offset, length) = (ip.l4_offset, ip.l4_length);
        let segment = Segment { offset, length, checksum: offset + l4::checksum(l4.ends.protocol), most };
        if lower(packet, &segment) {
            tables.note(Note::MssClamped);
        }
    }
}

struct Segment {
    offset: usize,
    /// Bytes of the packet from there on: what follows is covered by no checksum.
    length: usize,
    checksum: usize,
    most: u16,
}

#[inline(never)]
fn lower(packet: &mut impl Packet, segment: &Segment) -> bool {
    let Some(header) = packet.read::<Tcp>(segment.offset) else { return false };
    let end = (usize::from(header.data_offset >> 4) * 4).min(segment.length);
    let mut at = HEADER;
    for _ in 0..MOST {
        if at + 4 > end {
            return false;
        }
        let Some([kind, length]) = packet.read::<[u8; 2]>(segment.offset + at) else { return false };
        match kind {
            END => return false,
            NOTHING => at += 1,
            MAXIMUM if length == 4 => return replace(packet, segment, at),
            _ if length >= 2 => at += usize::from(length),
            _ => return false,
        }
    }
    false
}

#[inline(always)]
fn replace(packet: &mut impl Packet, segment: &Segment, at: usize) -> bool {
    let value = segment.offset + at + 2;
    let (Some(old), Some(sum)) = (packet.read::<Be16>(value), packet.read::<Be16>(segment.checksum)) else {
        return false;
    };
    if old.host() <= segment.most {
        return false;
    }
    let new = Be16::new(segment.most);
    packet.write(value, new);
    // At an odd place the two bytes of the value belong to two words of the sum, so they count swapped.
    let odd = at % 2 == 1;
    let swap = |word: Be16| if odd { Be16::from_raw(word.raw().swap_bytes()) } else { word };
    packet.write(segment.checksum, Change::default().word(swap(old), swap(new)).applied_to(sum));
    true
}
