//! What is told of a change of health, once both halves have it: metrics, the log with its events, and the last failovers.

use super::Running;
use crate::{
    admin::status::{FAILOVERS, Failover},
    health::Transition,
    model::ServerName,
    servers::Health,
};
use std::time::{Duration, UNIX_EPOCH};
use tracing::{info, warn};

impl Running {
    /// Tells of a server what it has become, from what, and for how many seconds it was that; and of its backend how many servers
    /// take new traffic, of how many.
    pub(super) fn tell(
        &mut self,
        name: ServerName,
        transition: &Transition,
        (from, lasted_s): (Health, u32),
        (left, servers): (usize, usize),
    ) {
        let (ServerName { backend, server }, Transition { to, reason, finished_at, .. }) = (name, transition);
        let took = finished_at.elapsed();
        self.probe_to_map.observe(took.as_secs_f64());
        macro_rules! say {
            ($how:ident) => {
                $how!(
                    event = "server", backend, server, %from, %to, reason, lasted_s, left, servers, probe_to_map = ?took,
                    "server changed"
                )
            };
        }
        if to.serves() {
            say!(info);
        } else {
            say!(warn);
        }
        if self.failovers.len() == FAILOVERS {
            self.failovers.pop_front();
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at_us = micros(UNIX_EPOCH.elapsed().unwrap_or_default());
        let (to, reason, probe_to_map_us) = (*to, reason.clone(), micros(took));
        self.failovers.push_back(Failover { backend, server, to, reason, at_us, probe_to_map_us });
    }
}
