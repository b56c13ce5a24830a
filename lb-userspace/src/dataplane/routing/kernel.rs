//! The maps that the supervisor writes, in the kernel.

use super::tables::{Change, RoutingTables, RowWriter};
use crate::dataplane::{
    keys::Rows,
    lookup::LookupMap,
    pins::Pins,
    raw::Raw,
    shape::{MapUnusable, io_error, typed},
};
use aya::maps::{
    Array, LpmTrie, MapData, MapError,
    lpm_trie::Key,
    xdp::{DevMapHash, XdpMapError},
};
use ipnet::IpNet;
use lb_common::{
    Be16, Be128, NextHop, V4, V6,
    maps::{DEVICES, NEXT_HOPS, ROUTES4, ROUTES6},
};
use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

/// All of them.
pub struct RoutingMaps {
    next_hops: Array<MapData, Raw<NextHop>>,
    v4: FamilyMaps<V4>,
    v6: FamilyMaps<V6>,
    devices: DevMapHash<MapData>,
}

/// Those whose keys are addresses of one family.
struct FamilyMaps<F: Rows> {
    routes: LpmTrie<MapData, Raw<F::Addr>, u32>,
    local: LookupMap<F::LocalLine>,
}

impl RoutingMaps {
    /// Opens the maps that [`load`](crate::dataplane::load::load) pinned.
    pub fn open(pins: &Pins) -> Result<Self, MapUnusable> {
        Ok(Self {
            next_hops: typed(NEXT_HOPS, pins.open(NEXT_HOPS)?)?,
            v4: FamilyMaps::open(pins, ROUTES4)?,
            v6: FamilyMaps::open(pins, ROUTES6)?,
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
        self.v4.read(&mut tables, |address| address.ip().into())?;
        self.v6.read(&mut tables, |address| exactly(address).into())?;
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

    fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        let written = changes.iter().try_for_each(|change| self.write_one(*change));
        let written = written.and_then(|()| self.v4.local.commit()).and_then(|()| self.v6.local.commit());
        self.v4.local.forget();
        self.v6.local.forget();
        written
    }
}

impl RoutingMaps {
    fn write_one(&mut self, change: Change) -> io::Result<()> {
        match change {
            Change::NextHop(row, next_hop) => self.next_hops.set(u32::from(row), Raw(next_hop), 0).map_err(io_error),
            Change::Route(IpNet::V4(net), row) => self.v4.set_route(net.prefix_len(), net.addr().into(), row),
            Change::Route(IpNet::V6(net), row) => self.v6.set_route(net.prefix_len(), net.addr().into(), row),
            Change::Local(IpAddr::V4(address), present) => {
                self.v4.set_local(address.into(), present);
                Ok(())
            }
            Change::Local(IpAddr::V6(address), present) => {
                self.v6.set_local(address.into(), present);
                Ok(())
            }
            Change::Device(device, true) => self.devices.insert(device, device, None, 0).map_err(device_error),
            // The kernel itself removes a device that goes.
            Change::Device(device, false) => removed(self.devices.remove(device)),
        }
    }
}

impl<F: Rows> FamilyMaps<F> {
    fn open(pins: &Pins, routes: &str) -> Result<Self, MapUnusable> {
        let [.., local] = F::TABLES;
        Ok(Self { routes: typed(routes, pins.open(routes)?)?, local: LookupMap::open(pins, local)? })
    }

    fn read(&self, tables: &mut RoutingTables, ip: impl Fn(F::Addr) -> IpAddr) -> Result<(), MapError> {
        for entry in &self.routes {
            let (key, row) = entry?;
            let prefix_len = u8::try_from(key.prefix_len()).unwrap_or(u8::MAX);
            if let Ok(prefix) = IpNet::new(ip(key.data().0), prefix_len) {
                tables.routes.insert(prefix, row);
            }
        }
        tables.local.extend(self.local.entries().map(|(key, _)| ip(F::unpack_endpoint(key).0)));
        Ok(())
    }

    fn set_route(&mut self, prefix_len: u8, addr: F::Addr, row: Option<u32>) -> io::Result<()> {
        let key = Key::new(prefix_len.into(), Raw(addr));
        match row {
            Some(row) => self.routes.insert(&key, row, 0).map_err(io_error),
            None => removed(self.routes.remove(&key)),
        }
    }

    fn set_local(&mut self, addr: F::Addr, present: bool) {
        let key = F::endpoint(addr, Be16::new(0), 0);
        if present { self.local.put(key, 1) } else { self.local.remove(key) }
    }
}

/// An address of the maps of IPv6, also one that maps an IPv4 address.
fn exactly(address: Be128) -> Ipv6Addr {
    match address.ip() {
        IpAddr::V4(mapped) => mapped.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
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
