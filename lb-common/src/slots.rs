//! Ring: the slots of a backend, each naming a server.

use crate::{ServerId, layout::map_type};
use bytemuck::{Pod, Zeroable};

/// Slots of a ring. A prime, as Maglev needs (Eisenbud et al., NSDI 2016 §3.4), small enough that a half is 64 KiB.
pub const SLOTS: usize = 16_381;

/// Halves of a ring: the live one and the one that is written.
pub const HALVES: u32 = 2;

/// Names the row of a backend's ring. 0 is never given out.
pub type RingId = u16;

/// One entry of a ring.
///
/// While `previous` and `current` differ the slot *changes hands*: flows that are not in the flow table belong to
/// `previous`, new ones go to `current` and into the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct Slot {
    /// The server that new flows of this slot go to, 0 when the backend has none; and the mark [`TRACKED`](Self::TRACKED).
    marked: u16,
    /// The server of all flows that the flow table does not know.
    pub previous: ServerId,
}
map_type!(Slot, size = 4, { marked = 0, previous = 2 });

impl Slot {
    /// The flow table may know flows of this slot, so it is asked.
    const TRACKED: u16 = 1 << 15;
    /// The bits of a server id.
    const SERVER: u16 = (1 << 14) - 1;

    /// A slot that does not change hands.
    #[inline(always)]
    pub const fn of(server: ServerId) -> Self {
        Self { marked: server & Self::SERVER, previous: server & Self::SERVER }
    }

    /// A slot that changes hands, or that the flow table may know flows of.
    pub const fn new(current: ServerId, previous: ServerId, tracked: bool) -> Self {
        let mark = if tracked { Self::TRACKED } else { 0 };
        Self { marked: (current & Self::SERVER) | mark, previous: previous & Self::SERVER }
    }

    /// The server that new flows go to; 0: none.
    #[inline(always)]
    pub const fn current(self) -> ServerId {
        self.marked & Self::SERVER
    }

    /// Whether the flow table may know flows of this slot.
    #[inline(always)]
    pub const fn is_tracked(self) -> bool {
        self.marked & Self::TRACKED != 0
    }

    /// Whether the slot changes hands.
    #[inline(always)]
    pub const fn changes_hands(self) -> bool {
        self.current() != self.previous
    }
}

/// Which half of a ring is live: the value of `RING_HEADS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
pub struct RingHead {
    /// Identity of the backend ([`name_hash`](crate::hash::name_hash) of its name); 0 in an unused row.
    pub identity: u64,
    /// 0 or 1.
    pub half: u32,
    /// Zero.
    pub reserved: u32,
}
map_type!(RingHead, size = 16, { identity = 0, half = 8 });

/// The slot of a flow: the hash scaled to the ring, without a division.
#[inline(always)]
pub const fn slot_of(hash: u32) -> usize {
    ((hash as u64 * SLOTS as u64) >> 32) as usize
}

/// Where a flow looks next when its slot's server cannot take it. Visits every slot before it comes back.
///
/// The daemon refills the slots of unavailable servers along the same chain, so that a flow which finds a dead server
/// before the ring is rewritten goes where the rewritten ring will send it.
///
/// `x + (x² | 7)` modulo a power of two is one cycle (Klimov and Shamir, CHES 2002); leaving out the three values above
/// the ring keeps it one. Not linear on purpose: Maglev deals the slots in steps of constant width, so a constant step
/// here lands on the same few servers again and again. One of 3 servers failing left the fuller of the others 6 % above
/// its share on average and 24 % at worst; with this it is 0.5 % and 2.5 %, as with a random permutation.
#[inline(always)]
pub const fn next_slot(slot: usize) -> usize {
    let next = step(slot);
    if next < SLOTS { next } else { step(next) }
}

#[inline(always)]
const fn step(x: usize) -> usize {
    const { assert!(SLOTS <= 1 << 14 && SLOTS + 3 >= 1 << 14) };
    (x + ((x * x) | 7)) & ((1 << 14) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_visits_every_slot_once() {
        let mut seen = [false; SLOTS];
        let mut slot = 0;
        for _ in 0..SLOTS {
            assert!(!core::mem::replace(&mut seen[slot], true), "slot {slot} twice");
            slot = next_slot(slot);
        }
        assert_eq!(slot, 0);
    }

    #[test]
    fn hashes_spread_over_the_whole_ring() {
        assert_eq!([slot_of(0), slot_of(u32::MAX)], [0, SLOTS - 1]);
    }
}
