//! What is said of servers at run time, by the operator and by agents: administrative states, weights and limits.

use super::{Admin, Backend, By, Health, Model, Registry, Said, Server, Standing, Weight};

/// What was said of a server.
#[derive(Clone, Copy, Debug)]
pub struct SaidOf(Said);

impl Registry {
    /// Notes what the operator or the agent wants. Whether that is a change, if only of who wants it; a server that is not in the
    /// model has none.
    pub fn set_admin(&mut self, identity: u64, admin: Admin, by: By) -> bool {
        let has_changed = self.change(identity, |standing| Standing { admin, ..standing });
        let owner = self.admin_by(identity);
        if by.takes_over(owner, !has_changed) {
            self.say(identity, |said| said.admin = by);
        }
        has_changed || self.admin_by(identity) != owner
    }

    /// Notes a weight in place of the configured one of that server. Whether that is a change; a server that is not in the model
    /// has none.
    pub fn set_weight(&mut self, identity: u64, server: &Server, weight: Weight, by: By) -> bool {
        let before = self.weight(identity, server.weight);
        self.say(identity, |said| said.weigh(server, weight, by));
        let now = self.weight(identity, server.weight);
        self.change(identity, |standing| Standing { weightless: now == 0, ..standing });
        before != now
    }

    /// Notes a limit in place of the configured `maxconn` of that server; 0: any number. Whether that is a change; a server that
    /// is not in the model has none.
    pub fn set_maxconn(&mut self, identity: u64, server: &Server, maxconn: u32, by: By) -> bool {
        let before = self.maxconn(identity, server.limits.maxconn);
        self.say(identity, |said| said.limit(server, maxconn, by));
        before != self.maxconn(identity, server.limits.maxconn)
    }

    /// Ends what agents said of the health of servers that have none any more in `next`: they are what checks found, where that is
    /// known. To be told before the [update](Self::update) with `next`.
    pub fn end_words(&mut self, next: &Model, checked: impl Fn(u64) -> Option<Health>) {
        for backend in &next.backends {
            for server in backend.servers.iter().filter(|server| server.agent().is_none()) {
                let identity = server.identity(&backend.name);
                if self.standing(identity).health == Health::AgentDown
                    && let Some(health) = checked(identity)
                {
                    self.set_health(identity, health);
                }
            }
        }
    }

    /// The weight that a server has now, from the one that is configured: 0 to 256.
    pub fn weight(&self, identity: u64, configured: u16) -> u16 {
        self.said.get(&identity).map_or(configured, |said| said.weight(configured))
    }

    /// The most connections that a server takes at once now, from the number that is configured; 0: any number.
    pub fn maxconn(&self, identity: u64, configured: u32) -> u32 {
        self.said.get(&identity).and_then(Said::maxconn).unwrap_or(configured)
    }

    /// Who wants the administrative state of a server.
    pub fn admin_by(&self, identity: u64) -> By {
        self.said.get(&identity).map(|said| said.admin).unwrap_or_default()
    }

    /// Whether anything was said of any server.
    pub fn says_anything(&self) -> bool {
        !self.said.is_empty()
    }

    /// The weights that the servers of `backend` have now, in its order.
    pub fn weights(&self, backend: &Backend) -> Vec<u16> {
        if !self.says_anything() {
            return backend.servers.iter().map(|server| server.weight).collect();
        }
        let weight = |server: &Server| self.weight(server.identity(&backend.name), server.weight);
        backend.servers.iter().map(weight).collect()
    }

    /// The servers of `backend`, by their places, that have another `maxconn` than the configured one, and that.
    pub fn maxconns(&self, backend: &Backend) -> Vec<(usize, u32)> {
        if !self.says_anything() {
            return Vec::new();
        }
        let other = |(index, server): (usize, &Server)| {
            let maxconn = self.maxconn(server.identity(&backend.name), server.limits.maxconn);
            (maxconn != server.limits.maxconn).then_some((index, maxconn))
        };
        backend.servers.iter().enumerate().filter_map(other).collect()
    }

    /// What the operator and the agent have said of a server, for one that is to be what it was.
    pub fn said_of(&self, identity: u64) -> (Admin, SaidOf) {
        (self.standing(identity).admin, SaidOf(self.said.get(&identity).copied().unwrap_or_default()))
    }

    /// Has a server be what another one was.
    pub fn say_again(&mut self, server: &Server, backend: &str, (admin, SaidOf(said)): (Admin, SaidOf)) {
        let identity = server.identity(backend);
        let weightless = said.weight(server.weight) == 0;
        if self.change(identity, |standing| Standing { admin, weightless, ..standing }) | !said.is_nothing() {
            self.say(identity, |known| *known = said);
        }
    }

    fn say(&mut self, identity: u64, something: impl FnOnce(&mut Said)) {
        if !self.standings.contains_key(&identity) {
            return;
        }
        let mut said = self.said.get(&identity).copied().unwrap_or_default();
        something(&mut said);
        if said.is_nothing() {
            self.said.remove(&identity);
        } else {
            self.said.insert(identity, said);
        }
    }

    /// How a server stands once `server` is what is configured: what its agent wanted goes with the agent.
    pub(super) fn said_still(
        &self,
        (identity, backend, server): (u64, &Backend, &Server),
        standing: Standing,
    ) -> Standing {
        let Some(said) = self.said.get(&identity) else { return Standing { weightless: false, ..standing } };
        let still = said.with(server, &backend.balance);
        let admin = if still.admin == said.admin { standing.admin } else { Admin::Ready };
        Standing { admin, weightless: still.weight(server.weight) == 0, ..standing }
    }

    /// Forgets what was said of servers that are gone and have left, and what a configuration changes.
    pub(super) fn keep_said(&mut self, servers: &[(u64, &Backend, &Server)]) {
        let still = |(identity, backend, server): &(u64, &Backend, &Server)| {
            Some((*identity, self.said.get(identity)?.with(server, &backend.balance)))
                .filter(|(_, said)| !said.is_nothing())
        };
        let of_leaving = |(identity, said): (&u64, &Said)| {
            // One that comes back is wanted as it was.
            let has_left = self.leaving.contains_key(identity) && !self.standings.contains_key(identity);
            has_left.then_some((*identity, *said))
        };
        self.said = self.said.iter().filter_map(of_leaving).chain(servers.iter().filter_map(still)).collect();
    }
}
