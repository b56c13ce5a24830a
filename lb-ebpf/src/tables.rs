//! Tables: what can be known, and what is counted and remembered. The kernel asks its maps, the tests their `BTreeMap`s.
//!
//! Rows are described in `lb_common`; `None` means that there is no such row. Rows of arrays that nobody wrote are zero.

use lb_common::{
    Be128, Bucket, Counters, Family, Flow, Heartbeat, NextHop, Note, RingHead, RingId, SLOTS, ServerEntry, ServerId,
    Slot, Stop, Vip, VipId, flow::ConnectionRow, hash::HashKey,
};

/// The maps of both families.
pub trait Shared {
    /// The secret half of the flow hash.
    fn hash_key(&self) -> HashKey;

    /// Insertions into the flow table that each CPU may do a second.
    fn track_budget(&self) -> u32;

    /// The coarse monotonic clock, in nanoseconds.
    fn now(&self) -> u64;

    /// ARRAY `RING_HEADS`.
    fn ring_head(&self, ring: RingId) -> Option<RingHead>;

    /// ARRAY_OF_MAPS `RINGS`: one half of a ring.
    fn ring_half(&self, ring: RingId, half: u32) -> Option<&[Slot; SLOTS]>;

    /// ARRAY `SERVERS`.
    fn server(&self, server: ServerId) -> Option<&ServerEntry>;

    /// ARRAY `SOURCES`.
    fn source(&self, row: u32) -> Option<Be128>;

    /// ARRAY `HEARTBEAT`.
    fn heartbeat(&self) -> Heartbeat;

    /// ARRAY `NEXT_HOPS`.
    fn next_hop(&self, row: u32) -> Option<&NextHop>;

    /// DEVMAP_HASH `DEVICES`: makes `ifindex` the interface of a redirect; false if frames cannot be sent there.
    fn redirect(&self, ifindex: u32) -> bool;

    /// RINGBUF `EVENTS`: says that a packet for `address` found no Ethernet address, so that somebody asks for it.
    fn unresolved(&self, address: Be128);

    /// PERCPU_ARRAY `SCRATCH`: keeps a value where it takes no stack, of which the kernel gives little. There is one place,
    /// and a packet finds in it only what it kept there itself.
    fn keep<T: Copy + 'static>(&self, value: T);

    /// What was kept last. `None`: not a `T`.
    fn kept<T: Copy + 'static, R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R>;

    /// PERCPU_ARRAY `BUCKETS`: what `take` makes of a bucket; false without one.
    fn bucket(&self, row: u32, take: impl FnOnce(&mut Bucket) -> bool) -> bool;

    /// PERCPU_ARRAY `VIP_COUNTERS`.
    fn count_vip(&self, vip: VipId, count: impl FnOnce(&mut Counters));

    /// PERCPU_ARRAY `SERVER_COUNTERS`.
    fn count_server(&self, server: ServerId, count: impl FnOnce(&mut Counters));

    /// PERCPU_ARRAY `STOP_COUNTERS`.
    fn count_stop(&self, stop: Stop);

    /// PERCPU_ARRAY `NOTE_COUNTERS`.
    fn note(&self, note: Note);
}

/// The maps of one family.
pub trait Tables<F: Family>: Shared {
    /// Lookup table `VIPS4`, `VIPS6`.
    fn vip(&self, key: &F::Endpoint) -> Option<Vip>;

    /// Lookup table `LOCAL4`, `LOCAL6`: whether `addr` is an address of this host.
    fn is_local(&self, addr: F::Addr) -> bool;

    /// Lookup table `RETURNS4`, `RETURNS6`.
    fn returns(&self, key: &F::Endpoint) -> Option<F::Return>;

    /// LPM_TRIE `ROUTES4`, `ROUTES6`: the row in `NEXT_HOPS` of the longest prefix that holds `addr`.
    fn route(&self, addr: F::Addr) -> Option<u32>;

    /// HASH `FLOWS4`, `FLOWS6`: what `look` makes of a flow, which it may change.
    fn flow<R>(&self, key: &F::FlowKey, look: impl FnOnce(&mut Flow) -> R) -> Option<R>;

    /// Puts a flow into the flow table, in the place of what is there. False: the table is full.
    fn put_flow(&self, key: &F::FlowKey, flow: &Flow) -> bool;

    /// A table of connections. A connection whose packets come is `touch`ed: `last` and marks are written, unless they are
    /// almost so already.
    fn connection(&self, stage: Stage, key: &F::FlowKey, touch: Touch) -> Option<ConnectionRow<F::Addr>>;

    /// Puts a connection into a table, in the place of what is there.
    fn put_connection(&self, stage: Stage, key: &F::FlowKey, row: &F::Connection);

    /// Puts a connection into a table if there is none. False: there is one.
    fn add_connection(&self, stage: Stage, key: &F::FlowKey, row: &F::Connection) -> bool;

    /// Takes a connection out of the half-open ones.
    fn remove_half_open(&self, key: &F::FlowKey);

    /// LRU_HASH `FRAGMENTS4`, `FRAGMENTS6`.
    fn fragment(&self, key: &F::FragmentKey) -> Option<F::Fragment>;

    /// Puts a packet into the table of fragments.
    fn put_fragment(&self, key: &F::FragmentKey, row: &F::Fragment);
}

/// How far a connection has come, and so which table it is in. What is in both is established.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// LRU_HASH `HALF_OPEN4`, `HALF_OPEN6`: only its beginning was seen, which anybody can send in anybody's name.
    HalfOpen,
    /// LRU_HASH `CONNECTIONS4`, `CONNECTIONS6`: somebody has gone on with it.
    Established,
}

/// What a packet does to the row of its connection.
#[derive(Clone, Copy, Debug)]
pub enum Touch {
    /// Nothing: it only looks.
    No,
    /// It says when it was seen, in units of [`seconds`](lb_common::flow::seconds), and whether it closes the connection.
    At {
        /// When.
        now: u32,
        /// [`CLOSING`](lb_common::flow::CLOSING) or 0.
        closing: u8,
    },
}
