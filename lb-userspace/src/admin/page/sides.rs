//! Sides: what the kernel half has of each frontend, backend and server, found by their names.

use super::Seen;
use crate::admin::ring::RingReport;
use lb_common::Counters;
use std::collections::BTreeMap;

/// The kernel half of one moment; empty without one.
#[derive(Debug, Default)]
pub(super) struct Kernel<'a> {
    frontends: BTreeMap<&'a str, Counters>,
    servers: BTreeMap<(&'a str, &'a str), Counters>,
    rings: BTreeMap<&'a str, &'a RingReport>,
}

impl<'a> Kernel<'a> {
    pub(super) fn of(seen: &'a Seen) -> Self {
        let mut found = Self::default();
        let Some(report) = &seen.kernel else { return found };
        for vip in &report.vips {
            if let Some(frontend) = &vip.frontend {
                *found.frontends.entry(frontend).or_default() += vip.counters.into();
            }
        }
        for server in &report.servers {
            if let (Some(backend), Some(name)) = (&server.backend, &server.name) {
                *found.servers.entry((backend.as_str(), name.as_str())).or_default() += server.counters.into();
            }
        }
        found.rings.extend(report.rings.iter().filter_map(|ring| Some((ring.backend.as_deref()?, ring))));
        found
    }

    pub(super) fn frontend(&self, name: &str) -> Option<Counters> {
        self.frontends.get(name).copied()
    }

    pub(super) fn server(&self, backend: &str, name: &str) -> Option<Counters> {
        self.servers.get(&(backend, name)).copied()
    }

    /// Of all servers of a backend that has a ring.
    pub(super) fn backend(&self, name: &str) -> Option<Counters> {
        self.ring(name)?;
        let mut all = Counters::default();
        for (_, counters) in self.servers.iter().filter(|((backend, _), _)| *backend == name) {
            all += *counters;
        }
        Some(all)
    }

    pub(super) fn ring(&self, backend: &str) -> Option<&'a RingReport> {
        self.rings.get(backend).copied()
    }

    /// Which part of its backend's ring a server has, 0 to 1.
    pub(super) fn share(&self, backend: &str, name: &str) -> Option<f64> {
        Some(self.ring(backend)?.share_of(name))
    }
}
