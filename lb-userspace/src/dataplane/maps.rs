//! The worker writes the planner's maps through descriptors that the supervisor handed over.

use super::{
    counters::CounterMaps,
    owners::Owners,
    pins::Pins,
    raw::Raw,
    rings::{Halves, RingError, RingMaps},
    shape::{MapUnusable, Shape, descriptor, from_fd, io_error, typed},
    writer::{MapWriter, WriteError},
};
use crate::plan::{Ring, Tables, Write, tables::Slots};
use aya::maps::{Array, HashMap, MapData, MapError};
use bytemuck::Zeroable as _;
use lb_common::{
    Return4, Return4Key, RingHead, RingId, ServerEntry, ServerId, Vip, Vip4Key,
    maps::{RETURNS4, RING_HEADS, RINGS, SERVER_COUNTERS, SERVERS, STOP_COUNTERS, VIP_COUNTERS, VIPS4},
};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// How long a half that was live may still be read: a packet's way through the program takes microseconds.
const STILL_READ: Duration = Duration::from_millis(1);

/// The descriptors that a worker gets. No program, no link, nothing that the supervisor writes.
#[derive(Debug)]
pub struct WorkerMaps {
    /// What the worker writes.
    pub tables: TableMaps,
    /// What the worker reads.
    pub counters: CounterMaps,
}

/// The descriptors of the planner's maps.
#[derive(Debug)]
pub struct TableMaps {
    /// `VIPS4`.
    pub vips: OwnedFd,
    /// `RING_HEADS`.
    pub heads: OwnedFd,
    /// `SERVERS`.
    pub servers: OwnedFd,
    /// `RETURNS4`.
    pub returns: OwnedFd,
    /// The inner maps of `RINGS`.
    pub rings: Vec<(RingId, OwnedFd)>,
}

impl WorkerMaps {
    /// All but the rings, as the supervisor sends them: a name and a descriptor each.
    pub fn named(&self) -> [(&'static str, BorrowedFd<'_>); 7] {
        let Self { tables: TableMaps { vips, heads, servers, returns, rings: _ }, counters } = self;
        [
            (VIPS4, vips.as_fd()),
            (RING_HEADS, heads.as_fd()),
            (SERVERS, servers.as_fd()),
            (RETURNS4, returns.as_fd()),
            (VIP_COUNTERS, counters.vips.as_fd()),
            (SERVER_COUNTERS, counters.servers.as_fd()),
            (STOP_COUNTERS, counters.stops.as_fd()),
        ]
    }

    /// Back from what [`named`](Self::named) gave.
    pub fn from_named(mut fds: BTreeMap<String, OwnedFd>, rings: Vec<(RingId, OwnedFd)>) -> Result<Self, MapUnusable> {
        let mut take = |name: &str| fds.remove(name).ok_or_else(|| MapUnusable::Unknown(name.to_owned()));
        Ok(Self {
            tables: TableMaps {
                vips: take(VIPS4)?,
                heads: take(RING_HEADS)?,
                servers: take(SERVERS)?,
                returns: take(RETURNS4)?,
                rings,
            },
            counters: CounterMaps {
                vips: take(VIP_COUNTERS)?,
                servers: take(SERVER_COUNTERS)?,
                stops: take(STOP_COUNTERS)?,
            },
        })
    }

    /// The supervisor opens the maps that [`load`](super::load::load) pinned, to hand them over.
    pub fn open(pins: &Pins, rings: &RingMaps) -> Result<Self, RingError> {
        let open = |name| descriptor(name, &pins.open(name)?);
        let tables = TableMaps {
            vips: open(VIPS4)?,
            heads: open(RING_HEADS)?,
            servers: open(SERVERS)?,
            returns: open(RETURNS4)?,
            rings: rings.all()?,
        };
        Ok(Self { tables, counters: CounterMaps::open(pins)? })
    }
}

/// The planner's maps in the kernel.
pub struct KernelMaps {
    vips: HashMap<MapData, Raw<Vip4Key>, Raw<Vip>>,
    heads: Array<MapData, Raw<RingHead>>,
    servers: Array<MapData, Raw<ServerEntry>>,
    returns: HashMap<MapData, Raw<Return4Key>, Raw<Return4>>,
    rings: BTreeMap<RingId, RingMap>,
    owners: Owners,
}

struct RingMap {
    halves: Halves,
    /// When the half that is not live was live last, at the latest.
    retired: Instant,
}

impl KernelMaps {
    /// From descriptors that were handed over. Needs no capability. `counters`, because a row that a write gives to another
    /// VIP or server starts to count anew.
    pub fn from_fds(fds: TableMaps, counters: &CounterMaps) -> Result<Self, MapUnusable> {
        let mut maps = Self {
            vips: from_fd(VIPS4, Shape::of(VIPS4)?, fds.vips)?,
            heads: from_fd(RING_HEADS, Shape::of(RING_HEADS)?, fds.heads)?,
            servers: from_fd(SERVERS, Shape::of(SERVERS)?, fds.servers)?,
            returns: from_fd(RETURNS4, Shape::of(RETURNS4)?, fds.returns)?,
            rings: BTreeMap::new(),
            owners: Owners::from_fds(counters)?,
        };
        fds.rings.into_iter().try_for_each(|(ring, fd)| maps.insert_ring(ring, fd))?;
        Ok(maps)
    }

    /// From the pins, for the command line.
    pub fn from_pins(pins: &Pins) -> Result<Self, RingError> {
        let ring = |ring| -> Result<_, MapUnusable> { Ok((ring, RingMap::new(typed("ring", pins.open_ring(ring)?)?))) };
        Ok(Self {
            vips: typed(VIPS4, pins.open(VIPS4)?)?,
            heads: typed(RING_HEADS, pins.open(RING_HEADS)?)?,
            servers: typed(SERVERS, pins.open(SERVERS)?)?,
            returns: typed(RETURNS4, pins.open(RETURNS4)?)?,
            rings: pins.ringed()?.into_iter().map(ring).collect::<Result<_, _>>()?,
            owners: Owners::from_pins(pins)?,
        })
    }

    fn insert_ring(&mut self, ring: RingId, fd: OwnedFd) -> Result<(), MapUnusable> {
        self.rings.insert(ring, RingMap::new(from_fd(&format!("ring {ring}"), Shape::of_ring(), fd)?));
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
        let refused = |error| WriteError::Server(id, error);
        let Raw(installed) = self.servers.get(&u32::from(id), 0).map_err(|error| refused(io_error(error)))?;
        self.owners.give_server(id, entry.identity, installed.identity).map_err(refused)?;
        self.set_server(id, entry)
    }

    fn set_server(&mut self, id: ServerId, entry: ServerEntry) -> Result<(), WriteError> {
        self.servers.set(u32::from(id), Raw(entry), 0).map_err(|error| WriteError::Server(id, io_error(error)))
    }

    fn put_vip(&mut self, key: Vip4Key, vip: Vip) -> Result<(), WriteError> {
        let refused = |error| WriteError::Vip(key, error);
        if !key.is_address_entry() {
            let installed = self.vips.get(&Raw(key), 0).is_ok_and(|Raw(installed)| installed.id == vip.id);
            self.owners.give_vip(vip.id, key, installed).map_err(refused)?;
        }
        self.vips.insert(Raw(key), Raw(vip), 0).map_err(|error| refused(io_error(error)))
    }

    fn write(&mut self, write: &Write) -> Result<(), WriteError> {
        match write {
            Write::PutServer(id, entry) => self.put_server(*id, *entry),
            Write::RemoveServer(id) => self.set_server(*id, ServerEntry::zeroed()),
            Write::PutRingHalf(ring, slots) => self.put_half(*ring, slots),
            Write::FlipRing(ring, identity) => self.flip(*ring, *identity),
            Write::RemoveRing(ring) => self.free_ring(*ring),
            Write::PutVip(key, vip) => self.put_vip(*key, *vip),
            Write::RemoveVip(key) => {
                removed(self.vips.remove(&Raw(*key))).map_err(|error| WriteError::Vip(*key, error))
            }
            Write::PutReturn(key, value) => {
                self.returns.insert(Raw(*key), Raw(*value), 0).map_err(|error| WriteError::Return(io_error(error)))
            }
            Write::RemoveReturn(key) => removed(self.returns.remove(&Raw(*key))).map_err(WriteError::Return),
        }
    }

    fn read_servers(&self) -> Result<BTreeMap<ServerId, ServerEntry>, WriteError> {
        let rows = (0..)
            .zip(self.servers.iter())
            .map(|(id, row)| Ok((id, row.map_err(|error| read_error(SERVERS, error))?.0)));
        rows.filter(|row| !matches!(row, Ok((_, entry)) if entry.identity == 0)).collect()
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
        Ok(Tables {
            servers: self.read_servers()?,
            rings: self.read_rings()?,
            vips: read_hash(VIPS4, &self.vips)?,
            returns: read_hash(RETURNS4, &self.returns)?,
        })
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        writes.iter().try_for_each(|write| self.write(write))
    }

    fn has_ring(&self, ring: RingId) -> bool {
        self.rings.contains_key(&ring)
    }

    fn add_ring(&mut self, ring: RingId, map: OwnedFd) -> Result<(), WriteError> {
        self.insert_ring(ring, map).map_err(|error| WriteError::Ring(ring, io::Error::other(error)))
    }
}

impl RingMap {
    /// Nothing is known of its past: the last daemon may have flipped it just now.
    fn new(halves: Halves) -> Self {
        Self { halves, retired: Instant::now() }
    }

    /// Writes the half that is not live, but not while a packet may still read it.
    fn put(&mut self, half: u32, slots: &Slots) -> Result<(), MapError> {
        thread::sleep(STILL_READ.saturating_sub(self.retired.elapsed()));
        self.halves.set(half, Raw(**slots), 0)
    }
}

fn read_hash<K: bytemuck::Pod + Ord, V: bytemuck::Pod>(
    name: &'static str,
    map: &HashMap<MapData, Raw<K>, Raw<V>>,
) -> Result<BTreeMap<K, V>, WriteError> {
    map.iter().map(|row| row.map(|(key, value)| (key.0, value.0)).map_err(|error| read_error(name, error))).collect()
}

fn read_error(name: &'static str, error: MapError) -> WriteError {
    WriteError::Read(name, io_error(error))
}

/// What was not there is removed, too.
fn removed(result: Result<(), MapError>) -> io::Result<()> {
    match result.map_err(io_error) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
