//! IPv6 extension headers (RFC 8200 §4), off the fast path: where the transport header lies, and whether this is a fragment.

use super::Part;
use crate::Packet;
use bytemuck::{Pod, Zeroable};
use lb_common::{Be16, Stop};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Headers that are followed. RFC 8200 §4.1 knows of six before the transport header.
const MOST: usize = 6;

/// What all of them begin with; the third and fourth byte as a routing header has them.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Start {
    next: u8,
    length: u8,
    routing_type: u8,
    segments_left: u8,
}

/// RFC 8200 §4.5.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Fragment {
    next: u8,
    reserved: u8,
    offset_and_more: Be16,
    id: u32,
}

/// Whether something is followed here. Not: ESP, whose contents nobody can read, and "no next header".
#[inline(always)]
pub const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

/// Where a transport header was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// The transport's IANA number; to begin with, that of the first extension.
    pub protocol: u8,
    /// Where it lies in the frame; to begin with, the first extension.
    pub l4_offset: usize,
    /// Bytes from there to the end of the packet.
    pub l4_length: usize,
    /// Whether this is all of a packet.
    pub part: Part,
    /// What all fragments of the packet share.
    pub id: u32,
    /// Why there is nothing to be found.
    pub stop: Option<Stop>,
}

/// Goes on from the first extension to the transport header.
#[inline(never)]
pub fn follow(packet: &impl Packet, found: &mut Found) {
    for _ in 0..MOST {
        if !is_extension(found.protocol) || found.part == Part::Later {
            return;
        }
        match step(packet, found) {
            Ok(length) if length <= found.l4_length => {
                found.l4_offset += length;
                found.l4_length -= length;
            }
            Ok(_) => return found.stop = Some(Stop::Truncated),
            Err(stop) => return found.stop = Some(stop),
        }
    }
    if is_extension(found.protocol) && found.part != Part::Later {
        found.stop = Some(Stop::TooManyHeaders);
    }
}

/// Reads one extension; returns its length, which may be more than the packet has.
#[inline(always)]
fn step(packet: &impl Packet, found: &mut Found) -> Result<usize, Stop> {
    let length;
    if found.protocol == FRAGMENT {
        let header = packet.read::<Fragment>(found.l4_offset).ok_or(Stop::Truncated)?;
        (found.protocol, found.id, length) = (header.next, header.id, size_of::<Fragment>());
        found.part = match (header.offset_and_more.host() & 0xfff8, header.offset_and_more.host() & 1) {
            (0, 0) => Part::Whole, // An atomic fragment (RFC 6946): a packet like any other.
            (0, _) => Part::First,
            _ => Part::Later,
        };
    } else {
        let header = packet.read::<Start>(found.l4_offset).ok_or(Stop::Truncated)?;
        // On its way by a router: its checksum counts another destination, and so do we not know who it is for.
        if found.protocol == ROUTING && header.segments_left != 0 {
            return Err(Stop::NotBalanced);
        }
        let units = usize::from(header.length);
        // RFC 4302 §2.2 counts the authentication header differently.
        length = if found.protocol == AUTHENTICATION { (units + 2) * 4 } else { (units + 1) * 8 };
        found.protocol = header.next;
    }
    Ok(length)
}
