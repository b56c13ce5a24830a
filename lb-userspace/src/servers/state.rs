//! The standing of a server: what the operator wants × what the checks found. Pure.

use super::By;
use crate::model::{Backend, Failover, OnEmpty};
use lb_common::{ServerEntry, ServerState};
use serde::{Deserialize, Serialize};
use std::fmt;

/// In the byte of a row: the server's agent wants it.
const BY_AGENT: u8 = 0x80;

/// In the place of an administrative state: the server is in no configuration any more, and keeps the flows that it has.
pub const LEAVES: u8 = 3;

/// What the operator wants of a server: `sluice server ready|drain|maint`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// It may take traffic, if it is healthy.
    #[default]
    Ready = 0,
    /// It keeps what it has and takes nothing new.
    Drain = 1,
    /// It is out for maintenance: no traffic at all.
    Maint = 2,
}

impl Admin {
    /// What a row remembers, with who wants it.
    pub fn to_byte(self, by: By) -> u8 {
        match by {
            By::Operator => self as u8,
            By::Agent => self as u8 | BY_AGENT,
        }
    }

    /// What a row remembers; anything unknown is `Ready`.
    pub fn from_byte(byte: u8) -> (Self, By) {
        let admin = match byte & !BY_AGENT {
            1 => Self::Drain,
            2 => Self::Maint,
            _ => Self::Ready,
        };
        (admin, if byte & BY_AGENT == 0 { By::Operator } else { By::Agent })
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        })
    }
}

/// What the checks found.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not yet checked; counts as up, as with HAProxy, until the first check says otherwise.
    #[default]
    Unknown = 0,
    /// `rise` checks in a row succeeded.
    Up = 1,
    /// `fall` checks in a row failed.
    Down = 2,
    /// Up, but it asked to get nothing new: HAProxy's `disable-on-404`.
    Stopping = 3,
    /// Not yet checked; counts as down, because its check says so, until the first check says otherwise.
    Pending = 4,
    /// No address of it is known.
    Unresolved = 5,
    /// Its agent says that it does not work, whatever the checks find.
    #[serde(rename = "agent-down")]
    AgentDown = 6,
}

impl Health {
    /// Whether it can serve what it has.
    pub fn serves(self) -> bool {
        match self {
            Self::Unknown | Self::Up | Self::Stopping => true,
            Self::Down | Self::Pending | Self::Unresolved | Self::AgentDown => false,
        }
    }

    /// What one is that tracks a server of which that is known: of itself an address is known, and it has no agent.
    #[must_use]
    pub fn as_tracked(self) -> Self {
        match self {
            Self::Unresolved | Self::AgentDown => Self::Down,
            Self::Unknown | Self::Up | Self::Down | Self::Stopping | Self::Pending => self,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Stopping => "stopping",
            Self::Pending => "pending",
            Self::Unresolved => "unresolved",
            Self::AgentDown => "down (agent)",
        })
    }
}

/// Both together, and whether a weight of 0 was said at run time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Standing {
    /// What the operator wants.
    pub admin: Admin,
    /// What the checks found, and the agent.
    pub health: Health,
    /// Its weight is 0: as with HAProxy it is like one that drains.
    pub weightless: bool,
}

impl Standing {
    /// Whether new flows, connections and requests may go there.
    pub fn takes_new(self) -> bool {
        self.admin == Admin::Ready && !self.weightless && self.health.serves() && self.health != Health::Stopping
    }

    /// Whether flows and connections that are there may stay.
    pub fn keeps_existing(self) -> bool {
        self.admin != Admin::Maint && self.health.serves()
    }

    /// What the packet path may do.
    pub fn kernel_state(self) -> ServerState {
        match (self.keeps_existing(), self.takes_new()) {
            (false, _) => ServerState::Down,
            (true, false) => ServerState::Drain,
            (true, true) => ServerState::Up,
        }
    }

    /// What the maps remember of a server after a restart of the daemon.
    pub fn from_entry(entry: &ServerEntry) -> Self {
        let (admin, _) = Admin::from_byte(entry.admin);
        let health = match entry.health {
            1 => Health::Up,
            2 => Health::Down,
            3 => Health::Stopping,
            4 => Health::Pending,
            5 => Health::Unresolved,
            6 => Health::AgentDown,
            _ => Health::Unknown,
        };
        Self { admin, health, weightless: false }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.admin, self.health) {
            (_, Health::Unresolved) => "not resolved",
            (Admin::Maint, _) => "maint",
            (_, Health::Down) => "down",
            (_, Health::AgentDown) => "down (agent)",
            (_, Health::Pending) => "down (unchecked)",
            (Admin::Drain, _) => "drain",
            (Admin::Ready, _) if self.weightless => "drain (weight 0)",
            (Admin::Ready, Health::Stopping) => "stopping",
            (Admin::Ready, Health::Up) => "up",
            (Admin::Ready, Health::Unknown) => "up (unchecked)",
        })
    }
}

/// What steps in when servers are missing: of a backend, what decides who takes new traffic.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reserve {
    /// All backups share the traffic once no other server can take it, instead of the first alone: HAProxy's `option allbackups`.
    pub all_backups: bool,
    /// With fewer servers that can take new traffic nobody takes it; 0 is as 1.
    pub min_up: u32,
    /// Then servers take it that are not healthy.
    pub fail_open: bool,
}

impl Reserve {
    /// That of a backend.
    pub fn of(backend: &Backend) -> Self {
        let Failover { min_up, on_empty, .. } = backend.failover;
        Self { all_backups: backend.allbackups, min_up, fail_open: on_empty == OnEmpty::FailOpen }
    }
}

/// What a server of a backend may be used for, as all of them stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stand {
    /// It takes new traffic.
    pub takes: bool,
    /// What the packet path may do.
    pub state: ServerState,
}

/// What each server of a backend may be used for. All that can take new traffic do, but backup servers only when no other can,
/// and then the first of them alone, unless `reserve` says otherwise.
pub fn stands(servers: &[(Standing, IsBackup)], reserve: Reserve) -> Vec<Stand> {
    let takers = takers(servers, reserve.all_backups);
    let enough = takers.iter().filter(|takes| **takes).count() >= reserve.min_up.max(1) as usize;
    let stand = |((standing, _), takes): (&(Standing, IsBackup), bool)| Stand { takes, state: standing.kernel_state() };
    if enough {
        return servers.iter().zip(takers).map(stand).collect();
    }
    if !reserve.fail_open {
        return servers.iter().zip(std::iter::repeat(false)).map(stand).collect();
    }
    // As if no check had said anything.
    let unchecked = |(standing, backup): &(Standing, IsBackup)| match standing.health {
        Health::Unresolved => (*standing, *backup),
        Health::Unknown | Health::Up | Health::Down | Health::Stopping | Health::Pending | Health::AgentDown => {
            (Standing { health: Health::Unknown, ..*standing }, *backup)
        }
    };
    let servers: Vec<_> = servers.iter().map(unchecked).collect();
    let takers = self::takers(&servers, reserve.all_backups);
    servers.iter().zip(takers).map(stand).collect()
}

fn takers(servers: &[(Standing, IsBackup)], all_backups: bool) -> Vec<bool> {
    let can = |(standing, backup): &(Standing, IsBackup), want: bool| standing.takes_new() && backup.0 == want;
    if servers.iter().any(|server| can(server, false)) {
        return servers.iter().map(|server| can(server, false)).collect();
    }
    if all_backups {
        return servers.iter().map(|server| can(server, true)).collect();
    }
    let first = servers.iter().position(|server| can(server, true));
    (0..servers.len()).map(|index| Some(index) == first).collect()
}

/// Whether a server is a backup server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IsBackup(pub bool);

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Standing = Standing { admin: Admin::Ready, health: Health::Up, weightless: false };
    const DOWN: Standing = Standing { admin: Admin::Ready, health: Health::Down, weightless: false };
    const DRAIN: Standing = Standing { admin: Admin::Drain, health: Health::Up, weightless: false };
    const MAINT: Standing = Standing { admin: Admin::Maint, health: Health::Up, weightless: false };

    #[test]
    fn what_the_packet_path_may_do() {
        use ServerState::{Down, Drain, Up};
        let states = [UP, DOWN, DRAIN, MAINT, Standing::default()].map(Standing::kernel_state);
        assert_eq!(states, [Up, Down, Drain, Down, Up]);
        let health = |health| Standing { health, ..UP }.kernel_state();
        assert_eq!([Health::Stopping, Health::Pending].map(health), [Drain, Down]);
    }

    #[test]
    fn backups_step_in_only_when_all_others_are_out_and_the_first_alone_if_not_said_otherwise() {
        let backup = IsBackup(true);
        let available = |servers: &[_], all_backups| {
            let stands = stands(servers, Reserve { all_backups, ..Reserve::default() });
            stands.into_iter().map(|stand| stand.takes).collect::<Vec<_>>()
        };
        let servers = |a, b, c, all| {
            available(&[(a, IsBackup(false)), (b, IsBackup(false)), (c, backup), (UP, backup), (UP, backup)], all)
        };
        for all in [false, true] {
            assert_eq!(servers(UP, DOWN, UP, all), [true, false, false, false, false]);
            assert_eq!(available(&[(DOWN, backup), (DOWN, IsBackup(false))], all), [false, false]);
        }
        assert_eq!(servers(DOWN, DRAIN, UP, false), [false, false, true, false, false]);
        assert_eq!(servers(DOWN, DRAIN, DOWN, false), [false, false, false, true, false]);
        assert_eq!(servers(DOWN, DRAIN, UP, true), [false, false, true, true, true]);
        assert_eq!(servers(DOWN, DRAIN, DRAIN, true), [false, false, false, true, true]);
    }

    #[test]
    fn with_too_few_servers_nobody_takes_new_traffic_or_all_do() {
        use ServerState::{Down as IsDown, Drain, Up};
        let servers = [UP, DOWN, DRAIN, MAINT].map(|standing| (standing, IsBackup(false)));
        let found = |min_up, fail_open| {
            let stands = stands(&servers, Reserve { min_up, fail_open, ..Reserve::default() });
            let takes: Vec<_> = stands.iter().map(|stand| stand.takes).collect();
            (takes, stands.iter().map(|stand| stand.state).collect::<Vec<_>>())
        };
        let as_they_are = vec![Up, IsDown, Drain, IsDown];
        assert_eq!(found(1, true), (vec![true, false, false, false], as_they_are.clone()));
        assert_eq!(found(2, false), (vec![false; 4], as_they_are));
        assert_eq!(found(2, true), (vec![true, true, false, false], vec![Up, Up, Drain, IsDown]));
        let down = [(DOWN, IsBackup(false)), (DOWN, IsBackup(true))];
        let open = stands(&down, Reserve { fail_open: true, ..Reserve::default() });
        assert_eq!(open.iter().map(|stand| stand.takes).collect::<Vec<_>>(), [true, false], "not the backup");
    }
}
