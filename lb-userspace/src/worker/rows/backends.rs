//! Rows of backends, and of their servers before them.

use super::{Column, Gathering, Key, Row, responses, servers::queued, times};
use crate::{
    admin::rows::Kind,
    model::{Backend, Balance, balance::Keyed},
    servers::totals,
    worker::history::small,
};

impl Gathering<'_> {
    /// Its servers', and its own.
    pub(super) fn backend(&self, index: usize, backend: &Backend, iid: u32) -> Vec<Row> {
        let is_http = self.http.contains(&index);
        let mut rows = self.servers(backend, iid, is_http);
        rows.push(self.of_all_servers(backend, iid, is_http));
        rows
    }

    fn of_all_servers(&self, backend: &Backend, iid: u32, is_http: bool) -> Row {
        let mut row = Row::new(Kind::Backend, (&backend.name, iid), ("BACKEND", 0));
        let registry = &self.running.halves.registry;
        let (mut weight, mut active, mut backups) = (0_u32, 0_u32, 0_u32);
        for (server, standing) in
            backend.servers.iter().map(|server| (server, registry.standing(server.identity(&backend.name))))
        {
            if standing.takes_new() {
                *if server.backup { &mut backups } else { &mut active } += 1;
            }
        }
        let takers: Vec<_> = registry.takers(backend).collect();
        for (server, _) in &takers {
            weight += u32::from(registry.weight(server.identity(&backend.name), server.weight));
        }
        row.servers = ((active + backups) as usize, backend.servers.len());
        row.set(Column::Status, if takers.is_empty() { "DOWN" } else { "UP" });
        row.set(Column::Weight, weight);
        row.set(Column::Uweight, weight);
        row.set(Column::Act, active);
        row.set(Column::Bck, backups);
        row.set(Column::Mode, if is_http { "http" } else { "tcp" });
        row.set(Column::Algo, algorithm(&backend.balance));
        row.set_known(Column::Cookie, backend.cookie.as_ref().map(|cookie| cookie.name.clone()));
        row.set_known(
            Column::Slim,
            Some(backend.fullconn()).filter(|limit| *limit > 0).map(|limit| small(limit as u64)),
        );
        if let Some(spell) = self.running.history.backend(&backend.name) {
            row.set(Column::Chkdown, spell.downs());
            row.set(Column::Lastchg, spell.age(self.now));
            row.set(Column::Downtime, spell.down_seconds(self.now));
        }
        self.counted(&mut row, backend, is_http);
        self.course(&mut row, &Key::Backend(backend.name.clone()));
        row
    }

    fn counted(&self, row: &mut Row, backend: &Backend, is_http: bool) {
        let Some(live) = self.live(backend) else { return };
        let queued = queued(live);
        let serving: u64 = live.servers.iter().map(|server| server.serving()).sum();
        row.set(Column::Qcur, queued);
        row.set(Column::Scur, small(serving).saturating_add(queued));
        // Those of servers that a reload has removed are among them.
        let (sent, kernel) = (live.totals(), self.kernel.backend(backend));
        let total = live.counts.sum(|counts| &counts.total);
        row.set(Column::Stot, total + kernel.connections);
        row.set(Column::Bin, sent.bytes_in + kernel.bytes);
        row.set(Column::Bout, sent.bytes_out + kernel.return_bytes);
        row.set(Column::Dreq, live.counts.sum(|counts| &counts.denied_requests));
        row.set(Column::Dresp, sent.denied_responses);
        row.set(Column::Econ, live.counts.sum(|counts| &counts.unserved));
        row.set(Column::Eresp, sent.response_errors);
        row.set(Column::Wretr, 0_u64); // No server is tried twice in a row.
        row.set(Column::Wredis, sent.redispatches);
        row.set(Column::Lbtot, sent.total + kernel.connections);
        row.set(Column::CliAbrt, sent.client_aborts);
        row.set(Column::SrvAbrt, sent.server_aborts);
        times(row, |which| live.counts.mean(|counts| which(&counts.times)));
        row.set(Column::Connect, sent.opened + sent.connect_errors);
        row.set(Column::Reuse, if is_http { sent.total.saturating_sub(sent.opened) } else { 0 });
        if is_http {
            row.set(Column::ReqTot, total);
            let own = totals::responses(&live.counts, |counts| &counts.responses);
            let mut all = sent.responses;
            all.iter_mut().zip(own).for_each(|(all, own)| *all += own);
            responses(row, all);
        }
    }
}

/// The algorithm, by HAProxy's words where it has one.
fn algorithm(balance: &Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "roundrobin",
        Balance::StaticRoundRobin => "static-rr",
        Balance::LeastConn => "leastconn",
        Balance::First => "first",
        Balance::Random { .. } => "random",
        Balance::Maglev => "maglev",
        Balance::Hash { by, .. } => match by {
            Keyed::Source => "source",
            Keyed::Uri(_) => "uri",
            Keyed::UrlParam(_) => "url_param",
            Keyed::Header { .. } => "hdr",
            Keyed::Expression(_) => "hash",
        },
    }
}
