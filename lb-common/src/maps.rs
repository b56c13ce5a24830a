//! The maps: names, capacities, and a hash of it all that names the directory they are pinned in.

use crate::{
    Counters, NextHop, Return4, Return4Key, RingHead, Route4Key, SLOTS, ServerEntry, Slot, Unresolved, Vip, Vip4Key,
    hash::name_hash,
};

/// Raised by hand when the meaning of a row changes while its size stays.
pub const ABI_VERSION: u64 = 1;

/// VIPs and address entries.
pub const MAX_VIPS: u32 = 4_096;
/// Backends that kernel frontends use. Row 0 is unused.
pub const MAX_RINGS: u32 = 1_024;
/// Servers of all backends. Row 0 is unused.
pub const MAX_SERVERS: u32 = 16_384;
/// Next hops: one a server, one a gateway, one a neighbour of ours. Row 0 is unused.
pub const MAX_NEXT_HOPS: u32 = 32_768;
/// Prefixes and neighbours that replies can go to.
pub const MAX_ROUTES: u32 = 65_536;
/// Addresses of this host.
pub const MAX_LOCAL: u32 = 4_096;
/// Interfaces of this host that frames may be redirected to.
pub const MAX_DEVICES: u32 = 256;
/// Rows of `STOP_COUNTERS`; more than there are reasons, so that a new reason is no new schema.
pub const MAX_STOPS: u32 = 64;
/// Bytes of `EVENTS`: room for 4,096 records with their headers. A power of two and whole pages, as the kernel wants it.
pub const EVENTS_BYTES: u32 = 64 << 10;

/// HASH [`Vip4Key`] → [`Vip`]. Written by the planner.
pub const VIPS4: &str = "VIPS4";
/// ARRAY [`RingId`](crate::RingId) → [`RingHead`]. Written by the planner.
pub const RING_HEADS: &str = "RING_HEADS";
/// ARRAY_OF_MAPS [`RingId`](crate::RingId) → ARRAY half → `[Slot; SLOTS]`. The inner maps are created by the supervisor
/// and written by the planner.
pub const RINGS: &str = "RINGS";
/// ARRAY [`ServerId`](crate::ServerId) → [`ServerEntry`]. Written by the planner.
pub const SERVERS: &str = "SERVERS";
/// HASH [`Return4Key`] → [`Return4`]. Written by the planner.
pub const RETURNS4: &str = "RETURNS4";
/// ARRAY → [`NextHop`]. Written by the supervisor.
pub const NEXT_HOPS: &str = "NEXT_HOPS";
/// LPM_TRIE [`Route4Key`] → `u32` row in `NEXT_HOPS`. Written by the supervisor.
pub const ROUTES4: &str = "ROUTES4";
/// HASH [`Be32`](crate::Be32) → `u32`, always 1: addresses of this host. Written by the supervisor.
pub const LOCAL4: &str = "LOCAL4";
/// DEVMAP_HASH ifindex → ifindex, and 4 bytes for a program that we never set. Written by the supervisor.
pub const DEVICES: &str = "DEVICES";
/// PERCPU_ARRAY [`VipId`](crate::VipId) → [`Counters`].
pub const VIP_COUNTERS: &str = "VIP_COUNTERS";
/// PERCPU_ARRAY [`ServerId`](crate::ServerId) → [`Counters`].
pub const SERVER_COUNTERS: &str = "SERVER_COUNTERS";
/// PERCPU_ARRAY [`Stop`](crate::Stop) → `u64` packets.
pub const STOP_COUNTERS: &str = "STOP_COUNTERS";

/// RINGBUF of [`Unresolved`]. Filled by the packet path, and when it is full, no more; read by the supervisor.
pub const EVENTS: &str = "EVENTS";

/// Every map of keys and values: name, bytes of a key, bytes of a value, entries.
pub const ALL: [(&str, usize, usize, u32); 12] = [
    (VIPS4, size_of::<Vip4Key>(), size_of::<Vip>(), MAX_VIPS),
    (RING_HEADS, 4, size_of::<RingHead>(), MAX_RINGS),
    (RINGS, 4, SLOTS * size_of::<Slot>(), MAX_RINGS),
    (SERVERS, 4, size_of::<ServerEntry>(), MAX_SERVERS),
    (RETURNS4, size_of::<Return4Key>(), size_of::<Return4>(), MAX_SERVERS),
    (NEXT_HOPS, 4, size_of::<NextHop>(), MAX_NEXT_HOPS),
    (ROUTES4, size_of::<Route4Key>(), 4, MAX_ROUTES),
    (LOCAL4, 4, 4, MAX_LOCAL),
    (DEVICES, 4, 8, MAX_DEVICES),
    (VIP_COUNTERS, 4, size_of::<Counters>(), MAX_VIPS),
    (SERVER_COUNTERS, 4, size_of::<Counters>(), MAX_SERVERS),
    (STOP_COUNTERS, 4, 8, MAX_STOPS),
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
    use crate::Stop;

    #[test]
    fn capacities_hold_what_they_must() {
        assert!(Stop::ALL.len() <= MAX_STOPS as usize);
        const { assert!(MAX_SERVERS <= 1 << 14, "a server id has 14 bits") };
        const { assert!(EVENTS_BYTES.is_power_of_two() && EVENTS_BYTES >= 1 << 16, "whole pages, also of 64 KiB") };
        const { assert!(MAX_NEXT_HOPS <= 1 << 16, "a server names its next hop in 16 bits") };
    }

    #[test]
    fn memory_of_an_empty_balancer_is_bounded() {
        // Per-CPU maps count once a CPU; rings are created on demand (128 KiB each).
        let (shared, per_cpu) =
            ALL.iter().filter(|map| map.0 != RINGS).fold((0, 0), |(shared, per_cpu), (name, key, value, entries)| {
                let bytes = (key + value.next_multiple_of(8)) * *entries as usize;
                if name.ends_with("COUNTERS") { (shared, per_cpu + bytes) } else { (shared + bytes, per_cpu) }
            });
        let shared = shared + BUFFERS.iter().map(|(.., bytes)| *bytes as usize).sum::<usize>();
        assert!(shared < 4 << 20, "{shared}");
        assert!(per_cpu < 1 << 20, "{per_cpu}");
    }
}
