//! The kernel object, loaded with the maps that a golden row describes.

use crate::raw::Raw;
use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{
        Array, ArrayOfMaps, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuValues, RingBuf, lpm_trie::Key,
        xdp::DevMapHash,
    },
    programs::{TestRun as _, TestRunOptions, Xdp},
    util::nr_cpus,
};
use bytemuck::{Pod, Zeroable};
use lb_common::{
    Bucket, Counters, End, Family, RingId, SLOTS, Slot, Stop, Unresolved,
    hash::HashKey,
    maps::{
        BUCKETS, CONNECTIONS4, CONNECTIONS6, DEVICES, EVENTS, FLOWS4, FLOWS6, FRAGMENTS4, FRAGMENTS6, LOCAL4, LOCAL6,
        NEXT_HOPS, NOTE_COUNTERS, RETURNS4, RETURNS6, RING_HEADS, RINGS, ROUTES4, ROUTES6, SERVER_COUNTERS, SERVERS,
        SOURCES, STOP_COUNTERS, VIP_COUNTERS, VIPS4, VIPS6,
    },
    slots::HALVES,
};
use lb_ebpf::{
    Verdict,
    testing::{Counted, MemoryFamily, MemoryTables},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

/// The entry point's name in the object.
pub const PROGRAM: &str = "sluice";

/// Rows of counters that the tests use; the maps have more.
const COUNTED_ROWS: u32 = 128;
/// Room behind a frame, which the kernel wants for whatever a program may add.
const SLACK: usize = 256;

const ABORTED: u32 = 0;
const DROP: u32 = 1;
/// What an XDP program answers to leave the frame to the stack.
pub const PASS: u32 = 2;
/// What an XDP program answers to have the frame leave by the interface that it came in by.
pub const TX: u32 = 3;
const REDIRECT: u32 = 4;

type Half = [Raw<Slot>; SLOTS];

/// One loaded object.
pub struct Loaded {
    ebpf: Ebpf,
    hash_key: HashKey,
    /// What the maps hold.
    filled: MemoryTables,
    /// The maps of the rings.
    rings: BTreeMap<RingId, Array<MapData, Half>>,
    /// Those of them that are in `RINGS`.
    placed: BTreeSet<RingId>,
}

/// What the program answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Rewritten, and on its way to another machine.
    Sent(Verdict),
    /// Left to the stack.
    Passed,
    /// Thrown away.
    Dropped,
}

impl Action {
    /// What the kernel must answer where the host's run came out so.
    pub fn of(outcome: Result<Verdict, Stop>) -> Self {
        match outcome {
            Ok(verdict) => Self::Sent(verdict),
            Err(stop) => match stop.end() {
                End::Pass => Self::Passed,
                End::Drop => Self::Dropped,
                End::Answer => Self::Sent(Verdict::Transmit),
            },
        }
    }
}

impl Loaded {
    /// Loads the object of this build with these tables.
    pub fn with(tables: &MemoryTables) -> Result<Self> {
        Self::from_bytes(lb_userspace::dataplane::object::object()?, tables, &[])
    }

    /// Loads another object with the same maps, some of them with room for another number of entries.
    pub fn from_bytes(object: &[u8], tables: &MemoryTables, room: &[(&str, u32)]) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        for (map, entries) in room {
            loader.map_max_entries(map, *entries);
        }
        let ebpf = loader.override_global("HASH_KEY", &tables.hash_key, true).load(object)?;
        let mut loaded = Self {
            ebpf,
            hash_key: tables.hash_key,
            filled: MemoryTables::default(),
            rings: BTreeMap::new(),
            placed: BTreeSet::new(),
        };
        loaded.fill(tables)?;
        loaded.program_mut()?.load()?;
        Ok(loaded)
    }

    /// Runs the program once over a frame, and returns the frame afterwards.
    pub fn run(&self, ingress: u32, input: &[u8]) -> Result<(Action, Vec<u8>)> {
        let mut output = vec![0; input.len() + SLACK];
        let context = context(ingress, input.len())?;
        let result = self.program()?.test_run(TestRunOptions {
            data_in: Some(input),
            data_out: Some(&mut output),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        })?;
        output.truncate(result.data_size_out as usize);
        let action = match result.return_value {
            TX => Action::Sent(Verdict::Transmit),
            REDIRECT => Action::Sent(Verdict::Redirect),
            PASS => Action::Passed,
            DROP => Action::Dropped,
            ABORTED => return Err(anyhow!("aborted")),
            other => return Err(anyhow!("unknown action {other}")),
        };
        Ok((action, output))
    }

    /// Mean time of one of `repeat` runs, each of which takes the output of the one before.
    pub fn time(&self, input: &[u8], repeat: u32) -> Result<Duration> {
        let options = TestRunOptions { data_in: Some(input), repeat, ..TestRunOptions::default() };
        Ok(self.program()?.test_run(options)?.duration)
    }

    /// Adds up the counters of all CPUs, and takes the events.
    pub fn counted(&self) -> Result<Counted> {
        let rows = |name: &str| -> Result<BTreeMap<u16, Counters>> {
            let map: PerCpuArray<_, Raw<Counters>> = PerCpuArray::try_from(self.map(name)?)?;
            let mut rows = BTreeMap::new();
            for row in 0..COUNTED_ROWS {
                let mut sum = Counters::default();
                map.get(&row, 0)?.iter().for_each(|cpu| sum += cpu.0);
                if sum != Counters::default() {
                    rows.insert(u16::try_from(row)?, sum);
                }
            }
            Ok(rows)
        };
        let packets = |name: &str| -> Result<BTreeMap<u32, u64>> {
            let map: PerCpuArray<_, u64> = PerCpuArray::try_from(self.map(name)?)?;
            let mut rows = BTreeMap::new();
            for row in 0..map.len() {
                let sum: u64 = map.get(&row, 0)?.iter().sum();
                if sum > 0 {
                    rows.insert(row, sum);
                }
            }
            Ok(rows)
        };
        let unresolved = self.events()?.iter().map(|event| event.address).collect();
        Ok(Counted {
            vips: rows(VIP_COUNTERS)?,
            servers: rows(SERVER_COUNTERS)?,
            stops: packets(STOP_COUNTERS)?,
            notes: packets(NOTE_COUNTERS)?,
            unresolved,
        })
    }

    /// Takes what the program said since it was asked last.
    fn events(&self) -> Result<Vec<Unresolved>> {
        let mut buffer = RingBuf::try_from(self.map(EVENTS)?)?;
        let mut events = Vec::new();
        while let Some(record) = buffer.next() {
            events.push(bytemuck::try_pod_read_unaligned(&record).map_err(|error| anyhow!("a record: {error}"))?);
        }
        Ok(events)
    }

    /// Instructions that the verifier walked through.
    pub fn verified_instructions(&self) -> Result<u32> {
        self.program()?.info()?.verified_instruction_count().context("kernel does not say")
    }

    /// The map of a ring's halves.
    pub fn ring(&self, ring: RingId) -> Result<MapData> {
        let rings: ArrayOfMaps<_, MapData> = ArrayOfMaps::try_from(self.map(RINGS)?)?;
        Ok(rings.get(&ring.into(), 0)?)
    }

    /// Makes the maps hold these tables and nothing else, and sets the counters to zero.
    pub fn fill(&mut self, tables: &MemoryTables) -> Result<()> {
        ensure!(tables.hash_key == self.hash_key, "the key is frozen");
        let old = mem::replace(&mut self.filled, tables.clone());
        self.fill_family(&V4_MAPS, &old.v4, &tables.v4)?;
        self.fill_family(&V6_MAPS, &old.v6, &tables.v6)?;
        let mut devices: DevMapHash<_> = DevMapHash::try_from(self.map_mut(DEVICES)?)?;
        old.devices.iter().try_for_each(|ifindex| devices.remove(*ifindex))?;
        for ifindex in &tables.devices {
            devices.insert(*ifindex, *ifindex, None, 0)?;
        }
        self.fill_arrays(&old, tables)?;
        self.fill_rings(tables)?;
        self.clear_counters()
    }

    fn fill_family<F: Family>(
        &mut self,
        maps: &FamilyMaps,
        old: &MemoryFamily<F>,
        tables: &MemoryFamily<F>,
    ) -> Result<()> {
        self.replace(maps.vips, &tables.vips)?;
        self.replace(maps.returns, &tables.returns)?;
        self.replace(maps.local, &tables.local.iter().map(|addr| (*addr, 1_u32)).collect())?;
        self.replace(maps.flows, &tables.flows.borrow())?;
        self.replace(maps.connections, &tables.connections.borrow())?;
        self.replace(maps.fragments, &tables.fragments.borrow())?;
        let mut routes: LpmTrie<_, Raw<F::Addr>, u32> = LpmTrie::try_from(self.map_mut(maps.routes)?)?;
        old.routes.keys().try_for_each(|(bits, addr)| routes.remove(&Key::new(*bits, Raw(*addr))))?;
        for ((bits, addr), row) in &tables.routes {
            routes.insert(&Key::new(*bits, Raw(*addr)), row, 0)?;
        }
        Ok(())
    }

    /// Makes a HASH hold these rows and no others, whoever wrote what is there.
    fn replace<K: Pod + Ord, V: Pod>(&mut self, name: &str, rows: &BTreeMap<K, V>) -> Result<()> {
        let map: HashMap<_, Raw<K>, Raw<V>> = HashMap::try_from(self.map_mut(name)?)?;
        replace(map, rows)
    }

    fn fill_arrays(&mut self, old: &MemoryTables, tables: &MemoryTables) -> Result<()> {
        let mut servers: Array<_, Raw<_>> = Array::try_from(self.map_mut(SERVERS)?)?;
        for id in old.servers.keys().chain(tables.servers.keys()) {
            let server = tables.servers.get(id).copied().unwrap_or_else(Zeroable::zeroed);
            servers.set((*id).into(), Raw(server), 0)?;
        }
        let mut next_hops: Array<_, Raw<_>> = Array::try_from(self.map_mut(NEXT_HOPS)?)?;
        for row in old.next_hops.keys().chain(tables.next_hops.keys()) {
            next_hops.set(*row, Raw(tables.next_hops.get(row).copied().unwrap_or_default()), 0)?;
        }
        let mut sources: Array<_, Raw<_>> = Array::try_from(self.map_mut(SOURCES)?)?;
        for row in old.sources.keys().chain(tables.sources.keys()) {
            sources.set(*row, Raw(tables.sources.get(row).copied().unwrap_or_default()), 0)?;
        }
        let mut heads: Array<_, Raw<_>> = Array::try_from(self.map_mut(RING_HEADS)?)?;
        for ring in old.rings.keys().chain(tables.rings.keys()) {
            heads.set((*ring).into(), Raw(tables.rings.get(ring).map(|ring| ring.head).unwrap_or_default()), 0)?;
        }
        Ok(())
    }

    /// Writes rings into maps that are kept: the kernel takes milliseconds to put another map into its place.
    fn fill_rings(&mut self, tables: &MemoryTables) -> Result<()> {
        for (id, ring) in &tables.rings {
            if !self.rings.contains_key(id) {
                self.rings.insert(*id, Array::create(HALVES, 0)?);
            }
            let halves = self.rings.get_mut(id).context("just made")?;
            for (half, slots) in (0..HALVES).zip(&ring.halves) {
                halves.set(half, slots.map(Raw), 0)?;
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

    fn clear_counters(&mut self) -> Result<()> {
        self.events()?;
        let cpus = nr_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))?;
        for name in [VIP_COUNTERS, SERVER_COUNTERS] {
            let mut map: PerCpuArray<_, Raw<Counters>> = PerCpuArray::try_from(self.map_mut(name)?)?;
            for row in 0..COUNTED_ROWS {
                map.set(row, PerCpuValues::try_from(vec![Raw(Counters::default()); cpus])?, 0)?;
            }
        }
        let mut buckets: PerCpuArray<_, Raw<Bucket>> = PerCpuArray::try_from(self.map_mut(BUCKETS)?)?;
        for row in 0..buckets.len() {
            buckets.set(row, PerCpuValues::try_from(vec![Raw(Bucket::default()); cpus])?, 0)?;
        }
        for name in [STOP_COUNTERS, NOTE_COUNTERS] {
            let mut map: PerCpuArray<_, u64> = PerCpuArray::try_from(self.map_mut(name)?)?;
            for row in 0..map.len() {
                map.set(row, PerCpuValues::try_from(vec![0; cpus])?, 0)?;
            }
        }
        Ok(())
    }

    fn map(&self, name: &str) -> Result<&aya::maps::Map> {
        self.ebpf.map(name).with_context(|| format!("no map {name}"))
    }

    fn map_mut(&mut self, name: &str) -> Result<&mut aya::maps::Map> {
        self.ebpf.map_mut(name).with_context(|| format!("no map {name}"))
    }

    /// The program.
    pub fn program(&self) -> Result<&Xdp> {
        Ok(self.ebpf.program(PROGRAM).context("no program")?.try_into()?)
    }

    fn program_mut(&mut self) -> Result<&mut Xdp> {
        Ok(self.ebpf.program_mut(PROGRAM).context("no program")?.try_into()?)
    }
}

/// Makes a map hold these rows and no others.
fn replace<K: Pod + Ord, V: Pod>(mut map: HashMap<&mut MapData, Raw<K>, Raw<V>>, rows: &BTreeMap<K, V>) -> Result<()> {
    let there = map.keys().collect::<Result<Vec<_>, _>>()?;
    for key in there.iter().filter(|key| !rows.contains_key(&key.0)) {
        map.remove(key)?;
    }
    for (key, value) in rows {
        map.insert(Raw(*key), Raw(*value), 0)?;
    }
    Ok(())
}

/// The maps of a family, by name.
struct FamilyMaps {
    vips: &'static str,
    local: &'static str,
    returns: &'static str,
    routes: &'static str,
    flows: &'static str,
    connections: &'static str,
    fragments: &'static str,
}

const V4_MAPS: FamilyMaps = FamilyMaps {
    vips: VIPS4,
    local: LOCAL4,
    returns: RETURNS4,
    routes: ROUTES4,
    flows: FLOWS4,
    connections: CONNECTIONS4,
    fragments: FRAGMENTS4,
};
const V6_MAPS: FamilyMaps = FamilyMaps {
    vips: VIPS6,
    local: LOCAL6,
    returns: RETURNS6,
    routes: ROUTES6,
    flows: FLOWS6,
    connections: CONNECTIONS6,
    fragments: FRAGMENTS6,
};

/// `struct xdp_md`: the frame's bounds, its metadata (none), interface and queue of arrival, and no interface of departure.
fn context(ingress: u32, length: usize) -> Result<Vec<u8>> {
    let length = u32::try_from(length)?;
    ensure!(length >= 14, "the kernel takes no frame shorter than an Ethernet header");
    Ok([0, length, 0, ingress, 0, 0].map(u32::to_ne_bytes).concat())
}
