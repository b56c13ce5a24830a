//! Counters: the kernel keeps one row a CPU, this sums them.

use super::{
    pins::Pins,
    raw::Raw,
    shape::{MapUnusable, Shape, descriptor, from_fd, typed, unusable},
};
use crate::plan::Tables;
use aya::{
    Pod,
    maps::{MapData, PerCpuArray, PerCpuValues},
};
use lb_common::{
    Counters, ServerId, Stop, VipId,
    maps::{SERVER_COUNTERS, STOP_COUNTERS, VIP_COUNTERS},
};
use std::{collections::BTreeMap, os::fd::OwnedFd};

/// The descriptors of the counters.
#[derive(Debug)]
pub struct CounterMaps {
    /// `VIP_COUNTERS`.
    pub vips: OwnedFd,
    /// `SERVER_COUNTERS`.
    pub servers: OwnedFd,
    /// `STOP_COUNTERS`.
    pub stops: OwnedFd,
}

impl CounterMaps {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapUnusable> {
        let open = |name| descriptor(name, &pins.open(name)?);
        Ok(Self { vips: open(VIP_COUNTERS)?, servers: open(SERVER_COUNTERS)?, stops: open(STOP_COUNTERS)? })
    }
}

/// The counters in the kernel.
pub struct KernelCounters {
    vips: PerCpuArray<MapData, Raw<Counters>>,
    servers: PerCpuArray<MapData, Raw<Counters>>,
    stops: PerCpuArray<MapData, u64>,
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
}

impl KernelCounters {
    /// All that was counted for the VIPs and servers in `tables`.
    pub fn totals(&self, tables: &Tables) -> Result<Totals, MapUnusable> {
        let vips = tables.vips.iter().filter(|(key, _)| !key.is_address_entry()).map(|(_, vip)| vip.id);
        Ok(Totals {
            vips: self.vips(vips)?,
            servers: self.servers(tables.servers.keys().copied())?,
            stops: self.stops()?,
        })
    }

    /// From descriptors that were handed over. Needs no capability.
    pub fn from_fds(fds: CounterMaps) -> Result<Self, MapUnusable> {
        Ok(Self {
            vips: from_fd(VIP_COUNTERS, Shape::of(VIP_COUNTERS)?, fds.vips)?,
            servers: from_fd(SERVER_COUNTERS, Shape::of(SERVER_COUNTERS)?, fds.servers)?,
            stops: from_fd(STOP_COUNTERS, Shape::of(STOP_COUNTERS)?, fds.stops)?,
        })
    }

    /// From the pins, for the command line.
    pub fn from_pins(pins: &Pins) -> Result<Self, MapUnusable> {
        Ok(Self {
            vips: typed(VIP_COUNTERS, pins.open(VIP_COUNTERS)?)?,
            servers: typed(SERVER_COUNTERS, pins.open(SERVER_COUNTERS)?)?,
            stops: typed(STOP_COUNTERS, pins.open(STOP_COUNTERS)?)?,
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
        let mut stops = [0; Stop::ALL.len()];
        for (stop, total) in Stop::ALL.into_iter().zip(&mut stops) {
            *total = row(STOP_COUNTERS, &self.stops, stop as u32)?.iter().sum();
        }
        Ok(stops)
    }
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
