//! Kernel and host agree on generated packets, one after the other, while the tables change: 200,000 in every run of the
//! tests, a tenth where the kernel is emulated, as many as wanted with `SLUICE_PACKETS`, from another `SLUICE_SEED`.
//! `cargo xtask test --differential` runs ten million.

use crate::{
    agreement::{Fate, Kernels, agree, left_alike},
    namespace,
};
use anyhow::{Context as _, Result, ensure};
use lb_common::{End, Note, Stop, hash::mix};
use lb_ebpf::testing::{Counted, MemoryTables};
use lb_tests::object::Loaded;
use lb_tests_traffic::{holds::Passage, random::Random, traffic::Traffic, worlds};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use std::{collections::BTreeMap, env, str::FromStr};

/// Packets in an ordinary run.
const PACKETS: u64 = 200_000;
/// Packets in an emulated kernel, which needs many times as long for each.
const EMULATED: u64 = PACKETS / 10;
/// Packets between two worlds: fewer than the tables of flows have room for.
const SEQUENCE: u64 = 1_000;
/// Packets between two fillings of the buckets: fewer than a bucket holds.
const BUCKET: u64 = 100;
const SEED: u64 = 0x51_07_ce;

/// What came of all packets.
#[derive(Debug, Default)]
struct Figures {
    sent: u64,
    passed: u64,
    dropped: u64,
    answered: u64,
    changes: u64,
    stops: BTreeMap<u32, u64>,
    notes: BTreeMap<u32, u64>,
}

impl Figures {
    fn add(&mut self, fate: &Fate, counted: &Counted) {
        *match fate.outcome.map_err(Stop::end) {
            Ok(_) => &mut self.sent,
            Err(End::Pass) => &mut self.passed,
            Err(End::Drop) => &mut self.dropped,
            Err(End::Answer) => &mut self.answered,
        } += 1;
        counted.stops.iter().for_each(|(row, times)| *self.stops.entry(*row).or_default() += times);
        counted.notes.iter().for_each(|(row, times)| *self.notes.entry(*row).or_default() += times);
    }
}

#[test]
fn on_generated_packets() -> Result<()> {
    namespace::enter()?;
    stay_on_one_cpu()?;
    let otherwise = if namespace::is_prepared() { EMULATED } else { PACKETS };
    let (packets, seed) = (asked("SLUICE_PACKETS", otherwise)?, asked("SLUICE_SEED", SEED)?);
    let (mut kernels, mut figures) = (Kernels::default(), Figures::default());
    for sequence in 0..packets.div_ceil(SEQUENCE) {
        let seed = mix(seed ^ sequence);
        run(&mut kernels, seed, &mut figures).with_context(|| format!("sequence {sequence}, seed {seed:#x}"))?;
    }
    println!("{packets} packets from seed {seed:#x}: {figures:?}");
    ensure!(figures.sent > packets / 4, "only {} packets were sent", figures.sent);
    if packets < PACKETS {
        return Ok(()); // not enough for what is rare
    }
    // Or the generator makes no traffic worth its name. There is always room in front of these frames, and no client has so
    // many flows that eight of them take each other's ports.
    let missing: Vec<Stop> =
        Stop::ALL.into_iter().filter(|stop| !figures.stops.contains_key(&(*stop as u32))).collect();
    ensure!(
        // The last takes a VIP that refuses, all of whose servers are down: rarer than one in so many packets.
        missing.iter().all(|stop| {
            matches!(stop, Stop::NoRoom | Stop::PortsExhausted | Stop::BadTables)
                || *stop == Stop::Refused && packets <= PACKETS
        }),
        "none ended in {missing:?}"
    );
    let missing: Vec<Note> =
        Note::ALL.into_iter().filter(|note| !figures.notes.contains_key(&(*note as u32))).collect();
    ensure!(missing.is_empty(), "no {missing:?}");
    Ok(())
}

/// A world and its packets.
fn run(kernels: &mut Kernels, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut random = Random::new(seed);
    let mut tables = worlds::random(&mut random);
    let mut traffic = Traffic::new(Random::new(mix(seed)));
    let loaded = kernels.holding(&tables)?;
    let mut all = Counted::default();
    for number in 0..SEQUENCE {
        if random.one_in(100) {
            worlds::change(&mut random, &mut tables);
            loaded.change(&tables)?;
            figures.changes += 1;
        }
        if number.is_multiple_of(BUCKET) {
            *tables.buckets.get_mut() = MemoryTables::default().buckets.take();
            loaded.fill_buckets(&tables)?;
        }
        one(loaded, &tables, &mut traffic, (&mut all, figures)).with_context(|| format!("packet {number}"))?;
    }
    *tables.counted.get_mut() = all;
    left_alike(loaded, &tables)
}

fn one(
    loaded: &Loaded,
    tables: &MemoryTables,
    traffic: &mut Traffic,
    (all, figures): (&mut Counted, &mut Figures),
) -> Result<()> {
    let (ingress, input) = traffic.frame();
    let fate = agree(loaded, tables, ingress, &input)?;
    let counted = tables.counted.take();
    let Fate { outcome, bytes: output } = &fate;
    let passage = Passage { tables, counted: &counted, ingress, input: &input, outcome: *outcome, output };
    if let Some(broken) = passage.broken() {
        anyhow::bail!("{broken}: {outcome:?}, {counted:?}\n{input:02x?}\n{output:02x?}");
    }
    if outcome.is_ok() {
        traffic.saw(output);
    }
    figures.add(&fate, &counted);
    add(all, counted);
    Ok(())
}

fn add(all: &mut Counted, one: Counted) {
    for (row, counters) in one.vips {
        *all.vips.entry(row).or_default() += counters;
    }
    for (row, counters) in one.servers {
        *all.servers.entry(row).or_default() += counters;
    }
    for (row, packets) in one.stops {
        *all.stops.entry(row).or_default() += packets;
    }
    for (row, packets) in one.notes {
        *all.notes.entry(row).or_default() += packets;
    }
    all.unresolved.extend(one.unresolved);
}

/// What an environment variable says, if it says anything.
fn asked<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(name: &str, otherwise: T) -> Result<T> {
    env::var(name).map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{name}={text}")))
}

/// Each CPU has buckets of its own.
fn stay_on_one_cpu() -> Result<()> {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    Ok(sched_setaffinity(None, &here)?)
}
