//! Rows of frontends.

use super::{Column, Gathering, Key, Row, responses};
use crate::{
    admin::rows::Kind,
    model::{Frontend, FrontendKind, QuorumDown},
    servers::{FrontendLive, totals},
    worker::history::small,
};

impl Gathering<'_> {
    pub(super) fn frontend(&self, frontend: &Frontend, iid: u32) -> Row {
        let mut row = Row::new(Kind::Frontend, (&frontend.name, iid), ("FRONTEND", 0));
        row.set(Column::Mode, frontend.mode());
        match (&frontend.kind, self.running.halves.live.frontend(&frontend.name)) {
            (FrontendKind::L4(_), _) => self.of_kernel(&mut row, frontend),
            (kind, Some(live)) => self.of_proxy(&mut row, frontend, live, matches!(kind, FrontendKind::Http(_))),
            (_, None) => {}
        }
        row
    }

    fn of_kernel(&self, row: &mut Row, frontend: &Frontend) {
        let is_shut =
            frontend.quorum.down == QuorumDown::Withdraw && !self.running.halves.registry.has_quorum(&frontend.name);
        row.set(Column::Status, if is_shut { "STOP" } else { "OPEN" });
        let all = self.kernel.frontend(frontend);
        row.set(Column::Stot, all.connections);
        row.set(Column::ConnTot, all.connections);
        row.set(Column::Bin, all.bytes);
        row.set(Column::Bout, all.return_bytes);
        self.course(row, &Key::Frontend(frontend.name.clone()));
    }

    fn of_proxy(&self, row: &mut Row, frontend: &Frontend, live: &FrontendLive, is_http: bool) {
        let counts = &live.counts;
        let limit = if live.room.is_limited() { live.room.limit() } else { self.running.halves.live.room.limit() };
        row.set(Column::Status, if live.room.is_shut() { "PAUSED" } else { "OPEN" });
        row.set(Column::Scur, small(live.connections()));
        row.set_known(Column::Slim, (limit > 0).then(|| small(limit as u64)));
        let opened = counts.sum(|counts| &counts.opened);
        row.set(Column::Stot, opened);
        row.set(Column::ConnTot, opened);
        row.set(Column::Bin, counts.sum(|counts| &counts.bytes_in));
        row.set(Column::Bout, counts.sum(|counts| &counts.bytes_out));
        row.set(Column::Dreq, counts.sum(|counts| &counts.denied_requests));
        row.set(Column::Dresp, counts.sum(|counts| &counts.denied_responses));
        row.set(Column::Ereq, counts.sum(|counts| &counts.request_errors));
        row.set(Column::Dcon, counts.sum(|counts| &counts.denied_connections));
        row.set(Column::RateLim, 0_u32);
        let key = Key::Frontend(frontend.name.clone());
        self.course(row, &key);
        if !is_http {
            return;
        }
        row.set(Column::ReqTot, counts.sum(|counts| &counts.requests));
        if let Some(course) = self.running.history.course(&key) {
            row.set_known(Column::ReqRate, course.request_rate);
            row.set(Column::ReqRateMax, course.most.request_rate);
        }
        responses(row, totals::responses(counts, |counts| &counts.responses));
    }
}
