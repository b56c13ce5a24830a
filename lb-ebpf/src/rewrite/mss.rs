//! The largest segment that a TCP connection agrees on (RFC 9293 §3.7.1), made smaller: off the fast path.

use crate::{
    Packet,
    checksum::Change,
    parse::{
        Ip,
        l4::{self, Tcp},
    },
};
use lb_common::{Be16, Family, Protocol};

const END: u8 = 0;
const NOTHING: u8 = 1;
const MAXIMUM: u8 = 2;
/// Bytes of a header without options.
const HEADER: usize = 20;
/// Options that are looked at before this one; senders put it first.
const MOST: usize = 8;

/// Lowers what a SYN says to at most `most` bytes, and says whether it did; a SYN that says nothing means 536 or 1220 and
/// stays. Only the place of the transport header need be right in `ip`, and its length.
#[inline(always)]
pub fn lower<F: Family>(packet: &mut impl Packet, ip: &Ip<F>, most: u16) -> bool {
    let Some(header) = packet.read::<Tcp>(ip.l4_offset) else { return false };
    // What follows the packet is covered by no checksum.
    let end = (usize::from(header.data_offset >> 4) * 4).min(ip.l4_length);
    let mut at = HEADER;
    for _ in 0..MOST {
        if at + 4 > end {
            return false;
        }
        let Some([kind, length]) = packet.read::<[u8; 2]>(ip.l4_offset + at) else { return false };
        match kind {
            END => return false,
            NOTHING => at += 1,
            MAXIMUM if length == 4 => return replace(packet, ip.l4_offset, at, most),
            _ if length >= 2 => at += usize::from(length),
            _ => return false,
        }
    }
    false
}

/// Puts another value into the option at `at` of the header at `offset`.
#[inline(always)]
fn replace(packet: &mut impl Packet, offset: usize, at: usize, most: u16) -> bool {
    let (value, checksum) = (offset + at + 2, offset + l4::checksum(Protocol::Tcp));
    let (Some(old), Some(sum)) = (packet.read::<Be16>(value), packet.read::<Be16>(checksum)) else { return false };
    if old.host() <= most {
        return false;
    }
    let new = Be16::new(most);
    packet.write(value, new);
    // At an odd place the two bytes of the value belong to two words of the sum, so they count swapped.
    let odd = at % 2 == 1;
    let swap = |word: Be16| if odd { Be16::from_raw(word.raw().swap_bytes()) } else { word };
    packet.write(checksum, Change::default().word(swap(old), swap(new)).applied_to(sum));
    true
}
