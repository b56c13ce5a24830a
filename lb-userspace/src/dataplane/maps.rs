//! The planner's maps in the kernel. The worker writes them through descriptors that the supervisor handed over; the
//! command line reads them from the pins.

use super::{
    counters::CounterRows,
    flows::FlowTables,
    handed::{MapSource, from_fd},
    keys::{Rows, endpoint, key, returned},
    lookup::{LookupMap, wait_until_unread},
    raw::Raw,
    rings::{Halves, RingError},
    shape::{MapUnusable, Shape, io_error, typed},
    writer::{MapWriter, WriteError},
};
use crate::{
    model::Endpoint,
    plan::{
        Ring, Tables, Write,
        tables::{Return, Slots},
    },
};
use aya::maps::{Array, MapData, MapError};
use bytemuck::Zeroable as _;
use lb_common::{
    Be128, Note, RingHead, RingId, ServerEntry, ServerId, V4, V6, Vip,
    maps::{NOTE_COUNTERS, RING_HEADS, RINGS, SERVERS, SOURCES},
};
use std::{collections::BTreeMap, io, net::IpAddr, os::fd::OwnedFd, sync::Arc};
use tokio::time::Instant;

/// The planner's maps in the kernel.
pub struct KernelMaps {
    v4: FamilyMaps<V4>,
    v6: FamilyMaps<V6>,
    heads: Array<MapData, Raw<RingHead>>,
    servers: Array<MapData, Raw<ServerEntry>>,
    sources: Array<MapData, Raw<Be128>>,
    rings: BTreeMap<RingId, RingMap>,
    counters: CounterRows,
    flows: FlowTables,
}

struct RingMap {
    halves: Halves,
    /// When the half that is not live was live last, at the latest.
    retired: Instant,
}

impl KernelMaps {
    /// From descriptors that were handed over, which needs no capability, or from the pins.
    pub fn open(source: &impl MapSource) -> Result<Self, RingError> {
        let ring = |(ring, data)| Ok((ring, RingMap::new(typed(&format!("ring {ring}"), data)?)));
        Ok(Self {
            v4: FamilyMaps::open(source)?,
            v6: FamilyMaps::open(source)?,
            heads: typed(RING_HEADS, source.open(RING_HEADS)?)?,
            servers: typed(SERVERS, source.open(SERVERS)?)?,
            sources: typed(SOURCES, source.open(SOURCES)?)?,
            rings: source.open_rings()?.into_iter().map(ring).collect::<Result<_, MapUnusable>>()?,
            counters: CounterRows::open(source)?,
            flows: FlowTables::open(source)?,
        })
    }

    fn insert_ring(&mut self, ring: RingId, fd: &OwnedFd) -> Result<(), MapUnusable> {
        let name = format!("ring {ring}");
        self.rings.insert(ring, RingMap::new(typed(&name, from_fd(&name, Shape::of_ring(), fd)?)?));
        Ok(())
    }

    fn head(&self, ring: RingId) -> Result<RingHead, WriteError> {
        Ok(self.heads.get(&u32::from(ring), 0).map_err(|error| WriteError::Ring(ring, io_error(error)))?.0)
    }

    fn put_head(&mut self, ring: RingId, head: RingHead) -> Result<(), WriteError> {
        self.heads.set(u32::from(ring), Raw(head), 0).map_err(|error| WriteError::Ring(ring, io_error(error)))
    }

    fn put_half(&mut self, ring: RingId, slots: &Slots) -> Result<(), WriteError> {
        let idle = 1 - self.head(ring)?.half.min(1);
        self.rings
            .get_mut(&ring)
            .ok_or(WriteError::NoRing(ring))?
            .put(idle, slots)
            .map_err(|error| WriteError::Ring(ring, io_error(error)))
    }

    fn flip(&mut self, ring: RingId, identity: u64) -> Result<(), WriteError> {
        if !self.has_ring(ring) {
            return Err(WriteError::NoRing(ring)); // a head without a map would drop every packet of the backend
        }
        let half = 1 - self.head(ring)?.half.min(1);
        self.put_head(ring, RingHead { identity, half, ..RingHead::zeroed() })?;
        if let Some(map) = self.rings.get_mut(&ring) {
            map.retired = Instant::now();
        }
        Ok(())
    }

    /// The half stays as it is: packets of a VIP that was just removed may still read it.
    fn free_ring(&mut self, ring: RingId) -> Result<(), WriteError> {
        let half = self.head(ring)?.half;
        self.put_head(ring, RingHead { half, ..RingHead::zeroed() })
    }

    fn put_server(&mut self, id: ServerId, entry: ServerEntry) -> Result<(), WriteError> {
        self.servers.set(u32::from(id), Raw(entry), 0).map_err(|error| WriteError::Server(id, io_error(error)))
    }

    fn put_source(&mut self, row: u16, address: Be128) -> Result<(), WriteError> {
        self.sources.set(u32::from(row), Raw(address), 0).map_err(|error| WriteError::Source(row, io_error(error)))
    }

    fn put_vip(&mut self, key: Endpoint, vip: Vip) {
        if key.address.is_ipv4() { self.v4.put_vip(key, vip) } else { self.v6.put_vip(key, vip) }
    }

    fn remove_vip(&mut self, key: Endpoint) {
        if key.address.is_ipv4() { self.v4.remove_vip(key) } else { self.v6.remove_vip(key) }
    }

    fn put_return(&mut self, key: Endpoint, row: &Return) {
        if key.address.is_ipv4() { self.v4.put_return(key, row) } else { self.v6.put_return(key, row) }
    }

    fn remove_return(&mut self, key: Endpoint) {
        if key.address.is_ipv4() { self.v4.remove_return(key) } else { self.v6.remove_return(key) }
    }

    /// Carries out writes of one group: all that is gathered for lookup tables is seen at once.
    fn write_group(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        writes.iter().try_for_each(|write| self.write(write))?;
        self.v4.commit()?;
        self.v6.commit()
    }

    fn write(&mut self, write: &Write) -> Result<(), WriteError> {
        match write {
            Write::ZeroServer(id) => self.counters.zero_server(*id).map_err(|error| WriteError::Server(*id, error)),
            Write::ZeroVip(id) => self.counters.zero_vip(*id).map_err(|error| WriteError::VipCounters(*id, error)),
            Write::ForgetFlows(id) => {
                self.flows.forget(|server| server == *id).map(drop).map_err(|error| WriteError::Server(*id, error))
            }
            Write::PutServer(id, entry) => self.put_server(*id, *entry),
            Write::RemoveServer(id) => self.put_server(*id, ServerEntry::zeroed()),
            Write::PutSource(row, address) => self.put_source(*row, Be128::from(*address)),
            Write::RemoveSource(row) => self.put_source(*row, Be128::default()),
            Write::PutRingHalf(ring, slots) => self.put_half(*ring, slots),
            Write::FlipRing(ring, identity) => self.flip(*ring, *identity),
            Write::RemoveRing(ring) => self.free_ring(*ring),
            Write::PutVip(key, vip) => {
                self.put_vip(*key, *vip);
                Ok(())
            }
            Write::RemoveVip(key) => {
                self.remove_vip(*key);
                Ok(())
            }
            Write::PutReturn(key, row) => {
                self.put_return(*key, row);
                Ok(())
            }
            Write::RemoveReturn(key) => {
                self.remove_return(*key);
                Ok(())
            }
        }
    }

    fn read_servers(&self) -> Result<BTreeMap<ServerId, ServerEntry>, WriteError> {
        let rows = (0..)
            .zip(self.servers.iter())
            .map(|(id, row)| Ok((id, row.map_err(|error| read_error(SERVERS, error))?.0)));
        rows.filter(|row| !matches!(row, Ok((_, entry)) if entry.identity == 0)).collect()
    }

    fn read_sources(&self) -> Result<BTreeMap<u16, IpAddr>, WriteError> {
        let rows = (0..)
            .zip(self.sources.iter())
            .map(|(row, address)| Ok((row, address.map_err(|error| read_error(SOURCES, error))?.0)));
        let used = rows.filter(|row| !matches!(row, Ok((_, address)) if *address == Be128::default()));
        used.map(|row| row.map(|(row, address)| (row, address.ip()))).collect()
    }

    fn read_rings(&self) -> Result<BTreeMap<RingId, Ring>, WriteError> {
        let mut rings = BTreeMap::new();
        for (ring, head) in (0..).zip(self.heads.iter()) {
            let Raw(head) = head.map_err(|error| read_error(RING_HEADS, error))?;
            if head.identity != 0 {
                let map = self.rings.get(&ring).ok_or(WriteError::NoRing(ring))?;
                let Raw(slots) = map.halves.get(&head.half, 0).map_err(|error| read_error(RINGS, error))?;
                rings.insert(ring, Ring { identity: head.identity, slots: Arc::new(slots) });
            }
        }
        Ok(rings)
    }
}

impl MapWriter for KernelMaps {
    fn read(&mut self) -> Result<Tables, WriteError> {
        let (mut vips, mut returns) = self.v4.read();
        let of_v6 = self.v6.read();
        vips.extend(of_v6.0);
        returns.extend(of_v6.1);
        Ok(Tables {
            servers: self.read_servers()?,
            rings: self.read_rings()?,
            sources: self.read_sources()?,
            vips,
            returns,
        })
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        for group in writes.chunk_by(|one, other| group(one).is_some() && group(one) == group(other)) {
            if let Err(error) = self.write_group(group) {
                // Or a later group would let packets see what this one has not.
                self.v4.forget();
                self.v6.forget();
                return Err(error);
            }
        }
        Ok(())
    }

    fn refused(&self) -> Result<u64, WriteError> {
        let refused = |error| WriteError::Read(NOTE_COUNTERS, io::Error::other(error));
        Ok(self.counters.note(Note::FlowsFull).map_err(refused)?
            + self.counters.note(Note::BudgetSpent).map_err(refused)?)
    }

    fn has_ring(&self, ring: RingId) -> bool {
        self.rings.contains_key(&ring)
    }

    fn add_ring(&mut self, ring: RingId, map: OwnedFd) -> Result<(), WriteError> {
        self.insert_ring(ring, &map).map_err(|error| WriteError::Ring(ring, io::Error::other(error)))
    }
}

impl RingMap {
    /// Nothing is known of its past: the last daemon may have flipped it just now.
    fn new(halves: Halves) -> Self {
        Self { halves, retired: Instant::now() }
    }

    /// Writes the half that is not live, but not while a packet may still read it.
    fn put(&mut self, half: u32, slots: &Slots) -> Result<(), MapError> {
        wait_until_unread(self.retired);
        self.halves.set(half, Raw(**slots), 0)
    }
}

/// The lookup tables that a write is gathered for, if any. Those of one group that follow each other are one change.
const fn group(write: &Write) -> Option<usize> {
    match write {
        Write::PutVip(..) | Write::RemoveVip(_) => Some(0),
        Write::PutReturn(..) | Write::RemoveReturn(_) => Some(1),
        Write::ZeroServer(_)
        | Write::ZeroVip(_)
        | Write::ForgetFlows(_)
        | Write::PutServer(..)
        | Write::RemoveServer(_)
        | Write::PutSource(..)
        | Write::RemoveSource(_)
        | Write::PutRingHalf(..)
        | Write::FlipRing(..)
        | Write::RemoveRing(_) => None,
    }
}

/// The maps that each family has of its own.
struct FamilyMaps<F: Rows> {
    vips: LookupMap<F::VipLine>,
    returns: LookupMap<F::ReturnLine>,
}

/// VIPs and returns of a family.
type FamilyTables = (BTreeMap<Endpoint, Vip>, BTreeMap<Endpoint, Return>);

impl<F: Rows> FamilyMaps<F> {
    fn open(source: &impl MapSource) -> Result<Self, MapUnusable> {
        let [vips, returns, _] = F::TABLES;
        Ok(Self { vips: LookupMap::open(source, vips)?, returns: LookupMap::open(source, returns)? })
    }

    fn read(&self) -> FamilyTables {
        let vips = self.vips.entries().map(|(key, vip)| (endpoint::<F>(key), vip));
        let returns = self.returns.entries().map(|(key, row)| (endpoint::<F>(key), returned::<F>(&row)));
        (vips.collect(), returns.collect())
    }

    fn put_vip(&mut self, endpoint: Endpoint, vip: Vip) {
        self.vips.put(key::<F>(endpoint), vip);
    }

    fn remove_vip(&mut self, endpoint: Endpoint) {
        self.vips.remove(key::<F>(endpoint));
    }

    fn put_return(&mut self, endpoint: Endpoint, row: &Return) {
        self.returns.put(key::<F>(endpoint), F::return_row(row));
    }

    fn remove_return(&mut self, endpoint: Endpoint) {
        self.returns.remove(key::<F>(endpoint));
    }

    fn commit(&mut self) -> Result<(), WriteError> {
        let [vips, returns, _] = F::TABLES;
        self.vips.commit().map_err(|error| WriteError::Table(vips.lines, error))?;
        self.returns.commit().map_err(|error| WriteError::Table(returns.lines, error))
    }

    fn forget(&mut self) {
        self.vips.forget();
        self.returns.forget();
    }
}

fn read_error(name: &'static str, error: MapError) -> WriteError {
    WriteError::Read(name, io_error(error))
}
