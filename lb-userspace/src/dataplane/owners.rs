//! Whose the rows of the counters are: a row that gets another owner starts at zero, so that nobody is shown what a VIP
//! or server before him did.

use super::{
    handed::MapSource,
    raw::Raw,
    shape::{MapUnusable, io_error, typed},
};
use crate::model::Endpoint;
use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::{
    Counters, ServerId, VipId,
    maps::{SERVER_COUNTERS, VIP_COUNTERS},
};
use std::{collections::BTreeMap, io};

type Rows = PerCpuArray<MapData, Raw<Counters>>;

/// The rows of `VIP_COUNTERS` and `SERVER_COUNTERS`, and whom they were given to last, as far as we know.
pub(super) struct Owners {
    vip_rows: Rows,
    server_rows: Rows,
    cpus: usize,
    vips: BTreeMap<VipId, Endpoint>,
    servers: BTreeMap<ServerId, u64>,
}

impl Owners {
    /// Over descriptors that were handed over, which needs no capability, or over the pins.
    pub(super) fn open(source: &impl MapSource) -> Result<Self, MapUnusable> {
        let cpus = nr_cpus().map_err(|(file, error)| MapUnusable::Open(format!("of counters ({file})"), error))?;
        Ok(Self {
            vip_rows: typed(VIP_COUNTERS, source.open(VIP_COUNTERS)?)?,
            server_rows: typed(SERVER_COUNTERS, source.open(SERVER_COUNTERS)?)?,
            cpus,
            vips: BTreeMap::new(),
            servers: BTreeMap::new(),
        })
    }

    /// Gives row `id` to the VIP of `key`. `installed`: whether `VIPS4` or `VIPS6` says now that it is its row.
    pub(super) fn give_vip(&mut self, id: VipId, key: Endpoint, installed: bool) -> io::Result<()> {
        if self.vips.get(&id).map_or(installed, |owner| *owner == key) {
            return Ok(());
        }
        zero(&mut self.vip_rows, id.into(), self.cpus)?;
        self.vips.insert(id, key);
        Ok(())
    }

    /// Gives row `id` to the server of that identity. `installed`: the identity that `SERVERS` has there now.
    pub(super) fn give_server(&mut self, id: ServerId, identity: u64, installed: u64) -> io::Result<()> {
        if *self.servers.get(&id).unwrap_or(&installed) == identity {
            return Ok(());
        }
        zero(&mut self.server_rows, id.into(), self.cpus)?;
        self.servers.insert(id, identity);
        Ok(())
    }
}

fn zero(rows: &mut Rows, id: u32, cpus: usize) -> io::Result<()> {
    let row = PerCpuValues::try_from(vec![Raw(Counters::default()); cpus])?;
    rows.set(id, row, 0).map_err(io_error)
}
