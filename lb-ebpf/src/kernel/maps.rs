//! Tables over BPF maps. They are BTF maps, so that bpftool and libbpf load the object too. Their names, rows and
//! capacities are those of `lb_common::maps`.
#![expect(unsafe_code, reason = "references into maps are only as valid as the kernel's rules make them")]

use aya_ebpf::{
    Global,
    btf_maps::{Array, ArrayOfMaps, DevMapHash, HashMap, LpmTrie, PerCpuArray, RingBuf, lpm_trie::Key},
    macros::btf_map,
};
use lb_common::{
    Be32, Counters, NextHop, Return4, Return4Key, RingHead, RingId, SLOTS, ServerEntry, ServerId, Slot, Stop,
    Unresolved, Vip, Vip4Key, VipId,
    hash::HashKey,
    maps::{
        EVENTS_BYTES, MAX_DEVICES, MAX_LOCAL, MAX_NEXT_HOPS, MAX_RINGS, MAX_ROUTES, MAX_SERVERS, MAX_STOPS, MAX_VIPS,
    },
    slots::HALVES,
};
use lb_ebpf::Tables;

#[btf_map]
static VIPS4: HashMap<Vip4Key, Vip, { MAX_VIPS as usize }> = HashMap::new();
#[btf_map]
static RING_HEADS: Array<RingHead, { MAX_RINGS as usize }> = Array::new();
#[btf_map]
static RINGS: ArrayOfMaps<Array<[Slot; SLOTS], { HALVES as usize }>, { MAX_RINGS as usize }> = ArrayOfMaps::new();
#[btf_map]
static SERVERS: Array<ServerEntry, { MAX_SERVERS as usize }> = Array::new();
#[btf_map]
static RETURNS4: HashMap<Return4Key, Return4, { MAX_SERVERS as usize }> = HashMap::new();
#[btf_map]
static NEXT_HOPS: Array<NextHop, { MAX_NEXT_HOPS as usize }> = Array::new();
#[btf_map]
static ROUTES4: LpmTrie<Be32, u32, { MAX_ROUTES as usize }> = LpmTrie::new();
#[btf_map]
static LOCAL4: HashMap<Be32, u32, { MAX_LOCAL as usize }> = HashMap::new();
#[btf_map]
static DEVICES: DevMapHash<{ MAX_DEVICES as usize }> = DevMapHash::new();
#[btf_map]
static VIP_COUNTERS: PerCpuArray<Counters, { MAX_VIPS as usize }> = PerCpuArray::new();
#[btf_map]
static SERVER_COUNTERS: PerCpuArray<Counters, { MAX_SERVERS as usize }> = PerCpuArray::new();
#[btf_map]
static STOP_COUNTERS: PerCpuArray<u64, { MAX_STOPS as usize }> = PerCpuArray::new();
/// Of nothing, as far as BTF says: libbpf refuses a ring buffer whose values have a type with a size.
#[btf_map]
static EVENTS: RingBuf<(), { EVENTS_BYTES as usize }> = RingBuf::new();

/// Set by the loader and frozen before the program runs.
#[unsafe(no_mangle)]
static HASH_KEY: Global<HashKey> = Global::new([0, 0]);

/// The maps of this object.
pub(crate) struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn hash_key(&self) -> HashKey {
        HASH_KEY.load()
    }

    #[inline(always)]
    fn vip4(&self, key: Vip4Key) -> Option<Vip> {
        // SAFETY: copied at once; an update puts a new element in place of the old one.
        unsafe { VIPS4.get(key) }.copied()
    }

    #[inline(always)]
    fn is_local4(&self, addr: Be32) -> bool {
        LOCAL4.get_ptr(addr).is_some()
    }

    #[inline(always)]
    fn return4(&self, key: Return4Key) -> Option<Return4> {
        // SAFETY: as in `vip4`.
        unsafe { RETURNS4.get(key) }.copied()
    }

    #[inline(always)]
    fn route4(&self, addr: Be32) -> Option<u32> {
        ROUTES4.get(&Key::new(u32::BITS, addr)).copied()
    }

    #[inline(always)]
    fn ring_head(&self, ring: RingId) -> Option<RingHead> {
        RING_HEADS.get(ring.into()).copied()
    }

    #[inline(always)]
    fn ring_half(&self, ring: RingId, half: u32) -> Option<&[Slot; SLOTS]> {
        RINGS.get_value(ring.into(), &half)
    }

    #[inline(always)]
    fn server(&self, server: ServerId) -> Option<ServerEntry> {
        SERVERS.get(server.into()).copied()
    }

    #[inline(always)]
    fn next_hop(&self, row: u32) -> Option<NextHop> {
        NEXT_HOPS.get(row).copied()
    }

    #[inline(always)]
    fn redirect(&self, ifindex: u32) -> bool {
        DEVICES.redirect(ifindex, 0).is_ok()
    }

    #[inline(always)]
    fn unresolved(&self, address: Be32) {
        // A full buffer means that enough is being asked for already; the packet is counted as stopped either way.
        let _full = EVENTS.output_untyped::<Unresolved>(Unresolved { address }, 0);
    }

    #[inline(always)]
    fn count_vip(&self, vip: VipId, count: impl FnOnce(&mut Counters)) {
        update(&VIP_COUNTERS, vip.into(), count);
    }

    #[inline(always)]
    fn count_server(&self, server: ServerId, count: impl FnOnce(&mut Counters)) {
        update(&SERVER_COUNTERS, server.into(), count);
    }

    #[inline(always)]
    fn count_stop(&self, stop: Stop) {
        update(&STOP_COUNTERS, stop as u32, |packets| *packets += 1);
    }
}

/// Changes this CPU's row of a map of counters.
#[inline(always)]
fn update<T, const ROWS: usize>(map: &PerCpuArray<T, ROWS>, row: u32, change: impl FnOnce(&mut T)) {
    if let Some(row) = map.get_ptr_mut(row) {
        // SAFETY: the row is this CPU's own, and the program is not interrupted by itself.
        change(unsafe { &mut *row });
    }
}
