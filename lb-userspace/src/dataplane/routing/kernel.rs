//! The maps that the supervisor writes, in the kernel.

use super::tables::{Change, RoutingTables, RowWriter};
use crate::dataplane::{
    pins::Pins,
    raw::Raw,
    shape::{MapUnusable, io_error, typed},
};
use aya::maps::{
    Array, HashMap, LpmTrie, MapData, MapError,
    lpm_trie::Key,
    xdp::{DevMapHash, XdpMapError},
};
use lb_common::{
    Be32, NextHop, Route4Key,
    maps::{DEVICES, LOCAL4, NEXT_HOPS, ROUTES4},
};
use std::io;

/// `NEXT_HOPS`, `ROUTES4`, `LOCAL4` and `DEVICES`.
pub struct RoutingMaps {
    next_hops: Array<MapData, Raw<NextHop>>,
    routes: LpmTrie<MapData, Raw<Be32>, u32>,
    local: HashMap<MapData, Raw<Be32>, u32>,
    devices: DevMapHash<MapData>,
}

impl RoutingMaps {
    /// Opens the maps that [`load`](crate::dataplane::load::load) pinned.
    pub fn open(pins: &Pins) -> Result<Self, MapUnusable> {
        Ok(Self {
            next_hops: typed(NEXT_HOPS, pins.open(NEXT_HOPS)?)?,
            routes: typed(ROUTES4, pins.open(ROUTES4)?)?,
            local: typed(LOCAL4, pins.open(LOCAL4)?)?,
            devices: typed(DEVICES, pins.open(DEVICES)?)?,
        })
    }

    fn read_maps(&self) -> Result<RoutingTables, MapError> {
        let mut tables = RoutingTables::default();
        for (row, next_hop) in (0..).zip(self.next_hops.iter()) {
            let Raw(next_hop) = next_hop?;
            if next_hop != NextHop::default() {
                tables.next_hops.insert(row, next_hop);
            }
        }
        for entry in &self.routes {
            let (key, row) = entry?;
            tables.routes.insert(Route4Key { prefix_len: key.prefix_len(), addr: key.data().0 }, row);
        }
        for address in self.local.keys() {
            tables.local.insert(address?.0);
        }
        for device in self.devices.keys() {
            tables.devices.insert(device?);
        }
        Ok(tables)
    }
}

impl RowWriter for RoutingMaps {
    fn read(&mut self) -> io::Result<RoutingTables> {
        self.read_maps().map_err(io_error)
    }

    fn write(&mut self, change: Change) -> io::Result<()> {
        let key = |prefix: Route4Key| Key::new(prefix.prefix_len, Raw(prefix.addr));
        match change {
            Change::NextHop(row, next_hop) => self.next_hops.set(u32::from(row), Raw(next_hop), 0).map_err(io_error),
            Change::Route(prefix, Some(row)) => self.routes.insert(&key(prefix), row, 0).map_err(io_error),
            Change::Route(prefix, None) => removed(self.routes.remove(&key(prefix))),
            Change::Local(address, true) => self.local.insert(Raw(address), 1, 0).map_err(io_error),
            Change::Local(address, false) => removed(self.local.remove(&Raw(address))),
            Change::Device(device, true) => self.devices.insert(device, device, None, 0).map_err(device_error),
            // The kernel itself removes a device that goes.
            Change::Device(device, false) => removed(self.devices.remove(device)),
        }
    }
}

fn device_error(error: XdpMapError) -> io::Error {
    if let XdpMapError::MapError(error) = error { io_error(error) } else { io::Error::other(error) }
}

fn removed(result: Result<(), MapError>) -> io::Result<()> {
    match result.map_err(io_error) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
