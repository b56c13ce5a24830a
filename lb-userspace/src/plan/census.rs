//! Census: who has live flows. Counted by the worker's scan of the flow table, asked by the planner. Pure.

use super::Ring;
use lb_common::{RingId, SLOTS, ServerId};
use std::collections::{BTreeMap, BTreeSet};

/// The live flows of one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// Flows of each slot of the rings that have any.
    slots: BTreeMap<RingId, Vec<u32>>,
    /// By row.
    servers: Vec<Held>,
    /// Entries of the flow table of each family, IPv4 first.
    pub flows: [usize; 2],
    /// Entries of the tables of connections; `None` where they were not counted.
    pub connections: Option<Connections>,
}

/// Entries of the tables of connections of each family, IPv4 first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Connections {
    /// Of those that somebody went on with.
    pub established: [usize; 2],
    /// Of those whose beginning alone was seen.
    pub half_open: [usize; 2],
}

/// What is remembered of one server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Flows in the flow table.
    pub flows: u32,
    /// Connections in the tables of connections, half-open ones too.
    pub connections: u32,
}

impl Census {
    /// Counts a live flow.
    pub fn count_flow(&mut self, ring: RingId, slot: u16, server: ServerId) {
        let slots = self.slots.entry(ring).or_insert_with(|| vec![0; SLOTS]);
        if let Some(flows) = slots.get_mut(usize::from(slot)) {
            *flows += 1;
        }
        self.change(server, |held| held.flows += 1);
    }

    /// Counts a connection.
    pub fn count_connection(&mut self, server: ServerId) {
        self.change(server, |held| held.connections += 1);
    }

    fn change(&mut self, server: ServerId, change: impl FnOnce(&mut Held)) {
        let row = usize::from(server);
        if self.servers.len() <= row {
            self.servers.resize(row + 1, Held::default());
        }
        if let Some(held) = self.servers.get_mut(row) {
            change(held);
        }
    }

    /// Whether a live flow belongs to that slot.
    pub fn has(&self, ring: RingId, slot: usize) -> bool {
        self.slots.get(&ring).and_then(|slots| slots.get(slot)).is_some_and(|flows| *flows > 0)
    }

    /// Whether a live flow is known by that ring.
    pub fn names(&self, ring: RingId) -> bool {
        self.slots.contains_key(&ring)
    }

    /// The rings that live flows are known by.
    pub fn rings(&self) -> BTreeSet<RingId> {
        self.slots.keys().copied().collect()
    }

    /// Slots of which live flows are known by rings that are not among these: whatever ring has their VIP now, its slots of
    /// these numbers have them.
    pub fn strays(&self, rings: &BTreeMap<RingId, Ring>) -> Option<Box<[bool]>> {
        let mut strays = None;
        for flows in self.slots.iter().filter(|(ring, _)| !rings.contains_key(ring)).map(|(_, flows)| flows) {
            let strays = strays.get_or_insert_with(|| vec![false; SLOTS].into_boxed_slice());
            strays.iter_mut().zip(flows).for_each(|(stray, flows)| *stray |= *flows > 0);
        }
        strays
    }

    /// What is remembered of that server.
    pub fn held_by(&self, server: ServerId) -> Held {
        self.servers.get(usize::from(server)).copied().unwrap_or_default()
    }
}
