//! The kernel object, loaded with the maps that a golden row describes.

mod fill;
mod lookups;
mod remembered;

pub use remembered::Remembered;

use crate::raw::Raw;
use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, MapData, PerCpuArray, RingBuf},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use lb_common::{
    Counters, End, RingId, SLOTS, Slot, Stop, Unresolved,
    maps::{
        CONNECTIONS4, CONNECTIONS6, EVENTS, FLOWS4, FLOWS6, FRAGMENTS4, FRAGMENTS6, HALF_OPEN4, HALF_OPEN6, MAX_STOPS,
        NOTE_COUNTERS, RINGS, SERVER_COUNTERS, STOP_COUNTERS, VIP_COUNTERS,
    },
};
use lb_ebpf::{
    Verdict,
    testing::{Counted, MemoryTables},
};
use lb_userspace::dataplane::load::verify;
use lookups::Lookups;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The entry point's name in the object.
pub const PROGRAM: &str = "sluice";

/// Rows of counters that the tests use; the maps have more.
const COUNTED_ROWS: u32 = 128;
/// Room behind a frame, which the kernel wants for whatever a program may add.
const SLACK: usize = 256;
/// Entries of the tables that remember flows. Real ones have more, and take longer to look through.
const ENTRIES: u32 = 4_096;

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
    lookups: Lookups,
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
    /// On its way to another machine, rewritten, or back to its sender with an answer.
    Sent(Verdict),
    /// Left to the stack.
    Passed,
    /// Thrown away.
    Dropped,
}

impl Action {
    /// What the kernel must answer where the host's run came out so.
    pub fn of(outcome: Result<Verdict, Stop>) -> Self {
        match outcome.map_err(Stop::end) {
            Ok(verdict) => Self::Sent(verdict),
            Err(End::Answer) => Self::Sent(Verdict::Transmit),
            Err(End::Pass) => Self::Passed,
            Err(End::Drop) => Self::Dropped,
        }
    }
}

impl Loaded {
    /// Loads the object of this build with these tables, and little room for flows.
    pub fn with(tables: &MemoryTables) -> Result<Self> {
        let flows = u32::try_from(tables.max_flows).map_or(ENTRIES, |flows| flows.min(ENTRIES));
        let room = [
            (FLOWS4, flows),
            (FLOWS6, flows),
            (CONNECTIONS4, ENTRIES),
            (CONNECTIONS6, ENTRIES),
            (HALF_OPEN4, ENTRIES),
            (HALF_OPEN6, ENTRIES),
            (FRAGMENTS4, ENTRIES),
            (FRAGMENTS6, ENTRIES),
        ];
        Self::from_bytes(lb_userspace::dataplane::object::object()?, tables, &room)
    }

    /// Loads another object with the same maps, some of them with room for another number of entries.
    pub fn from_bytes(object: &[u8], tables: &MemoryTables, room: &[(&str, u32)]) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.override_global("HASH_KEY", &tables.hash_key, true);
        loader.override_global("TRACK_BUDGET", &tables.track_budget, true);
        for (name, entries) in room {
            loader.map_max_entries(name, *entries);
        }
        let ebpf = loader.load(object)?;
        let mut nothing = MemoryTables::default();
        (nothing.hash_key, nothing.track_budget) = (tables.hash_key, tables.track_budget);
        nothing.max_flows = tables.max_flows;
        let lookups = Lookups::open(&ebpf)?;
        let mut loaded = Self { ebpf, lookups, filled: nothing, rings: BTreeMap::new(), placed: BTreeSet::new() };
        loaded.fill(tables)?;
        verify(loaded.program_mut()?)?;
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
        let numbers = |name: &str| -> Result<BTreeMap<u32, u64>> {
            let map: PerCpuArray<_, u64> = PerCpuArray::try_from(self.map(name)?)?;
            let mut numbers = BTreeMap::new();
            for row in 0..MAX_STOPS {
                let sum: u64 = map.get(&row, 0)?.iter().sum();
                if sum > 0 {
                    numbers.insert(row, sum);
                }
            }
            Ok(numbers)
        };
        Ok(Counted {
            vips: rows(VIP_COUNTERS)?,
            servers: rows(SERVER_COUNTERS)?,
            stops: numbers(STOP_COUNTERS)?,
            notes: numbers(NOTE_COUNTERS)?,
            unresolved: self.events()?.iter().map(|event| event.address).collect(),
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

/// `struct xdp_md`: the frame's bounds, its metadata (none), interface and queue of arrival, and no interface of departure.
fn context(ingress: u32, length: usize) -> Result<Vec<u8>> {
    let length = u32::try_from(length)?;
    ensure!(length >= 14, "the kernel takes no frame shorter than an Ethernet header");
    Ok([0, length, 0, ingress, 0, 0].map(u32::to_ne_bytes).concat())
}
