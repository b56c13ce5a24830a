//! The kernel's maps in memory: for tests, and for a plan that is shown and not carried out.

use super::writer::{MapWriter, WriteError};
use crate::{
    model::Endpoint,
    plan::{
        Ring, Tables, Write,
        tables::{Return, Slots, empty_slots},
    },
};
use lb_common::{
    RingHead, RingId, ServerEntry, ServerId, Vip,
    maps::{RETURNS4, RETURNS6, VIPS4, VIPS6},
};
use std::{collections::BTreeMap, io, net::IpAddr, os::fd::OwnedFd, sync::Arc};

/// Maps with the kernel's semantics: rings have two halves, and what is not there cannot be removed.
#[derive(Clone, Debug, Default)]
pub struct MemoryMaps {
    servers: BTreeMap<ServerId, ServerEntry>,
    rings: BTreeMap<RingId, MemoryRing>,
    sources: BTreeMap<u16, IpAddr>,
    vips: BTreeMap<Endpoint, Vip>,
    returns: BTreeMap<Endpoint, Return>,
    writes_left: Option<usize>,
}

#[derive(Clone, Debug)]
struct MemoryRing {
    halves: [Slots; 2],
    head: RingHead,
}

impl MemoryMaps {
    /// Lets this many writes succeed, and none after them; `None`: all succeed.
    pub fn fail_after(&mut self, writes: Option<usize>) {
        self.writes_left = writes;
    }

    /// What the maps hold.
    pub fn tables(&self) -> Tables {
        let rings = self.rings.iter().filter(|(_, ring)| ring.head.identity != 0);
        Tables {
            servers: self.servers.clone(),
            rings: rings.map(|(id, ring)| (*id, ring.live())).collect(),
            sources: self.sources.clone(),
            vips: self.vips.clone(),
            returns: self.returns.clone(),
        }
    }

    fn write(&mut self, write: &Write) -> Result<(), WriteError> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or_else(|| error_of(write, io::ErrorKind::Other.into()))?;
        }
        let missing = || error_of(write, io::ErrorKind::NotFound.into());
        match write {
            // Neither counters nor flows here.
            Write::ZeroServer(_) | Write::ZeroVip(_) | Write::ForgetFlows(_) => {}
            Write::PutSource(row, address) => drop(self.sources.insert(*row, *address)),
            Write::RemoveSource(row) => drop(self.sources.remove(row).ok_or_else(missing)?),
            Write::PutServer(id, entry) => drop(self.servers.insert(*id, *entry)),
            Write::PutRingHalf(id, slots) => self.rings.entry(*id).or_default().fill_idle(slots),
            Write::FlipRing(id, identity) => {
                self.rings.get_mut(id).ok_or(WriteError::NoRing(*id))?.flip(*identity);
            }
            Write::PutReturn(key, entry) => drop(self.returns.insert(*key, *entry)),
            Write::PutVip(key, vip) => drop(self.vips.insert(*key, *vip)),
            Write::RemoveVip(key) => drop(self.vips.remove(key).ok_or_else(missing)?),
            Write::RemoveReturn(key) => drop(self.returns.remove(key).ok_or_else(missing)?),
            Write::RemoveRing(id) => drop(self.rings.remove(id).ok_or_else(missing)?),
            Write::RemoveServer(id) => drop(self.servers.remove(id).ok_or_else(missing)?),
        }
        Ok(())
    }
}

impl MapWriter for MemoryMaps {
    fn read(&mut self) -> Result<Tables, WriteError> {
        Ok(self.tables())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        writes.iter().try_for_each(|write| self.write(write))
    }

    fn refused(&self) -> Result<u64, WriteError> {
        Ok(0) // There is no flow table here.
    }

    fn has_ring(&self, _: RingId) -> bool {
        true // Rings are made when they are written.
    }

    fn add_ring(&mut self, _: RingId, _: OwnedFd) -> Result<(), WriteError> {
        Ok(())
    }
}

impl MemoryRing {
    fn live(&self) -> Ring {
        let [first, second] = &self.halves;
        let slots = if self.head.half == 0 { first } else { second };
        Ring { identity: self.head.identity, slots: Arc::clone(slots) }
    }

    fn fill_idle(&mut self, slots: &Slots) {
        let [first, second] = &mut self.halves;
        *(if self.head.half == 0 { second } else { first }) = Arc::clone(slots);
    }

    fn flip(&mut self, identity: u64) {
        self.head = RingHead { identity, half: 1 - self.head.half, reserved: 0 };
    }
}

impl Default for MemoryRing {
    fn default() -> Self {
        Self { halves: [empty_slots(), empty_slots()], head: RingHead::default() }
    }
}

fn error_of(write: &Write, source: io::Error) -> WriteError {
    match write {
        Write::ZeroServer(id) | Write::ForgetFlows(id) | Write::PutServer(id, _) | Write::RemoveServer(id) => {
            WriteError::Server(*id, source)
        }
        Write::ZeroVip(id) => WriteError::VipCounters(*id, source),
        Write::PutSource(row, _) | Write::RemoveSource(row) => WriteError::Source(*row, source),
        Write::PutRingHalf(id, _) | Write::FlipRing(id, _) | Write::RemoveRing(id) => WriteError::Ring(*id, source),
        Write::PutReturn(key, _) | Write::RemoveReturn(key) => {
            WriteError::Table(if key.address.is_ipv4() { RETURNS4 } else { RETURNS6 }, source)
        }
        Write::PutVip(key, _) | Write::RemoveVip(key) => {
            WriteError::Table(if key.address.is_ipv4() { VIPS4 } else { VIPS6 }, source)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_common::Slot;

    fn slots(server: ServerId) -> Slots {
        let mut slots = empty_slots();
        Arc::make_mut(&mut slots).fill(Slot::of(server));
        slots
    }

    #[test]
    fn a_ring_changes_by_the_flip_alone() {
        let mut maps = MemoryMaps::default();
        maps.apply(&[Write::PutRingHalf(1, slots(7))]).unwrap();
        assert!(maps.tables().rings.is_empty());
        maps.apply(&[Write::FlipRing(1, 99), Write::PutRingHalf(1, slots(8))]).unwrap();
        assert_eq!(maps.tables().rings[&1], Ring { identity: 99, slots: slots(7) });
        maps.apply(&[Write::FlipRing(1, 99)]).unwrap();
        assert_eq!(maps.tables().rings[&1].slots, slots(8));
    }

    #[test]
    fn a_failing_write_stops_the_rest_and_undoes_nothing() {
        let mut maps = MemoryMaps::default();
        maps.fail_after(Some(1));
        let writes = [Write::PutRingHalf(1, slots(7)), Write::FlipRing(1, 99), Write::PutRingHalf(2, slots(7))];
        assert!(matches!(maps.apply(&writes), Err(WriteError::Ring(1, _))));
        assert_eq!(maps.rings.len(), 1);
        maps.fail_after(None);
        maps.apply(&writes).unwrap();
        assert_eq!(maps.rings.len(), 2);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let mut maps = MemoryMaps::default();
        assert!(matches!(maps.apply(&[Write::FlipRing(3, 1)]), Err(WriteError::NoRing(3))));
        assert!(matches!(maps.apply(&[Write::RemoveServer(4)]), Err(WriteError::Server(4, _))));
    }
}
