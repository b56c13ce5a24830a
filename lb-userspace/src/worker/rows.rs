//! Rows of all frontends, backends and servers, gathered from what the worker knows: HAProxy's columns.

mod backends;
mod frontends;
mod kernel;
mod servers;

use super::{
    history::{Key, Reading},
    running::Running,
};
use crate::{
    admin::rows::{Column, Row, Rows},
    model::{Backend, Frontend, FrontendKind, Model, Rule, rule::Route},
    servers::{
        BackendLive,
        times::{Mean, Times},
        totals::CLASSES,
    },
};
use kernel::KernelCounts;
use lb_common::ServerState;
use std::{collections::BTreeSet, sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::Instant;

/// HAProxy's number of the first frontend: its own runtime API has 1.
const FIRST: u32 = 2;

/// Frontends with HAProxy's numbers.
pub(super) fn numbered_frontends(model: &Model) -> impl Iterator<Item = (u32, &Frontend)> {
    (FIRST..).zip(&model.frontends)
}

/// Backends with theirs, which follow those of frontends.
pub(super) fn numbered_backends(model: &Model) -> impl Iterator<Item = (u32, &Backend)> {
    let first = FIRST + u32::try_from(model.frontends.len()).unwrap_or(0);
    (first..).zip(&model.backends)
}

/// What all rows are made with.
struct Gathering<'a> {
    running: &'a Running,
    model: &'a Model,
    /// What the kernel half has counted; nothing without it.
    kernel: KernelCounts<'a>,
    /// Backends of `http` frontends.
    http: BTreeSet<usize>,
    now: Instant,
}

impl Running {
    /// Everything that is counted and known, as of now.
    pub(super) fn rows(&mut self, now: Instant) -> Rows {
        let mut rows = self.rows_ever(now);
        rows.count_from(&self.history.cleared);
        rows
    }

    /// The same, counted since ever.
    pub(super) fn rows_ever(&mut self, now: Instant) -> Rows {
        if self.history.ask(now) {
            self.look_at_counts(now);
        }
        let model = &self.halves.model;
        let kernel = KernelCounts::read(self, model);
        let gathering = Gathering { running: self, model, kernel, http: http_backends(model), now };
        let mut rows: Vec<_> =
            numbered_frontends(model).map(|(iid, frontend)| gathering.frontend(frontend, iid)).collect();
        for (index, (iid, backend)) in numbered_backends(model).enumerate() {
            rows.extend(gathering.backend(index, backend, iid));
        }
        Rows(rows)
    }

    /// Looks at how fast things come and how many there are.
    pub(super) fn look_at_counts(&mut self, now: Instant) {
        let model = &self.halves.model;
        let kernel = KernelCounts::read(self, model);
        let (mut readings, mut all) = (Vec::new(), Reading::default());
        for frontend in &model.frontends {
            let Some(live) = self.halves.live.frontend(&frontend.name) else { continue };
            let reading = Reading {
                total: live.counts.sum(|counts| &counts.opened),
                requests: live.counts.sum(|counts| &counts.requests),
                open: live.connections(),
                queued: 0,
            };
            all.total += reading.total;
            all.requests += reading.requests;
            all.open += reading.open;
            let total = reading.total + kernel.frontend(frontend).connections;
            readings.push((Key::Frontend(frontend.name.clone()), Reading { total, ..reading }));
        }
        readings.push((Key::Process, all));
        for backend in &model.backends {
            let Some(live) = self.halves.live.backend(&backend.name) else { continue };
            let (mut open, mut queued) = (0, live.gate.waiting() as u64);
            for (server, configured) in live.servers.iter().zip(&backend.servers) {
                let total = server.counts.sum(|counts| &counts.total) + kernel.server(backend, configured).connections;
                let reading = Reading {
                    total,
                    requests: total,
                    open: server.serving(),
                    queued: server.load.0.queued.load(Relaxed) as u64,
                };
                open += reading.open;
                queued += reading.queued;
                readings.push((Key::Server(server.identity), reading));
            }
            let total = live.counts.sum(|counts| &counts.total) + kernel.backend(backend).connections;
            let reading = Reading { total, requests: total, open: open + queued, queued };
            readings.push((Key::Backend(backend.name.clone()), reading));
        }
        self.history.look(readings, now);
    }

    /// Notes how servers of these backends stand.
    pub(super) fn note_standings<'a>(&mut self, backends: impl IntoIterator<Item = &'a Backend>, now: Instant) {
        for backend in backends {
            let mut state = ServerState::Down;
            for (server, stand) in backend.servers.iter().zip(self.halves.registry.stands(backend)) {
                self.history.note_server(server.identity(&backend.name), stand.state, now);
                if stand.takes {
                    state = ServerState::Up;
                }
            }
            self.history.note_backend(&backend.name, state, now);
        }
    }

    /// Notes how all stand, and forgets those that are gone.
    pub(super) fn note_all_standings(&mut self, model: &Model, now: Instant) {
        self.note_standings(&model.backends, now);
        let servers = model.identities().collect();
        let backends = model.backends.iter().map(|backend| backend.name.clone()).collect();
        self.history.keep(&servers, &backends);
    }
}

/// Backends to which `http` frontends send requests.
fn http_backends(model: &Model) -> BTreeSet<usize> {
    reached(model, |kind| match kind {
        FrontendKind::Http(http) => Some((http.default_backend, &http.routes)),
        FrontendKind::Tcp(_) | FrontendKind::L4(_) => None,
    })
}

/// Backends to which the proxy sends anything.
pub(super) fn proxied_backends(model: &Model) -> BTreeSet<usize> {
    reached(model, |kind| match kind {
        FrontendKind::Http(http) => Some((http.default_backend, &http.routes)),
        FrontendKind::Tcp(tcp) => Some((tcp.default_backend, &tcp.routes)),
        FrontendKind::L4(_) => None,
    })
}

/// Backends that frontends lead to, of which `of` has the default backend and the routes.
fn reached(model: &Model, of: impl Fn(&FrontendKind) -> Option<(Option<usize>, &Vec<Rule<Route>>)>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for frontend in &model.frontends {
        let Some((default_backend, routes)) = of(&frontend.kind) else { continue };
        found.extend(default_backend);
        for route in routes {
            match &route.action {
                Route::Backend(index) => drop(found.insert(*index)),
                Route::Named(_, all) => found.extend(all.values()),
            }
        }
    }
    let fallbacks: Vec<_> =
        found.iter().flat_map(|index| model.with_fallbacks(*index).map(|(index, _)| index)).collect();
    found.extend(fallbacks);
    found
}

impl Gathering<'_> {
    fn live(&self, backend: &Backend) -> Option<&BackendLive> {
        self.running.halves.live.backend(&backend.name).map(|live| &**live)
    }

    /// Rates, peaks and the last session, from what was seen.
    fn course(&self, row: &mut Row, key: &Key) {
        let Some(course) = self.running.history.course(key) else { return };
        row.set_known(Column::Rate, course.rate);
        row.set(Column::RateMax, course.most.rate);
        row.set(Column::Smax, course.most.open);
        match key {
            Key::Frontend(_) | Key::Process => {
                row.set_known(Column::ConnRate, course.rate);
                row.set(Column::ConnRateMax, course.most.rate);
            }
            Key::Backend(_) | Key::Server(_) => {
                row.set(Column::Qmax, course.most.queued);
                row.set_known(Column::Lastsess, course.last_came(self.now));
            }
        }
    }
}

/// Six columns of responses.
fn responses(row: &mut Row, counts: [u64; CLASSES.len()]) {
    Column::RESPONSES.into_iter().zip(counts).for_each(|(column, count)| row.set(column, count));
}

/// Four columns of mean times, in milliseconds.
fn times(row: &mut Row, of: impl Fn(fn(&Times) -> &Mean) -> Option<Duration>) {
    let millis = |mean: Option<Duration>| mean.map(|mean| u64::try_from(mean.as_millis()).unwrap_or(u64::MAX));
    row.set_known(Column::Qtime, millis(of(|times| &times.queue)));
    row.set_known(Column::Ctime, millis(of(|times| &times.connect)));
    row.set_known(Column::Rtime, millis(of(|times| &times.response)));
    row.set_known(Column::Ttime, millis(of(|times| &times.total)));
}
