//! Makes the maps of a loaded object hold what tables in memory do.

use super::{COUNTED_ROWS, Half, Loaded};
use crate::raw::Raw;
use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    maps::{
        Array, ArrayOfMaps, HashMap, LpmTrie, Map, MapData, PerCpuArray, PerCpuValues, lpm_trie::Key, xdp::DevMapHash,
    },
    util::nr_cpus,
};
use bytemuck::{Pod, Zeroable};
use lb_common::{
    Bucket, Counters, Family,
    maps::{
        BUCKETS, CONNECTIONS4, CONNECTIONS6, DEVICES, FLOWS4, FLOWS6, FRAGMENTS4, FRAGMENTS6, HALF_OPEN4, HALF_OPEN6,
        HEARTBEAT, MAX_STOPS, NEXT_HOPS, NOTE_COUNTERS, RING_HEADS, RINGS, ROUTES4, ROUTES6, SERVER_COUNTERS, SERVERS,
        SOURCES, STOP_COUNTERS, VIP_COUNTERS,
    },
    slots::HALVES,
};
use lb_ebpf::testing::{MemoryFamily, MemoryTables};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    sync::Arc,
};

/// The maps of a family, but for its lookup tables.
pub(super) struct Names {
    routes: &'static str,
    pub(super) flows: &'static str,
    pub(super) connections: &'static str,
    pub(super) half_open: &'static str,
    pub(super) fragments: &'static str,
}

pub(super) const NAMES4: Names =
    Names { routes: ROUTES4, flows: FLOWS4, connections: CONNECTIONS4, half_open: HALF_OPEN4, fragments: FRAGMENTS4 };
pub(super) const NAMES6: Names =
    Names { routes: ROUTES6, flows: FLOWS6, connections: CONNECTIONS6, half_open: HALF_OPEN6, fragments: FRAGMENTS6 };

impl Loaded {
    /// Makes the maps hold these tables and nothing else, and sets the counters to zero.
    pub fn fill(&mut self, tables: &MemoryTables) -> Result<()> {
        self.change(tables)?;
        self.remember(&NAMES4, &tables.v4)?;
        self.remember(&NAMES6, &tables.v6)?;
        self.fill_buckets(tables)?;
        self.clear_counters()
    }

    /// Makes the maps that the daemon writes hold these tables. What the packet path wrote stays.
    pub fn change(&mut self, tables: &MemoryTables) -> Result<()> {
        let frozen = |tables: &MemoryTables| (tables.hash_key, tables.track_budget, tables.max_flows);
        ensure!(frozen(tables) == frozen(&self.filled), "these are frozen");
        let old = mem::replace(&mut self.filled, tables.clone());
        self.lookups.v4.fill(&old.v4, &tables.v4)?;
        self.lookups.v6.fill(&old.v6, &tables.v6)?;
        self.fill_routes(&NAMES4, &old.v4, &tables.v4)?;
        self.fill_routes(&NAMES6, &old.v6, &tables.v6)?;
        let mut devices: DevMapHash<_> = DevMapHash::try_from(self.map_mut(DEVICES)?)?;
        old.devices.difference(&tables.devices).try_for_each(|ifindex| devices.remove(*ifindex))?;
        tables.devices.difference(&old.devices).try_for_each(|ifindex| devices.insert(*ifindex, *ifindex, None, 0))?;
        fill_array(self.map_mut(SERVERS)?, &old.servers, &tables.servers)?;
        fill_array(self.map_mut(SOURCES)?, &old.sources, &tables.sources)?;
        fill_array(self.map_mut(NEXT_HOPS)?, &old.next_hops, &tables.next_hops)?;
        let heartbeat = |tables: &MemoryTables| BTreeMap::from([(0_u32, tables.heartbeat)]);
        fill_array(self.map_mut(HEARTBEAT)?, &heartbeat(&old), &heartbeat(tables))?;
        let heads = |tables: &MemoryTables| tables.rings.iter().map(|(id, ring)| (*id, ring.head)).collect();
        fill_array(self.map_mut(RING_HEADS)?, &heads(&old), &heads(tables))?;
        self.fill_rings(&old, tables)
    }

    fn fill_routes<F: Family>(&mut self, names: &Names, old: &MemoryFamily<F>, new: &MemoryFamily<F>) -> Result<()> {
        let mut routes: LpmTrie<_, Raw<F::Addr>, u32> = LpmTrie::try_from(self.map_mut(names.routes)?)?;
        let key = |(bits, addr): &(u32, F::Addr)| Key::new(*bits, Raw(*addr));
        for gone in old.routes.keys().filter(|key| !new.routes.contains_key(key)) {
            routes.remove(&key(gone))?;
        }
        for (prefix, row) in new.routes.iter().filter(|(key, row)| old.routes.get(key) != Some(row)) {
            routes.insert(&key(prefix), row, 0)?;
        }
        Ok(())
    }

    /// Makes the tables of the packet path hold what it remembers in memory.
    fn remember<F: Family>(&mut self, names: &Names, family: &MemoryFamily<F>) -> Result<()> {
        refill_hash(self.map_mut(names.flows)?, &family.flows.borrow())?;
        refill_hash(self.map_mut(names.connections)?, &family.connections.borrow())?;
        refill_hash(self.map_mut(names.half_open)?, &family.half_open.borrow())?;
        refill_hash(self.map_mut(names.fragments)?, &family.fragments.borrow())
    }

    /// Writes rings into maps that are kept: the kernel takes milliseconds to put another map into its place.
    fn fill_rings(&mut self, old: &MemoryTables, tables: &MemoryTables) -> Result<()> {
        for (id, ring) in &tables.rings {
            let (halves, is_new) = match self.rings.entry(*id) {
                Entry::Occupied(there) => (there.into_mut(), false),
                Entry::Vacant(free) => (free.insert(Array::create(HALVES, 0)?), true),
            };
            let before = old.rings.get(id).filter(|_| !is_new).map(|ring| &ring.halves);
            for ((number, slots), at) in (0..HALVES).zip(&ring.halves).zip(0..) {
                let same = before.and_then(|before| before.get(at)).is_some_and(|half| Arc::ptr_eq(half, slots));
                if !same {
                    halves.set(number, slots.map(Raw), 0)?;
                }
            }
        }
        let Self { ebpf, rings, placed, .. } = self;
        let map = ebpf.map_mut(RINGS).context("no rings")?;
        let mut outer: ArrayOfMaps<_, Array<MapData, Half>> = ArrayOfMaps::try_from(map)?;
        for (id, halves) in rings {
            if tables.rings.contains_key(id) && placed.insert(*id) {
                outer.set((*id).into(), halves, 0)?;
            }
        }
        // aya has no way to take a map out again.
        ensure!(placed.iter().all(|id| tables.rings.contains_key(id)), "a ring is missing that was there: load anew");
        Ok(())
    }

    /// Gives every CPU the buckets of these tables.
    pub fn fill_buckets(&mut self, tables: &MemoryTables) -> Result<()> {
        let buckets: [Bucket; _] = *tables.buckets.borrow();
        let cpus = cpus()?;
        let mut map: PerCpuArray<_, Raw<Bucket>> = PerCpuArray::try_from(self.map_mut(BUCKETS)?)?;
        for (row, bucket) in (0..).zip(buckets) {
            map.set(row, PerCpuValues::try_from(vec![Raw(bucket); cpus])?, 0)?;
        }
        Ok(())
    }

    fn clear_counters(&mut self) -> Result<()> {
        self.events()?;
        let cpus = cpus()?;
        for name in [VIP_COUNTERS, SERVER_COUNTERS] {
            let mut map: PerCpuArray<_, Raw<Counters>> = PerCpuArray::try_from(self.map_mut(name)?)?;
            for row in 0..COUNTED_ROWS {
                map.set(row, PerCpuValues::try_from(vec![Raw(Counters::default()); cpus])?, 0)?;
            }
        }
        for name in [STOP_COUNTERS, NOTE_COUNTERS] {
            let mut map: PerCpuArray<_, u64> = PerCpuArray::try_from(self.map_mut(name)?)?;
            for row in 0..MAX_STOPS {
                map.set(row, PerCpuValues::try_from(vec![0; cpus])?, 0)?;
            }
        }
        Ok(())
    }
}

fn cpus() -> Result<usize> {
    nr_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))
}

/// Empties a hash, whatever is in it, and fills it.
fn refill_hash<K: Pod, V: Pod>(map: &mut Map, new: &BTreeMap<K, V>) -> Result<()> {
    let mut map: HashMap<_, Raw<K>, Raw<V>> = HashMap::try_from(map)?;
    let there: Vec<Raw<K>> = map.keys().collect::<Result<_, _>>()?;
    there.iter().try_for_each(|key| map.remove(key))?;
    new.iter().try_for_each(|(key, value)| map.insert(Raw(*key), Raw(*value), 0))?;
    Ok(())
}

/// Writes what differs into an array, where rows that are absent are zero.
fn fill_array<K: Copy + Ord + Into<u32>, V: Pod + PartialEq>(
    map: &mut Map,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> Result<()> {
    let mut map: Array<_, Raw<V>> = Array::try_from(map)?;
    for key in old.keys().chain(new.keys()).filter(|key| old.get(key) != new.get(key)) {
        map.set((*key).into(), Raw(new.get(key).copied().unwrap_or_else(Zeroable::zeroed)), 0)?;
    }
    Ok(())
}
