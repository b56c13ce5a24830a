//! When servers and VIPs that leave have left: once a count finds no flow of a server, or when their time is over.

use super::{Halves, Instant, SETTLES};
use crate::{
    plan::{Census, census::Held},
    servers::Remembered,
};
use lb_common::ServerId;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};
use tracing::{info, warn};

impl Halves {
    /// Whether servers have left since this was asked last: nobody needs next hops to them any more.
    pub fn have_left(&mut self) -> bool {
        mem::take(&mut self.have_left)
    }

    /// Whether any server leaves, and whether the tables of connections tell of one of them.
    pub fn leaving(&self) -> Option<bool> {
        self.registry.leaving().map(|(.., leaving)| leaving.is_tracked).reduce(|one, other| one || other)
    }

    /// What is known of servers `now`, for another process.
    pub fn remembered(&self, now: Instant) -> Remembered {
        self.registry.remembered(self.since(now))
    }

    /// How much longer a server may take that leaves.
    pub fn leaves_within(&self, until: Option<Duration>, now: Instant) -> Duration {
        until.map_or(Duration::ZERO, |until| until.saturating_sub(self.since(now)))
    }

    /// What was counted, in a count that was begun then, may tell that some have left; whether it does.
    pub(super) fn see_who_has_left(&mut self, census: &Census, begun: Instant) -> bool {
        // Until then some packet may have found a slot that named one.
        let is_new = self.rebuilt.is_none_or(|rebuilt| rebuilt + SETTLES <= begun);
        if !self.settled || !is_new || self.leaving().is_none() {
            return false;
        }
        let named = self.named();
        let has_left = |id: ServerId, is_tracked: bool| {
            let is_counted = !is_tracked || census.connections.is_some();
            is_counted && !named.contains(&id) && census.held_by(id) == Held::default()
        };
        let left: BTreeMap<_, _> = (self.registry.leaving())
            .filter(|(_, id, leaving)| has_left(*id, leaving.is_tracked))
            .map(|(identity, _, leaving)| (identity, leaving.clone()))
            .collect();
        for leaving in left.values() {
            let (backend, server, address) = (&leaving.backend, &leaving.server, leaving.address);
            info!(event = "left", backend, server, %address, "a removed server has left: no flow of it is left in the kernel half");
        }
        self.have_gone(&left.into_keys().collect())
    }

    /// Those whose time is over have left.
    pub(super) fn end_of_time(&mut self, now: Instant) {
        let since = self.since(now);
        let mut over = BTreeSet::new();
        for (identity, id, leaving) in
            self.registry.leaving().filter(|(.., it)| it.until.is_some_and(|until| until <= since))
        {
            let flows = self.census.as_ref().map_or_else(Held::default, |(census, _)| census.held_by(id));
            let (backend, server, address) = (&leaving.backend, &leaving.server, leaving.address);
            let (flows, within) = (u64::from(flows.flows) + u64::from(flows.connections), leaving.within);
            warn!(event = "left", backend, server, %address, flows, drain_timeout = ?within, "a removed server has left: its time is over");
            over.insert(identity);
        }
        self.have_gone(&over);
        for (vip, leaving) in self.registry.vips_left(since, &self.model) {
            let (frontend, within) = (leaving.frontend, leaving.within);
            info!(frontend, %vip, drain_timeout = ?within, "a removed VIP has left: its time is over");
        }
    }

    /// Frees the rows of servers that have left; whether there are any.
    fn have_gone(&mut self, identities: &BTreeSet<u64>) -> bool {
        self.registry.left(identities, &self.model);
        self.have_left |= !identities.is_empty();
        !identities.is_empty()
    }

    /// Servers that slots of any ring name.
    pub(super) fn named(&self) -> BTreeSet<ServerId> {
        let mut named = vec![false; usize::from(ServerId::MAX) + 1];
        for slot in self.current.rings.values().flat_map(|ring| ring.slots.iter()) {
            for id in [slot.current(), slot.previous] {
                if let Some(named) = named.get_mut(usize::from(id)) {
                    *named = true;
                }
            }
        }
        (0..=ServerId::MAX).zip(named).filter_map(|(id, named)| named.then_some(id)).collect()
    }
}
