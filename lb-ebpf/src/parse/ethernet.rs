//! Ethernet II (IEEE 802.3 §3.2.6) with up to two VLAN tags (IEEE 802.1Q §9): destination, source, tags, EtherType.

use crate::Packet;
use lb_common::{Be16, Stop, Tag};

/// Bytes of the header without tags.
pub const LENGTH: usize = 14;
/// Both addresses, the destination first.
pub const ADDRESSES: usize = 0;
/// Bytes of a tag.
pub const TAG: usize = 4;
/// Where tags begin, and the EtherType without tags.
pub const TAGS: usize = 12;

/// IPv4.
pub const IPV4: Be16 = Be16::new(0x0800);
/// IPv6.
pub const IPV6: Be16 = Be16::new(0x86dd);

const CUSTOMER: Be16 = Be16::new(0x8100);
const SERVICE: Be16 = Be16::new(0x88a8);

/// What a frame carries: the EtherType after the tags, and where the packet begins.
#[inline(always)]
pub fn payload(packet: &impl Packet) -> Result<(Be16, usize), Stop> {
    let ether_type = packet.read::<Be16>(TAGS).ok_or(Stop::Truncated)?;
    if !is_tag(ether_type) {
        return Ok((ether_type, LENGTH));
    }
    let ether_type = packet.read::<Be16>(TAGS + TAG).ok_or(Stop::Truncated)?;
    if !is_tag(ether_type) {
        return Ok((ether_type, LENGTH + TAG));
    }
    let ether_type = packet.read::<Be16>(TAGS + 2 * TAG).ok_or(Stop::Truncated)?;
    if is_tag(ether_type) { Err(Stop::TooManyHeaders) } else { Ok((ether_type, LENGTH + 2 * TAG)) }
}

#[inline(always)]
fn is_tag(ether_type: Be16) -> bool {
    ether_type == CUSTOMER || ether_type == SERVICE
}

/// Writes the tags and the EtherType of a frame whose packet begins after so many tags.
#[inline(always)]
pub fn write_tags(packet: &mut impl Packet, tags: u8, tag: [Tag; 2], ether_type: Be16) {
    let [first, second] = tag;
    match tags {
        0 => packet.write(TAGS, ether_type),
        1 => {
            packet.write(TAGS, first);
            packet.write(TAGS + TAG, ether_type);
        }
        _ => {
            packet.write(TAGS, first);
            packet.write(TAGS + TAG, second);
            packet.write(TAGS + 2 * TAG, ether_type);
        }
    }
}
