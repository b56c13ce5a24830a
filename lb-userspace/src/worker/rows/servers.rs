//! Rows of servers.

use super::{Column, Gathering, Key, Row, responses, times};
use crate::{
    admin::rows::Kind,
    health::finding::description,
    model::{Backend, Server},
    servers::{Admin, BackendLive, Health, ServerLive, Standing, Throttle, totals},
    worker::history::small,
};
use lb_common::Counters;
use std::sync::atomic::Ordering::Relaxed;

impl Gathering<'_> {
    /// In the order of the file.
    pub(super) fn servers(&self, backend: &Backend, iid: u32, is_http: bool) -> Vec<Row> {
        let live = self.live(backend);
        let row = |(sid, (index, server)): (u32, (usize, &Server))| {
            let mut row = Row::new(Kind::Server, (&backend.name, iid), (&server.name, sid));
            row.set(Column::Mode, if is_http { "http" } else { "tcp" });
            self.stands(&mut row, backend, server);
            if let Some(live) = live.and_then(|live| live.servers.get(index)) {
                counted(&mut row, live, self.kernel.server(backend, server), is_http);
            }
            self.course(&mut row, &Key::Server(server.identity(&backend.name)));
            row
        };
        (1..).zip(backend.servers.iter().enumerate()).map(row).collect()
    }

    /// How it stands, and what its check and agent found.
    fn stands(&self, row: &mut Row, backend: &Backend, server: &Server) {
        let (running, identity) = (self.running, server.identity(&backend.name));
        let registry = &running.halves.registry;
        row.set(Column::Status, self.status(backend, server));
        let weight = registry.weight(identity, server.weight);
        let throttle = running.halves.throttle(identity, self.now).map(Throttle::percent);
        let rising = throttle.map(|percent| (u32::from(weight) * u32::from(percent)).div_ceil(100));
        row.set(Column::Weight, rising.unwrap_or_else(|| weight.into()));
        row.set(Column::Uweight, u32::from(weight));
        row.set_known(Column::Throttle, throttle.map(u32::from));
        row.set(Column::Act, u32::from(!server.backup));
        row.set(Column::Bck, u32::from(server.backup));
        let maxconn = registry.maxconn(identity, server.limits.maxconn);
        row.set_known(Column::Slim, (maxconn > 0).then_some(maxconn));
        row.set_known(Column::Qlimit, Some(server.limits.maxqueue).filter(|limit| *limit > 0));
        row.set_known(Column::Tracked, server.track.as_ref().map(|of| format!("{}/{}", of.backend, of.server)));
        row.set_known(Column::Cookie, server.cookie.clone());
        if server.is_resolved() {
            row.set(Column::Addr, server.address.to_string());
        }
        if let Some(spell) = running.history.server(identity) {
            row.set(Column::Lastchg, spell.age(self.now));
            if server.check(backend).is_some() {
                row.set(Column::Downtime, spell.down_seconds(self.now));
            }
        }
        self.check(row, backend, server);
        self.agent(row, server, identity);
    }

    fn check(&self, row: &mut Row, backend: &Backend, server: &Server) {
        let Some(check) = server.check(backend) else { return };
        let Some(known) = self.running.verdicts.known(server.identity(&backend.name)) else { return };
        row.set(Column::Chkfail, known.failures);
        row.set(Column::Chkdown, known.downs);
        row.set(Column::CheckRise, check.rise);
        row.set(Column::CheckFall, check.fall);
        row.set(Column::CheckHealth, known.health);
        let code = known.last.map_or("INI", |last| last.finding.code.name());
        row.set(Column::CheckStatus, code);
        row.set(Column::CheckDesc, description(code));
        if let Some(last) = known.last {
            row.set(Column::CheckDuration, millis(last.took));
            row.set(Column::LastChk, last.finding.detail.clone());
            let status = last.finding.detail.strip_prefix("status ").and_then(|status| status.get(..3));
            row.set_known(Column::CheckCode, status.and_then(|status| status.parse::<u32>().ok()));
        }
    }

    fn agent(&self, row: &mut Row, server: &Server, identity: u64) {
        let (Some(_), Some(known)) = (server.agent(), self.running.verdicts.agent(identity)) else { return };
        row.set(Column::AgentRise, 1_u32);
        row.set(Column::AgentFall, 1_u32);
        row.set(Column::AgentHealth, u32::from(!known.is_down));
        let code = known.last.map_or("INI", |last| last.code);
        row.set(Column::AgentStatus, code);
        row.set(Column::AgentDesc, description(code));
        if let Some(last) = known.last {
            row.set(Column::AgentDuration, millis(last.took));
            row.set(Column::LastAgt, last.words.clone());
        }
    }

    /// HAProxy's word for how it stands.
    fn status(&self, backend: &Backend, server: &Server) -> String {
        let (registry, identity) = (&self.running.halves.registry, server.identity(&backend.name));
        let Standing { admin, health, weightless } = registry.standing(identity);
        let tracked = server.track.as_ref();
        let judged = tracked.map_or(Some(identity), |tracked| self.model.identity(tracked));
        let of_backend = tracked.map_or(Some(backend), |tracked| self.model.backend(&tracked.backend));
        let check = of_backend.and_then(|backend| backend.check.as_ref());
        let counter = judged.and_then(|judged| self.running.verdicts.known(judged)).map(|known| known.health);
        let drains = admin == Admin::Drain || weightless;
        let partly = check.zip(counter).filter(|(check, counter)| {
            *counter > 0 && *counter < check.rise.saturating_add(check.fall).saturating_sub(1)
        });
        let going = |word: &str| match partly {
            Some((check, counter)) if counter >= check.rise => {
                format!("{word} {}/{}", counter - check.rise + 1, check.fall)
            }
            Some(_) | None => word.to_owned(),
        };
        match health {
            Health::Unresolved => "MAINT (resolution)".to_owned(),
            _ if admin == Admin::Maint => "MAINT".to_owned(),
            Health::AgentDown => "DOWN (agent)".to_owned(),
            Health::Down | Health::Pending => match partly {
                Some((check, counter)) if counter < check.rise => format!("DOWN {counter}/{}", check.rise),
                Some(_) | None => "DOWN".to_owned(),
            },
            _ if drains && server.agent().is_some() => "DRAIN (agent)".to_owned(),
            _ if drains => "DRAIN".to_owned(),
            Health::Stopping => going("NOLB"),
            Health::Up | Health::Unknown if check.is_none() => "no check".to_owned(),
            Health::Up | Health::Unknown => going("UP"),
        }
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the proxy has counted of a server, with what the kernel half has.
fn counted(row: &mut Row, live: &ServerLive, kernel: Counters, is_http: bool) {
    let counts = &live.counts;
    row.set(Column::Qcur, small(live.load.0.queued.load(Relaxed) as u64));
    row.set(Column::Scur, small(live.serving()));
    row.set(Column::UsedConnCur, small(live.connections()));
    let (total, opened) = (counts.sum(|counts| &counts.total), counts.sum(|counts| &counts.opened));
    row.set(Column::Stot, total + kernel.connections);
    row.set(Column::Lbtot, total + kernel.connections);
    row.set(Column::Bin, counts.sum(|counts| &counts.bytes_in) + kernel.bytes);
    row.set(Column::Bout, counts.sum(|counts| &counts.bytes_out) + kernel.return_bytes);
    row.set(Column::Dresp, counts.sum(|counts| &counts.denied_responses));
    let failed = counts.sum(|counts| &counts.connect_errors);
    row.set(Column::Econ, failed);
    row.set(Column::Eresp, counts.sum(|counts| &counts.response_errors));
    row.set(Column::Wretr, 0_u64); // No server is tried twice in a row.
    row.set(Column::Wredis, counts.sum(|counts| &counts.redispatches));
    row.set(Column::CliAbrt, counts.sum(|counts| &counts.client_aborts));
    row.set(Column::SrvAbrt, counts.sum(|counts| &counts.server_aborts));
    row.set(Column::Connect, opened + failed);
    times(row, |which| counts.mean(|counts| which(&counts.times)));
    row.set(Column::Reuse, if is_http { total.saturating_sub(opened) } else { 0 });
    if is_http {
        row.set(Column::ReqTot, total);
        responses(row, totals::responses(counts, |counts| &counts.responses));
    }
}

/// Requests or connections that wait for any server of a backend, or for one.
pub(super) fn queued(live: &BackendLive) -> u32 {
    let bound = live.servers.iter().map(|server| server.load.0.queued.load(Relaxed) as u64);
    small(live.gate.waiting() as u64 + bound.sum::<u64>())
}
