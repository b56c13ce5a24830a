//! Which server a flow goes to: hash → slot → server.

use crate::{
    Tables,
    parse::{Ipv4, L4},
};
use core::hint::black_box;
use lb_common::{
    RingId, ServerEntry, ServerId, ServerState, Stop,
    hash::flow_hash_v4,
    slots::{next_slot, slot_of},
};

/// Slots that are tried before a packet is dropped. Only the time between a server's failure and the rewritten ring needs
/// more than one.
pub const TRIES: usize = 8;

/// The server of a flow: the same for all its packets as long as ring and servers stay as they are.
#[inline(always)]
pub fn server(tables: &impl Tables, ip: &Ipv4, l4: &L4, ring: RingId) -> Result<(ServerId, ServerEntry), Stop> {
    let head = tables.ring_head(ring).ok_or(Stop::BadTables)?;
    let slots = tables.ring_half(ring, head.half).ok_or(Stop::BadTables)?;
    let hash =
        flow_hash_v4(tables.hash_key(), ip.source, l4.source_port, ip.destination, l4.destination_port, ip.protocol);
    let mut slot = slot_of(hash);
    for _ in 0..TRIES {
        let id = slots.get(slot).ok_or(Stop::BadTables)?.current;
        // An empty slot names row 0, which is free and so takes nothing.
        let server = tables.server(id).ok_or(Stop::BadTables)?;
        if ServerState::from_byte(server.state).forwards() {
            return Ok((id, server));
        }
        // The compiler could prove that the next slot exists and drop the check of `get`; the verifier cannot, and needs it.
        slot = black_box(next_slot(slot));
    }
    Err(Stop::NoServer)
}
