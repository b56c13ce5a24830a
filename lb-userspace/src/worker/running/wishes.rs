//! What the operator and agents want of servers: both halves get it as they get a verdict.

use super::Running;
use crate::{
    admin::protocol::Answer,
    health::{AgentOutcome, AgentReport, Heard},
    model::{Backend, Model, Server},
    servers::{Admin, By, Weight},
};
use std::sync::Arc;
use tracing::{debug, info};

impl Running {
    /// The operator wants another administrative state of a server.
    pub(in crate::worker) fn set_admin(&mut self, backend: &str, server: &str, admin: Admin) -> Answer {
        let model = Arc::clone(&self.halves.model);
        let (found, known) = match find(&model, backend, server) {
            Ok(found) => found,
            Err(error) => return error,
        };
        let from = self.halves.registry.standing(known.identity(backend)).admin;
        if self.halves.registry.set_admin(known.identity(backend), admin, By::Operator) {
            self.look_who_drains();
            self.standings_changed(&model, &[found]);
            let left = self.halves.registry.takers(found).count();
            info!(event = "admin", by = "operator", backend, server, %from, to = %admin, left, "administrative state changed");
        }
        said(backend, server, &admin)
    }

    /// The operator wants another weight of a server.
    pub(in crate::worker) fn set_weight(&mut self, backend: &str, server: &str, weight: Weight) -> Answer {
        let model = Arc::clone(&self.halves.model);
        let (found, known) = match find(&model, backend, server) {
            Ok(found) => found,
            Err(error) => return error,
        };
        if !weight.may_be(known, &found.balance) {
            return Answer::Error(STATIC.to_owned());
        }
        let from = self.halves.registry.weight(known.identity(backend), known.weight);
        if self.halves.registry.set_weight(known.identity(backend), known, weight, By::Operator) {
            self.standings_changed(&model, &[found]);
            info!(event = "weight", by = "operator", backend, server, from, to = %weight, "weight changed");
        }
        let now = self.halves.registry.weight(known.identity(backend), known.weight);
        said(backend, server, &format_args!("weight {now} (configured: {})", known.weight))
    }

    /// Notes what the agent of a server wants: in HAProxy's order its administrative state, its weight, and its limit. Whether that
    /// changes anything, and what cannot be. As with HAProxy the last word counts, the operator's or the agent's: `ready` ends
    /// also a maintenance that the operator began.
    pub(super) fn agent_wants(
        &mut self,
        (backend, server): (&Backend, &Server),
        heard: &Heard,
    ) -> (bool, Option<String>) {
        let AgentOutcome::Said(said) = &heard.outcome else { return (false, None) };
        let AgentReport { admin, weight, maxconn, .. } = said;
        let (identity, registry) = (heard.identity, &mut self.halves.registry);
        let (of, name) = (&backend.name, &server.name);
        let (mut has_changed, mut warning) = (false, None);
        let from = registry.standing(identity).admin;
        if let Some(admin) = *admin
            && registry.set_admin(identity, admin, By::Agent)
        {
            has_changed = true;
            info!(event = "admin", by = "agent", backend = of, server = name, %from, to = %admin, "administrative state changed");
        }
        if let Some(weight) = *weight {
            if !weight.may_be(server, &backend.balance) {
                warning = Some(STATIC.to_owned());
            } else if registry.set_weight(identity, server, weight, By::Agent) {
                has_changed = true;
                debug!(backend = of, server = name, %weight, "weight changed by the agent");
            }
            if warning.is_none()
                && weight.of(server.weight) == 0
                && !matches!(weight, Weight::Percent(0) | Weight::Absolute(0))
            {
                warning = Some(format!("{weight} of weight {} is 0, which takes nothing new", server.weight));
            }
        }
        if let Some(maxconn) = *maxconn
            && registry.set_maxconn(identity, server, maxconn, By::Agent)
        {
            has_changed = true;
            debug!(backend = of, server = name, maxconn, "limit changed by the agent");
        }
        (has_changed, warning)
    }
}

fn find<'a>(model: &'a Model, backend: &str, server: &str) -> Result<(&'a Backend, &'a Server), Answer> {
    let found = model.backend(backend).ok_or_else(|| Answer::Error(format!("there is no backend `{backend}`")))?;
    let known = found.servers.iter().find(|known| known.name == server);
    known
        .map(|known| (found, known))
        .ok_or_else(|| Answer::Error(format!("backend `{backend}` has no server `{server}`")))
}

fn said(backend: &str, server: &str, what: &dyn std::fmt::Display) -> Answer {
    Answer::Ok(serde_json::Value::String(format!("{backend}/{server}: {what}")))
}

/// HAProxy's words for a weight that [may not be](Weight::may_be).
const STATIC: &str = "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.";
