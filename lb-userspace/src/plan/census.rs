//! Census: who has live flows. Counted by the worker's scan of the flow table, asked by the planner. Pure.

use lb_common::{RingId, ServerId};
use std::collections::BTreeMap;

/// The live flows of one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Census {
    slots: BTreeMap<(RingId, u16), u32>,
    servers: BTreeMap<ServerId, Held>,
    /// Entries of the flow table of each family, IPv4 first.
    pub flows: [usize; 2],
    /// Entries of the table of connections of each family, IPv4 first; `None` where they were not counted.
    pub connections: Option<[usize; 2]>,
}

/// What is remembered of one server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Flows in the flow table.
    pub flows: u32,
    /// Connections in the table of connections.
    pub connections: u32,
}

impl Census {
    /// Counts a live flow.
    pub fn count_flow(&mut self, ring: RingId, slot: u16, server: ServerId) {
        *self.slots.entry((ring, slot)).or_default() += 1;
        self.servers.entry(server).or_default().flows += 1;
    }

    /// Counts a connection.
    pub fn count_connection(&mut self, server: ServerId) {
        self.servers.entry(server).or_default().connections += 1;
    }

    /// Whether a live flow belongs to that slot.
    pub fn has(&self, ring: RingId, slot: usize) -> bool {
        u16::try_from(slot).is_ok_and(|slot| self.slots.contains_key(&(ring, slot)))
    }

    /// What is remembered of that server.
    pub fn held_by(&self, server: ServerId) -> Held {
        self.servers.get(&server).copied().unwrap_or_default()
    }
}
