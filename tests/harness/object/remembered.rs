//! What the packet path remembers of flows, in the kernel and on the host, without the time: the clocks differ.

use super::{
    Loaded,
    fill::{NAMES4, NAMES6, Names},
};
use crate::raw::Raw;
use anyhow::Result;
use aya::maps::{HashMap, Map};
use bytemuck::Pod;
use lb_common::{
    Family, Flow, V4, V6,
    flow::{ConnectionRow, FragmentRow},
};
use lb_ebpf::testing::{MemoryFamily, MemoryTables};
use std::collections::BTreeMap;

/// All tables of flows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remembered {
    /// Of IPv4.
    pub v4: OfFamily<V4>,
    /// Of IPv6.
    pub v6: OfFamily<V6>,
}

/// Those of one family.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfFamily<F: Family> {
    /// `FLOWS4`, `FLOWS6`.
    pub flows: BTreeMap<F::FlowKey, Flow>,
    /// `CONNECTIONS4`, `CONNECTIONS6`.
    pub connections: BTreeMap<F::FlowKey, F::Connection>,
    /// `HALF_OPEN4`, `HALF_OPEN6`.
    pub half_open: BTreeMap<F::FlowKey, F::Connection>,
    /// `FRAGMENTS4`, `FRAGMENTS6`.
    pub fragments: BTreeMap<F::FragmentKey, F::Fragment>,
}

impl Remembered {
    /// What these tables remember.
    pub fn of(tables: &MemoryTables) -> Self {
        Self { v4: OfFamily::of(&tables.v4), v6: OfFamily::of(&tables.v6) }
    }
}

impl<F: Family> OfFamily<F> {
    fn of(family: &MemoryFamily<F>) -> Self {
        let all = Self {
            flows: family.flows.borrow().clone(),
            connections: family.connections.borrow().clone(),
            half_open: family.half_open.borrow().clone(),
            fragments: family.fragments.borrow().clone(),
        };
        all.timeless()
    }

    fn timeless(mut self) -> Self {
        self.flows.values_mut().for_each(|flow| flow.last = 0);
        for row in self.fragments.values_mut() {
            *row = F::fragment(FragmentRow { last: 0, ..F::unpack_fragment(row) });
        }
        for row in self.connections.values_mut().chain(self.half_open.values_mut()) {
            *row = F::connection(ConnectionRow { last: 0, ..F::unpack_connection(row) });
        }
        self
    }
}

impl Loaded {
    /// What the kernel remembers.
    pub fn remembered(&self) -> Result<Remembered> {
        Ok(Remembered { v4: self.of_family(&NAMES4)?, v6: self.of_family(&NAMES6)? })
    }

    fn of_family<F: Family>(&self, names: &Names) -> Result<OfFamily<F>> {
        let all = OfFamily {
            flows: entries(self.map(names.flows)?)?,
            connections: entries(self.map(names.connections)?)?,
            half_open: entries(self.map(names.half_open)?)?,
            fragments: entries(self.map(names.fragments)?)?,
        };
        Ok(all.timeless())
    }
}

fn entries<K: Pod + Ord, V: Pod>(map: &Map) -> Result<BTreeMap<K, V>> {
    let map: HashMap<_, Raw<K>, Raw<V>> = HashMap::try_from(map)?;
    map.iter().map(|entry| entry.map(|(key, value)| (key.0, value.0)).map_err(Into::into)).collect()
}
