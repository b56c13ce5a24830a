//! Tables: what can be known, and what is counted. The kernel asks its maps, the tests their `BTreeMap`s.
//!
//! Rows are described in `lb_common`; `None` means that there is no such row. Rows of arrays that nobody wrote are zero.

use lb_common::{
    Be32, Counters, NextHop, Return4, Return4Key, RingHead, RingId, SLOTS, ServerEntry, ServerId, Slot, Stop, Vip,
    Vip4Key, VipId, hash::HashKey,
};

/// All maps, as the packet path uses them.
pub trait Tables {
    /// The secret half of the flow hash.
    fn hash_key(&self) -> HashKey;

    /// HASH `VIPS4`.
    fn vip4(&self, key: Vip4Key) -> Option<Vip>;

    /// HASH `LOCAL4`: whether `addr` is an address of this host.
    fn is_local4(&self, addr: Be32) -> bool;

    /// HASH `RETURNS4`.
    fn return4(&self, key: Return4Key) -> Option<Return4>;

    /// LPM_TRIE `ROUTES4`: the row in `NEXT_HOPS` of the longest prefix that holds `addr`.
    fn route4(&self, addr: Be32) -> Option<u32>;

    /// ARRAY `RING_HEADS`.
    fn ring_head(&self, ring: RingId) -> Option<RingHead>;

    /// ARRAY_OF_MAPS `RINGS`: one half of a ring.
    fn ring_half(&self, ring: RingId, half: u32) -> Option<&[Slot; SLOTS]>;

    /// ARRAY `SERVERS`.
    fn server(&self, server: ServerId) -> Option<ServerEntry>;

    /// ARRAY `NEXT_HOPS`.
    fn next_hop(&self, row: u32) -> Option<NextHop>;

    /// DEVMAP_HASH `DEVICES`: makes `ifindex` the interface of a redirect; false if frames cannot be sent there.
    fn redirect(&self, ifindex: u32) -> bool;

    /// RINGBUF `EVENTS`: says that a packet for `address` found no Ethernet address, so that somebody asks for it.
    fn unresolved(&self, address: Be32);

    /// PERCPU_ARRAY `VIP_COUNTERS`.
    fn count_vip(&self, vip: VipId, count: impl FnOnce(&mut Counters));

    /// PERCPU_ARRAY `SERVER_COUNTERS`.
    fn count_server(&self, server: ServerId, count: impl FnOnce(&mut Counters));

    /// PERCPU_ARRAY `STOP_COUNTERS`.
    fn count_stop(&self, stop: Stop);
}
