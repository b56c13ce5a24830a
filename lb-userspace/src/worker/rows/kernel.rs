//! What the kernel half has counted, by what it is of.

use crate::{
    dataplane::counters::Totals,
    model::{Backend, Frontend, Model, Server},
    worker::running::Running,
};
use lb_common::Counters;
use std::collections::BTreeMap;

/// Of one moment; nothing without a kernel half.
pub(super) struct KernelCounts<'a> {
    running: &'a Running,
    totals: Totals,
    /// By the name of the frontend.
    frontends: BTreeMap<&'a str, Counters>,
}

impl<'a> KernelCounts<'a> {
    pub(super) fn read(running: &'a Running, model: &'a Model) -> Self {
        let counters = running.counters.as_ref();
        let totals = counters.and_then(|counters| counters.totals(running.halves.tables()).ok()).unwrap_or_default();
        let mut frontends: BTreeMap<&str, Counters> = BTreeMap::new();
        if !totals.vips.is_empty() {
            // The ports of a range are counted as one.
            let counted: BTreeMap<_, _> = model.vips().into_values().map(|vip| (vip.counted_as, vip.index)).collect();
            for (vip, index) in counted {
                let counters = running.halves.registry.vip_id(vip).and_then(|id| totals.vips.get(&id));
                if let (Some(counters), Some(frontend)) = (counters, model.frontends.get(index)) {
                    *frontends.entry(&frontend.name).or_default() += *counters;
                }
            }
        }
        Self { running, totals, frontends }
    }

    /// Of a frontend.
    pub(super) fn frontend(&self, frontend: &Frontend) -> Counters {
        self.frontends.get(frontend.name.as_str()).copied().unwrap_or_default()
    }

    /// Of a server.
    pub(super) fn server(&self, backend: &Backend, server: &Server) -> Counters {
        let id = self.running.halves.registry.server_id(server.identity(&backend.name));
        id.and_then(|id| self.totals.servers.get(&id)).copied().unwrap_or_default()
    }

    /// Of all servers of a backend.
    pub(super) fn backend(&self, backend: &Backend) -> Counters {
        let mut all = Counters::default();
        backend.servers.iter().for_each(|server| all += self.server(backend, server));
        all
    }
}
