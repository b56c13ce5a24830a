//! The packet path without a kernel: a packet in a `Vec`, tables in `BTreeMap`s.

extern crate std;

mod packet;

pub use packet::PacketBuf;

use crate::{Shared, Stage, Tables, Touch, Verdict};
use bytemuck::Zeroable;
use core::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
};
use lb_common::{
    Be128, Bucket, Counters, End, Family, Flow, Heartbeat, NextHop, Note, RingHead, RingId, SLOTS, ServerEntry,
    ServerId, Slot, Stop, V4, V6, Vip, VipId,
    bucket::BUCKETS,
    flow::{ConnectionRow, REFRESH},
    hash::HashKey,
    maps::{MAX_NEXT_HOPS, MAX_RINGS, MAX_SERVERS, MAX_SOURCES, MAX_VIPS},
    slots::HALVES,
};
use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    vec::Vec,
};

/// One packet: [`crate::run`], compiled in this crate and for these two.
///
/// # Panics
///
/// If the frame goes on with bytes that nobody has written: in the kernel they are another packet's.
pub fn run(packet: &mut PacketBuf, tables: &MemoryTables) -> Result<Verdict, Stop> {
    let outcome = crate::run(packet, tables);
    let dropped = outcome.is_err_and(|stop| stop.end() == End::Drop);
    assert!(dropped || packet.is_written(), "{outcome:?}, and nobody has written all of {packet:02x?}");
    outcome
}

/// Both halves of a ring, and which of them is live.
#[derive(Clone, Debug)]
pub struct MemoryRing {
    /// The value of `RING_HEADS`.
    pub head: RingHead,
    /// The value of `RINGS`.
    pub halves: [Arc<[Slot; SLOTS]>; HALVES as usize],
}

/// What was counted and said. Rows that are still zero are absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counted {
    /// `VIP_COUNTERS`.
    pub vips: BTreeMap<VipId, Counters>,
    /// `SERVER_COUNTERS`.
    pub servers: BTreeMap<ServerId, Counters>,
    /// `STOP_COUNTERS`.
    pub stops: BTreeMap<u32, u64>,
    /// `NOTE_COUNTERS`.
    pub notes: BTreeMap<u32, u64>,
    /// `EVENTS`: the addresses that somebody should ask for, in their order.
    pub unresolved: Vec<Be128>,
}

/// The maps of one family.
#[derive(Clone, Debug)]
pub struct MemoryFamily<F: Family> {
    /// `VIPS4`, `VIPS6`.
    pub vips: BTreeMap<F::Endpoint, Vip>,
    /// `LOCAL4`, `LOCAL6`.
    pub local: BTreeSet<F::Addr>,
    /// `RETURNS4`, `RETURNS6`.
    pub returns: BTreeMap<F::Endpoint, F::Return>,
    /// `ROUTES4`, `ROUTES6`, by bits of the prefix and network address.
    pub routes: BTreeMap<(u32, F::Addr), u32>,
    /// `FLOWS4`, `FLOWS6`.
    pub flows: RefCell<BTreeMap<F::FlowKey, Flow>>,
    /// `CONNECTIONS4`, `CONNECTIONS6`.
    pub connections: RefCell<BTreeMap<F::FlowKey, F::Connection>>,
    /// `HALF_OPEN4`, `HALF_OPEN6`.
    pub half_open: RefCell<BTreeMap<F::FlowKey, F::Connection>>,
    /// `FRAGMENTS4`, `FRAGMENTS6`.
    pub fragments: RefCell<BTreeMap<F::FragmentKey, F::Fragment>>,
}

impl<F: Family> MemoryFamily<F> {
    /// The table of connections that have come that far.
    pub const fn connections(&self, stage: Stage) -> &RefCell<BTreeMap<F::FlowKey, F::Connection>> {
        match stage {
            Stage::HalfOpen => &self.half_open,
            Stage::Established => &self.connections,
        }
    }
}

impl<F: Family> Default for MemoryFamily<F> {
    fn default() -> Self {
        Self {
            vips: BTreeMap::new(),
            local: BTreeSet::new(),
            returns: BTreeMap::new(),
            routes: BTreeMap::new(),
            flows: RefCell::default(),
            connections: RefCell::default(),
            half_open: RefCell::default(),
            fragments: RefCell::default(),
        }
    }
}

/// The maps. What is absent from an array is a zero row, as in the kernel.
#[derive(Clone, Debug)]
pub struct MemoryTables {
    /// `HASH_KEY`.
    pub hash_key: HashKey,
    /// `TRACK_BUDGET`.
    pub track_budget: u32,
    /// The clock, in nanoseconds.
    pub now: Cell<u64>,
    /// The maps of IPv4.
    pub v4: MemoryFamily<V4>,
    /// The maps of IPv6.
    pub v6: MemoryFamily<V6>,
    /// `RING_HEADS` and `RINGS`.
    pub rings: BTreeMap<RingId, MemoryRing>,
    /// `SERVERS`.
    pub servers: BTreeMap<ServerId, ServerEntry>,
    /// `SOURCES`.
    pub sources: BTreeMap<u32, Be128>,
    /// `HEARTBEAT`.
    pub heartbeat: Heartbeat,
    /// `NEXT_HOPS`.
    pub next_hops: BTreeMap<u32, NextHop>,
    /// `DEVICES`.
    pub devices: BTreeSet<u32>,
    /// Flows of each family that there is room for.
    pub max_flows: usize,
    /// All counters.
    pub counted: RefCell<Counted>,
    /// `BUCKETS`.
    pub buckets: RefCell<[Bucket; BUCKETS as usize]>,
    /// `SCRATCH`.
    pub scratch: Scratch,
}

impl Default for MemoryTables {
    fn default() -> Self {
        Self {
            hash_key: HashKey::default(),
            track_budget: 20_000,
            now: Cell::new(1 << 40),
            v4: MemoryFamily::default(),
            v6: MemoryFamily::default(),
            rings: BTreeMap::new(),
            servers: BTreeMap::new(),
            sources: BTreeMap::new(),
            heartbeat: Heartbeat::default(),
            next_hops: BTreeMap::new(),
            devices: BTreeSet::new(),
            max_flows: usize::MAX,
            counted: RefCell::default(),
            buckets: RefCell::default(),
            scratch: Scratch::default(),
        }
    }
}

/// What was kept last. Nobody keeps anything between packets.
#[derive(Default)]
pub struct Scratch(RefCell<Option<Box<dyn Any>>>);

impl Clone for Scratch {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

impl Shared for MemoryTables {
    fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    fn track_budget(&self) -> u32 {
        self.track_budget
    }

    fn now(&self) -> u64 {
        self.now.get()
    }

    fn ring_head(&self, ring: RingId) -> Option<RingHead> {
        let written = self.rings.get(&ring).map(|ring| ring.head);
        (u32::from(ring) < MAX_RINGS).then(|| written.unwrap_or_else(RingHead::zeroed))
    }

    fn ring_half(&self, ring: RingId, half: u32) -> Option<&[Slot; SLOTS]> {
        self.rings.get(&ring)?.halves.get(half as usize).map(|half| &**half)
    }

    fn server(&self, server: ServerId) -> Option<&ServerEntry> {
        static FREE: LazyLock<ServerEntry> = LazyLock::new(ServerEntry::zeroed);
        (u32::from(server) < MAX_SERVERS).then(|| self.servers.get(&server).unwrap_or(&FREE))
    }

    fn source(&self, row: u32) -> Option<Be128> {
        (row < MAX_SOURCES).then(|| self.sources.get(&row).copied().unwrap_or_default())
    }

    fn heartbeat(&self) -> Heartbeat {
        self.heartbeat
    }

    fn next_hop(&self, row: u32) -> Option<&NextHop> {
        static NOWHERE: LazyLock<NextHop> = LazyLock::new(NextHop::zeroed);
        (row < MAX_NEXT_HOPS).then(|| self.next_hops.get(&row).unwrap_or(&NOWHERE))
    }

    fn redirect(&self, ifindex: u32) -> bool {
        self.devices.contains(&ifindex)
    }

    fn unresolved(&self, address: Be128) {
        self.counted.borrow_mut().unresolved.push(address);
    }

    fn keep<T: Copy + 'static>(&self, value: T) {
        *self.scratch.0.borrow_mut() = Some(Box::new(value));
    }

    fn kept<T: Copy + 'static, R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.scratch.0.borrow_mut().as_mut()?.downcast_mut().map(look)
    }

    fn bucket(&self, row: u32, take: impl FnOnce(&mut Bucket) -> bool) -> bool {
        self.buckets.borrow_mut().get_mut(row as usize).is_some_and(take)
    }

    fn count_vip(&self, vip: VipId, count: impl FnOnce(&mut Counters)) {
        if u32::from(vip) < MAX_VIPS {
            count(self.counted.borrow_mut().vips.entry(vip).or_default());
        }
    }

    fn count_server(&self, server: ServerId, count: impl FnOnce(&mut Counters)) {
        if u32::from(server) < MAX_SERVERS {
            count(self.counted.borrow_mut().servers.entry(server).or_default());
        }
    }

    fn count_stop(&self, stop: Stop) {
        *self.counted.borrow_mut().stops.entry(stop as u32).or_default() += 1;
    }

    fn note(&self, note: Note) {
        *self.counted.borrow_mut().notes.entry(note as u32).or_default() += 1;
    }
}

/// The families are alike but for the field that they are in.
macro_rules! tables {
    ($family:ident, $field:ident) => {
        impl Tables<$family> for MemoryTables {
            fn vip(&self, key: &<$family as Family>::Endpoint) -> Option<Vip> {
                self.$field.vips.get(key).copied()
            }

            fn is_local(&self, addr: <$family as Family>::Addr) -> bool {
                self.$field.local.contains(&addr)
            }

            fn returns(&self, key: &<$family as Family>::Endpoint) -> Option<<$family as Family>::Return> {
                self.$field.returns.get(key).copied()
            }

            fn route(&self, addr: <$family as Family>::Addr) -> Option<u32> {
                let holds = |(bits, network): &(u32, <$family as Family>::Addr)| {
                    let (network, addr) = (bytemuck::bytes_of(network), bytemuck::bytes_of(&addr));
                    let (bytes, rest) = (*bits as usize / 8, bits % 8);
                    let same = |bits: u32, at| {
                        let byte = |of: &[u8]| of.get(at).map_or(0, |byte| u32::from(*byte) >> (8 - bits));
                        byte(network) == byte(addr)
                    };
                    (0..bytes).all(|at| same(8, at)) && same(rest, bytes)
                };
                let routes = self.$field.routes.iter().filter(|(key, _)| holds(key));
                routes.max_by_key(|((bits, _), _)| *bits).map(|(_, row)| *row)
            }

            fn flow<R>(&self, key: &<$family as Family>::FlowKey, look: impl FnOnce(&mut Flow) -> R) -> Option<R> {
                self.$field.flows.borrow_mut().get_mut(key).map(look)
            }

            fn put_flow(&self, key: &<$family as Family>::FlowKey, flow: &Flow) -> bool {
                let mut flows = self.$field.flows.borrow_mut();
                let room = flows.len() < self.max_flows || flows.contains_key(key);
                if room {
                    flows.insert(*key, *flow);
                }
                room
            }

            fn connection(
                &self,
                stage: Stage,
                key: &<$family as Family>::FlowKey,
                touch: Touch,
            ) -> Option<ConnectionRow<<$family as Family>::Addr>> {
                let mut connections = self.$field.connections(stage).borrow_mut();
                let row = connections.get_mut(key)?;
                let found = $family::unpack_connection(row);
                if let Touch::At { now, closing } = touch
                    && (now.wrapping_sub(row.last) >= REFRESH || closing & !row.marks != 0)
                {
                    row.last = now;
                    row.marks |= closing;
                }
                Some(found)
            }

            fn put_connection(
                &self,
                stage: Stage,
                key: &<$family as Family>::FlowKey,
                row: &<$family as Family>::Connection,
            ) {
                self.$field.connections(stage).borrow_mut().insert(*key, *row);
            }

            fn add_connection(
                &self,
                stage: Stage,
                key: &<$family as Family>::FlowKey,
                row: &<$family as Family>::Connection,
            ) -> bool {
                let mut connections = self.$field.connections(stage).borrow_mut();
                let free = !connections.contains_key(key);
                if free {
                    connections.insert(*key, *row);
                }
                free
            }

            fn remove_half_open(&self, key: &<$family as Family>::FlowKey) {
                self.$field.half_open.borrow_mut().remove(key);
            }

            fn fragment(&self, key: &<$family as Family>::FragmentKey) -> Option<<$family as Family>::Fragment> {
                self.$field.fragments.borrow().get(key).copied()
            }

            fn put_fragment(&self, key: &<$family as Family>::FragmentKey, row: &<$family as Family>::Fragment) {
                self.$field.fragments.borrow_mut().insert(*key, *row);
            }
        }
    };
}

tables!(V4, v4);
tables!(V6, v6);
