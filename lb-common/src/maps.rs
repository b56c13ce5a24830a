//! The maps: names, capacities, and a hash of it all that names the directory they are pinned in.

use crate::{
    Be128, Counters, Heartbeat, NextHop, RingHead, Route4Key, Route6Key, SLOTS, ServerEntry, Slot, Unresolved,
    bucket::{self, Bucket},
    flow::{Connection4, Connection6, Flow, FlowKey4, FlowKey6, Fragment4, Fragment6, FragmentKey4, FragmentKey6},
    hash::name_hash,
    lookup::{LocalLine4, LocalLine6, ReturnLine4, ReturnLine6, VipLine4, VipLine6, row},
};
#[cfg(doc)]
use crate::{Endpoint4, Endpoint6, Return4, Return6, Vip};

/// Raised by hand when the meaning of a row changes while its size stays.
pub const ABI_VERSION: u64 = 5;

/// VIPs and address entries of one family.
pub const MAX_VIPS: u32 = 4_096;
/// Backends that kernel frontends use. Row 0 is unused.
pub const MAX_RINGS: u32 = 1_024;
/// Servers of all backends. Row 0 is unused.
pub const MAX_SERVERS: u32 = 16_384;
/// Next hops: one a server, one a gateway, one a neighbour of ours. Row 0 is unused.
pub const MAX_NEXT_HOPS: u32 = 32_768;
/// Prefixes and neighbours of one family that replies can go to.
pub const MAX_ROUTES: u32 = 65_536;
/// Addresses of this host of one family.
pub const MAX_LOCAL: u32 = 4_096;
/// Interfaces of this host that frames may be redirected to.
pub const MAX_DEVICES: u32 = 256;
/// Addresses of all source pools.
pub const MAX_SOURCES: u32 = 1_024;
/// Flows of slots that change hands, of IPv4. They take the memory of as many from the start (25 MiB).
pub const MAX_FLOWS4: u32 = 1 << 18;
/// The same of IPv6 (7 MiB).
pub const MAX_FLOWS6: u32 = 1 << 16;
/// Connections of `track = "full"` and `fullnat`, of IPv4; those that translate have two entries each (30 MiB).
pub const MAX_CONNECTIONS4: u32 = 1 << 18;
/// The same of IPv6 (10 MiB).
pub const MAX_CONNECTIONS6: u32 = 1 << 16;
/// Connections of either family that nobody has gone on with yet (7 MiB in all). They have entries as the others have: less
/// than there are ports in one address of a source pool towards one server, so that a flood leaves some of them free.
pub const MAX_HALF_OPEN: u32 = 1 << 15;
/// Packets of one family whose fragments are remembered.
pub const MAX_FRAGMENTS: u32 = 16_384;
/// Rows of `STOP_COUNTERS` and `NOTE_COUNTERS`; more than there are reasons, so that a new reason is no new schema.
pub const MAX_STOPS: u32 = 64;
/// Bytes of `EVENTS`: room for 2,730 records with their headers. A power of two and whole pages, as the kernel wants it.
pub const EVENTS_BYTES: u32 = 64 << 10;

/// What is known of a packet that takes more than the fast path, while the program runs.
pub type Scratch = [u64; 56];

/// ARRAY [`row`] → `u32`: which half of each of the planner's [lookup tables](crate::lookup) is live.
/// Written by the planner.
pub const LIVE_HALVES: &str = "LIVE_HALVES";
/// Lookup table of [`Endpoint4`] → [`Vip`]. Written by the planner.
pub const VIPS4: &str = "VIPS4";
/// Lookup table of [`Endpoint6`] → [`Vip`]. Written by the planner.
pub const VIPS6: &str = "VIPS6";
/// ARRAY [`RingId`](crate::RingId) → [`RingHead`]. Written by the planner.
pub const RING_HEADS: &str = "RING_HEADS";
/// ARRAY_OF_MAPS [`RingId`](crate::RingId) → ARRAY half → `[Slot; SLOTS]`. The inner maps are created by the supervisor
/// and written by the planner.
pub const RINGS: &str = "RINGS";
/// ARRAY [`ServerId`](crate::ServerId) → [`ServerEntry`]. Written by the planner.
pub const SERVERS: &str = "SERVERS";
/// Lookup table of [`Endpoint4`] → [`Return4`]. Written by the planner.
pub const RETURNS4: &str = "RETURNS4";
/// Lookup table of [`Endpoint6`] → [`Return6`]. Written by the planner.
pub const RETURNS6: &str = "RETURNS6";
/// ARRAY → [`Be128`]: the addresses of source pools. Written by the planner.
pub const SOURCES: &str = "SOURCES";
/// ARRAY, one row: the [`Heartbeat`] of the daemon. Written by the worker.
pub const HEARTBEAT: &str = "HEARTBEAT";
/// HASH [`FlowKey4`] → [`Flow`]. Filled by the packet path, expired by the planner.
pub const FLOWS4: &str = "FLOWS4";
/// HASH [`FlowKey6`] → [`Flow`].
pub const FLOWS6: &str = "FLOWS6";
/// LRU_HASH [`FlowKey4`] → [`Connection4`]. Filled by the packet path.
pub const CONNECTIONS4: &str = "CONNECTIONS4";
/// LRU_HASH [`FlowKey6`] → [`Connection6`].
pub const CONNECTIONS6: &str = "CONNECTIONS6";
/// LRU_HASH [`FlowKey4`] → [`Connection4`]: connections of which only the beginning was seen. Filled by the packet path.
pub const HALF_OPEN4: &str = "HALF_OPEN4";
/// LRU_HASH [`FlowKey6`] → [`Connection6`], as [`HALF_OPEN4`].
pub const HALF_OPEN6: &str = "HALF_OPEN6";
/// LRU_HASH [`FragmentKey4`] → [`Fragment4`]. Filled by the packet path.
pub const FRAGMENTS4: &str = "FRAGMENTS4";
/// LRU_HASH [`FragmentKey6`] → [`Fragment6`].
pub const FRAGMENTS6: &str = "FRAGMENTS6";
/// ARRAY → [`NextHop`]. Written by the supervisor.
pub const NEXT_HOPS: &str = "NEXT_HOPS";
/// LPM_TRIE [`Route4Key`] → `u32` row in `NEXT_HOPS`. Written by the supervisor.
pub const ROUTES4: &str = "ROUTES4";
/// LPM_TRIE [`Route6Key`] → `u32` row in `NEXT_HOPS`. Written by the supervisor.
pub const ROUTES6: &str = "ROUTES6";
/// ARRAY [`row`] → `u32`: which half of `LOCAL4` and `LOCAL6` is live. Written by the supervisor.
pub const LOCAL_HALVES: &str = "LOCAL_HALVES";
/// Lookup table of [`Endpoint4`] without port and protocol → `u32`, always 1: addresses of this host. Written by the supervisor.
pub const LOCAL4: &str = "LOCAL4";
/// Lookup table of [`Endpoint6`] → `u32`, as [`LOCAL4`]. Written by the supervisor.
pub const LOCAL6: &str = "LOCAL6";
/// DEVMAP_HASH ifindex → ifindex, and 4 bytes for a program that we never set. Written by the supervisor.
pub const DEVICES: &str = "DEVICES";
/// PERCPU_ARRAY [`INSERTS`](bucket::INSERTS), [`ANSWERS`](bucket::ANSWERS),
/// [`REFUSALS`](bucket::REFUSALS) → [`Bucket`].
pub const BUCKETS: &str = "BUCKETS";
/// PERCPU_ARRAY, one row: [`Scratch`] of the packet path; nobody else reads it.
pub const SCRATCH: &str = "SCRATCH";
/// PERCPU_ARRAY [`VipId`](crate::VipId) → [`Counters`].
pub const VIP_COUNTERS: &str = "VIP_COUNTERS";
/// PERCPU_ARRAY [`ServerId`](crate::ServerId) → [`Counters`].
pub const SERVER_COUNTERS: &str = "SERVER_COUNTERS";
/// PERCPU_ARRAY [`Stop`](crate::Stop) → `u64` packets.
pub const STOP_COUNTERS: &str = "STOP_COUNTERS";
/// PERCPU_ARRAY [`Note`](crate::Note) → `u64` packets.
pub const NOTE_COUNTERS: &str = "NOTE_COUNTERS";

/// RINGBUF of [`Unresolved`]. Filled by the packet path, and when it is full, no more; read by the supervisor.
pub const EVENTS: &str = "EVENTS";

/// Every map of keys and values: name, bytes of a key, bytes of a value, entries. Of a lookup table these are lines: as many in
/// each half as there may be entries, so that at most half of all places are taken.
pub const ALL: [(&str, usize, usize, u32); 31] = [
    (LIVE_HALVES, 4, 4, row::LIVE),
    (VIPS4, 4, size_of::<VipLine4>(), 2 * MAX_VIPS),
    (VIPS6, 4, size_of::<VipLine6>(), 2 * MAX_VIPS),
    (RING_HEADS, 4, size_of::<RingHead>(), MAX_RINGS),
    (RINGS, 4, SLOTS * size_of::<Slot>(), MAX_RINGS),
    (SERVERS, 4, size_of::<ServerEntry>(), MAX_SERVERS),
    (RETURNS4, 4, size_of::<ReturnLine4>(), 2 * MAX_SERVERS),
    (RETURNS6, 4, size_of::<ReturnLine6>(), 2 * MAX_SERVERS),
    (SOURCES, 4, size_of::<Be128>(), MAX_SOURCES),
    (HEARTBEAT, 4, size_of::<Heartbeat>(), 1),
    (FLOWS4, size_of::<FlowKey4>(), size_of::<Flow>(), MAX_FLOWS4),
    (FLOWS6, size_of::<FlowKey6>(), size_of::<Flow>(), MAX_FLOWS6),
    (CONNECTIONS4, size_of::<FlowKey4>(), size_of::<Connection4>(), MAX_CONNECTIONS4),
    (CONNECTIONS6, size_of::<FlowKey6>(), size_of::<Connection6>(), MAX_CONNECTIONS6),
    (HALF_OPEN4, size_of::<FlowKey4>(), size_of::<Connection4>(), MAX_HALF_OPEN),
    (HALF_OPEN6, size_of::<FlowKey6>(), size_of::<Connection6>(), MAX_HALF_OPEN),
    (FRAGMENTS4, size_of::<FragmentKey4>(), size_of::<Fragment4>(), MAX_FRAGMENTS),
    (FRAGMENTS6, size_of::<FragmentKey6>(), size_of::<Fragment6>(), MAX_FRAGMENTS),
    (NEXT_HOPS, 4, size_of::<NextHop>(), MAX_NEXT_HOPS),
    (ROUTES4, size_of::<Route4Key>(), 4, MAX_ROUTES),
    (ROUTES6, size_of::<Route6Key>(), 4, MAX_ROUTES),
    (LOCAL_HALVES, 4, 4, row::LOCAL),
    (LOCAL4, 4, size_of::<LocalLine4>(), 2 * MAX_LOCAL),
    (LOCAL6, 4, size_of::<LocalLine6>(), 2 * MAX_LOCAL),
    (DEVICES, 4, 8, MAX_DEVICES),
    (BUCKETS, 4, size_of::<Bucket>(), bucket::BUCKETS),
    (SCRATCH, 4, size_of::<Scratch>(), 1),
    (VIP_COUNTERS, 4, size_of::<Counters>(), MAX_VIPS),
    (SERVER_COUNTERS, 4, size_of::<Counters>(), MAX_SERVERS),
    (STOP_COUNTERS, 4, 8, MAX_STOPS),
    (NOTE_COUNTERS, 4, 8, MAX_STOPS),
];

/// Every ring buffer: name, bytes of a record, bytes of the buffer. The kernel knows nothing of the records.
pub const BUFFERS: [(&str, usize, u32); 1] = [(EVENTS, size_of::<Unresolved>(), EVENTS_BYTES)];

/// The names of all maps, of either kind.
pub fn names() -> impl Iterator<Item = &'static str> {
    let buffers = BUFFERS.iter().map(|(name, ..)| *name);
    ALL.iter().map(|(name, ..)| *name).chain(buffers)
}

/// Names the directory of the pins: maps of another schema are never opened by mistake.
pub const SCHEMA: u64 = {
    let mut hash = ABI_VERSION;
    let mut rest: &[(&str, usize, usize, u32)] = &ALL;
    while let [(name, key, value, entries), tail @ ..] = rest {
        hash = name_hash(hash, name.as_bytes());
        hash = name_hash(hash, &(*key as u64).to_le_bytes());
        hash = name_hash(hash, &(*value as u64).to_le_bytes());
        hash = name_hash(hash, &entries.to_le_bytes());
        rest = tail;
    }
    let mut rest: &[(&str, usize, u32)] = &BUFFERS;
    while let [(name, record, bytes), tail @ ..] = rest {
        hash = name_hash(hash, name.as_bytes());
        hash = name_hash(hash, &(*record as u64).to_le_bytes());
        hash = name_hash(hash, &bytes.to_le_bytes());
        rest = tail;
    }
    hash
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Note, Stop};

    #[test]
    fn capacities_hold_what_they_must() {
        assert!(Stop::ALL.len() <= MAX_STOPS as usize && Note::ALL.len() <= MAX_STOPS as usize);
        const { assert!(MAX_SERVERS <= 1 << 14, "a server id has 14 bits") };
        const { assert!(EVENTS_BYTES.is_power_of_two() && EVENTS_BYTES >= 1 << 16, "whole pages, also of 64 KiB") };
        const { assert!(MAX_NEXT_HOPS <= 1 << 16, "a server names its next hop in 16 bits") };
    }

    #[test]
    fn memory_of_an_empty_balancer_is_bounded() {
        // Per-CPU maps count once a CPU; rings are created on demand (128 KiB each); tries take memory by entry. An element
        // of a hash has about 48 bytes of its own.
        let (mut shared, mut per_cpu) = (0, 0);
        for (name, key, value, entries) in ALL.iter().filter(|map| ![RINGS, ROUTES4, ROUTES6].contains(&map.0)) {
            let hashed = if *key == 4 { 0 } else { 48 + key.next_multiple_of(8) };
            let bytes = (hashed + value.next_multiple_of(8)) * *entries as usize;
            let sum = if name.ends_with("COUNTERS") || [BUCKETS, SCRATCH].contains(name) {
                &mut per_cpu
            } else {
                &mut shared
            };
            *sum += bytes;
        }
        let shared = shared + BUFFERS.iter().map(|(.., bytes)| *bytes as usize).sum::<usize>();
        assert!(shared < 80 << 20, "{shared}");
        assert!(per_cpu < 5 << 18, "{per_cpu}");
    }
}
