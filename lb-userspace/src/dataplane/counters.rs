//! Counters: the kernel keeps one row a CPU, this sums them.

use super::{
    handed::MapSource,
    raw::Raw,
    shape::{MapUnusable, io_error, typed, unusable},
};
use crate::plan::Tables;
use aya::{
    Pod,
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::{
    Counters, Note, ServerId, Stop, VipId,
    maps::{NOTE_COUNTERS, SERVER_COUNTERS, STOP_COUNTERS, VIP_COUNTERS},
};
use std::{collections::BTreeMap, io};

/// Reads how many CPUs there may be, which a thread that looks at counters does once: before it may no longer open files. If it
/// cannot, opening the counters says so.
pub(crate) fn read_cpus() {
    drop(nr_cpus());
}

/// The counters in the kernel.
pub struct KernelCounters {
    vips: PerCpuArray<MapData, Raw<Counters>>,
    servers: PerCpuArray<MapData, Raw<Counters>>,
    stops: PerCpuArray<MapData, u64>,
    notes: PerCpuArray<MapData, u64>,
}

/// The counters as the planner needs them: it gives rows to other VIPs and servers, and hears what the flow table refused.
pub(super) struct CounterRows {
    vips: PerCpuArray<MapData, Raw<Counters>>,
    servers: PerCpuArray<MapData, Raw<Counters>>,
    notes: PerCpuArray<MapData, u64>,
    cpus: usize,
}

impl CounterRows {
    /// From descriptors that were handed over, which needs no capability, or from the pins.
    pub(super) fn open(source: &impl MapSource) -> Result<Self, MapUnusable> {
        let cpus = nr_cpus().map_err(|(file, error)| MapUnusable::Open(format!("of counters ({file})"), error))?;
        Ok(Self {
            vips: typed(VIP_COUNTERS, source.open(VIP_COUNTERS)?)?,
            servers: typed(SERVER_COUNTERS, source.open(SERVER_COUNTERS)?)?,
            notes: typed(NOTE_COUNTERS, source.open(NOTE_COUNTERS)?)?,
            cpus,
        })
    }

    /// How often that happened.
    pub(super) fn note(&self, note: Note) -> Result<u64, MapUnusable> {
        Ok(row(NOTE_COUNTERS, &self.notes, note as u32)?.iter().sum())
    }

    pub(super) fn zero_vip(&mut self, id: VipId) -> io::Result<()> {
        zero(&mut self.vips, id.into(), self.cpus)
    }

    pub(super) fn zero_server(&mut self, id: ServerId) -> io::Result<()> {
        zero(&mut self.servers, id.into(), self.cpus)
    }
}

fn zero(rows: &mut PerCpuArray<MapData, Raw<Counters>>, id: u32, cpus: usize) -> io::Result<()> {
    let row = PerCpuValues::try_from(vec![Raw(Counters::default()); cpus])?;
    rows.set(id, row, 0).map_err(io_error)
}

/// What was counted, summed over the CPUs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By VIP.
    pub vips: BTreeMap<VipId, Counters>,
    /// By server.
    pub servers: BTreeMap<ServerId, Counters>,
    /// Packets by reason, in the order of [`Stop::ALL`].
    pub stops: [u64; Stop::ALL.len()],
    /// Packets by what else happened to them, in the order of [`Note::ALL`].
    pub notes: [u64; Note::ALL.len()],
}

impl Totals {
    /// What was counted since `before`, without what was not.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            vips: rows_since(&self.vips, &before.vips),
            servers: rows_since(&self.servers, &before.servers),
            stops: std::array::from_fn(|row| difference(&self.stops, &before.stops, row)),
            notes: std::array::from_fn(|row| difference(&self.notes, &before.notes, row)),
        }
    }
}

fn difference(now: &[u64], before: &[u64], row: usize) -> u64 {
    now.get(row).copied().unwrap_or_default().wrapping_sub(before.get(row).copied().unwrap_or_default())
}

fn rows_since(now: &BTreeMap<u16, Counters>, before: &BTreeMap<u16, Counters>) -> BTreeMap<u16, Counters> {
    let since = |(id, now): (&u16, &Counters)| (*id, counters_since(*now, before.get(id).copied().unwrap_or_default()));
    now.iter().map(since).filter(|(_, counters)| *counters != Counters::default()).collect()
}

fn counters_since(now: Counters, before: Counters) -> Counters {
    Counters {
        packets: now.packets.wrapping_sub(before.packets),
        bytes: now.bytes.wrapping_sub(before.bytes),
        connections: now.connections.wrapping_sub(before.connections),
        return_packets: now.return_packets.wrapping_sub(before.return_packets),
        return_bytes: now.return_bytes.wrapping_sub(before.return_bytes),
        accepted: now.accepted.wrapping_sub(before.accepted),
        resets: now.resets.wrapping_sub(before.resets),
    }
}

impl KernelCounters {
    /// All that was counted for the VIPs and servers in `tables`.
    pub fn totals(&self, tables: &Tables) -> Result<Totals, MapUnusable> {
        Ok(Totals {
            vips: self.vips(tables.counted_vips().into_keys())?,
            servers: self.servers(tables.servers.keys().copied())?,
            stops: self.stops()?,
            notes: self.notes()?,
        })
    }

    /// From descriptors that were handed over, which needs no capability, or from the pins.
    pub fn open(source: &impl MapSource) -> Result<Self, MapUnusable> {
        Ok(Self {
            vips: typed(VIP_COUNTERS, source.open(VIP_COUNTERS)?)?,
            servers: typed(SERVER_COUNTERS, source.open(SERVER_COUNTERS)?)?,
            stops: typed(STOP_COUNTERS, source.open(STOP_COUNTERS)?)?,
            notes: typed(NOTE_COUNTERS, source.open(NOTE_COUNTERS)?)?,
        })
    }

    /// What was counted for these VIPs. Costs a system call a VIP.
    pub fn vips(&self, ids: impl IntoIterator<Item = VipId>) -> Result<BTreeMap<VipId, Counters>, MapUnusable> {
        ids.into_iter().map(|id| Ok((id, total(&row(VIP_COUNTERS, &self.vips, u32::from(id))?)))).collect()
    }

    /// What was counted for these servers. Costs a system call a server.
    pub fn servers(
        &self,
        ids: impl IntoIterator<Item = ServerId>,
    ) -> Result<BTreeMap<ServerId, Counters>, MapUnusable> {
        ids.into_iter().map(|id| Ok((id, total(&row(SERVER_COUNTERS, &self.servers, u32::from(id))?)))).collect()
    }

    /// Packets that stopped early, by [`Stop`], in the order of [`Stop::ALL`].
    pub fn stops(&self) -> Result<[u64; Stop::ALL.len()], MapUnusable> {
        rows(STOP_COUNTERS, &self.stops)
    }

    /// What else happened to packets, by [`Note`], in the order of [`Note::ALL`].
    pub fn notes(&self) -> Result<[u64; Note::ALL.len()], MapUnusable> {
        rows(NOTE_COUNTERS, &self.notes)
    }
}

/// The first rows of a map of numbers.
fn rows<const N: usize>(name: &str, map: &PerCpuArray<MapData, u64>) -> Result<[u64; N], MapUnusable> {
    let mut totals = [0; N];
    for (id, total) in (0..).zip(&mut totals) {
        *total = row(name, map, id)?.iter().sum();
    }
    Ok(totals)
}

fn row<T: Pod>(name: &str, map: &PerCpuArray<MapData, T>, id: u32) -> Result<PerCpuValues<T>, MapUnusable> {
    map.get(&id, 0).map_err(|error| unusable(name, error))
}

fn total(row: &[Raw<Counters>]) -> Counters {
    row.iter().fold(Counters::default(), |mut total, Raw(counters)| {
        total += *counters;
        total
    })
}
