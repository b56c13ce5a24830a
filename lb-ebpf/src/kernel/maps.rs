//! Tables over BPF maps. They are BTF maps, so that bpftool and libbpf load the object too. Their names, rows and
//! capacities are those of `lb_common::maps`.
#![expect(unsafe_code, reason = "references into maps are only as valid as the kernel's rules make them")]

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_NOEXIST},
    btf_maps::{Array, ArrayOfMaps, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, lpm_trie::Key},
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::btf_map,
};
use lb_common::{
    Be16, Be32, Be128, Bucket, Connection4, Connection6, Counters, Family, Flow, FlowKey4, FlowKey6, Fragment4,
    Fragment6, FragmentKey4, FragmentKey6, Heartbeat, NextHop, Note, RingHead, RingId, SLOTS, ServerEntry, ServerId,
    Slot, Stop, Unresolved, V4, V6, Vip, VipId,
    bucket::BUCKETS as MAX_BUCKETS,
    flow::{ConnectionRow, REFRESH},
    hash::HashKey,
    lookup::{Line, LocalLine4, LocalLine6, ReturnLine4, ReturnLine6, VipLine4, VipLine6, lines_of, row},
    maps::{
        EVENTS_BYTES, MAX_CONNECTIONS4, MAX_CONNECTIONS6, MAX_DEVICES, MAX_FLOWS4, MAX_FLOWS6, MAX_FRAGMENTS,
        MAX_HALF_OPEN, MAX_LOCAL, MAX_NEXT_HOPS, MAX_RINGS, MAX_ROUTES, MAX_SERVERS, MAX_SOURCES, MAX_STOPS, MAX_VIPS,
        Scratch,
    },
    slots::HALVES,
};
use lb_ebpf::{Shared, Stage, Tables, Touch};

#[btf_map]
static LIVE_HALVES: Array<u32, { row::LIVE as usize }> = Array::new();
#[btf_map]
static VIPS4: Array<VipLine4, { 2 * MAX_VIPS as usize }> = Array::new();
#[btf_map]
static VIPS6: Array<VipLine6, { 2 * MAX_VIPS as usize }> = Array::new();
#[btf_map]
static RING_HEADS: Array<RingHead, { MAX_RINGS as usize }> = Array::new();
#[btf_map]
static RINGS: ArrayOfMaps<Array<[Slot; SLOTS], { HALVES as usize }>, { MAX_RINGS as usize }> = ArrayOfMaps::new();
#[btf_map]
static SERVERS: Array<ServerEntry, { MAX_SERVERS as usize }> = Array::new();
#[btf_map]
static RETURNS4: Array<ReturnLine4, { 2 * MAX_SERVERS as usize }> = Array::new();
#[btf_map]
static RETURNS6: Array<ReturnLine6, { 2 * MAX_SERVERS as usize }> = Array::new();
#[btf_map]
static SOURCES: Array<Be128, { MAX_SOURCES as usize }> = Array::new();
#[btf_map]
static HEARTBEAT: Array<Heartbeat, 1> = Array::new();
#[btf_map]
static FLOWS4: HashMap<FlowKey4, Flow, { MAX_FLOWS4 as usize }> = HashMap::new();
#[btf_map]
static FLOWS6: HashMap<FlowKey6, Flow, { MAX_FLOWS6 as usize }> = HashMap::new();
#[btf_map]
static CONNECTIONS4: LruHashMap<FlowKey4, Connection4, { MAX_CONNECTIONS4 as usize }> = LruHashMap::new();
#[btf_map]
static CONNECTIONS6: LruHashMap<FlowKey6, Connection6, { MAX_CONNECTIONS6 as usize }> = LruHashMap::new();
#[btf_map]
static HALF_OPEN4: LruHashMap<FlowKey4, Connection4, { MAX_HALF_OPEN as usize }> = LruHashMap::new();
#[btf_map]
static HALF_OPEN6: LruHashMap<FlowKey6, Connection6, { MAX_HALF_OPEN as usize }> = LruHashMap::new();
#[btf_map]
static FRAGMENTS4: LruHashMap<FragmentKey4, Fragment4, { MAX_FRAGMENTS as usize }> = LruHashMap::new();
#[btf_map]
static FRAGMENTS6: LruHashMap<FragmentKey6, Fragment6, { MAX_FRAGMENTS as usize }> = LruHashMap::new();
#[btf_map]
static NEXT_HOPS: Array<NextHop, { MAX_NEXT_HOPS as usize }> = Array::new();
#[btf_map]
static ROUTES4: LpmTrie<Be32, u32, { MAX_ROUTES as usize }> = LpmTrie::new();
#[btf_map]
static ROUTES6: LpmTrie<Be128, u32, { MAX_ROUTES as usize }> = LpmTrie::new();
#[btf_map]
static LOCAL_HALVES: Array<u32, { row::LOCAL as usize }> = Array::new();
#[btf_map]
static LOCAL4: Array<LocalLine4, { 2 * MAX_LOCAL as usize }> = Array::new();
#[btf_map]
static LOCAL6: Array<LocalLine6, { 2 * MAX_LOCAL as usize }> = Array::new();
#[btf_map]
static DEVICES: DevMapHash<{ MAX_DEVICES as usize }> = DevMapHash::new();
#[btf_map]
static BUCKETS: PerCpuArray<Bucket, { MAX_BUCKETS as usize }> = PerCpuArray::new();
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();
#[btf_map]
static VIP_COUNTERS: PerCpuArray<Counters, { MAX_VIPS as usize }> = PerCpuArray::new();
#[btf_map]
static SERVER_COUNTERS: PerCpuArray<Counters, { MAX_SERVERS as usize }> = PerCpuArray::new();
#[btf_map]
static STOP_COUNTERS: PerCpuArray<u64, { MAX_STOPS as usize }> = PerCpuArray::new();
#[btf_map]
static NOTE_COUNTERS: PerCpuArray<u64, { MAX_STOPS as usize }> = PerCpuArray::new();
/// Of nothing, as far as BTF says: libbpf refuses a ring buffer whose values have a type with a size.
#[btf_map]
static EVENTS: RingBuf<(), { EVENTS_BYTES as usize }> = RingBuf::new();

/// Set by the loader and frozen before the program runs.
#[unsafe(no_mangle)]
static HASH_KEY: Global<HashKey> = Global::new([0, 0]);
/// Set by the loader and frozen before the program runs.
#[unsafe(no_mangle)]
static TRACK_BUDGET: Global<u32> = Global::new(20_000);

/// The maps of this object.
pub(crate) struct Maps;

impl Shared for Maps {
    #[inline(always)]
    fn hash_key(&self) -> HashKey {
        HASH_KEY.load()
    }

    #[inline(always)]
    fn track_budget(&self) -> u32 {
        TRACK_BUDGET.load()
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: takes nothing and returns a number.
        unsafe { bpf_ktime_get_coarse_ns() }
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
    fn server(&self, server: ServerId) -> Option<&ServerEntry> {
        SERVERS.get(server.into())
    }

    #[inline(always)]
    fn source(&self, row: u32) -> Option<Be128> {
        SOURCES.get(row).copied()
    }

    #[inline(always)]
    fn heartbeat(&self) -> Heartbeat {
        HEARTBEAT.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn next_hop(&self, row: u32) -> Option<&NextHop> {
        NEXT_HOPS.get(row)
    }

    #[inline(always)]
    fn redirect(&self, ifindex: u32) -> bool {
        DEVICES.redirect(ifindex, 0).is_ok()
    }

    #[inline(always)]
    fn unresolved(&self, address: Be128) {
        // A full buffer means that enough is being asked for already; the packet is counted as stopped either way.
        let _full = EVENTS.output_untyped::<Unresolved>(Unresolved { address }, 0);
    }

    #[inline(always)]
    fn keep<T: Copy + 'static>(&self, value: T) {
        if let Some(place) = scratch::<T>() {
            // SAFETY: the row is this CPU's own, large enough (`scratch` says so at compile time), and aligned for it.
            unsafe { place.write(value) }
        }
    }

    #[inline(always)]
    fn kept<T: Copy + 'static, R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        // SAFETY: as in `keep`; the packet path asks only for what it kept for this very packet.
        scratch::<T>().map(|place| look(unsafe { &mut *place }))
    }

    #[inline(always)]
    fn bucket(&self, row: u32, take: impl FnOnce(&mut Bucket) -> bool) -> bool {
        let mut taken = false;
        update(&BUCKETS, row, |bucket| taken = take(bucket));
        taken
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

    #[inline(always)]
    fn note(&self, note: Note) {
        update(&NOTE_COUNTERS, note as u32, |packets| *packets += 1);
    }
}

/// The maps of a family are alike but for their names.
macro_rules! tables {
    ($family:ident, $vips:ident, $local:ident, $returns:ident, $routes:ident, $flows:ident, $connections:ident,
     $half_open:ident, $fragments:ident, $bits:literal) => {
        impl Tables<$family> for Maps {
            #[inline(always)]
            fn vip(&self, key: &<$family as Family>::Endpoint) -> Option<Vip> {
                look_up(&$vips, LIVE_HALVES.get(row::$vips), key)
            }

            #[inline(always)]
            fn is_local(&self, addr: <$family as Family>::Addr) -> bool {
                look_up(&$local, LOCAL_HALVES.get(row::$local), &$family::endpoint(addr, Be16::new(0), 0)).is_some()
            }

            #[inline(always)]
            fn returns(&self, key: &<$family as Family>::Endpoint) -> Option<<$family as Family>::Return> {
                look_up(&$returns, LIVE_HALVES.get(row::$returns), key)
            }

            #[inline(always)]
            fn route(&self, addr: <$family as Family>::Addr) -> Option<u32> {
                let prefix = Prefix { in_front: 0, key: Key::new($bits, addr) };
                $routes.get(&prefix.key).copied()
            }

            #[inline(always)]
            fn flow<R>(&self, key: &<$family as Family>::FlowKey, look: impl FnOnce(&mut Flow) -> R) -> Option<R> {
                let flow = $flows.get_ptr_mut(key)?;
                // SAFETY: the element stays one of this map while the program runs. Another CPU may write the same few
                // numbers at the same time; any of them is right.
                Some(look(unsafe { &mut *flow }))
            }

            #[inline(always)]
            fn put_flow(&self, key: &<$family as Family>::FlowKey, flow: &Flow) -> bool {
                $flows.insert(key, flow, BPF_ANY.into()).is_ok()
            }

            #[inline(always)]
            fn connection(
                &self,
                stage: Stage,
                key: &<$family as Family>::FlowKey,
                touch: Touch,
            ) -> Option<ConnectionRow<<$family as Family>::Addr>> {
                let row = match stage {
                    Stage::HalfOpen => $half_open.get_ptr_mut(key),
                    Stage::Established => $connections.get_ptr_mut(key),
                }?;
                // SAFETY: the memory stays that of an element while the program runs. The table may give it to another
                // connection meanwhile, when it is full and this one was not seen for long: then a packet of the one may meet
                // the ends of the other, as with every LRU map of the kernel.
                let row = unsafe { &mut *row };
                let found = $family::unpack_connection(row);
                if let Touch::At { now, closing } = touch
                    && (now.wrapping_sub(row.last) >= REFRESH || closing & !row.marks != 0)
                {
                    row.last = now;
                    row.marks |= closing;
                }
                Some(found)
            }

            #[inline(always)]
            fn put_connection(
                &self,
                stage: Stage,
                key: &<$family as Family>::FlowKey,
                row: &<$family as Family>::Connection,
            ) {
                // A table that is full makes room by itself.
                let _always = match stage {
                    Stage::HalfOpen => $half_open.insert(key, row, BPF_ANY.into()),
                    Stage::Established => $connections.insert(key, row, BPF_ANY.into()),
                };
            }

            #[inline(always)]
            fn add_connection(
                &self,
                stage: Stage,
                key: &<$family as Family>::FlowKey,
                row: &<$family as Family>::Connection,
            ) -> bool {
                let added = match stage {
                    Stage::HalfOpen => $half_open.insert(key, row, BPF_NOEXIST.into()),
                    Stage::Established => $connections.insert(key, row, BPF_NOEXIST.into()),
                };
                added.is_ok()
            }

            #[inline(always)]
            fn remove_half_open(&self, key: &<$family as Family>::FlowKey) {
                // It may have been forgotten already.
                let _gone = $half_open.remove(key);
            }

            #[inline(always)]
            fn fragment(&self, key: &<$family as Family>::FragmentKey) -> Option<<$family as Family>::Fragment> {
                // SAFETY: copied at once.
                unsafe { $fragments.get(key) }.copied()
            }

            #[inline(always)]
            fn put_fragment(&self, key: &<$family as Family>::FragmentKey, row: &<$family as Family>::Fragment) {
                // As in `put_connection`.
                let _always = $fragments.insert(key, row, BPF_ANY.into());
            }
        }
    };
}

tables!(V4, VIPS4, LOCAL4, RETURNS4, ROUTES4, FLOWS4, CONNECTIONS4, HALF_OPEN4, FRAGMENTS4, 32);
tables!(V6, VIPS6, LOCAL6, RETURNS6, ROUTES6, FLOWS6, CONNECTIONS6, HALF_OPEN6, FRAGMENTS6, 128);

/// A prefix whose address is aligned on the stack: the compiler writes it in words of 64 bits, and the verifier wants these
/// aligned.
#[repr(C, align(8))]
struct Prefix<A> {
    in_front: u32,
    key: Key<A>,
}

/// What a lookup table knows of a key.
#[inline(always)]
fn look_up<L: Line, const LINES: usize>(map: &Array<L, LINES>, live: Option<&u32>, key: &L::Key) -> Option<L::Value> {
    #[expect(clippy::cast_possible_truncation, reason = "far below")]
    let lines = const { LINES as u32 / 2 };
    let live = if *live? == 0 { 0 } else { lines };
    let [first, second] = lines_of(key, lines);
    if let Some(found) = map.get(live + first)?.get(key) {
        return Some(found);
    }
    map.get(live + second)?.get(key)
}

/// This CPU's row of `SCRATCH`, as a `T`.
#[inline(always)]
fn scratch<T>() -> Option<*mut T> {
    const { assert!(size_of::<T>() <= size_of::<Scratch>() && align_of::<T>() <= align_of::<Scratch>()) };
    SCRATCH.get_ptr_mut(0).map(|row| row.cast())
}

/// Changes this CPU's row of a map of counters.
#[inline(always)]
fn update<T, const ROWS: usize>(map: &PerCpuArray<T, ROWS>, row: u32, change: impl FnOnce(&mut T)) {
    if let Some(row) = map.get_ptr_mut(row) {
        // SAFETY: the row is this CPU's own, and the program is not interrupted by itself.
        change(unsafe { &mut *row });
    }
}
