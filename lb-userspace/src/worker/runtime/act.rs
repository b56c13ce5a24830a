//! What changes servers, frontends and counters.

use super::{Running, Said, number, server, word};
use crate::{
    admin::protocol::Answer,
    health::Transition,
    model::{Server, ServerName},
    servers::{Admin, By, Health, Weight},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;
use tracing::info;

/// What `set server` knows.
const USAGE: &str = "usage: set server <backend>/<server> addr | agent | health | maxconn | state | weight";
/// HAProxy's word for why something changed.
const BY_OPERATOR: &str = "changed from CLI";

impl Running {
    pub(super) fn get_weight(&self, rest: &[String]) -> Said {
        let (backend, server) = server(&self.halves.model, word(rest, 0))?;
        let now = self.halves.registry.weight(server.identity(&backend.name), server.weight);
        Ok(format!("{now} (initial {})", server.weight))
    }

    /// `set weight`.
    pub(super) fn weigh(&mut self, rest: &[String]) -> Said {
        let model = Arc::clone(&self.halves.model);
        let (backend, server) = server(&model, word(rest, 0))?;
        let weight = weight(word(rest, 1), server)?;
        silent(self.set_weight(&backend.name, &server.name, weight))
    }

    pub(super) fn set_server(&mut self, rest: &[String], now: Instant) -> Said {
        let model = Arc::clone(&self.halves.model);
        let (backend, known) = server(&model, word(rest, 0))?;
        let value = word(rest, 2);
        match word(rest, 1) {
            "weight" => silent(self.set_weight(&backend.name, &known.name, weight(value, known)?)),
            "state" => {
                let admin = match value {
                    "ready" => Admin::Ready,
                    "drain" => Admin::Drain,
                    "maint" => Admin::Maint,
                    _ => return Err("'set server <srv> state' expects 'ready', 'drain' and 'maint'.".to_owned()),
                };
                silent(self.set_admin(&backend.name, &known.name, admin))
            }
            "health" => {
                let health = match value {
                    "up" => Health::Up,
                    "stopping" => Health::Stopping,
                    "down" => Health::Down,
                    _ => return Err("'set server <srv> health' expects 'up', 'stopping', or 'down'.".to_owned()),
                };
                if known.track.is_some() {
                    return Err("cannot change health on a tracking server.".to_owned());
                }
                self.force_health(&backend.name, known, health, now)
            }
            "agent" => {
                if known.agent().is_none() {
                    return Err("agent checks are not enabled on this server.".to_owned());
                }
                let is_down = match value {
                    "up" => false,
                    "down" => true,
                    _ => return Err("'set server <srv> agent' expects 'up' or 'down'.".to_owned()),
                };
                let transition = self.verdicts.say_for_agent(known.identity(&backend.name), is_down, BY_OPERATOR, now);
                self.change_health(transition.as_slice(), &BTreeSet::new());
                Ok(String::new())
            }
            "maxconn" => self.limit_server(&[word(rest, 0).to_owned(), value.to_owned()]),
            _ => Err(USAGE.to_owned()),
        }
    }

    fn force_health(&mut self, backend: &str, server: &Server, health: Health, now: Instant) -> Said {
        if !server.is_resolved() {
            return Err("no address of this server is known.".to_owned());
        }
        let identity = server.identity(backend);
        let transition = match self.verdicts.counter(identity) {
            Some(_) => self.verdicts.say(identity, health, BY_OPERATOR, now),
            None => Some(Transition {
                identity,
                name: ServerName { backend: backend.to_owned(), server: server.name.clone() },
                to: health,
                reason: BY_OPERATOR.to_owned(),
                finished_at: now,
            }),
        };
        self.change_health(transition.as_slice(), &BTreeSet::new());
        self.checker.set_pace(identity, self.verdicts.pace(identity));
        Ok(String::new())
    }

    /// `enable server` and `disable server`.
    pub(super) fn set_enabled(&mut self, rest: &[String], enabled: bool) -> Said {
        let model = Arc::clone(&self.halves.model);
        let (backend, server) = server(&model, word(rest, 0))?;
        silent(self.set_admin(&backend.name, &server.name, if enabled { Admin::Ready } else { Admin::Maint }))
    }

    /// `enable frontend` and `disable frontend`: clients of one that is disabled wait in the kernel.
    pub(super) fn open_frontend(&self, rest: &[String], open: bool) -> Said {
        let name = word(rest, 0);
        if name.is_empty() {
            return Err("A frontend name is expected.".to_owned());
        }
        let frontend = self.halves.model.frontends.iter().find(|frontend| frontend.name == name);
        let frontend = frontend.ok_or("No such frontend.")?;
        let live = self.halves.live.frontend(name).filter(|_| frontend.l4().is_none());
        let live = live.ok_or("Sockets of l4 frontends are the kernel's: set its servers in maintenance instead.")?;
        if !live.room.shut(!open) {
            let state = if open { "enabled" } else { "disabled" };
            return Err(format!("All sockets are already {state}."));
        }
        info!(frontend = name, open, "sockets of a frontend let clients in, or no more");
        Ok(String::new())
    }

    /// `enable health` and `disable health`.
    pub(super) fn set_checked(&mut self, rest: &[String], checked: bool) -> Said {
        let model = Arc::clone(&self.halves.model);
        let (backend, server) = server(&model, word(rest, 0))?;
        if server.check(backend).is_some() {
            let identity = server.identity(&backend.name);
            self.verdicts.rest(identity, !checked);
            self.checker.set_pace(identity, self.verdicts.pace(identity));
        } else if checked {
            return Err("Health check was not configured on this server, cannot enable.".to_owned());
        }
        Ok(String::new())
    }

    /// `enable agent` and `disable agent`.
    pub(super) fn set_asked(&mut self, rest: &[String], asked: bool) -> Said {
        let model = Arc::clone(&self.halves.model);
        let (backend, server) = server(&model, word(rest, 0))?;
        if server.agent().is_some() {
            self.verdicts.rest_agent(server.identity(&backend.name), !asked);
        } else if asked {
            return Err("Agent was not configured on this server, cannot enable.".to_owned());
        }
        Ok(String::new())
    }

    /// `set maxconn server`.
    pub(super) fn limit_server(&mut self, rest: &[String]) -> Said {
        let model = Arc::clone(&self.halves.model);
        let (backend, server) = server(&model, word(rest, 0))?;
        let text = word(rest, 1);
        if text.is_empty() {
            return Err("Require <maxconn>.".to_owned());
        }
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("maxconn string empty or preceded by garbage".to_owned());
        }
        let maxconn: u32 = text.parse().map_err(|_not_one| "Trailing garbage in maxconn string")?;
        if self.halves.registry.set_maxconn(server.identity(&backend.name), server, maxconn, By::Operator) {
            self.standings_changed(&model, &[backend]);
            info!(backend = backend.name, server = server.name, maxconn, "limit changed");
        }
        Ok(String::new())
    }

    /// `shutdown sessions server`.
    pub(super) fn cut_server(&self, rest: &[String]) -> Said {
        let (backend, server) = server(&self.halves.model, word(rest, 0))?;
        let identity = server.identity(&backend.name);
        let live = self.halves.live.backend(&backend.name);
        if let Some(live) = live.and_then(|live| live.servers.iter().find(|live| live.identity == identity)) {
            live.over.cut();
            live.cut();
            self.threads.cut_what_is_over();
            info!(backend = backend.name, server = server.name, "connections to a server are cut");
        }
        Ok(String::new())
    }

    /// `clear counters`: the highest numbers begin anew, and with `all` everything that is counted here. What others count by (the
    /// metrics) goes on.
    pub(super) fn clear_counters(&mut self, all: bool, now: Instant) {
        if all {
            self.history.cleared = self.rows_ever(now);
        }
        self.history.clear_most();
    }
}

/// HAProxy answers what was done by nothing.
fn silent(answer: Answer) -> Said {
    match answer {
        Answer::Ok(_) => Ok(String::new()),
        Answer::Error(error) => Err(error),
    }
}

/// A weight, by HAProxy's words for what is none.
fn weight(text: &str, server: &Server) -> Result<Weight, String> {
    if text.is_empty() {
        return Err("Require <weight> or <weight%>.".to_owned());
    }
    let digits = text.trim_start_matches('-');
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("Empty weight string empty or preceded by garbage".to_owned());
    }
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let value = number(text);
    match rest {
        "%" => match u64::try_from(value) {
            // HAProxy's limit is that of the weight that comes of it.
            Ok(percent) if server.weight == 0 || u64::from(server.weight).saturating_mul(percent) <= 25_600 => {
                Ok(Weight::percent(percent))
            }
            Ok(_) => Ok(Weight::Absolute(256)),
            Err(_negative) => Err("Relative weight must be positive.".to_owned()),
        },
        "" => u64::try_from(value)
            .ok()
            .and_then(Weight::absolute)
            .ok_or_else(|| "Absolute weight can only be between 0 and 256 inclusive.".to_owned()),
        _ => Err("Trailing garbage in weight string".to_owned()),
    }
}
