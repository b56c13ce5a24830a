//! The packet path without a kernel: a packet in a `Vec`, tables in `BTreeMap`s.

extern crate std;

use crate::{Packet, Tables};
use bytemuck::{Pod, Zeroable};
use core::cell::RefCell;
use lb_common::{
    Be32, Counters, NextHop, Return4, Return4Key, RingHead, RingId, Route4Key, SLOTS, ServerEntry, ServerId, Slot,
    Stop, Vip, Vip4Key, VipId,
    hash::HashKey,
    maps::{MAX_NEXT_HOPS, MAX_RINGS, MAX_SERVERS, MAX_VIPS},
    slots::HALVES,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

/// A frame and the interface it arrived at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PacketBuf {
    /// The frame, from the Ethernet header on.
    pub bytes: Vec<u8>,
    /// Index of the interface.
    pub ingress: u32,
}

impl Packet for PacketBuf {
    fn frame_length(&self) -> usize {
        self.bytes.len()
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn read<T: Pod>(&self, offset: usize) -> Option<T> {
        self.bytes.get(offset..offset + size_of::<T>()).map(bytemuck::pod_read_unaligned)
    }

    /// # Panics
    ///
    /// If the frame ends before the value does: that is a defect of the packet path, which the kernel would hide.
    fn write<T: Pod>(&mut self, offset: usize, value: T) {
        let length = self.bytes.len();
        match self.bytes.get_mut(offset..offset + size_of::<T>()) {
            Some(place) => place.copy_from_slice(bytemuck::bytes_of(&value)),
            #[expect(clippy::panic, reason = "this is how the test finds it")]
            None => panic!("wrote {} bytes at {offset} of a frame of {length}", size_of::<T>()),
        }
    }
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
    /// `EVENTS`: the addresses that somebody should ask for, in their order.
    pub unresolved: Vec<Be32>,
}

/// The maps. What is absent from an array is a zero row, as in the kernel.
#[derive(Clone, Debug, Default)]
pub struct MemoryTables {
    /// `HASH_KEY`.
    pub hash_key: HashKey,
    /// `VIPS4`.
    pub vips: BTreeMap<Vip4Key, Vip>,
    /// `LOCAL4`.
    pub local: BTreeSet<Be32>,
    /// `RING_HEADS` and `RINGS`.
    pub rings: BTreeMap<RingId, MemoryRing>,
    /// `SERVERS`.
    pub servers: BTreeMap<ServerId, ServerEntry>,
    /// `RETURNS4`.
    pub returns: BTreeMap<Return4Key, Return4>,
    /// `ROUTES4`.
    pub routes: BTreeMap<Route4Key, u32>,
    /// `NEXT_HOPS`.
    pub next_hops: BTreeMap<u32, NextHop>,
    /// `DEVICES`.
    pub devices: BTreeSet<u32>,
    /// All counters.
    pub counted: RefCell<Counted>,
}

impl Tables for MemoryTables {
    fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    fn vip4(&self, key: Vip4Key) -> Option<Vip> {
        self.vips.get(&key).copied()
    }

    fn is_local4(&self, addr: Be32) -> bool {
        self.local.contains(&addr)
    }

    fn return4(&self, key: Return4Key) -> Option<Return4> {
        self.returns.get(&key).copied()
    }

    fn route4(&self, addr: Be32) -> Option<u32> {
        let holds = |key: &Route4Key| {
            let host_bits = u32::BITS - key.prefix_len;
            let network = |addr: Be32| u64::from(addr.ip().to_bits()) >> host_bits;
            network(key.addr) == network(addr)
        };
        self.routes.iter().filter(|(key, _)| holds(key)).max_by_key(|(key, _)| key.prefix_len).map(|(_, row)| *row)
    }

    fn ring_head(&self, ring: RingId) -> Option<RingHead> {
        let written = self.rings.get(&ring).map(|ring| ring.head);
        row(written, ring.into(), MAX_RINGS)
    }

    fn ring_half(&self, ring: RingId, half: u32) -> Option<&[Slot; SLOTS]> {
        self.rings.get(&ring)?.halves.get(half as usize).map(|half| &**half)
    }

    fn server(&self, server: ServerId) -> Option<ServerEntry> {
        row(self.servers.get(&server).copied(), server.into(), MAX_SERVERS)
    }

    fn next_hop(&self, number: u32) -> Option<NextHop> {
        row(self.next_hops.get(&number).copied(), number, MAX_NEXT_HOPS)
    }

    fn redirect(&self, ifindex: u32) -> bool {
        self.devices.contains(&ifindex)
    }

    fn unresolved(&self, address: Be32) {
        self.counted.borrow_mut().unresolved.push(address);
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
}

/// A row of an array: what was written, else zero, but nothing beyond its end.
fn row<T: Zeroable>(written: Option<T>, number: u32, rows: u32) -> Option<T> {
    (number < rows).then(|| written.unwrap_or_else(T::zeroed))
}
