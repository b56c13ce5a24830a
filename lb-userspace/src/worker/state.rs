//! What a worker leaves to that of another binary: all that is known of servers and stands neither in the configuration nor in
//! the kernel's maps, and the keys of TLS tickets. Counts of probes in a row, counters of the proxy and the places of servers
//! that rise slowly begin anew.

use super::running::Running;
use crate::{
    admin::status::Failover,
    events::{Event, KEPT, journal},
    l7::tls::tickets,
    servers::{Proven, Registry, Remembered},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use tokio::time::Instant;

/// It travels as a memory file between processes of one machine, and supervisors pass it on unread.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct State {
    /// How servers stand, and what was said of them.
    servers: Remembered,
    /// Servers that were probed, by their identity.
    probed: BTreeSet<u64>,
    /// Frontends that have had their quorum of servers that were checked.
    proven: Proven,
    /// The last changes of health.
    failovers: VecDeque<Failover>,
    /// The last events.
    events: Vec<Event>,
    /// What clients resume by.
    tickets: Vec<tickets::Kept>,
}

impl Running {
    /// What the next worker should know.
    pub(super) fn state(&self) -> State {
        let model = &self.halves.model;
        State {
            servers: self.halves.remembered(Instant::now()),
            probed: model.identities().filter(|identity| self.was_probed(*identity)).collect(),
            proven: self.proven.clone(),
            failovers: self.failovers.clone(),
            events: journal().after(0, KEPT),
            tickets: tickets::kept(),
        }
    }

    /// Goes on with what another worker knew; to be called before the first configuration.
    pub(super) fn recall(&mut self, state: State) {
        let State { servers, probed, proven, failovers, events, tickets } = state;
        for event in events {
            journal().note(event, true);
        }
        self.halves.registry = Registry::remembering(servers);
        (self.probed, self.proven, self.failovers) = (probed, proven, failovers);
        tickets::recall(tickets);
    }
}
